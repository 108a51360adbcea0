//! Network namespaces with loopback up, used again as long as nothing has happened in them.
//!
//! A network namespace is by far the most expensive of the namespaces, and most commands never open a socket. One is used
//! again only when everything that its users could have left or counted is as it was when it was new: no socket is there
//! (a name in the abstract space, a listener and a connection that lingers are sockets), nothing has passed through
//! loopback, and no counter of the protocols has moved. Nobody inside may configure it: it belongs to the user namespace
//! of the process that forks.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;

use nix::sched::{CloneFlags, setns, unshare};

use super::raw;
use super::step::Step;
use crate::spec::Failure;

/// Counters of a namespace: those of its devices and of all protocols.
const COUNTERS: [&str; 3] = ["dev", "snmp", "snmp6"];

/// Its sockets. Only the first line is about this namespace alone.
const SOCKETS: &str = "sockstat";

/// That line when there is none.
const NO_SOCKETS: &[u8] = b"sockets: used 0";

/// Longer than each of those files; what is cut off would not be compared.
const LONGEST: usize = 16 * 1024;

/// Namespaces that nobody is in.
#[derive(Default)]
pub(super) struct Networks(Vec<Network>);

/// One namespace.
pub(super) struct Network {
    namespace: File,
    /// Its counters and sockets; they stay open, since opening costs more than reading.
    counters: Vec<File>,
    sockets: File,
    /// What the counters said when it was new.
    fresh: Vec<u8>,
}

impl Networks {
    /// Enters a namespace that is like new; children made now are in it.
    pub fn enter(&mut self) -> Result<Network, Failure> {
        match self.0.pop() {
            Some(network) => {
                setns(&network.namespace, CloneFlags::CLONE_NEWNET).step(|| "enter a network namespace")?;
                Ok(network)
            }
            None => Network::new(),
        }
    }

    /// Takes back a namespace whose users are dead, if nothing has happened in it.
    pub fn leave(&mut self, network: Network) {
        if network.has_no_sockets().is_ok_and(|none| none) && network.state().is_ok_and(|now| now == network.fresh) {
            self.0.push(network);
        }
    }
}

impl Network {
    fn new() -> Result<Self, Failure> {
        unshare(CloneFlags::CLONE_NEWNET).step(|| "make a network namespace")?;
        loopback_up().step(|| "bring loopback up")?;
        let open = |name: &str| File::open(format!("/proc/thread-self/{name}"));
        let files = || -> io::Result<Self> {
            let counters = COUNTERS.iter().map(|name| open(&format!("net/{name}")));
            // A kernel without IPv6 does not count for it.
            let counters = counters.filter(|file| !file.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound));
            let counters = counters.collect::<io::Result<_>>()?;
            let sockets = open(&format!("net/{SOCKETS}"))?;
            let mut network = Self { namespace: open("ns/net")?, counters, sockets, fresh: Vec::new() };
            network.fresh = network.state()?;
            Ok(network)
        };
        files().step(|| "look at a new network namespace")
    }

    /// Whether no socket is left.
    fn has_no_sockets(&self) -> io::Result<bool> {
        let sockets = read(&self.sockets)?;
        Ok(sockets.split(|byte| *byte == b'\n').next() == Some(NO_SOCKETS))
    }

    /// All counters that could tell somebody inside that there was somebody before.
    fn state(&self) -> io::Result<Vec<u8>> {
        let mut state = Vec::new();
        for file in &self.counters {
            state.extend(read(file)?);
        }
        Ok(state)
    }
}

/// Brings loopback up through a local socket: that is gone once it is closed, a netlink socket some time later.
fn loopback_up() -> io::Result<()> {
    raw::bring_up_loopback(UnixDatagram::unbound()?.as_fd())?;
    Ok(())
}

/// The file as it is now.
fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; LONGEST];
    let mut length = 0;
    while length < LONGEST {
        match file.read_at(&mut bytes[length..], length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}
