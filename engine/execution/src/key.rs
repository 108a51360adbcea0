//! The key of an action: all that its result can depend on, and nothing else.
//!
//! Not in the key: the owner, the mnemonic, the progress message, the time limit. Raise `SEMANTICS` whenever what a
//! process sees of the sandbox changes, or how outputs are collected.

use std::collections::BTreeMap;

use model::{Action, ActionKind, Artifact, Digest, KeyBuilder, Network, RelPath, Spawn};

use crate::content::Content;
use crate::process;

/// The version of everything that is not in the action: the sandbox's folders, user and limits, collection of outputs.
const SEMANTICS: u32 = 3;

/// The key of `action` on these inputs. `version` is the built-in function's.
pub(crate) fn of(action: &Action, inputs: &BTreeMap<RelPath, Content>, version: Option<u32>) -> Digest {
    let mut key = KeyBuilder::new("action", SEMANTICS);
    match &action.kind {
        ActionKind::Spawn(spawn) => {
            key.text("spawn");
            add_spawn(&mut key, spawn, inputs);
        }
        ActionKind::Write { content, executable } => {
            key.text("write").text(content).number(u64::from(*executable));
        }
        ActionKind::Copy { source } => {
            key.text("copy").text(source.path().as_str());
        }
        ActionKind::Tree { entries } => {
            key.text("tree").sequence(entries.len());
            for (place, artifact) in entries {
                key.text(place).text(artifact.path().as_str());
            }
        }
        ActionKind::Builtin { name, params } => {
            key.text("builtin").text(name).number(u64::from(version.unwrap_or(0))).text(&params.to_string());
        }
    }
    key.sequence(inputs.len());
    for (path, content) in inputs {
        key.text(path.as_str());
        add_content(&mut key, content);
    }
    key.sequence(action.outputs.len());
    for output in &action.outputs {
        key.text(output.path().as_str()).number(u64::from(output.is_tree()));
    }
    key.finish()
}

fn add_spawn(key: &mut KeyBuilder, spawn: &Spawn, inputs: &BTreeMap<RelPath, Content>) {
    key.sequence(spawn.argv.len());
    for argument in &spawn.argv {
        key.text(argument);
    }
    let env = process::environment(spawn);
    key.sequence(env.len());
    for (name, value) in env {
        key.text(name).text(value);
    }
    match spawn.root.as_ref().and_then(|root| inputs.get(root.path())) {
        Some(content) => add_content(key.text("root"), content),
        None => {
            key.text("no root");
        }
    }
    key.number(match spawn.network {
        Network::Loopback => 0,
        Network::Host => 1,
    });
    add_artifact(key, spawn.stdin.as_ref());
    add_artifact(key, spawn.stdout.as_ref());
    key.number(u64::from(spawn.test));
}

fn add_artifact(key: &mut KeyBuilder, artifact: Option<&Artifact>) {
    key.sequence(usize::from(artifact.is_some()));
    if let Some(artifact) = artifact {
        key.text(artifact.path().as_str());
    }
}

pub(crate) fn add_content(key: &mut KeyBuilder, content: &Content) {
    match content {
        Content::File { digest, executable, .. } => {
            key.number(if *executable { 1 } else { 0 }).digest(digest);
        }
        Content::Tree(digest) => {
            key.number(2).digest(digest);
        }
    }
}
