//! The way without a watcher: looks at all files every now and then. Costs a look at each, and needs nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::fs::{self, FileStat};
use model::Cancel;

use crate::watcher::Skip;

/// How often a wait looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// Finds changes by looking.
pub struct Poller {
    root: PathBuf,
    skip: Skip,
    seen: BTreeMap<String, FileStat>,
}

impl Poller {
    /// Remembers what all files below `root` look like now, but what `skip` names.
    pub fn start(root: &Path, skip: Skip) -> Self {
        let seen = look(root, &skip);
        Self { root: root.to_owned(), skip, seen }
    }

    /// Waits until a file looks different than the last time, by looking at all of them every `interval`. Whether that
    /// came; `false` when it was cancelled.
    pub fn wait(&mut self, interval: Duration, cancel: &Cancel) -> bool {
        loop {
            let now = look(&self.root, &self.skip);
            if now != self.seen {
                self.seen = now;
                return true;
            }
            let next = Instant::now() + interval;
            while Instant::now() < next {
                if cancel.is_cancelled() {
                    return false;
                }
                std::thread::sleep(LOOK.min(interval));
            }
        }
    }
}

/// The state of every file, links followed. What cannot be looked at is left out.
fn look(root: &Path, skip: &Skip) -> BTreeMap<String, FileStat> {
    let mut seen = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir_with_odd_names(&root.join(&folder)).unwrap_or_default() {
            let path = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
            if skip(&path) {
                continue;
            }
            if entry.is_folder {
                open.push(path);
            } else if let Ok(stat) = fs::stat(&root.join(&path)) {
                seen.insert(path, stat);
            }
        }
    }
    seen
}
