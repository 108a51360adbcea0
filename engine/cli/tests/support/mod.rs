//! What tests of the real program share: folders with a workspace, runs of the program, counts from its event file.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A folder with a workspace.
pub struct Folder {
    folder: TempDir,
    store: PathBuf,
    env: BTreeMap<String, String>,
}

/// What one run of the program did.
pub struct Run {
    /// The exit code; 128 + n for signal n.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The events, one JSON object a line.
    pub events: Vec<serde_json::Value>,
}

/// The top of this repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the crate lies in engine/cli")
}

impl Folder {
    /// A workspace from one text: `== path` begins a file. A WORKSPACE.star is added when there is none.
    pub fn of(text: &str) -> Self {
        let folder = Self::empty();
        if !text.contains("== WORKSPACE.star") {
            folder.write("WORKSPACE.star", "workspace(name = \"test\")\n");
        }
        for file in text.split("== ").skip(1) {
            let (path, content) = file.split_once('\n').expect("a file's name ends with a line break");
            folder.write(path.trim(), content);
        }
        folder
    }

    /// A copy of the sample system of this repository.
    pub fn sample() -> Self {
        let folder = Self::empty();
        let top = repository();
        for name in ["WORKSPACE.star", "BUILD.star", "go.mod", "go.sum", "requirements.lock", ".gitignore"] {
            std::fs::copy(top.join(name), folder.path().join(name)).expect("the sample system is complete");
        }
        for name in ["protos", "services", "deploy"] {
            copy_folder(&top.join(name), &folder.path().join(name));
        }
        folder
    }

    fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = shared_store();
        Self { folder, store, env: BTreeMap::new() }
    }

    /// The same with a store of its own, so that nothing is cached.
    pub fn with_fresh_store(mut self) -> Self {
        self.store = self.folder.path().with_extension("store");
        self
    }

    /// The same with a store that other folders use too.
    pub fn with_store(mut self, store: &Path) -> Self {
        store.clone_into(&mut self.store);
        self
    }

    /// The same with a variable in the program's environment.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The top of the workspace.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    /// Replaces a text that must occur in a file.
    pub fn replace(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "{path} does not contain {old:?}");
        self.write(path, &text.replacen(old, new, 1));
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The program with arguments, in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-engine"));
        command.args(arguments).current_dir(self.path());
        command.env("BUILD_STORE", &self.store).env("NO_COLOR", "1").env("CI", "true").envs(&self.env);
        command.stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn build(&self, arguments: &[&str]) -> Run {
        let events = self.path().with_extension("events");
        let flag = format!("--event_file={}", events.display());
        let mut all = vec![arguments[0], flag.as_str()];
        all.extend(&arguments[1..]);
        let output = self.command(&all).output().expect("the program starts");
        let text = std::fs::read_to_string(&events).unwrap_or_default();
        let _ = std::fs::remove_file(&events);
        use std::os::unix::process::ExitStatusExt;
        let status = output.status;
        Run {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: self.redact(&String::from_utf8_lossy(&output.stdout)),
            stderr: self.redact(&String::from_utf8_lossy(&output.stderr)),
            events: text.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect(),
        }
    }

    /// Starts the program and goes on; its output is piped.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    fn redact(&self, text: &str) -> String {
        text.replace(&self.path().display().to_string(), "<workspace>")
    }

    /// Makes the folder a git checkout with everything committed.
    pub fn commit(&self) {
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["add", "-A"],
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.invalid",
                "commit",
                "-q",
                "--allow-empty",
                "-m",
                "state",
            ],
        ] {
            let status = Command::new("git").args(arguments).current_dir(self.path()).status().expect("git");
            assert!(status.success(), "git {arguments:?}");
        }
    }
}

impl Drop for Folder {
    /// A store of its own goes with the folder. What cannot be removed belongs to another user and stays.
    fn drop(&mut self) {
        if self.store == self.path().with_extension("store") {
            let _ = std::fs::remove_dir_all(&self.store);
        }
    }
}

impl Run {
    /// Fails the test with everything the program said unless it exited with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless standard error contains each text.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in:\n{}", self.stderr);
        }
        self
    }

    /// The labels whose actions ended so (`Ran`, `Cached`, `Failed`), with their mnemonics.
    pub fn actions(&self, outcome: &str) -> BTreeSet<(String, String)> {
        let finished = self.events.iter().filter_map(|event| event.get("ActionFinished"));
        let matching = finished.filter(|action| action["outcome"] == outcome);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        matching.map(|action| (text(&action["label"]), text(&action["mnemonic"]))).collect()
    }

    /// How many actions ended so.
    pub fn count(&self, outcome: &str) -> usize {
        let finished = self.events.iter().filter_map(|event| event.get("ActionFinished"));
        finished.filter(|action| action["outcome"] == outcome).count()
    }

    /// The counts of a rollout, from its closing line: `... 3 blobs, 12 API writes`.
    #[track_caller]
    pub fn rollout(&self) -> (usize, usize) {
        let closing = self.stderr.lines().rev().find(|line| line.contains(" API writes"));
        let closing = closing.unwrap_or_else(|| panic!("no closing line in:\n{}", self.stderr));
        (number_before(closing, " blobs"), number_before(closing, " API writes"))
    }
}

fn number_before(line: &str, what: &str) -> usize {
    let before = &line[..line.find(what).unwrap_or_else(|| panic!("no `{what}` in {line:?}"))];
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("no number before `{what}` in {line:?}"))
}

/// The store that tests share, so that toolchains are fetched and compiled once.
fn shared_store() -> PathBuf {
    match std::env::var_os("BUILD_STORE") {
        Some(store) => PathBuf::from(store),
        None => {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
            cache.unwrap_or_else(home).join("build")
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
