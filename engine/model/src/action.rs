//! Actions: what is done to make outputs from inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::configured::TargetKey;
use crate::depset::Depset;
use crate::expansion::Expansion;

/// One step from declared inputs to declared outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The target whose rule declared it.
    pub owner: TargetKey,
    /// A short verb for people: `GoCompile`.
    pub mnemonic: Arc<str>,
    /// What to say while it runs; empty for `<mnemonic> <label>`.
    pub progress: Arc<str>,
    /// A depset of `File`s: all it may read.
    pub inputs: Arc<Depset>,
    /// All it must write.
    pub outputs: Vec<Artifact>,
    /// What is done.
    pub kind: ActionKind,
}

/// What an action does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionKind {
    /// Runs a process in a sandbox.
    Spawn(Spawn),
    /// Writes a text to the only output.
    Write {
        /// The content.
        content: Arc<str>,
        /// Words that are inserted into it, a line each.
        expansions: Vec<Expansion>,
        /// Whether the output is executable.
        executable: bool,
    },
    /// Makes the only output equal to an artifact (file or tree). Costs no copy: outputs are content.
    Copy {
        /// The artifact.
        source: Artifact,
    },
    /// Composes the only output, a tree, from artifacts: (path in the tree, artifact). A tree artifact is placed as a folder.
    Tree {
        /// What goes where; a path may be empty for a tree that is merged at the root.
        entries: Vec<(String, Artifact)>,
    },
    /// Runs a function of the engine by its name: `fetch`, `proto_descriptors`, `oci_layer`, `oci_image`, `bundle`.
    Builtin {
        /// Which function.
        name: Arc<str>,
        /// Its parameters; artifacts are named by their path in the action's tree.
        params: serde_json::Value,
    },
}

/// A process: argv, no shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawn {
    /// Program and arguments. The program is a path in the action's tree, or absolute inside `root`.
    pub argv: Vec<String>,
    /// Words that are inserted among the arguments.
    pub expansions: Vec<Expansion>,
    /// The whole environment, but for the fixed variables of the sandbox.
    pub env: BTreeMap<String, String>,
    /// A tree whose top-level folders are mounted at `/` (shell, coreutils).
    pub root: Option<Artifact>,
    /// Whether `root` is to be the exec platform's shell tree; analysis fills `root` in and adds it to the inputs.
    pub needs_shell: bool,
    /// What network it sees.
    pub network: Network,
    /// A file for standard input.
    pub stdin: Option<Artifact>,
    /// An output that takes standard output; else it is kept as the action's log.
    pub stdout: Option<Artifact>,
    /// Wall-clock limit in seconds. Not part of its key: no process sees it before it is killed, and what was killed is not kept.
    pub timeout: Option<u64>,
    /// Limits for all its processes together.
    #[serde(default)]
    pub limits: Limits,
    /// Whether this runs a test: a failure is a result, its log is kept.
    pub test: bool,
    /// Whether all files that it makes can be executed, whatever mode it gave them.
    pub executable_outputs: bool,
    /// What it takes of the machine. Not part of its key: it changes when a process runs, not what it makes.
    #[serde(default)]
    pub resources: Resources,
    /// The files of the tool itself, if its process can serve further actions of the same tool as a persistent worker.
    /// They are among the inputs. Not part of the key: who runs a tool does not change what it makes.
    #[serde(default)]
    pub worker_tools: Option<Vec<Artifact>>,
}

/// What a process takes of the machine while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Processors, at least one.
    pub cpu: u32,
    /// Memory in MB (2^20 bytes); 0 when nothing was declared.
    pub memory: u64,
}

impl Default for Resources {
    fn default() -> Self {
        Self { cpu: 1, memory: 0 }
    }
}

/// What the processes of one action may use, together; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Megabytes (2^20 bytes) of memory.
    pub memory: Option<u64>,
    /// Seconds of processor time.
    pub cpu_time: Option<u64>,
    /// Processes and threads at once.
    pub processes: Option<u64>,
}

/// What network a process sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A network namespace of its own, with loopback only.
    #[default]
    Loopback,
    /// The machine's network. Results are never kept for others.
    Host,
}

impl Action {
    /// The inputs that its kind names beside `inputs`.
    pub fn other_inputs(&self) -> impl Iterator<Item = &Artifact> {
        let (spawn, source, entries, expansions) = match &self.kind {
            ActionKind::Spawn(spawn) => (Some(spawn), None, &[][..], &spawn.expansions[..]),
            ActionKind::Write { expansions, .. } => (None, None, &[][..], &expansions[..]),
            ActionKind::Copy { source } => (None, Some(source), &[][..], &[][..]),
            ActionKind::Tree { entries } => (None, None, &entries[..], &[][..]),
            ActionKind::Builtin { .. } => (None, None, &[][..], &[][..]),
        };
        let of_spawn = spawn.into_iter().flat_map(|spawn| spawn.root.iter().chain(&spawn.stdin));
        let directories = expansions.iter().flat_map(Expansion::directories);
        of_spawn.chain(source).chain(entries.iter().map(|(_, artifact)| artifact)).chain(directories)
    }
}

/// The path in an argument that names a file with further arguments: `@path`, `--flagfile=path`, `-flagfile=path`.
pub fn flag_file(argument: &str) -> Option<&str> {
    let path = ["@", "--flagfile=", "-flagfile="].iter().find_map(|prefix| argument.strip_prefix(prefix))?;
    (!path.is_empty()).then_some(path)
}
