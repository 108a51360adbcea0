//! Files and trees that actions read and write.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::label::Label;
use crate::path::RelPath;

/// Where an artifact comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ArtifactRoot {
    /// A file of the workspace or of the embedded rules.
    Source,
    /// An output of an action.
    Output,
}

/// A file or a tree (a declared directory), named by its path in an action's tree. Cheap to clone.
///
/// Paths: a source is `a/b.go` or `external/<repository>/a/b`; an output is `out/<configuration>/a/b` or
/// `out/<configuration>/external/<repository>/a/b`. Two artifacts with the same path are the same artifact.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Artifact(Arc<Fields>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Fields {
    path: RelPath,
    root: ArtifactRoot,
    tree: bool,
    owner: Label,
}

impl Artifact {
    /// A source file; its label names it.
    pub fn source(label: &Label) -> Self {
        let path = RelPath::new(&label.exec_path()).expect("a label's segments were checked when it was parsed");
        Self(Arc::new(Fields { path, root: ArtifactRoot::Source, tree: false, owner: label.clone() }))
    }

    /// An output of a rule: `path` is the whole path in the action's tree.
    pub fn output(path: RelPath, tree: bool, owner: &Label) -> Self {
        Self(Arc::new(Fields { path, root: ArtifactRoot::Output, tree, owner: owner.clone() }))
    }

    /// The path in an action's tree.
    pub fn path(&self) -> &RelPath {
        &self.0.path
    }

    /// The path as a shell can call it: a file of the root folder is `./x`, which is not looked for among programs.
    pub fn callable_path(&self) -> String {
        let path = self.0.path.as_str();
        if path.contains('/') { path.to_owned() } else { format!("./{path}") }
    }

    /// The path without `out/<configuration>/`.
    pub fn short_path(&self) -> &str {
        let path = self.0.path.as_str();
        match self.0.root {
            ArtifactRoot::Source => path,
            ArtifactRoot::Output => path.splitn(3, '/').nth(2).unwrap_or(path),
        }
    }

    /// Source or output.
    pub fn root(&self) -> ArtifactRoot {
        self.0.root
    }

    /// Whether it is a directory as a whole.
    pub fn is_tree(&self) -> bool {
        self.0.tree
    }

    /// The target that makes it, or the label of the source file itself.
    pub fn owner(&self) -> &Label {
        &self.0.owner
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} {}>", if self.is_tree() { "tree" } else { "file" }, self.path())
    }
}
