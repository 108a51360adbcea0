//! Compiling the sources of one target: what is checked before protoc runs, its command lines, its messages.
//!
//! What is accepted is for protoc to say. Imports are checked here, since protoc knows neither targets nor `deps`.

use std::collections::BTreeMap;

use model::{Diagnostic, Diagnostics, nearest};

use crate::imports::{self, Import};
use crate::messages;
use crate::sets::{DependencySet, Index, names};
use crate::source::Source;

/// Of how many further files protoc is asked when one has errors: it stops at the first.
const OTHERS: usize = 20;

/// What there is to run.
#[derive(Debug)]
pub struct Compilation {
    command: Vec<String>,
    sources: BTreeMap<String, Source>,
    /// The import paths, in the order of `srcs`.
    order: Vec<String>,
}

impl Compilation {
    /// Checks the imports of `sources`. A file may import the target's own sources, files of direct dependencies, what
    /// those import publicly, and the well-known types. What only an indirect dependency has is an error that says which
    /// dependency to add.
    pub(crate) fn new(
        command: Vec<String>,
        sources: Vec<Source>,
        sets: &[DependencySet],
        well_known: &[u8],
    ) -> Result<Self, Diagnostics> {
        let order: Vec<String> = sources.iter().map(|source| source.import_path.clone()).collect();
        let sources = by_import_path(sources)?;
        let index = Index::of(sets)?;
        let well_known = names(well_known)?;
        let importable = index.importable();
        let mut errors = Vec::new();
        for source in sources.values() {
            if let Some(other) = index.0.get(&source.import_path) {
                errors.push(taken(source, &other.label));
            }
            for import in imports::of(&source.text) {
                let path = import.path.as_str();
                let known = sources.contains_key(path) || importable.contains(path) || well_known.contains(path);
                if !known {
                    errors.push(at_import(unknown(path, &index, &sources), source, &import));
                }
            }
        }
        if errors.is_empty() { Ok(Self { command, sources, order }) } else { Err(Diagnostics(errors)) }
    }

    /// The command that compiles all sources.
    pub fn command(&self) -> Vec<String> {
        self.command.iter().chain(&self.order).cloned().collect()
    }

    /// Commands that compile one source each, for their messages.
    pub fn each(&self) -> Vec<Vec<String>> {
        let others = self.order.iter().skip(1).take(OTHERS);
        others.map(|source| self.command.iter().chain([source]).cloned().collect()).collect()
    }

    /// What protoc wrote, as people are to read it: each message once, with the line that it is about.
    pub fn explain(&self, log: &str) -> String {
        messages::explain(log, &self.sources)
    }
}

fn by_import_path(sources: Vec<Source>) -> Result<BTreeMap<String, Source>, Diagnostics> {
    let mut found: BTreeMap<String, Source> = BTreeMap::new();
    let mut errors = Vec::new();
    for source in sources {
        if source.import_path.contains(['=', ':', '\n']) {
            let message = format!("`{}`: protoc takes no import path with `=` or `:`", source.path);
            errors.push(Diagnostic::error(message).hint("rename the file"));
        }
        if let Some(other) = found.get(&source.import_path) {
            let Source { path, import_path, .. } = &source;
            let message = format!("`{path}` and `{}` have the same import path `{import_path}`", other.path);
            errors.push(Diagnostic::error(message).hint("remove one of them from `srcs`"));
            continue;
        }
        found.insert(source.import_path.clone(), source);
    }
    if errors.is_empty() { Ok(found) } else { Err(Diagnostics(errors)) }
}

/// A source has the path of a file of a dependency.
fn taken(source: &Source, label: &str) -> Diagnostic {
    let Source { path, import_path, .. } = source;
    Diagnostic::error(format!("`{path}` has the import path `{import_path}`, which a file of `{label}` has too"))
        .hint("remove one of the two, or set `strip_import_prefix` or `import_prefix` of one of the targets")
}

fn unknown(import: &str, index: &Index, sources: &BTreeMap<String, Source>) -> Diagnostic {
    if let Some(file) = index.0.get(import) {
        return Diagnostic::error(format!("`{import}` is imported but no direct dependency has it"))
            .hint(format!("add `{}`, which has it, to `deps`", file.label));
    }
    let known = sources.keys().chain(index.0.keys()).map(String::as_str);
    Diagnostic::error(format!("no source and no dependency has the imported file `{import}`"))
        .did_you_mean(&nearest(import, known))
        .hint("add the file to `srcs`, or the `proto_library` that has it to `deps`")
}

fn at_import(error: Diagnostic, source: &Source, import: &Import) -> Diagnostic {
    source.place(error, source.position(import.start), import.end - import.start)
}
