//! What a change of descriptors breaks for a peer that still speaks the old ones.
//!
//! Wire rules only (names matter where JSON or gRPC paths carry them): additions are fine, a field number keeps its type
//! for ever, a removed field reserves its number.

use std::collections::BTreeMap;

use prost::{DecodeError, Message as _};

use crate::descriptor::{Enum, Features, Field, FileSet, Message, Service};

/// Compares two encoded `FileDescriptorSet`s and says, in sentences for people, what of the old one the new one breaks.
/// Empty: every old peer can talk to the new one.
pub fn breaking(old: &[u8], new: &[u8]) -> Result<Vec<String>, DecodeError> {
    let (old, new) = (FileSet::decode(old)?, FileSet::decode(new)?);
    let (old, new) = (Declared::of(&old), Declared::of(&new));
    let mut broken = Vec::new();
    for (name, before) in old.messages.iter().filter(|(name, before)| !before.is_map_entry() && is_own(name)) {
        match new.messages.get(name) {
            Some(after) => compare_messages(name, (before, &old), (after, &new), &mut broken),
            None => broken.push(format!("message `{name}` was removed")),
        }
    }
    for (name, before) in old.enums.iter().filter(|(name, _)| is_own(name)) {
        match new.enums.get(name) {
            Some(after) => compare_enums(name, before, after, &mut broken),
            None => broken.push(format!("enum `{name}` was removed")),
        }
    }
    for (name, before) in &old.services {
        match new.services.get(name) {
            Some(after) => compare_services(name, before, after, &mut broken),
            None => broken.push(format!("service `{name}` was removed")),
        }
    }
    Ok(broken)
}

/// Whether a type is not one of the well-known ones, which are in a set only if something imports them.
fn is_own(full_name: &str) -> bool {
    !full_name.starts_with("google.protobuf.")
}

/// What a set declares, by full names.
#[derive(Default)]
struct Declared<'a> {
    messages: BTreeMap<String, MessageIn<'a>>,
    enums: BTreeMap<String, &'a Enum>,
    services: BTreeMap<String, &'a Service>,
}

/// A message, and whether messages in it stand between a start and an end unless they say otherwise.
struct MessageIn<'a> {
    message: &'a Message,
    delimited: bool,
}

impl MessageIn<'_> {
    fn is_map_entry(&self) -> bool {
        self.message.options.as_ref().is_some_and(|options| options.map_entry)
    }
}

impl<'a> Declared<'a> {
    fn of(set: &'a FileSet) -> Self {
        let mut declared = Self::default();
        for file in &set.files {
            let features = file.options.as_ref().and_then(|options| options.features.as_ref());
            let delimited = is_delimited(features, false);
            file.messages.iter().for_each(|message| declared.add(&file.package, message, delimited));
            declared.enums.extend(file.enums.iter().map(|each| (join(&file.package, &each.name), each)));
            declared.services.extend(file.services.iter().map(|each| (join(&file.package, &each.name), each)));
        }
        declared
    }

    fn add(&mut self, scope: &str, message: &'a Message, delimited: bool) {
        let name = join(scope, &message.name);
        let features = message.options.as_ref().and_then(|options| options.features.as_ref());
        let delimited = is_delimited(features, delimited);
        message.messages.iter().for_each(|nested| self.add(&name, nested, delimited));
        self.enums.extend(message.enums.iter().map(|each| (join(&name, &each.name), each)));
        self.messages.insert(name, MessageIn { message, delimited });
    }

    /// The type of a field as it would be written.
    fn shape(&self, field: &Field, delimited: bool) -> String {
        let name = field.type_name.trim_start_matches('.');
        let kind = match (field.kind, self.messages.get(name)) {
            (MESSAGE, Some(entry)) if entry.is_map_entry() => {
                let [key, value] = [1, 2].map(|number| {
                    let field = entry.message.fields.iter().find(|field| field.number == number);
                    field.map_or_else(String::new, |field| self.shape(field, false))
                });
                return format!("map<{key}, {value}>");
            }
            (GROUP, _) => format!("group {name}"),
            (MESSAGE, _) => {
                let features = field.options.as_ref().and_then(|options| options.features.as_ref());
                format!("{}{name}", if is_delimited(features, delimited) { "group " } else { "" })
            }
            (ENUM, _) => name.to_owned(),
            (scalar, _) => {
                let index = usize::try_from(scalar).unwrap_or(0);
                SCALARS.get(index).copied().unwrap_or("unknown").to_owned()
            }
        };
        if field.label == REPEATED { format!("repeated {kind}") } else { kind }
    }
}

