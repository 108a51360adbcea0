//! What attacks are after: a file with a secret, a file to damage, servers, a process. All made for one try.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::attempt::Attempt;
use crate::payload;
use crate::servers::Servers;

/// The user and group that own nothing.
const NOBODY: &str = "65534";

/// What the file to damage holds.
const WHOLE: &str = "whole\n";

/// What there is to be had.
pub struct Prey {
    /// What must not get out.
    pub secret: String,
    folder: PathBuf,
    servers: Servers,
    victim: Child,
    address: String,
    number: u64,
}

impl Prey {
    /// Puts it below the folder of a try. With `as_nobody` the victim is a process of that user.
    pub fn set_out(attempt: &mut Attempt, as_nobody: bool) -> Result<Self, String> {
        let number = u64::from(std::process::id()) * 1000 + attempt.dice.u64(..1000) + attempt.index % 1000 * 1000;
        let secret = format!("secret-{:016x}", attempt.dice.u64(..));
        let folder = attempt.folder().join("prey");
        let line = format!("{secret}\n");
        let files = [
            ("file", &line, 0o644),
            ("evil", &line, 0o644),
            ("t.evil", &line, 0o644),
            ("writable", &WHOLE.to_owned(), 0o666),
        ];
        for (name, text, mode) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, text)).map_err(|e| e.to_string())?;
            open(&path, mode)?;
        }
        open(&folder, 0o777)?;
        open(attempt.folder(), 0o777)?;
        let servers = Servers::start(&secret).map_err(|error| format!("servers: {error}"))?;
        let (victim, address) = start_victim(&secret, number, as_nobody)?;
        Ok(Self { secret, folder, servers, victim, address, number })
    }

    /// A file of it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where all is, for the attacker.
    pub fn coordinates(&self) -> Vec<String> {
        let path = |name: &str| self.at(name).display().to_string();
        let handle =
            Command::new(payload::path("attack")).arg("tell-handle").arg(format!("file={}", path("file"))).output();
        let handle = handle.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        vec![
            format!("file={}", path("file")),
            format!("folder={}", self.folder.display()),
            format!("writable={}", path("writable")),
            format!("handle={handle}"),
            format!("tcp={}", self.servers.tcp),
            format!("udp={}", self.servers.udp),
            format!("abstract={}", self.servers.name),
            format!("socket={}", self.servers.socket.display()),
            format!("pid={}", self.victim.id()),
            format!("address={}", self.address),
            format!("key={}", key(self.number)),
            format!("name={}", name(self.number)),
            format!("mark={}", self.mark()),
        ]
    }

    /// A word among the arguments of processes that are left behind.
    pub fn mark(&self) -> String {
        format!("mark-{}", self.number)
    }

    /// Whether the file to damage is as it was.
    pub fn is_whole(&self) -> bool {
        std::fs::read_to_string(self.at("writable")).is_ok_and(|text| text == WHOLE)
    }

    /// Whether the victim lives.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.victim.try_wait(), Ok(None))
    }

    /// Processes of this machine that the attack left, which are ended.
    pub fn left(&self) -> usize {
        let mark = self.mark();
        let marked = |folder: &Path| {
            let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
            line.starts_with(b"attack\0linger\0") && line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
        };
        let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        let left: Vec<i32> = folders
            .filter(|folder| marked(folder))
            .filter_map(|folder| folder.file_name()?.to_str()?.parse().ok())
            .collect();
        for process in &left {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*process), nix::sys::signal::Signal::SIGKILL);
        }
        left.len()
    }
}

impl Drop for Prey {
    fn drop(&mut self) {
        // Its standard input ends, and it takes away what it shared; a dead one has left that.
        drop(self.victim.stdin.take());
        let _ = self.victim.wait();
        let _ = std::fs::remove_file(format!("/dev/shm{}", name(self.number)));
        self.left();
    }
}

fn key(number: u64) -> u64 {
    number % 0x4000_0000 + 1
}

fn name(number: u64) -> String {
    format!("/build-reliability-{number}")
}

fn start_victim(secret: &str, number: u64, as_nobody: bool) -> Result<(Child, String), String> {
    let program = payload::path("attack").display().to_string();
    let own = [program.as_str()];
    let user = ["setpriv", &format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups", &program];
    let words: &[&str] = if as_nobody { &user } else { &own };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg("victim");
    command.args([format!("secret={secret}"), format!("key={}", key(number)), format!("name={}", name(number))]);
    command.env("SECRET", secret).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let mut victim = command.spawn().map_err(|error| format!("the victim: {error}"))?;
    let mut address = String::new();
    let stdout = victim.stdout.take().ok_or("the victim has no output")?;
    BufReader::new(stdout).read_line(&mut address).map_err(|error| format!("the victim: {error}"))?;
    Ok((victim, address.trim().to_owned()))
}

fn open(path: &Path, mode: u32) -> Result<(), String> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| format!("{}: {e}", path.display()))
}
