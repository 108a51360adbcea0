//! What artifacts hold, and who provides it: the workspace for sources, built-in functions for some outputs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{Artifact, Cancel, Diagnostics, Digest, Label, RelPath, Reporter, Spawn};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};

/// What an artifact holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Content {
    /// A regular file.
    File {
        /// Its bytes.
        digest: Digest,
        /// How many.
        size: u64,
        /// Whether it can be executed.
        executable: bool,
    },
    /// A folder, by the digest of its manifest.
    Tree(Digest),
}

/// Gives the content of source artifacts. The content must be in the store when it returns.
pub trait Sources: Send + Sync {
    /// The content now. The error is a message for the user that names the file.
    fn content(&self, artifact: &Artifact) -> Result<Content, String>;

    /// A target of the workspace with this value of an attribute. Asked only to say what a failed action lacks.
    fn target_with(&self, _attribute: &str, _value: &str) -> Option<Label> {
        None
    }
}

/// Contents of outputs that an earlier command made and that are still what their actions would make. Their actions need
/// not be given to the executor. The content may have left the store since.
pub trait Known: Send + Sync {
    /// The content of an output; `None` when it is not known.
    fn content(&self, artifact: &Artifact) -> Option<Content>;
}

/// A function of the engine that makes outputs, or says which process does.
pub trait Builtin: Send + Sync {
    /// Raised whenever the same call gives other outputs; part of the key.
    fn version(&self) -> u32;

    /// Makes the outputs, or says which process does. May block.
    fn run(&self, call: &BuiltinCall<'_>) -> Result<Made, Refused>;

    /// Whether the result is a function of the parameters and the inputs.
    fn cacheable(&self) -> bool {
        true
    }

    /// Whether it mostly waits, for the network: then it takes no place among the jobs that compute.
    fn waits(&self) -> bool {
        false
    }
}

/// How a built-in function makes its outputs.
pub enum Made {
    /// It has made them: exactly one content for each declared output.
    Outputs(Vec<(RelPath, Content)>),
    /// A process makes them.
    By(Box<Explained>),
}

/// A process whose messages are put in other words. It sees the action's inputs and makes its outputs.
pub struct Explained {
    /// The process, a function of the call.
    pub spawn: Spawn,
    /// What is run besides when it fails, for its messages alone.
    pub on_failure: Vec<Spawn>,
    /// What the processes wrote, as people are to read it.
    pub explain: Box<dyn Fn(&str) -> String + Send + Sync>,
}

/// Why a built-in function makes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// In a sentence without a full stop.
    pub message: String,
    /// What is to be read before it; may be empty.
    pub log: String,
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self { message, log: String::new() }
    }
}

impl From<&str> for Refused {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl Refused {
    /// Mistakes in sources, each with its place.
    pub fn mistakes(message: impl Into<String>, found: &Diagnostics) -> Self {
        Self { message: message.into(), log: found.to_string() }
    }
}

/// One call of a built-in function.
pub struct BuiltinCall<'a> {
    /// The parameters its rule gave; artifacts are named by path.
    pub params: &'a serde_json::Value,
    /// The contents of the inputs by path.
    pub inputs: &'a BTreeMap<RelPath, Content>,
    /// What it must make.
    pub outputs: &'a [Artifact],
    /// Where contents are.
    pub store: &'a Store,
    /// Who is told of transfers.
    pub reporter: &'a dyn Reporter,
    /// Whether to stop.
    pub cancel: &'a Cancel,
}

impl Content {
    /// The content as a file or folder that must not be changed.
    pub(crate) fn on_disk(&self, store: &Store) -> Result<PathBuf, StoreError> {
        match self {
            Self::File { digest, size, executable } => store.sized_blob_path(digest, *executable, *size),
            Self::Tree(digest) => store.tree_path(digest),
        }
    }

    /// Whether the content is in the store as a whole.
    pub(crate) fn is_in(&self, store: &Store) -> Result<bool, StoreError> {
        match self {
            Self::File { digest, size, .. } => match store.size(digest) {
                Ok(actual) => Ok(actual == *size),
                Err(error) if error.is_missing() => Ok(false),
                Err(error) => Err(error),
            },
            Self::Tree(digest) => store.contains_tree(digest),
        }
    }

    /// Whether the content can be put on disk as it should be.
    pub(crate) fn is_usable(&self, store: &Store) -> Result<bool, StoreError> {
        match self {
            Self::File { .. } => self.is_in(store),
            Self::Tree(digest) => store.is_usable(digest),
        }
    }
}
