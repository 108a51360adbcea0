//! A workspace in a temporary folder with a store of its own, and builds of it in this process.

#![allow(dead_code, reason = "each test takes a part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use driver::{Options, Session};
use model::{ActionOutcome, Cancel, Event, Reporter};

/// A workspace and its store; both go with it.
pub struct Workspace {
    folder: tempfile::TempDir,
}

/// What came of a build.
#[derive(Debug, PartialEq, Eq)]
pub enum Built {
    /// The files below `build-out/`.
    Made(BTreeMap<String, String>),
    /// The messages.
    Failed(String),
}

/// What a command did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub stats: usize,
    pub reads: usize,
    pub packages: usize,
    pub targets: usize,
    pub written: u64,
    pub ran: usize,
    pub cached: usize,
    pub unchanged: usize,
}

impl Workspace {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("w")
    }

    /// Writes a file, unless it holds that already.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        if fs::read_to_string(&path).is_ok_and(|now| now == content) {
            return;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Removes a file or folder, if it is there.
    pub fn remove(&self, path: &str) {
        let path = self.root().join(path);
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }

    /// Makes all files old enough that nothing has to be read again to know that it is the same.
    pub fn settle(&self) {
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
        settle(&self.root(), old);
        // Change times cannot be set; they are settled when they are two seconds old.
        std::thread::sleep(std::time::Duration::from_millis(2100));
    }

    /// The files of kept requests.
    pub fn requests(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.folder.path().join("store/v1/requests")).into_iter().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }

    /// A watcher where commands look for one.
    pub fn watcher(&self) -> watch::Watcher {
        let root = fs::canonicalize(self.root()).unwrap();
        let folder = self.folder.path().join("store/v1/watchers");
        fs::create_dir_all(&folder).unwrap();
        let name = watch::socket_name(&root, &host::mounts::view(&root));
        watch::Watcher::start(&root, Arc::new(|path: &str| path == "build-out"), &folder.join(name)).unwrap()
    }

    fn session(&self, reporter: Arc<dyn Reporter>, change: impl FnOnce(&mut Options)) -> Session {
        self.session_until(reporter, Cancel::default(), change)
    }

    fn session_until(&self, reporter: Arc<dyn Reporter>, cancel: Cancel, change: impl FnOnce(&mut Options)) -> Session {
        let store = self.folder.path().join("store");
        let mut options = Options { directory: Some(self.root()), store: Some(store), ..Options::default() };
        change(&mut options);
        Session::open(options, reporter, cancel).unwrap()
    }
}

fn settle(path: &Path, time: std::time::SystemTime) {
    if path.ends_with("build-out") || path.is_symlink() {
        return;
    }
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| settle(&entry.unwrap().path(), time));
    }
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

#[derive(Default)]
struct Counter(Mutex<(Counts, String)>);

impl Reporter for Counter {
    fn report(&self, event: Event) {
        let (counts, messages) = &mut *self.0.lock().unwrap();
        match event {
            Event::Refreshed { stats, reads, packages, targets, written } => {
                *counts = Counts { stats, reads, packages, targets, written, ..*counts };
            }
            Event::ActionsUnchanged { count } => counts.unchanged += count,
            Event::ActionFinished { outcome: ActionOutcome::Ran, .. } => counts.ran += 1,
            Event::ActionFinished { outcome: ActionOutcome::Cached, .. } => counts.cached += 1,
            Event::ActionFinished { outcome: ActionOutcome::Failed, log, .. } => messages.push_str(&log),
            _ => {}
        }
    }
}

/// Builds the patterns.
pub fn build(workspace: &Workspace, patterns: &[&str]) -> Built {
    run(workspace, patterns, |_| ()).1
}

/// Builds the patterns and says what was done.
pub fn counted(workspace: &Workspace, patterns: &[&str]) -> Counts {
    run(workspace, patterns, |_| ()).0
}

/// Begins to build the patterns and stops as soon as actions are to be run.
pub fn stopped(workspace: &Workspace, patterns: &[&str]) {
    struct Stop(Cancel);
    impl Reporter for Stop {
        fn report(&self, event: Event) {
            if matches!(event, Event::ActionsPlanned { .. }) {
                self.0.cancel();
            }
        }
    }
    let cancel = Cancel::default();
    let session = workspace.session_until(Arc::new(Stop(cancel.clone())), cancel, |_| ());
    let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(driver::build(&session, &patterns, 10)).is_err());
}

/// Removes what is old from the store.
pub fn collect(workspace: &Workspace) {
    collect_beyond(workspace, None);
}

/// Removes what was used longest ago and is beyond a size.
pub fn collect_beyond(workspace: &Workspace, size: Option<u64>) {
    let session = workspace.session(Arc::new(Counter::default()), |_| ());
    driver::gc(&session, &store::Limits { size, ..Default::default() }).unwrap();
}

/// Builds the patterns with other options.
pub fn run(workspace: &Workspace, patterns: &[&str], change: impl FnOnce(&mut Options)) -> (Counts, Built) {
    let counter = Arc::new(Counter::default());
    let session = workspace.session(counter.clone(), change);
    let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let result = runtime.block_on(driver::build(&session, &patterns, 10));
    let (counts, messages) = counter.0.lock().unwrap().clone();
    let built = match result {
        Ok(_) => {
            let mut files = BTreeMap::new();
            let folder = workspace.root().join("build-out");
            list(&folder, &folder, &mut files);
            Built::Made(files)
        }
        Err(error) => Built::Failed(format!("{error}{messages}")),
    };
    (counts, built)
}

fn list(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}
