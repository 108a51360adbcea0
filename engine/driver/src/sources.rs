//! The content of source files for the executor: of the workspace by stat and digest, of `@rules` from the program itself.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use execution::{Content, Sources};
use loading::{Loader, SourceContent};
use model::{Artifact, Configurable, Data, Label, PackageId, Target};
use observation::{Fingerprint, Observation};
use store::Store;

use crate::builtins::chain;
use crate::session::Session;

/// Source files of one workspace.
pub(crate) struct WorkspaceSources {
    store: Store,
    loader: Arc<Loader>,
    root: PathBuf,
    /// What was read, for the state that is kept.
    seen: Mutex<Vec<Observation>>,
}

impl WorkspaceSources {
    /// Sources as the loader finds them.
    pub(crate) fn new(session: &Session, loader: &Arc<Loader>) -> Self {
        let (store, loader, root) = (session.store.clone(), Arc::clone(loader), session.root.clone());
        Self { store, loader, root, seen: Mutex::default() }
    }

    /// What was read since the last call.
    pub(crate) fn take(&self) -> Vec<Observation> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn search(&self, attribute: &str, value: &str) -> Option<Label> {
        let packages = self.loader.packages_below(&PackageId::root()).ok()?;
        packages.iter().filter_map(|id| self.loader.package(id).ok()).find_map(|package| {
            let has = |target: &Arc<Target>| {
                let found = target.attributes.get(attribute).and_then(Configurable::plain).and_then(Data::as_str);
                found == Some(value)
            };
            package.targets.values().find(|target| has(target)).map(|target| target.label.clone())
        })
    }

    fn file(&self, path: &Path) -> Result<Content, String> {
        let now = host::clock::now();
        // Taken before the content is read: if the file changes in between, the next command sees another state.
        let stat = host::fs::stat(path).ok();
        let (digest, size, executable) = self.store.source_digest(path).map_err(|error| chain(&error))?;
        if let Some(stat) = stat {
            let name = path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy();
            let seen = Observation::of_content(Arc::from(name), &digest, Fingerprint::of(&stat, now));
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        }
        Ok(Content::File { digest, size, executable })
    }
}

impl Sources for WorkspaceSources {
    fn target_with(&self, attribute: &str, value: &str) -> Option<Label> {
        self.search(attribute, value)
    }

    fn content(&self, artifact: &Artifact) -> Result<Content, String> {
        match self.loader.source(artifact).map_err(|errors| errors.messages())? {
            SourceContent::Path(path) => self.file(&path),
            SourceContent::Bytes(bytes) => {
                let digest = self.store.put_bytes(bytes).map_err(|error| chain(&error))?;
                Ok(Content::File { digest, size: bytes.len() as u64, executable: false })
            }
        }
    }
}