const REPEATED: i32 = 3;
const GROUP: i32 = 10;
const MESSAGE: i32 = 11;
const ENUM: i32 = 14;

/// `google.protobuf.FieldDescriptorProto.Type`, by number.
const SCALARS: [&str; 19] = [
    "unknown", "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "group",
    "message", "bytes", "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64",
];

fn is_delimited(features: Option<&Features>, inherited: bool) -> bool {
    features.and_then(|features| features.message_encoding).map_or(inherited, |encoding| encoding == 2)
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

type Side<'a> = (&'a MessageIn<'a>, &'a Declared<'a>);

fn compare_messages(message: &str, old: Side<'_>, new: Side<'_>, broken: &mut Vec<String>) {
    let ((before, old), (after, new)) = (old, new);
    let reserved = &after.message.reserved;
    let fields: BTreeMap<i32, &Field> = after.message.fields.iter().map(|field| (field.number, field)).collect();
    for field in &before.message.fields {
        let (name, number) = (join(message, &field.name), field.number);
        let Some(now) = fields.get(&number) else {
            if !reserved.iter().any(|range| (range.start..range.end).contains(&number)) {
                broken.push(format!("field `{name}` = {number} was removed and its number is not reserved"));
            }
            continue;
        };
        if now.name != field.name {
            broken.push(format!("field number {number} of `{message}` was `{}` and is now `{}`", field.name, now.name));
        }
        let (was, is) = (old.shape(field, before.delimited), new.shape(now, after.delimited));
        if was != is {
            broken.push(format!("field `{name}` = {number} was `{was}` and is now `{is}`"));
        }
    }
}

fn compare_enums(full_name: &str, old: &Enum, new: &Enum, broken: &mut Vec<String>) {
    // A value is named beside its enum, not in it.
    let scope = full_name.rsplit_once('.').map_or("", |(scope, _)| scope);
    for value in &old.values {
        let number = value.number;
        let now = new.values.iter().find(|after| after.number == number);
        let is_renamed = |name: &str| name != value.name && !new.values.iter().any(|after| after.name == value.name);
        match now {
            Some(after) if is_renamed(&after.name) => broken
                .push(format!("enum value {number} of `{full_name}` was `{}` and is now `{}`", value.name, after.name)),
            Some(_) => {}
            None if new.reserved.iter().any(|range| (range.start..=range.end).contains(&number)) => {}
            None => {
                let name = join(scope, &value.name);
                broken.push(format!("enum value `{name}` = {number} was removed and its number is not reserved"));
            }
        }
    }
}

fn compare_services(full_name: &str, old: &Service, new: &Service, broken: &mut Vec<String>) {
    for method in &old.methods {
        let name = format!("/{full_name}/{}", method.name);
        let Some(after) = new.methods.iter().find(|after| after.name == method.name) else {
            broken.push(format!("method `{name}` was removed"));
            continue;
        };
        let directions = [
            ("request", &method.input, &after.input, method.client_streaming, after.client_streaming),
            ("response", &method.output, &after.output, method.server_streaming, after.server_streaming),
        ];
        for (what, before, now, was_stream, is_stream) in directions {
            let show = |name: &str, stream: bool| {
                format!("{}{}", if stream { "stream " } else { "" }, name.trim_start_matches('.'))
            };
            let (before, now) = (show(before, was_stream), show(now, is_stream));
            if before != now {
                broken.push(format!("the {what} of `{name}` was `{before}` and is now `{now}`"));
            }
        }
    }
}
