//! A command to be sandboxed, and how it ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Network, RelPath};
use serde::{Deserialize, Serialize};

use crate::etc;
use crate::spec::{Bind, Spec, Stream};

/// The folder inside, in which a command starts.
pub(crate) const WORK: &str = "/work";

/// The user and group that every command runs as, whoever runs the engine.
const USER: u32 = 1000;

/// Processes and threads that all commands together may have at once, as far as they are not limited themselves. Where
/// the machine gives the engine no control group, each command may have so many.
pub(crate) const PROCESSES: u64 = 4096;

/// One process with all that it may see. The process runs in `/work` as user 1000 on host `sandbox`.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// Program and arguments. The program is a path relative to `/work`, or an absolute path inside `root`.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// A folder of the host that becomes `/work`, writable. Mount points of inputs are left in it.
    pub workdir: PathBuf,
    /// Inputs, read-only. Parents before children.
    pub mounts: Vec<Mount>,
    /// A folder whose top-level entries appear at `/`, read-only.
    pub root: Option<PathBuf>,
    /// What network it sees.
    pub network: Network,
    /// Standard input, the path of an input; nothing when absent.
    pub stdin: Option<RelPath>,
    /// A file of the host that takes standard output; created or truncated.
    pub stdout: PathBuf,
    /// A file of the host that takes standard error, in the folder of `stdout`. May be the same one.
    pub stderr: PathBuf,
    /// Wall-clock limit.
    pub timeout: Option<Duration>,
    /// Limits other than time.
    pub limits: Limits,
}

/// An input: a file or folder of the host at a path below `/work`, read-only.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Where it is on the host: absolute, without links.
    pub source: PathBuf,
    /// Where it appears.
    pub target: RelPath,
    /// Whether it is a folder.
    pub folder: bool,
}

/// Limits for each process, and for all together; `None` leaves the engine's own.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Open files.
    pub open_files: Option<u64>,
    /// Bytes of the largest file it may write.
    pub file_size: Option<u64>,
    /// Bytes of address space.
    pub address_space: Option<u64>,
    /// What all processes may use together.
    pub together: Together,
}

/// Limits for all processes of a command together; `None` is no limit. Where the machine gives the engine no control
/// group, each process alone has the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Together {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processor time.
    pub cpu_time: Option<Duration>,
    /// Processes and threads at once.
    pub processes: Option<u64>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its status.
    pub status: Status,
    /// From its start to its end, without the set-up.
    pub wall: Duration,
    /// Processor time in user mode, of all its processes that were waited for.
    pub user: Duration,
    /// Processor time in the kernel, the set-up of the sandbox included.
    pub system: Duration,
    /// Bytes of memory of its largest process.
    pub max_rss: u64,
}

/// The status of an ended command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It took longer than its limit and was killed.
    TimedOut,
    /// It did not succeed, and reached this limit.
    Exceeded(Exceeded),
    /// The engine was asked to stop, and it was killed.
    Cancelled,
}

/// A limit for all processes together that was reached. Only `Disk` is the engine's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Memory: the kernel killed a process.
    Memory,
    /// Processor time: all were killed.
    CpuTime,
    /// Processes: one could not be started.
    Processes,
    /// Space: the disk of the working folder was about to be full. Nobody declares that limit.
    Disk,
}

impl Status {
    /// Whether it exited with 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl Command {
    /// What init is told.
    pub(crate) fn spec(&self) -> Spec {
        let work = Bind { source: self.workdir.clone(), target: WORK.to_owned(), folder: true, writable: true };
        let inputs = self.mounts.iter().map(|mount| Bind {
            source: mount.source.clone(),
            target: format!("{WORK}/{}", mount.target),
            folder: mount.folder,
            writable: false,
        });
        let mut binds: Vec<Bind> = std::iter::once(work).chain(inputs).collect();
        let mut files = vec![
            ("/etc/passwd".to_owned(), etc::passwd(USER, USER)),
            ("/etc/group".to_owned(), etc::group(USER)),
            ("/etc/nsswitch.conf".to_owned(), etc::nsswitch(self.network == Network::Host)),
        ];
        match self.network {
            Network::Loopback => files.push(("/etc/hosts".to_owned(), etc::hosts(&[]))),
            Network::Host => binds.extend(["/etc/hosts", "/etc/resolv.conf"].into_iter().filter_map(host_file)),
        }
        Spec {
            hostname: "sandbox".to_owned(),
            user: USER,
            group: USER,
            network: self.network,
            root: self.root.clone(),
            files,
            memory: vec!["/tmp".to_owned(), "/dev/shm".to_owned()],
            binds,
            shelf: None,
            streams: [self.input(), log(&self.stdout), log(&self.stderr)],
            logs: self.stderr.parent().map(Path::to_owned),
            argv: self.argv.clone(),
            env: self.env.clone(),
            cwd: WORK.to_owned(),
            search_path: false,
            limits: self.limits,
            groups: Vec::new(),
            wire: None,
        }
    }

    fn input(&self) -> Stream {
        self.stdin.as_ref().map_or_else(Stream::nothing, |path| Stream::Input(format!("{WORK}/{path}")))
    }
}

/// The stream to a log, which is named within its folder.
fn log(path: &Path) -> Stream {
    Stream::Log(path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

/// A file that name resolution on the machine's network needs, if the machine has it.
fn host_file(path: &str) -> Option<Bind> {
    let source = host::fs::canonicalize(path.as_ref()).ok()?;
    Some(Bind { source, target: path.to_owned(), folder: false, writable: false })
}
