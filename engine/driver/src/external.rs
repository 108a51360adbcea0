//! External repositories for the loader: `fetch` behind the loader's trait.

use std::sync::Arc;

use loading::{External, Workspace};
use model::{Diagnostic, Diagnostics, PackageId, Reporter};
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
            host::fs::read_to_string(&root.join(label.exec_path())).map_err(|error| error.to_string())
        };
        let declared = &workspace.decl().repositories;
        fetch::Repositories::new(declared, &read, store.clone(), Arc::clone(endpoints), Arc::clone(reporter))
            .map(Self)
            .map_err(|error| Error::of(ErrorKind::Build, error))
    }
}

impl External for Repositories {
    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn build_file(&self, package: &PackageId) -> Result<Option<String>, Diagnostics> {
        self.0.build_file(package).map_err(|error| diagnostics(&error))
    }

    fn packages(&self, repository: &str) -> Result<Vec<String>, Diagnostics> {
        self.0.packages(repository).map_err(|error| diagnostics(&error))
    }
}

fn diagnostics(error: &fetch::FetchError) -> Diagnostics {
    let mut diagnostic = Diagnostic::error(error.to_string());
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        diagnostic.notes.push(error.to_string());
        cause = error.source();
    }
    diagnostic.into()
}
