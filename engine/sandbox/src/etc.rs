//! The few files of /etc that the C library and language runtimes ask for.

use std::net::Ipv4Addr;

const LOCALHOST: &str = "127.0.0.1 localhost\n::1 localhost\n";

/// /etc/passwd with root, the user, and nobody.
pub(crate) fn passwd(user: u32, group: u32) -> String {
    let own = match user {
        0 | 65534 => String::new(),
        _ => format!("user:x:{user}:{group}:user:/tmp:/bin/sh\n"),
    };
    format!("root:x:0:0:root:/:/bin/sh\n{own}nobody:x:65534:65534:nobody:/:/bin/false\n")
}

/// /etc/group with the groups of [`passwd`].
pub(crate) fn group(group: u32) -> String {
    let own = match group {
        0 | 65534 => String::new(),
        _ => format!("user:x:{group}:\n"),
    };
    format!("root:x:0:\n{own}nogroup:x:65534:\n")
}

/// /etc/hosts with localhost and the names given.
pub(crate) fn hosts(names: &[(String, Ipv4Addr)]) -> String {
    names.iter().fold(LOCALHOST.to_owned(), |text, (name, address)| text + &format!("{address} {name}\n"))
}

/// /etc/nsswitch.conf: names come from files only.
pub(crate) fn nsswitch(dns: bool) -> String {
    format!("passwd: files\ngroup: files\nhosts: files{}\n", if dns { " dns" } else { "" })
}
