//! What the workspace's version control says: revision, branch, local changes. Only a rollout asks; no key depends on it.
//!
//! The settings of a checkout may name programs: a monitor of files, filters, hooks, ways to fetch. Whoever asks for a
//! plan has not decided to run them, so git is told not to; the settings of the user and of the machine stay.

use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The state of a git checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision {
    /// The commit.
    pub(crate) commit: String,
    /// The branch, if one is checked out.
    pub(crate) branch: Option<String>,
    /// Paths that differ from the commit.
    pub(crate) changed: Vec<String>,
}

/// What git is told above the settings of a checkout.
const SAFE: [(&str, &str); 8] = [
    ("core.fsmonitor", "false"),
    // A git folder that nobody made by `git init` or `git clone` in this place may be part of a commit.
    ("safe.bareRepository", "explicit"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("core.sshCommand", "false"),
    ("core.alternateRefsCommand", "false"),
    ("diff.external", ""),
    ("status.submoduleSummary", "false"),
];

/// Variables that say where the user's and the machine's own settings are. All others of git's speak of a repository, which
/// may be another one, as while a hook runs.
const KEPT: [&str; 4] = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"];

/// How deep repositories within repositories are looked at.
const DEEPEST: usize = 8;

/// The release of git that knows all of [`SAFE`].
const OLDEST: (u32, u32) = (2, 38);

impl Revision {
    /// Asks git; `None` outside a checkout, without a commit, or where git itself refuses or is too old to be asked safely.
    /// A checkout of another user is only asked when it is `trusted`.
    pub(crate) fn of(root: &Path, trusted: bool) -> Option<Self> {
        let asked = Git::new(root, trusted);
        if release(&asked.say(&["--version"])?)? < OLDEST {
            return None;
        }
        let top = asked.say(&["rev-parse", "--show-toplevel"])?;
        let git = Git::new(Path::new(top.trim_end_matches('\n')), trusted);
        let commit = git.say(&["rev-parse", "--verify", "HEAD"])?.trim().to_owned();
        let branch = git.say(&["symbolic-ref", "--short", "--quiet", "HEAD"]).map(|branch| branch.trim().to_owned());
        Some(Self { commit, branch, changed: git.changed(DEEPEST)? })
    }
}

/// `git version 2.39.5` by its first numbers.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(2)?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Git in a folder.
struct Git {
    folder: PathBuf,
    settings: Vec<(String, String)>,
}

impl Git {
    fn new(folder: &Path, trusted: bool) -> Self {
        let mut settings: Vec<(String, String)> =
            SAFE.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if trusted {
            settings.push(("safe.directory".to_owned(), "*".to_owned()));
        }
        Self { folder: folder.to_owned(), settings }
    }

    /// What it prints; `None` if it fails.
    fn say(&self, arguments: &[&str]) -> Option<String> {
        let mut command = host::process::command(Path::new("git"));
        for (name, _) in host::env::vars() {
            if name.starts_with("GIT_") && !KEPT.contains(&name.as_str()) {
                command.env_remove(name);
            }
        }
        // Settings as variables, since a name in an argument ends at its first `=`, and that of a filter may hold one.
        command.env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (number, (name, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), name).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        // Nothing is written, and nothing that is missing is fetched, by no protocol.
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_PAGER", "cat").env("LC_ALL", "C");
        command.arg("-C").arg(&self.folder).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        let output = command.output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Paths that differ from the commit, those of repositories within this one included.
    fn changed(mut self, depth: usize) -> Option<Vec<String>> {
        self.take_no_filter();
        // Git would look into submodules by itself, with their settings.
        let status = ["status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=dirty"];
        let mut changed: Vec<String> =
            self.say(&status)?.lines().filter_map(|line| line.get(3..).map(str::to_owned)).collect();
        for path in self.submodules()? {
            let folder = self.folder.join(&path);
            if depth > 0 && host::fs::lstat(&folder.join(".git")).is_ok() {
                let trusted = self.settings.iter().any(|(name, _)| name == "safe.directory");
                // What cannot be told to be as committed is not.
                let below = Self::new(&folder, trusted).changed(depth - 1).unwrap_or_else(|| vec![String::new()]);
                changed.extend(below.iter().map(|name| format!("{path}/{name}")));
            }
        }
        Some(changed)
    }

    /// Filters that the checkout's own settings declare do nothing.
    fn take_no_filter(&mut self) {
        let listed = self.say(&["config", "--show-scope", "-z", "--name-only", "--get-regexp", r"^filter\."]);
        let listed = listed.unwrap_or_default();
        let mut fields = listed.split('\0');
        while let (Some(scope), Some(name)) = (fields.next(), fields.next()) {
            let Some((filter, _)) = name.rsplit_once('.').filter(|_| !matches!(scope, "global" | "system")) else {
                continue;
            };
            for (setting, value) in [("clean", ""), ("process", ""), ("required", "false")] {
                self.settings.push((format!("{filter}.{setting}"), value.to_owned()));
            }
        }
    }

    /// Paths of repositories within this one.
    fn submodules(&self) -> Option<Vec<String>> {
        let files = self.say(&["ls-files", "--stage", "-z"])?;
        let links = files.split('\0').filter(|line| line.starts_with("160000 "));
        Some(links.filter_map(|line| Some(line.split_once('\t')?.1.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "protocol.file.allow=always"];
        let ended = Command::new("git").args(who).args(arguments).current_dir(folder).output().unwrap();
        assert!(ended.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    fn repository(folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        git(folder, &["init", "-q", "-b", "main"]);
        std::fs::write(folder.join("file"), "1").unwrap();
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "-q", "-m", "state"]);
    }

    #[test]
    fn commit_branch_and_changes_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        repository(&folder.path().join("inner"));
        repository(&top);
        git(&top, &["submodule", "--quiet", "add", "../inner", "below/inner"]);
        std::fs::create_dir(top.join("ws")).unwrap();
        std::fs::write(top.join("ws/WORKSPACE.star"), "").unwrap();
        git(&top, &["add", "-A"]);
        git(&top, &["commit", "-q", "-m", "more"]);
        let clean = Revision::of(&top.join("ws"), false).unwrap();
        assert_eq!((clean.commit.len(), clean.branch.as_deref(), clean.changed.len()), (40, Some("main"), 0));
        std::fs::write(top.join("below/inner/file"), "2").unwrap();
        std::fs::write(top.join("ws/new"), "2").unwrap();
        let changed = Revision::of(&top.join("ws"), false).unwrap().changed;
        assert_eq!(changed, ["ws/new", "below/inner/file"]);
        assert_eq!(Revision::of(folder.path(), false), None);
    }

    /// Each way by which the settings of a checkout can name a program. The control: git alone runs it.
    #[test]
    fn no_program_that_a_checkout_names_is_run() {
        let traps: [(&str, &[(&str, &str)]); 3] = [
            ("monitor", &[("core.fsmonitor", "touch ../ran; false")]),
            ("filter", &[("filter.a=b.clean", "touch ../ran; cat"), ("filter.a=b.required", "true")]),
            ("process", &[("filter.a=b.process", "touch ../ran; false")]),
        ];
        for (name, settings) in traps {
            let folder = tempfile::tempdir().unwrap();
            let top = folder.path().join("top");
            repository(&top);
            std::fs::write(top.join(".gitattributes"), "file filter=a=b\n").unwrap();
            git(&top, &["add", "-A"]);
            git(&top, &["commit", "-q", "-m", "more"]);
            settings.iter().for_each(|(key, value)| git(&top, &["config", key, value]));
            // Its time differs from what the index says, so that git looks at its content.
            let touched = || {
                let file = std::fs::File::options().append(true).open(top.join("file")).unwrap();
                file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
            };
            touched();
            assert!(Revision::of(&top, false).is_some_and(|revision| revision.changed.is_empty()), "{name}");
            assert!(!folder.path().join("ran").exists(), "{name}");
            touched();
            let _ = Command::new("git").arg("-C").arg(&top).arg("status").output().unwrap();
            assert!(folder.path().join("ran").exists(), "the trap {name} is none");
        }
    }

    /// Files of a git folder may be committed as files of another repository; a clone of that has them.
    #[test]
    fn a_git_folder_among_the_files_of_a_commit_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        repository(&top);
        let bare = top.join("ws");
        std::fs::create_dir(&bare).unwrap();
        git(&bare, &["init", "-q", "--bare", "."]);
        std::fs::write(
            bare.join("config"),
            "[core]\nbare = false\nworktree = \".\"\nfsmonitor = \"touch ../../ran\"\n",
        )
        .unwrap();
        let _ = Revision::of(&bare, false);
        assert!(!folder.path().join("ran").exists());
    }
}
