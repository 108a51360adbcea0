//! Random edits of the model.

use fastrand::Rng;

use super::model::{Content, Model, PACKAGES, Package, SOURCES, Srcs, Target};

/// Makes one random edit; says what it was. Some change nothing that counts, and some nothing at all.
pub fn edit(model: &mut Model, dice: &mut Rng) -> String {
    let index = dice.usize(..PACKAGES);
    match dice.u8(..20) {
        0 => workspace_edit(model, dice, index),
        1 | 2 => settings_edit(model, dice, index),
        3 => library_edit(model, dice),
        4 => {
            model.packages[index] = match model.packages[index] {
                Some(_) => None,
                None => Some(Package::new(dice, index)),
            };
            format!("package {index} appears or goes")
        }
        kind => match &mut model.packages[index] {
            None => {
                model.packages[index] = Some(Package::new(dice, index));
                format!("package {index} appears")
            }
            Some(package) if kind < 12 => format!("{} of package {index}", source_edit(package, dice, index)),
            Some(package) => format!("{} of package {index}", build_edit(package, dice, index)),
        },
    }
}

fn workspace_edit(model: &mut Model, dice: &mut Rng, index: usize) -> String {
    model.ignored = if model.ignored.is_none() && dice.bool() { Some(index) } else { None };
    format!("ignored packages: {:?}", model.ignored)
}

fn settings_edit(model: &mut Model, dice: &mut Rng, index: usize) -> String {
    match dice.u8(..4) {
        0 => model.optimised = !model.optimised,
        1 => model.only = if model.only.is_none() { Some(index) } else { None },
        _ => model.mode = [None, Some(0), Some(1)][dice.usize(..3)],
    }
    format!("flags: mode {:?}, optimised {}, only {:?}", model.mode, model.optimised, model.only)
}

fn library_edit(model: &mut Model, dice: &mut Rng) -> String {
    match dice.u8(..3) {
        0 => model.constant = dice.u32(..3),
        1 => model.variant = dice.u32(..2),
        _ => model.comment = dice.u32(..100),
    }
    format!("libraries: constant {}, variant {}, comment {}", model.constant, model.variant, model.comment)
}

fn source_edit(package: &mut Package, dice: &mut Rng, index: usize) -> String {
    let name = SOURCES[dice.usize(..SOURCES.len())].to_owned();
    let what = match dice.u8(..10) {
        0 | 1 => {
            package.sources.remove(&name);
            "removes"
        }
        2 => {
            let target = match dice.bool() {
                _ if name == "folder" => "sub".to_owned(),
                true => SOURCES[dice.usize(..3)].to_owned(),
                false => format!("../p{}/{}", (index + 1) % PACKAGES, SOURCES[dice.usize(..3)]),
            };
            // From below `sub` it leads nowhere, which is a case of its own.
            package.put(&name, Content::Link(target));
            "links"
        }
        3 => match package.sources.get_mut(&name) {
            Some(Content::Lines(_, executable)) => {
                *executable = !*executable;
                "changes the mode of"
            }
            _ => "does nothing to",
        },
        4 => match package.sources.remove(SOURCES[dice.usize(..3)]) {
            Some(content) => {
                package.put(&name, content);
                "renames another one to"
            }
            None => "does nothing to",
        },
        _ => {
            package.put(&name, Content::any(dice));
            "writes"
        }
    };
    format!("{what} {name}")
}

fn build_edit(package: &mut Package, dice: &mut Rng, index: usize) -> String {
    let count = package.targets.len();
    let at = dice.usize(..count.max(1));
    match dice.u8(..12) {
        0 => package.nested = !package.nested,
        1 => package.public = !package.public,
        2 | 3 => package.comment = dice.u32(..100),
        4 => package.broken = dice.u8(..3) == 0,
        5 | 6 if count < 6 => {
            let target = Target::new(dice, index, package);
            package.targets.push(target);
            return format!("adds target {}", package.targets.len() - 1);
        }
        7 if count > 1 => {
            package.targets.remove(at);
            return format!("removes target {at}");
        }
        8 if count > 0 => {
            let fresh = Target::new(dice, index, package);
            let number = package.targets[at].number;
            package.targets[at] = Target { number, ..fresh };
            return format!("rewrites target {at}");
        }
        9 if count > 0 => package.targets[at].srcs.push(Srcs::any(dice, index, at)),
        10 if count > 0 => drop(package.targets[at].srcs.pop()),
        _ if count > 0 => package.targets[at].text = dice.u32(..20),
        _ => {}
    }
    format!("BUILD.star at target {at}")
}
