//! A scratch folder, and a root that holds the probe with the libraries it needs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use model::{Cancel, RelPath};
use sandbox::{Command, Exit, Launcher, Mount, SandboxError};
use tempfile::TempDir;

pub const PROBE: &str = env!("CARGO_BIN_EXE_sandbox-probe");

/// The probe and its libraries, at the paths where the dynamic linker looks; readable by every user.
pub static ROOT: LazyLock<TempDir> = LazyLock::new(|| {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    copy(Path::new(PROBE), &root.path().join("bin/probe"));
    // The test itself has the same libraries mapped as the probe will.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mapped: BTreeSet<&str> = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).collect();
    for library in mapped.into_iter().filter(|path| path.contains(".so")) {
        copy(Path::new(library), &root.path().join("lib64").join(Path::new(library).file_name().unwrap()));
        copy(Path::new(library), &root.path().join(library.trim_start_matches('/')));
    }
    root
});

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

/// One command with its scratch folder.
pub struct Fixture {
    pub folder: TempDir,
    pub command: Command,
}

/// What a command left behind.
pub struct Outcome {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
}

impl Fixture {
    /// The probe with these arguments.
    pub fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workdir = folder.path().join("work");
        fs::create_dir(&workdir).unwrap();
        let argv = std::iter::once("/bin/probe").chain(arguments.iter().copied()).map(str::to_owned).collect();
        let command = Command {
            argv,
            workdir,
            root: Some(ROOT.path().to_owned()),
            stdout: folder.path().join("stdout"),
            stderr: folder.path().join("stderr"),
            ..Command::default()
        };
        Self { folder, command }
    }

    /// Adds an input file.
    pub fn input(&mut self, target: &str, content: &str) {
        let source = self.folder.path().join(format!("input-{}", self.command.mounts.len()));
        fs::write(&source, content).unwrap();
        self.mount(source, target, false);
    }

    pub fn mount(&mut self, source: PathBuf, target: &str, folder: bool) {
        self.command.mounts.push(Mount { source, target: RelPath::new(target).unwrap(), folder });
    }

    pub fn try_run(&self) -> Result<Exit, SandboxError> {
        sandbox::run(&Launcher::new(PROBE), &self.command, &Cancel::default())
    }

    pub fn run(&self) -> Outcome {
        let exit = self.try_run().unwrap_or_else(|error| panic!("{}", explain(&error)));
        Outcome { exit, stdout: read(&self.command.stdout), stderr: read(&self.command.stderr) }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// An error with its causes.
pub fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
