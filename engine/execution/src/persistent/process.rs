//! One persistent worker: a process in a sandbox of its own, in which it is shown one request after another.
//!
//! Its tool is there for its whole life. The inputs of a request are mounted read-only while it works on it; its outputs
//! are copied out of the folder it writes to, because it goes on living and could change them, or put a link in their
//! place, while they are taken. Then everything else in that folder is removed. What it remembers of earlier requests is
//! its own affair, as with Bazel: the protocol demands that it matters to no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use host::foreign::{self, Keep};
use model::RelPath;
use sandbox::{Command, Launcher, Mount, Patience, Persistent, SandboxError, Unanswered};
use store::{Store, StoreError, TempDir};

use super::Tool;
use crate::content::Content;
use crate::{mounts, places};

/// More of its messages is not kept in memory.
const LOG_LIMIT: u64 = 1 << 20;

/// A running worker.
pub(super) struct Process {
    /// Ends before its folders are removed.
    program: Persistent,
    place: TempDir,
    /// Where its tool is mounted, and the folders above.
    tool: BTreeSet<RelPath>,
    above: BTreeSet<RelPath>,
}

/// Why a worker could not be started.
pub(super) enum StartError {
    Store(StoreError),
    Sandbox(SandboxError),
}

impl Process {
    /// Starts the tool as a worker.
    pub(super) fn start(launcher: &Launcher, store: &Store, tool: &Tool) -> Result<Self, StartError> {
        let prepare = || -> Result<_, StoreError> {
            let place = store.scratch()?;
            host::fs::create_dir_all(&place.path().join("work"))?;
            host::fs::create_dir_all(&place.path().join("outputs"))?;
            let root = tool.root.as_ref().map(|root| root.on_disk(store)).transpose()?;
            Ok((place, root, mounts::one_by_one(store, &tool.inputs)?))
        };
        let (place, root, mounts) = prepare().map_err(StartError::Store)?;
        let mut argv = tool.argv.clone();
        argv.push("--persistent_worker".to_owned());
        let command = Command {
            argv,
            env: tool.env.clone(),
            workdir: place.path().join("work"),
            mounts,
            root,
            stderr: place.path().join("log"),
            ..Command::default()
        };
        let program = Persistent::start(launcher, &command, store.root()).map_err(StartError::Sandbox)?;
        let tool: BTreeSet<RelPath> = tool.inputs.keys().cloned().collect();
        let above = tool.iter().flat_map(places::above).collect();
        Ok(Self { program, place, tool, above })
    }

    /// Whether it can be asked.
    pub(super) fn is_ready(&mut self) -> bool {
        self.program.is_ready()
    }

    /// Shows it the inputs of a request, asks, and takes the inputs away again. The line of the answer.
    pub(super) fn ask(
        &mut self,
        folders: &[RelPath],
        mounts: &[Mount],
        request: &[u8],
        patience: &Patience<'_>,
    ) -> Result<Vec<u8>, Unanswered> {
        self.program.show(folders, mounts)?;
        let answer = self.program.ask(request, patience)?;
        match self.program.hide() {
            // One that ends after its answer has given one. The next request will find out.
            Ok(()) | Err(Unanswered::Ended(_)) => Ok(answer),
            Err(error) => Err(error),
        }
    }

    /// Copies what it made to a folder that it cannot reach.
    pub(super) fn take_outputs(&self, inputs: &BTreeMap<RelPath, Content>) -> Result<PathBuf, StoreError> {
        let to = self.place.path().join("outputs");
        let is_input = |path: &Path| as_relative(path).is_some_and(|path| inputs.contains_key(&path));
        foreign::copy(&self.work(), &to, &is_input)?;
        Ok(to)
    }

    /// Removes everything of the last request.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        let keep = |path: &Path| match as_relative(path) {
            Some(path) if self.tool.contains(&path) => Keep::All,
            Some(path) if self.above.contains(&path) => Keep::Folder,
            _ => Keep::Nothing,
        };
        foreign::empty(&self.work(), &keep)?;
        Ok(foreign::empty(&self.place.path().join("outputs"), &|_| Keep::Nothing)?)
    }

    fn work(&self) -> PathBuf {
        self.place.path().join("work")
    }

    /// How much it has written for people so far.
    pub(super) fn log_size(&self) -> u64 {
        host::fs::lstat(&self.place.path().join("log")).map_or(0, |stat| stat.size)
    }

    /// What it has written for people since then.
    pub(super) fn log_since(&self, start: u64) -> String {
        let length = self.log_size().saturating_sub(start).min(LOG_LIMIT);
        let read = host::fs::read_end(&self.place.path().join("log"), length);
        read.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// What it wrote where only answers belong.
    pub(super) fn said(&self) -> &[u8] {
        self.program.said()
    }
}

fn as_relative(path: &Path) -> Option<RelPath> {
    path.to_str().and_then(|path| RelPath::new(path).ok())
}
