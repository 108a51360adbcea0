//! What `strace` saw: sockets of the internet, and in whose network they were opened.

use std::collections::{BTreeMap, BTreeSet};

/// The system calls that have to be traced.
pub const CALLS: &str = "socket,clone,clone3,fork,vfork,unshare,setns,execve";

/// The sockets in a trace.
#[derive(Debug, Default)]
pub struct Trace {
    /// Calls that were seen.
    pub calls: usize,
    /// Sockets of the internet in the network of the command itself: the call, and the program that made it.
    pub outside: Vec<String>,
    /// How many were opened in networks that processes made for themselves.
    pub inside: usize,
}

/// A process of the trace.
#[derive(Debug, Clone, Default)]
struct Process {
    program: String,
    /// Whether it has a network of its own.
    apart: bool,
}

impl Trace {
    /// Reads the output of `strace -f --pidns-translation`: a process's number, then its call.
    pub fn read(text: &str) -> Self {
        let mut trace = Self::default();
        let mut processes: BTreeMap<&str, Process> = BTreeMap::new();
        // The arguments of calls that returned later.
        let mut pending: BTreeMap<&str, &str> = BTreeMap::new();
        let apart = apart_from_birth(text);
        let mut first = true;
        for line in text.lines() {
            let Some((pid, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            let mut process = processes.get(pid).cloned().unwrap_or_default();
            process.apart |= apart.contains(pid);
            let call = match (rest.strip_suffix(" <unfinished ...>"), rest.starts_with("<... ")) {
                (Some(begun), _) => {
                    pending.insert(pid, begun);
                    begun
                }
                (None, true) => pending.remove(pid).unwrap_or(rest),
                (None, false) => rest,
            };
            trace.calls += 1;
            if let Some(path) = call.strip_prefix("execve(\"").and_then(|rest| rest.split('"').next()) {
                process.program = path.to_owned();
            }
            let leaves = call.starts_with("unshare(") || call.starts_with("setns(");
            // The first of all is the `unshare` that cuts the command off.
            if leaves && call.contains("CLONE_NEWNET") && !std::mem::take(&mut first) {
                process.apart = true;
            }
            let opened = call.starts_with("socket(AF_INET") && !rest.starts_with("<... ");
            match (opened, process.apart) {
                (true, true) => trace.inside += 1,
                (true, false) => trace.outside.push(format!("{pid} {}: {call}", process.program)),
                _ => {}
            }
            if let Some(child) = child_of(call, rest) {
                processes.entry(child).or_insert_with(|| process.clone()).apart |= process.apart;
            }
            processes.insert(pid, process);
        }
        trace
    }
}

/// The processes that began in a network of their own: a child's first call may be written before its parent's return.
fn apart_from_birth(text: &str) -> BTreeSet<&str> {
    let mut pending: BTreeMap<&str, &str> = BTreeMap::new();
    let mut apart = BTreeSet::new();
    let mut first = true;
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            pending.insert(pid, begun);
            continue;
        }
        let call = if rest.starts_with("<... ") { pending.remove(pid).unwrap_or(rest) } else { rest };
        let leaves = call.contains("CLONE_NEWNET");
        if leaves && (call.starts_with("unshare(") || call.starts_with("setns(")) && !std::mem::take(&mut first) {
            apart.insert(pid);
        }
        if let Some(child) = child_of(call, rest)
            && (leaves || apart.contains(pid))
        {
            apart.insert(child);
        }
    }
    // Whoever left its first network later was outside before, and its sockets count in order.
    let left: BTreeSet<&str> = text.lines().filter_map(|line| left_network(line)).collect();
    apart.difference(&left).copied().collect()
}

/// How much was sent or could not be, from `/proc/net/snmp`: a line of names and a line of numbers for each protocol.
pub fn packets(text: &str) -> Result<u64, String> {
    let mut lines = text.lines().filter(|line| line.starts_with("Ip:")).map(|line| line.split_whitespace());
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else {
        return Err(format!("not what /proc/net/snmp says: {text}"));
    };
    let counted = names.zip(numbers).filter(|(name, _)| matches!(*name, "OutRequests" | "OutNoRoutes"));
    Ok(counted.filter_map(|(_, number)| number.parse::<u64>().ok()).sum())
}

/// The process that leaves its network by itself.
fn left_network(line: &str) -> Option<&str> {
    let (pid, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    ((rest.starts_with("unshare(") || rest.starts_with("setns(")) && rest.contains("CLONE_NEWNET")).then_some(pid)
}

/// The child that a call made, by the number that strace gives it.
fn child_of<'a>(call: &str, line: &'a str) -> Option<&'a str> {
    if !["clone(", "clone3(", "fork(", "vfork("].iter().any(|name| call.starts_with(name)) {
        return None;
    }
    let result = line.rsplit_once(" = ")?.1;
    // `5 /* 1240 in strace's PID NS */`
    let number = match result.split_once("/* ") {
        Some((_, translated)) => translated.split(' ').next()?,
        None => result.split(' ').next()?,
    };
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)
}
