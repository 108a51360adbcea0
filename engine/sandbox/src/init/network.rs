//! The sandbox's own network: loopback, and listeners that the engine serves.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};

use super::step::Step;
use crate::spec::Failure;

/// Answers wait for each other, so none may take long.
const LONGEST_CONNECT: Duration = Duration::from_millis(500);

/// Brings loopback up, by the one netlink message that this takes (rtnetlink(7), RTM_NEWLINK).
pub(super) fn loopback_up() -> Result<(), Failure> {
    let step = || "bring loopback up";
    let netlink =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute).step(step)?;
    sendto(netlink.as_raw_fd(), &link_up(1), &NetlinkAddr::new(0, 0), MsgFlags::empty()).step(step)?;
    let mut answer = [0; 256];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty()).step(step)?;
    // An acknowledgement is an error message whose error, after the 16 bytes of its header, is 0.
    let error = answer[..length]
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(-(Errno::EIO as i32), i32::from_ne_bytes);
    match error {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)).step(step),
    }
}

/// struct nlmsghdr, then struct ifinfomsg, that set IFF_UP on an interface and ask for an acknowledgement.
fn link_up(interface: i32) -> Vec<u8> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_AND_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_AND_ACK.to_ne_bytes());
    message.extend(1_u32.to_ne_bytes()); // sequence
    message.extend(0_u32.to_ne_bytes()); // sender
    message.extend([0; 4]); // family, padding, device type
    message.extend(interface.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes()); // flags
    message.extend(IFF_UP.to_ne_bytes()); // which flags change
    message
}

/// Lets programs without privileges bind ports below 1024, as container engines do.
pub(super) fn allow_low_ports() -> Result<(), Failure> {
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").step(|| "allow ports below 1024")
}

/// Binds a listener inside.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).step(|| format!("listen on {address} inside the container"))
}

/// Connects to a port on loopback. There this succeeds or fails at once, unless the listener accepts nothing.
pub(super) fn connect(port: u16) -> io::Result<TcpStream> {
    let attempt = |address| TcpStream::connect_timeout(&SocketAddr::new(address, port), LONGEST_CONNECT);
    attempt(Ipv4Addr::LOCALHOST.into()).or_else(|error| attempt(Ipv6Addr::LOCALHOST.into()).map_err(|_| error))
}
