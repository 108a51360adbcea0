//! What a container is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use model::Network;

use super::log::LogSink;
use crate::command::Limits;
use crate::etc;
use crate::spec::{Bind, Spec, Stream, Wire};

/// The address of every container in its own network. What it calls has addresses of the same network, from the start
/// on.
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 255, 254);

/// A container: an image's file system and how to run its program. Paths inside are absolute.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Its name, which is also its host name.
    pub name: String,
    /// The image's file system, a folder of the host. It is read-only inside.
    pub rootfs: PathBuf,
    /// Program and arguments; a program without `/` is looked for in `PATH`.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Where the program starts.
    pub workdir: String,
    /// The user it runs as.
    pub user: u32,
    /// The group it runs as.
    pub group: u32,
    /// The most bytes of memory that its processes may have together.
    pub memory_limit: Option<u64>,
    /// What it may call. Each name gets an address of its own; the engine accepts there.
    pub calls: Vec<Call>,
    /// Empty folders in memory, besides /tmp and /dev/shm.
    pub writable: Vec<String>,
    /// Folders of the host that keep what it writes.
    pub state: Vec<StateFolder>,
    /// Takes what it prints.
    pub log: LogSink,
}

/// A name and port that a container may connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The name, which it can resolve.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Whether connections may be made from the start on; else they are refused until the engine lets them.
    pub open: bool,
}

/// A folder of the host that a container may write to.
#[derive(Debug, Clone)]
pub struct StateFolder {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where it appears inside.
    pub target: String,
}

impl ContainerSpec {
    pub(crate) fn init_spec(&self) -> Spec {
        let names = self.names();
        let own_name = (self.name.clone(), OWN_ADDRESS);
        let hosts: Vec<_> =
            names.iter().map(|(name, address)| ((*name).to_owned(), *address)).chain([own_name]).collect();
        let address = |call: &Call| SocketAddrV4::new(names[call.name.as_str()], call.port);
        let listeners = self.calls.iter().map(|call| (address(call), call.open)).collect();
        // What a container runtime brings; all else is the image's, here as anywhere.
        let files = vec![
            ("/etc/hosts".to_owned(), etc::hosts(&hosts)),
            ("/etc/hostname".to_owned(), format!("{}\n", self.name)),
            ("/etc/resolv.conf".to_owned(), String::new()),
        ];
        let memory = ["/tmp", "/dev/shm"].into_iter().map(str::to_owned).chain(self.writable.iter().cloned());
        let state = self.state.iter().map(|state| Bind {
            source: state.source.clone(),
            target: state.target.clone(),
            folder: true,
            writable: true,
        });
        Spec {
            hostname: self.name.clone(),
            user: self.user,
            group: self.group,
            network: Network::Loopback,
            root: Some(self.rootfs.clone()),
            files,
            memory: memory.collect(),
            binds: state.collect(),
            shelf: None,
            streams: [Stream::nothing(), Stream::Sent, Stream::Sent],
            logs: None,
            argv: self.argv.clone(),
            env: self.env.clone(),
            cwd: self.workdir.clone(),
            search_path: true,
            limits: Limits::default(),
            groups: Vec::new(),
            wire: Some(Wire { address: OWN_ADDRESS, listeners }),
        }
    }

    /// The address of each name that it may call.
    fn names(&self) -> BTreeMap<&str, Ipv4Addr> {
        let names: BTreeSet<&str> = self.calls.iter().map(|call| call.name.as_str()).collect();
        let [first, second, ..] = OWN_ADDRESS.octets();
        let address = |index: u16| {
            let [third, fourth] = index.to_be_bytes();
            Ipv4Addr::new(first, second, third, fourth)
        };
        names.into_iter().zip((1..).map(address)).collect()
    }
}
