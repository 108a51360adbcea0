//! The parameters of the built-in action `proto_descriptors`, as rules write them.

use model::{Diagnostic, Diagnostics};
use serde::Deserialize;

use crate::compile::{DependencySet, SourceFile, compile};

/// `{sources: [{path, import_path}], direct: [set], transitive: [set]}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompileParams {
    /// The `.proto` files of the target.
    pub sources: Vec<SourceParam>,
    /// Descriptor sets of the direct dependencies.
    #[serde(default)]
    pub direct: Vec<SetParam>,
    /// Descriptor sets of all dependencies; those of `direct` may be repeated.
    #[serde(default)]
    pub transitive: Vec<SetParam>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceParam {
    /// The artifact's path.
    pub path: String,
    /// The path by which other files import it.
    pub import_path: String,
}

/// One descriptor set: its artifact's path, or that and the label of its target, which messages then name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SetParam {
    /// The artifact's path.
    Path(String),
    /// The artifact's path and the label of the target that makes it.
    Labelled {
        /// The artifact's path.
        path: String,
        /// What a user would add to `deps`.
        label: String,
    },
}

impl CompileParams {
    /// Reads the artifacts with `read` and compiles them.
    pub fn run(&self, read: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<Vec<u8>, Diagnostics> {
        let read = |path: &str| read(path).map_err(Diagnostic::error);
        let sources: Result<Vec<SourceFile>, Diagnostic> = self
            .sources
            .iter()
            .map(|source| {
                let text = read(&source.path)?;
                Ok(SourceFile { path: source.path.clone(), import_path: source.import_path.clone(), text })
            })
            .collect();
        let sets = |params: &[SetParam]| -> Result<Vec<DependencySet>, Diagnostic> {
            params
                .iter()
                .map(|set| Ok(DependencySet { name: set.name().to_owned(), bytes: read(set.path())? }))
                .collect()
        };
        compile(&sources?, &sets(&self.direct)?, &sets(&self.transitive)?)
    }
}

impl SetParam {
    /// The artifact's path.
    pub fn path(&self) -> &str {
        match self {
            Self::Path(path) | Self::Labelled { path, .. } => path,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Path(path) => path,
            Self::Labelled { label, .. } => label,
        }
    }
}
