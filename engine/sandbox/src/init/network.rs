//! The sandbox's own network: loopback; for a container also one device that leads to the engine's listeners.
//!
//! The listeners are bound in a network namespace of their own, since a program that listens on a port of all addresses
//! could not do so beside a listener on that port. Two connected devices join the namespaces; nothing is forwarded
//! further.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen as listen_on, socket_with, sockopt};

use super::netlink::Netlink;
use super::step::Step;
use crate::channel::Channel;
use crate::spec::{Failure, PREFIX, Report, Wire};

/// Answers wait for each other, so none may take long.
const LONGEST_CONNECT: Duration = Duration::from_millis(500);

/// How many connections may wait until the engine accepts them.
const BACKLOG: i32 = 128;

/// The device inside the container, and its other end.
const DEVICES: (&str, &str) = ("eth0", "wire");

/// Brings loopback up.
pub(super) fn loopback_up() -> Result<(), Failure> {
    Netlink::new().and_then(|netlink| netlink.up("lo")).step(|| "bring loopback up")
}

/// Makes the container's network, and hands the listeners of its other end to the engine. Afterwards this process is
/// inside.
pub(super) fn connect_wire(wire: &Wire, channel: &Channel) -> Result<(), Failure> {
    let here = || File::open("/proc/self/ns/net");
    let outside = here().step(|| "open the network namespace")?;
    unshare(CloneFlags::CLONE_NEWNET).step(|| "make the container's network namespace")?;
    let inside = here().step(|| "open the container's network namespace")?;
    let netlink = Netlink::new().step(|| "configure the container's network")?;
    netlink.pair(DEVICES.0, DEVICES.1, outside.as_fd()).step(|| "make a pair of network devices (veth)")?;

    setns(&outside, CloneFlags::CLONE_NEWNET).step(|| "enter the network of the listeners")?;
    listen(wire, channel)?;

    setns(&inside, CloneFlags::CLONE_NEWNET).step(|| "enter the container's network")?;
    let configure = || -> io::Result<()> {
        netlink.address(DEVICES.0, wire.address, PREFIX)?;
        netlink.up(DEVICES.0)
    };
    configure().step(|| format!("give the container the address {}", wire.address))?;
    loopback_up()
}

/// Binds the sockets of the listeners at their addresses, and hands them over.
fn listen(wire: &Wire, channel: &Channel) -> Result<(), Failure> {
    let netlink = Netlink::new().step(|| "configure the network of the listeners")?;
    netlink.up(DEVICES.1).step(|| "bring the wire up")?;
    let mut known = Vec::new();
    for (index, (listener, open)) in wire.listeners.iter().enumerate() {
        if !known.contains(listener.ip()) {
            let step = || format!("make the address {}", listener.ip());
            netlink.address(DEVICES.1, *listener.ip(), PREFIX).step(step)?;
            known.push(*listener.ip());
        }
        let socket = bound(listener, *open).step(|| format!("bind {listener}"))?;
        channel.send(&Report::Listening(index), &[socket.as_fd()]).step(|| "hand over a listener")?;
    }
    Ok(())
}

/// A socket at an address. One that does not listen refuses connections until the engine lets it.
fn bound(address: &SocketAddrV4, open: bool) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // It may listen again while connections of before linger.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, address)?;
    if open {
        listen_on(&socket, BACKLOG)?;
    }
    Ok(socket)
}

/// Lets programs without privileges bind ports below 1024, as container engines do.
pub(super) fn allow_low_ports() -> Result<(), Failure> {
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").step(|| "allow ports below 1024")
}

/// Connects to a port on loopback. There this succeeds or fails at once, unless the listener accepts nothing.
pub(super) fn connect(port: u16) -> io::Result<TcpStream> {
    let attempt = |address| TcpStream::connect_timeout(&SocketAddr::new(address, port), LONGEST_CONNECT);
    attempt(Ipv4Addr::LOCALHOST.into()).or_else(|error| attempt(Ipv6Addr::LOCALHOST.into()).map_err(|_| error))
}
