//! The content of source files for the executor: of the workspace by stat and digest, of `@rules` from the program itself.

use std::sync::Arc;

use execution::{Content, Sources};
use loading::{Loader, SourceContent};
use model::Artifact;
use store::Store;

use crate::builtins::chain;

/// Source files of one workspace.
pub(crate) struct WorkspaceSources {
    store: Store,
    loader: Arc<Loader>,
}

impl WorkspaceSources {
    /// Sources as the loader finds them.
    pub(crate) fn new(store: &Store, loader: &Arc<Loader>) -> Self {
        Self { store: store.clone(), loader: Arc::clone(loader) }
    }
}

impl Sources for WorkspaceSources {
    fn content(&self, artifact: &Artifact) -> Result<Content, String> {
        let (digest, size, executable) = match self.loader.source(artifact).map_err(|error| error.to_string())? {
            SourceContent::Path(path) => self.store.source_digest(&path).map_err(|error| chain(&error))?,
            SourceContent::Bytes(bytes) => {
                (self.store.put_bytes(bytes).map_err(|error| chain(&error))?, bytes.len() as u64, false)
            }
        };
        Ok(Content::File { digest, size, executable })
    }
}
