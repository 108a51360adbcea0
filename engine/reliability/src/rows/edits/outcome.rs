//! What a build came to, so that an incremental one and a clean one can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::workspace::{Run, Workspace};

/// Shown outputs by path, with what is in trees: mode and bytes, or where a link leads.
pub type Shown = BTreeMap<String, (u32, Vec<u8>)>;

/// What a build came to.
#[derive(Debug)]
pub struct Built {
    code: i32,
    /// What it printed: the paths of outputs.
    stdout: String,
    /// What it said, without progress and without names of folders.
    messages: String,
    /// Actions that failed: label, mnemonic, log.
    failed: BTreeSet<(String, String, String)>,
    /// What lies in `build-out/`.
    pub shown: Shown,
    /// Files and folders that were looked at to know what changed.
    pub looks: u64,
}

impl Built {
    /// What a run of the program in a workspace came to.
    pub fn of(workspace: &Workspace, run: &Run) -> Self {
        let root = workspace.root().to_string_lossy();
        let failed = run.events.iter().filter_map(|event| event.get("ActionFinished"));
        let failed = failed.filter(|event| event["outcome"] == "Failed");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            code: run.code,
            stdout: run.stdout.replace(&*root, "ROOT"),
            messages: messages(&run.stderr).replace(&*root, "ROOT"),
            failed: failed
                .map(|event| (text(&event["label"]), text(&event["mnemonic"]), text(&event["log"])))
                .collect(),
            looks: run.events.iter().find_map(|event| event.get("Refreshed")?["stats"].as_u64()).unwrap_or(0),
            shown: shown(&workspace.root().join("build-out")),
        }
    }

    /// Whether it succeeded.
    pub fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// How an incremental build differs from `clean`, one from nothing that went on after failures. `before` is what was
    /// shown before: what is not of this build may still lie there, and only that.
    pub fn compare(&self, clean: &Self, before: &Shown, went_on: bool) -> Result<(), String> {
        if self.code != clean.code {
            let (own, other) = (self.complaint(), clean.complaint());
            return Err(format!(
                "exit code {} instead of {}\nincremental:\n{own}\nclean:\n{other}",
                self.code, clean.code
            ));
        }
        if clean.code != 0 {
            return self.compare_failures(clean, went_on);
        }
        if self.stdout != clean.stdout {
            return Err(format!("it prints\n{}instead of\n{}", self.stdout, clean.stdout));
        }
        for (path, expected) in &clean.shown {
            let found = self.shown.get(path);
            if found != Some(expected) {
                return Err(format!("{path}: {} instead of {}", describe(found), describe(Some(expected))));
            }
        }
        let trees: Vec<String> = clean.shown.keys().filter_map(|path| path.split_once("/.tree/")).map(tree).collect();
        let stray = self.shown.iter().find(|(path, found)| {
            let of_tree = trees.iter().any(|tree| path.starts_with(tree.as_str()));
            !clean.shown.contains_key(*path) && (of_tree || before.get(*path) != Some(found))
        });
        stray.map_or(Ok(()), |(path, _)| Err(format!("{path} is shown, which a clean build does not make")))
    }

    fn compare_failures(&self, clean: &Self, went_on: bool) -> Result<(), String> {
        // What fails first ends a build that does not go on, and which that is depends on the machine.
        let same = match clean.failed.is_empty() {
            true => self.messages == clean.messages && self.failed.is_empty(),
            false if went_on => self.failed == clean.failed,
            false => !self.failed.is_empty() && self.failed.is_subset(&clean.failed),
        };
        let (own, other) = (self.complaint(), clean.complaint());
        if same { Ok(()) } else { Err(format!("it fails with\n{own}instead of\n{other}")) }
    }

    fn complaint(&self) -> String {
        format!("{}{:?}\n", self.messages, self.failed)
    }
}

fn tree((path, _): (&str, &str)) -> String {
    format!("{path}/.tree/")
}

fn describe(found: Option<&(u32, Vec<u8>)>) -> String {
    found.map_or("nothing".to_owned(), |(mode, bytes)| format!("{mode:o} {:?}", String::from_utf8_lossy(bytes)))
}

/// Standard error without the lines that tell of progress, which depends on what was done before.
fn messages(stderr: &str) -> String {
    let is_progress = |line: &&str| {
        let counted = line.split_once(' ').is_some_and(|(number, rest)| {
            number.parse::<u32>().is_ok() && (rest.starts_with("actions: ") || rest.starts_with("action: "))
        });
        line.starts_with('[') || line.starts_with("loaded ") || line.starts_with("analysed ") || counted
    };
    stderr.lines().filter(|line| !is_progress(line)).map(|line| format!("{line}\n")).collect()
}

/// What lies below a folder of shown outputs. A tree is shown as a link to a folder of the store: what is in there has
/// `.tree` in its path.
pub fn shown(folder: &Path) -> Shown {
    let mut shown = Shown::new();
    collect(folder, "", false, &mut shown);
    shown
}

fn collect(folder: &Path, below: &str, in_tree: bool, shown: &mut Shown) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (full, path) = (entry.path(), format!("{below}{}", entry.file_name().to_string_lossy()));
        let Ok(metadata) = std::fs::symlink_metadata(&full) else { continue };
        let mode = metadata.permissions().mode() & 0o7777;
        match () {
            () if metadata.is_symlink() && !in_tree && full.is_dir() => {
                collect(&full, &format!("{path}/.tree/"), true, shown);
                // An empty tree is one, too.
                shown.insert(format!("{path}/.tree/"), (0, Vec::new()));
            }
            () if metadata.is_symlink() => {
                let target = std::fs::read_link(&full).unwrap_or_default();
                shown.insert(path, (mode, target.to_string_lossy().into_owned().into_bytes()));
            }
            () if metadata.is_dir() => collect(&full, &format!("{path}/"), in_tree, shown),
            () => drop(shown.insert(path, (mode, std::fs::read(&full).unwrap_or_default()))),
        }
    }
}
