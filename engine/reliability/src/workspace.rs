//! A workspace of a try, and runs of the program in it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::Program;

/// A folder with a workspace, and its store.
pub struct Workspace {
    root: PathBuf,
    store: PathBuf,
    program: Program,
    env: BTreeMap<String, String>,
}

/// What one run of the program did.
#[derive(Debug)]
pub struct Run {
    /// The exit code; 128 + n for signal n.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The events, one JSON object a line; a last line that was cut off is left out.
    pub events: Vec<serde_json::Value>,
    /// How long it took.
    pub time: Duration,
}

/// What lies in a place of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file: its bytes, and whether it may be executed.
    File(Vec<u8>, bool),
    /// A symbolic link.
    Link(PathBuf),
    /// A folder.
    Folder,
}

impl Workspace {
    /// An empty workspace.
    pub fn new(root: PathBuf, store: PathBuf, program: Program) -> Self {
        std::fs::create_dir_all(&root).expect("a folder of the try");
        let workspace = Self { root, store, program, env: BTreeMap::new() };
        workspace.write("WORKSPACE.star", "workspace(name = \"w\")\n");
        workspace
    }

    /// The same with a variable in the program's environment.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The top of the workspace.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its store.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Writes a file.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    /// Reads a file as text.
    pub fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(self.root.join(path)).map_err(|error| format!("{path}: {error}"))
    }

    /// Removes a file or folder, if it is there.
    pub fn remove(&self, path: &str) {
        let path = self.root.join(path);
        let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
    }

    /// The program with arguments, in this folder. Nothing of this process's environment is passed on but what finding
    /// packages and programs takes.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program.path());
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        command.env("BUILD_STORE", &self.store).env("NO_COLOR", "1").env("CI", "true").envs(&self.env);
        command
    }

    /// Starts the program and goes on; its output is piped.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.finish(arguments, |command| command.output().expect("the program starts"))
    }

    /// Runs the program with its events, after a change to the command, by a function that waits for its end.
    pub fn finish(&self, arguments: &[&str], run: impl FnOnce(&mut Command) -> std::process::Output) -> Run {
        let events = self.root.with_extension(format!("{}.events", fastrand::u64(..)));
        let flag = format!("--event_file={}", events.display());
        let mut all = vec![arguments[0], flag.as_str()];
        all.extend(&arguments[1..]);
        let began = Instant::now();
        let output = run(&mut self.command(&all));
        let time = began.elapsed();
        let text = std::fs::read_to_string(&events).unwrap_or_default();
        let _ = std::fs::remove_file(&events);
        Run {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            events: text.lines().map_while(|line| serde_json::from_str(line).ok()).collect(),
            time,
        }
    }

    /// What lies below `build-out/`, by path.
    pub fn outputs(&self) -> BTreeMap<PathBuf, Entry> {
        entries(&self.root.join("build-out"))
    }
}

/// What lies below a folder, by path; folders included.
pub fn entries(folder: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    collect(folder, Path::new(""), &mut found);
    found
}

fn collect(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Entry>) {
    for entry in std::fs::read_dir(root.join(below)).into_iter().flatten().flatten() {
        let path = below.join(entry.file_name());
        let full = root.join(&path);
        // What goes away meanwhile was not there.
        let Ok(metadata) = std::fs::symlink_metadata(&full) else { continue };
        let entry = match () {
            // A tree is shown as a link into the store; what it holds counts, and not where the store is.
            () if metadata.is_symlink() && !is_shown_tree(&full) => {
                Entry::Link(std::fs::read_link(&full).unwrap_or_default())
            }
            () if full.is_dir() => {
                collect(root, &path, found);
                Entry::Folder
            }
            () => Entry::File(std::fs::read(&full).unwrap_or_default(), metadata.permissions().mode() & 0o100 != 0),
        };
        found.insert(path, entry);
    }
}

fn is_shown_tree(link: &Path) -> bool {
    link.is_dir() && std::fs::read_link(link).is_ok_and(|target| target.is_absolute())
}

impl Run {
    /// An error with everything the program said unless it exited with `code`.
    pub fn expect(self, code: i32) -> Result<Self, String> {
        if self.code == code {
            return Ok(self);
        }
        Err(format!("exit code {} instead of {code}\n{}{}", self.code, self.stdout, self.stderr))
    }

    /// An error unless standard error contains the text.
    pub fn says(self, text: &str) -> Result<Self, String> {
        if self.stderr.contains(text) {
            return Ok(self);
        }
        Err(format!("{text:?} is not in:\n{}", self.stderr))
    }

    /// How many actions ended so: `Ran`, `Cached`, `Failed`.
    pub fn actions(&self, outcome: &str) -> usize {
        let ended = self.events.iter().filter_map(|event| event.get("ActionFinished"));
        ended.filter(|event| event["outcome"] == outcome).count()
    }
}
