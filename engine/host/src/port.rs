//! Who listens on a port of this machine, so that whoever cannot have it is told whom to ask.
//!
//! The kernel lists the listening sockets by inode, and of each process the sockets that it has open. Processes of other
//! users stay unknown.

use std::fs;

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its id.
    pub pid: u32,
    /// Its program, as the kernel names it.
    pub program: String,
}

/// The process that listens on a TCP port of this machine, if it can be seen.
pub fn listener(port: u16) -> Option<Listener> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(|line| listening_on(line, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let names = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.file_name());
    let mut pids: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    // A process comes before its children, which may have inherited the socket.
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| has_open(*pid, &sockets))?;
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned();
    Some(Listener { pid, program })
}

fn has_open(pid: u32, sockets: &[String]) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    open.any(|link| link.to_str().is_some_and(|link| sockets.iter().any(|socket| socket == link)))
}

/// The inode of a line such as `0: 0100007F:1F91 00000000:0000 0A ... inode ...` if it is a listener on the port.
fn listening_on(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit_once(':')?.1;
    (fields.get(3) == Some(&LISTEN) && u16::from_str_radix(local, 16) == Ok(port)).then(|| fields.get(9).copied())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line =
            "   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100";
        assert_eq!(listening_on(line, 0x1f91), Some("4711"));
        assert_eq!(listening_on(line, 80), None);
        assert_eq!(listening_on(&line.replace(" 0A ", " 01 "), 0x1f91), None);
        assert_eq!(listening_on("  sl  local_address rem_address   st tx_queue", 80), None);
    }

    #[test]
    fn the_own_listener_is_found() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = std::net::TcpListener::bind(address) else { continue };
            let port = socket.local_addr().unwrap().port();
            assert_eq!(listener(port).map(|listener| listener.pid), Some(std::process::id()), "{address}");
            drop(socket);
            assert_eq!(listener(port), None, "{address}");
        }
    }
}
