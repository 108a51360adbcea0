//! External repositories for the loader: `fetch` behind the loader's trait.

use std::sync::Arc;

use loading::{External, Workspace};
use model::{Diagnostics, PackageId, Reporter};
use store::Store;

use crate::error::{Error, ErrorKind};

/// The repositories that WORKSPACE.star declares.
pub(crate) struct Repositories(fetch::Repositories);

impl Repositories {
    /// Reads the lockfiles.
    pub(crate) fn new(
        workspace: &Workspace,
        store: &Store,
        endpoints: &Arc<fetch::Endpoints>,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Self, Error> {
        let root = workspace.root().to_owned();
        let read = |label: &model::Label| {
            host::fs::read_text(&root.join(label.exec_path())).map_err(|error| unreadable(&error))
        };
        let declared = &workspace.decl().repositories;
        fetch::Repositories::new(declared, &read, store.clone(), Arc::clone(endpoints), Arc::clone(reporter))
            .map(Self)
            .map_err(|error| failed(ErrorKind::Build, &error))
    }
}

impl External for Repositories {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn build_file(&self, package: &PackageId) -> Result<Option<String>, Diagnostics> {
        self.0.build_file(package).map_err(|error| diagnostics(&error))
    }

    fn prefetch(&self, packages: &[PackageId]) {
        self.0.prefetch(packages);
    }

    fn packages(&self, repository: &str) -> Result<Vec<String>, Diagnostics> {
        self.0.packages(repository).map_err(|error| diagnostics(&error))
    }
}

fn diagnostics(error: &fetch::FetchError) -> Diagnostics {
    Diagnostics(failed(ErrorKind::Environment, error).diagnostics)
}

/// A failure of `fetch` with its causes and hints.
pub(crate) fn failed(kind: ErrorKind, error: &fetch::FetchError) -> Error {
    let mut failed = Error::caused(kind, error);
    if let Some(diagnostic) = failed.diagnostics.last_mut() {
        diagnostic.hints.extend(error.hints());
    }
    failed
}

/// Why a lockfile cannot be read, with the place in it if that is known.
fn unreadable(error: &host::fs::FileError) -> String {
    match error.source.get_ref().and_then(|source| source.downcast_ref::<host::fs::TextError>()) {
        Some(wrong) => format!("line {}, column {}: {wrong}", wrong.line, wrong.column),
        None => format!("{error}: {}", error.source),
    }
}
