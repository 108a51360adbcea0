//! What the engine tells the init of a sandbox, and what that reports. Plain data, serialised over the channel.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use model::Network;
use serde::{Deserialize, Serialize};

use crate::command::Limits;

/// One process and all that it shall see. Targets are absolute paths inside. It is sent to the process that forks; the
/// channel of the sandbox and the streams that are [`Stream::Sent`] come along.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub hostname: String,
    pub user: u32,
    pub group: u32,
    pub network: Network,
    /// A folder whose entries appear at `/`, read-only.
    pub root: Option<PathBuf>,
    /// Small files that the sandbox makes itself, read-only: path, content.
    pub files: Vec<(String, String)>,
    /// Empty folders in memory, writable.
    pub memory: Vec<String>,
    /// Mounted in this order; a later one may lie inside an earlier one.
    pub binds: Vec<Bind>,
    /// A folder of the host from which more can be mounted later, by `Request::Show`. The program cannot see it.
    pub shelf: Option<PathBuf>,
    /// Standard input, output and error.
    pub streams: [Stream; 3],
    /// The folder of the host that has the files of [`Stream::Log`]. No path inside leads to them.
    pub logs: Option<PathBuf>,
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub cwd: String,
    /// Whether a program without `/` is looked for in `PATH`.
    pub search_path: bool,
    pub limits: Limits,
    /// Control groups that process 1 joins first, by their folders.
    pub groups: Vec<PathBuf>,
    /// The network of a container. Without one, it is what `network` says.
    pub wire: Option<Wire>,
}

/// Where a standard stream of the program leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stream {
    /// To what the next descriptor that came along leads to.
    Sent,
    /// From a file inside, which is opened there: a descriptor of the host's would lead around the mounts.
    Input(String),
    /// To the end of a file in `logs`.
    Log(String),
}

impl Stream {
    /// Nothing.
    pub fn nothing() -> Self {
        Self::Input("/dev/null".to_owned())
    }
}

/// The network of a container: one device, at whose other end the engine accepts connections.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wire {
    /// The container's own address.
    pub address: Ipv4Addr,
    /// Sockets to be bound at the other end and handed to the engine, and whether they listen already.
    pub listeners: Vec<(SocketAddrV4, bool)>,
}

/// The length of the network prefix that all addresses of a wire share.
pub(crate) const PREFIX: u8 = 16;

/// A file or folder of the host at a path inside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bind {
    pub source: PathBuf,
    pub target: String,
    pub folder: bool,
    pub writable: bool,
}

/// What init reports.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// A step of the set-up failed.
    Failed(Failure),
    /// The listener with this index is bound; its descriptor comes along.
    Listening(usize),
    /// The program is about to run.
    Started,
    /// What `Request::Show` or `Request::Hide` asked for is done; or the step that failed.
    Arranged(Result<(), Failure>),
    /// The answer to `Request::Connect`: the connection comes along, or an error number.
    Connected { id: u64, errno: Option<i32> },
    /// The program ended.
    Ended { status: ProgramStatus, wall: Duration },
    /// Every process is dead.
    Finished(Usage),
}

/// How a program ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProgramStatus {
    Code(i32),
    Signal(i32),
}

/// Resources of all processes together.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub user: Duration,
    pub system: Duration,
    /// Bytes of the largest process.
    pub max_rss: u64,
}

/// What the engine asks of a running container or persistent worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Connect to this port on the container's loopback.
    Connect { id: u64, port: u16 },
    /// Ask the program to end (SIGTERM).
    Terminate,
    /// Ask the program to say where it is, and to end (SIGQUIT): its time is over.
    Quit,
    /// Make folders below the working folder, and mount what lies on the shelf: sources are relative to it, targets are
    /// absolute.
    Show { folders: Vec<String>, binds: Vec<Bind> },
    /// Take away again what was shown last.
    Hide,
}

/// A failed step of the set-up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub step: String,
    pub errno: i32,
}

impl Failure {
    pub fn source(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }
}
