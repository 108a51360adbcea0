//! Where, when and by whom something is built: what must never be seen in keys and outputs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::Program;

/// The user and group that own nothing.
const NOBODY: u32 = 65534;

/// A workspace somewhere, and the surroundings in which the program runs there.
pub struct Place {
    /// The top of the workspace.
    pub root: PathBuf,
    /// The store.
    pub store: PathBuf,
    /// The home of whoever builds.
    pub home: PathBuf,
    /// Whole environment of the program, besides what the machine's package clients need.
    pub env: Vec<(String, String)>,
    /// Commands that start the rest of the command line: `taskset -c 0`, ...
    pub wrappers: Vec<Vec<String>>,
    /// The umask, if another than this process's.
    pub umask: Option<&'static str>,
    /// Whether another user builds; only root can have that.
    pub other_user: bool,
    /// What was mounted for this place; unmounted with it.
    pub mounts: Vec<PathBuf>,
    /// Arguments after the command's own.
    pub arguments: Vec<String>,
    program: PathBuf,
}

/// Variables that tell where packages come from; they are the machine's, not the builder's.
const OF_THE_MACHINE: [&str; 9] = [
    "GOPROXY",
    "GONOSUMDB",
    "GOFLAGS",
    "GONOSUMCHECK",
    "PIP_INDEX_URL",
    "SSL_CERT_FILE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
];

/// Whether this process is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

impl Place {
    /// A workspace with a store and a home of its own below `folder`, in the surroundings of this process.
    pub fn below(folder: &Path, program: &Program) -> Self {
        std::fs::create_dir_all(folder.join("home")).expect("a folder");
        let variables = std::env::vars().filter(|(name, _)| OF_THE_MACHINE.contains(&name.as_str()) || name == "PATH");
        Self {
            root: folder.join("w"),
            store: folder.join("store"),
            home: folder.join("home"),
            env: variables.collect(),
            wrappers: Vec::new(),
            umask: None,
            other_user: false,
            mounts: Vec::new(),
            arguments: Vec::new(),
            program: program.path().to_owned(),
        }
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.into()));
    }

    /// Puts a command in front.
    pub fn wrap(&mut self, words: &[&str]) {
        self.wrappers.push(words.iter().map(|word| (*word).to_owned()).collect());
    }

    /// Gives all files to the other user; the last step before building.
    pub fn hand_over(&mut self, folder: &Path) -> Result<(), String> {
        if !is_root() {
            return Err("only root can build as another user".into());
        }
        // The program may lie where only its owner can go.
        let program = folder.join("engine");
        if std::fs::hard_link(&self.program, &program).is_err() {
            std::fs::copy(&self.program, &program).map_err(|error| format!("copy the program: {error}"))?;
        }
        self.program = program;
        let owner = format!("{NOBODY}:{NOBODY}");
        for path in [&self.root, &self.store, &self.home].into_iter().filter(|path| path.exists()) {
            run(Command::new("chown").args(["-hR", &owner]).arg(path))?;
        }
        // The way there must be open, and a store is made beside the workspace.
        for folder in [folder, self.root.parent().unwrap_or(folder)] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777))
                .map_err(|error| error.to_string())?;
        }
        self.other_user = true;
        Ok(())
    }

    /// The program with arguments in this place.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.start(&self.program.display().to_string());
        command.args(arguments).args(&self.arguments);
        command
    }

    /// What a shell prints in this place: how a plain program sees it.
    pub fn shell(&self, script: &str) -> Result<String, String> {
        let output = self.start("sh").args(["-c", script]).output().map_err(|error| format!("sh: {error}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn start(&self, program: &str) -> Command {
        let mut words: Vec<String> = self.wrappers.iter().flatten().cloned().collect();
        if self.other_user {
            let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()];
            words.push("setpriv".into());
            words.extend(user);
        }
        if let Some(umask) = self.umask {
            words.extend(["sh".into(), "-c".into(), format!("umask {umask}; exec \"$0\" \"$@\"")]);
        }
        words.push(program.to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.root);
        command.env_clear().env("HOME", &self.home).env("NO_COLOR", "1").env("BUILD_STORE", &self.store);
        command.envs(self.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    /// Runs the program; an error unless it succeeds.
    pub fn build(&self, arguments: &[&str]) -> Result<(), String> {
        run(&mut self.command(arguments))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for mount in &self.mounts {
            // What is busy is detached, so that the folder below can go.
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
        }
    }
}

/// Runs a command; an error with what it said unless it succeeds.
pub fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&said)))
}

/// Copies a file or folder, times and modes included.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("cp can be started");
    assert!(status.success(), "{} cannot be copied", from.display());
}
