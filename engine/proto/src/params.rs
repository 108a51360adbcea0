//! The parameters of the built-in action `proto_descriptors`, as rules write them.

use model::{Diagnostic, Diagnostics};
use serde::Deserialize;

use crate::compile::Compilation;
use crate::sets::DependencySet;
use crate::source::Source;

/// `{command: [argument], sources: [{path, import_path}], sets: [{path, label, direct}], well_known: path}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompileParams {
    /// protoc and its arguments, but for the import paths of the sources.
    pub command: Vec<String>,
    /// The `.proto` files of the target.
    pub sources: Vec<SourceParam>,
    /// Descriptor sets of all dependencies.
    #[serde(default)]
    pub sets: Vec<SetParam>,
    /// The artifact's path of the set of the well-known types.
    pub well_known: String,
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

/// The descriptor set of one dependency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetParam {
    /// The artifact's path.
    pub path: String,
    /// What a user would add to `deps`.
    pub label: String,
    /// Whether it is one of `deps`.
    pub direct: bool,
}

impl CompileParams {
    /// Reads the artifacts with `read`, checks the imports, and says what to run.
    pub fn prepare(self, read: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<Compilation, Diagnostics> {
        let read = |path: &str| read(path).map_err(|error| Diagnostics(vec![Diagnostic::error(error)]));
        let mut sources = Vec::with_capacity(self.sources.len());
        for SourceParam { path, import_path } in self.sources {
            let text = String::from_utf8_lossy(&read(&path)?).into_owned();
            sources.push(Source { path, import_path, text });
        }
        let mut sets = Vec::with_capacity(self.sets.len());
        for SetParam { path, label, direct } in self.sets {
            sets.push(DependencySet { bytes: read(&path)?, label, direct });
        }
        Compilation::new(self.command, sources, &sets, &read(&self.well_known)?)
    }
}
