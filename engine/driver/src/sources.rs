//! The content of source files for the executor: of the workspace by stat and digest, of `@rules` from the program itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use execution::{Content, Sources};
use loading::Loader;
use model::Artifact;
use store::Store;

/// Source files of one workspace.
pub(crate) struct WorkspaceSources {
    root: PathBuf,
    store: Store,
    loader: Arc<Loader>,
}

impl WorkspaceSources {
    /// Sources below `root`.
    pub(crate) fn new(root: &Path, store: &Store, loader: &Arc<Loader>) -> Self {
        Self { root: root.to_owned(), store: store.clone(), loader: Arc::clone(loader) }
    }
}

impl Sources for WorkspaceSources {
    fn content(&self, artifact: &Artifact) -> Result<Content, String> {
        if !artifact.owner().repository().is_empty() {
            let bytes = self.loader.source_bytes(artifact).map_err(|error| error.to_string())?;
            let digest = self.store.put_bytes(&bytes).map_err(|error| error.to_string())?;
            return Ok(Content::File { digest, size: bytes.len() as u64, executable: false });
        }
        let path = self.root.join(artifact.path());
        let (digest, size, executable) = self.store.source_digest(&path).map_err(|error| error.to_string())?;
        Ok(Content::File { digest, size, executable })
    }
}
