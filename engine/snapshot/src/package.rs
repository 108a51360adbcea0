//! Packages as bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    Configurable, Data, Digest, Label, Location, Package, PackageId, Part, RuleId, Select, Target, Visibility,
    VisibleTo,
};

use crate::codec::{Reader, Writer};
use crate::state::State;
use crate::values::{get_data, put_data};

/// Encodes a package.
pub fn encode_package(package: &Package) -> Vec<u8> {
    let mut row = Writer::default();
    row.text(package.id.repository()).text(package.id.path());
    row.number(package.targets.len() as u64);
    for target in package.targets.values() {
        put_location(&mut row, target.location.as_ref());
        put_target(&mut row, target);
    }
    row.number(package.exported_files.len() as u64);
    for (name, visibility) in &package.exported_files {
        put_visibility(row.text(name), visibility);
    }
    row.finish()
}

/// A digest of all of a target that analysis can depend on: everything but its place in the file.
pub fn target_stamp(target: &Target) -> Digest {
    let mut row = Writer::default();
    put_target(&mut row, target);
    Digest::of(row.as_bytes())
}

/// Decodes a package.
pub fn decode_package(bytes: &[u8]) -> Option<Package> {
    let mut row = Reader::new(bytes);
    let id = PackageId::new(row.text()?, row.text()?).ok()?;
    let mut targets = BTreeMap::new();
    for _ in 0..row.length()? {
        let location = get_location(&mut row)?;
        let target = get_target(&mut row, location)?;
        targets.insert(Arc::from(target.label.name()), Arc::new(target));
    }
    let exported = (0..row.length()?).map(|_| Some((Arc::from(row.text()?), get_visibility(&mut row)?)));
    let exported_files = exported.collect::<Option<_>>()?;
    Some(Package { id, targets, exported_files })
}

fn put_target(row: &mut Writer, target: &Target) {
    let Target { label, rule, attributes, explicit, visibility, location: _, outputs } = target;
    row.label(label).label(&rule.file).text(&rule.name);
    row.number(attributes.len() as u64);
    attributes.iter().for_each(|(name, value)| put_configurable(row.text(name), value));
    for names in [explicit, outputs] {
        row.number(names.len() as u64);
        names.iter().for_each(|name| _ = row.text(name));
    }
    put_visibility(row, visibility);
}

fn get_target(row: &mut Reader<'_>, location: Option<Location>) -> Option<Target> {
    let label = row.label()?;
    let rule = RuleId { file: row.label()?, name: Arc::from(row.text()?) };
    let attributes = (0..row.length()?).map(|_| Some((Arc::from(row.text()?), get_configurable(row)?)));
    let attributes = attributes.collect::<Option<_>>()?;
    let names =
        |row: &mut Reader<'_>| (0..row.length()?).map(|_| row.text().map(Arc::from)).collect::<Option<Vec<_>>>();
    let (explicit, outputs) = (names(row)?, names(row)?);
    let visibility = get_visibility(row)?;
    Some(Target { label, rule, attributes, explicit, visibility, location, outputs })
}

fn put_location(row: &mut Writer, location: Option<&Location>) {
    row.byte(u8::from(location.is_some()));
    if let Some(Location { file, line, column, end_column }) = location {
        row.text(file).number(u64::from(*line)).number(u64::from(*column)).number(u64::from(*end_column));
    }
}

fn get_location(row: &mut Reader<'_>) -> Option<Option<Location>> {
    if row.byte()? == 0 {
        return Some(None);
    }
    let file = Arc::from(row.text()?);
    Some(Some(Location { file, line: row.id()?, column: row.id()?, end_column: row.id()? }))
}

fn put_visibility(row: &mut Writer, visibility: &Visibility) {
    match visibility {
        Visibility::Public => _ = row.byte(0),
        Visibility::Private => _ = row.byte(1),
        Visibility::Packages(list) => {
            row.byte(2).number(list.len() as u64);
            list.iter().for_each(|entry| _ = row.label(&entry.package).byte(u8::from(entry.subpackages)));
        }
    }
}

fn get_visibility(row: &mut Reader<'_>) -> Option<Visibility> {
    Some(match row.byte()? {
        0 => Visibility::Public,
        1 => Visibility::Private,
        2 => {
            let count = row.length()?;
            let entry = |_| Some(VisibleTo { package: row.label()?, subpackages: row.byte()? != 0 });
            Visibility::Packages((0..count).map(entry).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn put_configurable(row: &mut Writer, value: &Configurable) {
    match value {
        Configurable::Plain(data) => put_data(row.byte(0), data, &mut None),
        Configurable::Sum(parts) => {
            row.byte(1).number(parts.len() as u64);
            for part in parts {
                match part {
                    Part::Plain(data) => put_data(row.byte(0), data, &mut None),
                    Part::Select(select) => put_select(row.byte(1), select),
                }
            }
        }
    }
}

fn put_select(row: &mut Writer, select: &Select) {
    row.number(select.branches.len() as u64);
    select.branches.iter().for_each(|(condition, data)| put_data(row.label(condition), data, &mut None));
    row.byte(u8::from(select.default.is_some()));
    if let Some(data) = &select.default {
        put_data(row, data, &mut None);
    }
    row.byte(u8::from(select.no_match_error.is_some()));
    if let Some(text) = &select.no_match_error {
        row.text(text);
    }
}

fn get_configurable(row: &mut Reader<'_>) -> Option<Configurable> {
    Some(match row.byte()? {
        0 => Configurable::Plain(get_plain(row)?),
        1 => {
            let mut parts = Vec::new();
            for _ in 0..row.length()? {
                parts.push(match row.byte()? {
                    0 => Part::Plain(get_plain(row)?),
                    _ => Part::Select(get_select(row)?),
                });
            }
            Configurable::Sum(parts)
        }
        _ => return None,
    })
}

fn get_plain(row: &mut Reader<'_>) -> Option<Data> {
    // Attributes hold neither files nor depsets, which alone need a state.
    get_data(row, &mut State::default())
}

fn get_select(row: &mut Reader<'_>) -> Option<Select> {
    let mut branches: Vec<(Label, Data)> = Vec::new();
    for _ in 0..row.length()? {
        branches.push((row.label()?, get_plain(row)?));
    }
    let default = if row.byte()? == 0 { None } else { Some(get_plain(row)?) };
    let no_match_error = if row.byte()? == 0 { None } else { Some(row.text()?.to_owned()) };
    Some(Select { branches, default, no_match_error })
}
