//! The key of an action: all that its result can depend on, and nothing else.
//!
//! Not in the key: the owner, the mnemonic, the progress message, the time limit, which no process sees before it is killed,
//! the resources, who may run it. Raise
//! `SEMANTICS` whenever what a process sees of the sandbox changes, or how outputs are collected.
//!
//! # Encoding
//!
//! A key is the BLAKE3 digest (32 bytes) of these fields in a row. A *number* is 8 bytes, the lowest first; a *text* its
//! length in bytes as a number and its bytes in UTF-8; a *sequence* the number of its elements and their fields; a *digest*
//! its 32 bytes; a *truth* the number 0 or 1; an *option* a sequence of at most one; a *content* the number 0 (a file), 1 (a
//! file that can be executed) or 2 (a tree) and the digest of the bytes or of the manifest.
//!
//! 1. the text `action`, the number `SEMANTICS`
//! 2. by kind:
//!    - the text `spawn`; the sequence of arguments (text); the sequence of expansions; the sequence of variables by name (text
//!      name, text value), where
//!      `process::FIXED` are those that the action does not set; the root: the text `root` and its content, or the text `no
//!      root`; the number 0 for loopback or 1 for the machine's network; the option of standard input's path (text); the same
//!      for standard output; the truths whether it is a test and whether its outputs can be executed in any case; the options of
//!      its limits (number) of memory, of processor time and of processes, in this order: a process can ask for them, and go on
//!      after it met one
//!    - the text `write`; the text; the sequence of expansions; the truth whether it can be executed
//!    - the text `copy`; the source's path (text)
//!    - the text `tree`; the sequence of entries (text place in the tree, text path of the artifact)
//!    - the text `builtin`; the text name; the number of the function's version; the parameters as JSON without spaces, members
//!      sorted by name (text)
//!
//!    An *expansion* is the number of its place; the sequence of its values (the number 0 and a word as text, or the number 1 and
//!    the path of a directory as text); the options (text) of the word before all, the format of each, the word before each and
//!    the word after all; a sequence of at most one for what joins them (text, and the option of the format of the whole); the
//!    truths whether equal words count once and whether nothing stands for nothing
//! 3. the sequence of all inputs by path, each once (text path, content)
//! 4. the sequence of outputs as declared (text path, truth whether it is a tree)
//!
//! `engine/reliability/src/rows/keys/key.py` is a second implementation, made from this text alone; what changes here changes
//! there.

use std::collections::BTreeMap;

use model::{
    Action, ActionKind, ArgumentValue, Artifact, Digest, Expansion, KeyBuilder, Layout, Limits, Network, RelPath, Spawn,
};

use crate::content::Content;
use crate::graph;
use crate::process;

/// The version of everything that is not in the action: the sandbox's folders, user and limits, collection of outputs.
const SEMANTICS: u32 = 4;

/// The key of an action whose inputs hold what `content` says; `version` is the built-in function's. For those who check
/// what enters a key: execution itself asks for contents as they are made.
pub fn action_key(action: &Action, content: impl Fn(&Artifact) -> Content, version: Option<u32>) -> Digest {
    let inputs = graph::inputs(action);
    let inputs = inputs.iter().map(|artifact| (artifact.path().clone(), content(artifact))).collect();
    of(action, &inputs, version)
}

/// The key of `action` on these inputs. `version` is the built-in function's.
pub(crate) fn of(action: &Action, inputs: &BTreeMap<RelPath, Content>, version: Option<u32>) -> Digest {
    let mut key = KeyBuilder::new("action", SEMANTICS);
    match &action.kind {
        ActionKind::Spawn(spawn) => {
            key.text("spawn");
            add_spawn(&mut key, spawn, inputs);
        }
        ActionKind::Write { content, expansions, executable } => {
            add_expansions(key.text("write").text(content), expansions);
            key.number(u64::from(*executable));
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
    add_expansions(key, &spawn.expansions);
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
    key.number(u64::from(spawn.test)).number(u64::from(spawn.executable_outputs));
    let Limits { memory, cpu_time, processes } = spawn.limits;
    for limit in [memory, cpu_time, processes] {
        key.sequence(usize::from(limit.is_some()));
        limit.into_iter().for_each(|limit| _ = key.number(limit));
    }
}

fn add_expansions(key: &mut KeyBuilder, expansions: &[Expansion]) {
    let option = |key: &mut KeyBuilder, text: &Option<String>| {
        key.sequence(usize::from(text.is_some()));
        text.iter().for_each(|text| _ = key.text(text));
    };
    key.sequence(expansions.len());
    for Expansion { at, values, layout } in expansions {
        key.number(*at as u64).sequence(values.len());
        for value in values {
            match value {
                ArgumentValue::Word(word) => key.number(0).text(word),
                ArgumentValue::Files(directory) => key.number(1).text(directory.path().as_str()),
            };
        }
        let Layout { name, format_each, before_each, joined, uniquify, omit_if_empty, terminate_with } = layout;
        [name, format_each, before_each, terminate_with].into_iter().for_each(|text| option(key, text));
        key.sequence(usize::from(joined.is_some()));
        if let Some((separator, format)) = joined {
            option(key.text(separator), format);
        }
        key.number(u64::from(*uniquify)).number(u64::from(*omit_if_empty));
    }
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
