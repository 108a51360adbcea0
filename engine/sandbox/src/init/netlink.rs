//! The few rtnetlink(7) requests that set up a network: a pair of devices, addresses, and bringing devices up.

use std::ffi::CString;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;

/// NLM_F_REQUEST | NLM_F_ACK, for a change.
const CHANGE: u16 = 0x005;
/// The same with NLM_F_EXCL | NLM_F_CREATE, for something new.
const CREATE: u16 = 0x605;

const IFF_UP: u32 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// Speaks to the network namespace in which it was made.
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub fn new() -> io::Result<Self> {
        let (kind, flags) = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
        Ok(Self(socket(AddressFamily::Netlink, kind, flags, SockProtocol::NetlinkRoute)?))
    }

    /// Brings a device up.
    pub fn up(&self, device: &str) -> io::Result<()> {
        self.request(RTM_NEWLINK, CHANGE, &link(index(device)?, IFF_UP))
    }

    /// Makes two connected devices: one here, the other in another namespace.
    pub fn pair(&self, here: &str, there: &str, namespace: impl AsFd) -> io::Result<()> {
        let descriptor = namespace.as_fd().as_raw_fd().to_ne_bytes();
        let peer = [link(0, 0), text(IFLA_IFNAME, there)?, attribute(IFLA_NET_NS_FD, &descriptor)].concat();
        let kind = attribute(IFLA_INFO_KIND, b"veth");
        let data = attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &peer));
        let info = attribute(IFLA_LINKINFO, &[kind, data].concat());
        self.request(RTM_NEWLINK, CREATE, &[link(0, 0), text(IFLA_IFNAME, here)?, info].concat())
    }

    /// Gives a device an address.
    pub fn address(&self, device: &str, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        const AF_INET: u8 = 2;
        let head = [&[AF_INET, prefix, 0, 0][..], &index(device)?.to_ne_bytes()].concat();
        let octets = address.octets();
        let body = [head, attribute(IFA_LOCAL, &octets), attribute(IFA_ADDRESS, &octets)].concat();
        self.request(RTM_NEWADDR, CREATE, &body)
    }

    /// Sends one request and waits for its acknowledgement.
    fn request(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]); // sequence and sender: one request at a time needs neither
        message.extend(body);
        sendto(self.0.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answer = [0; 1024];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // An acknowledgement is an error message whose error, after the 16 bytes of its header, is 0.
        let error = answer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
        match error.unwrap_or(-(Errno::EIO as i32)) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(-errno)),
        }
    }
}

fn index(device: &str) -> io::Result<u32> {
    Ok(if_nametoindex(device)?)
}

/// struct ifinfomsg for a device (0: none yet) and flags that change.
fn link(index: u32, flags: u32) -> Vec<u8> {
    [0, index, flags, flags].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// struct rtattr with its value, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // Values are a few dozen bytes.
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn text(kind: u16, value: &str) -> io::Result<Vec<u8>> {
    Ok(attribute(kind, CString::new(value)?.as_bytes_with_nul()))
}
