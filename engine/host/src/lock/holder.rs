//! Who holds a lock: so that whoever waits for long can be told whom for.
//!
//! The kernel does not say it of a lock, but of each open file of a process which locks it has. So all processes are gone
//! through, which takes milliseconds: for those who have waited for longer than that. Those of other users, and of other
//! containers, stay unknown.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Whether it was stopped, by Ctrl-Z for example, so that it will hold the lock until somebody lets it go on.
    pub is_stopped: bool,
}

/// The process, other than this one, that holds a lock on a file: on the byte at an offset, or on the whole file.
pub fn holder(path: &Path, offset: Option<u64>) -> Option<Holder> {
    let inode = fs::metadata(path).ok()?.ino();
    let own = std::process::id();
    let names = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.file_name());
    let mut pids: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    // A process comes before its children, which may have inherited the open file.
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| *pid != own && holds(*pid, path, inode, offset))?;
    Some(Holder { pid, is_stopped: is_stopped(pid) })
}

fn holds(pid: u32, path: &Path, inode: u64, offset: Option<u64>) -> bool {
    let folder = format!("/proc/{pid}/fdinfo");
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        text.lines().any(|line| is_lock(line, inode, offset)) && {
            // Inodes of other file systems may have the same number.
            let open = format!("/proc/{pid}/fd/{}", entry.file_name().to_string_lossy());
            same_file(Path::new(&open), path)
        }
    })
}

fn same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Whether a line such as `lock: 1: OFDLCK ADVISORY WRITE -1 fe:00:9978281 12 12` is about this inode and offset.
fn is_lock(line: &str, inode: u64, offset: Option<u64>) -> bool {
    let Some(rest) = line.strip_prefix("lock:") else { return false };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let [_, kind, _, _, _, file, start, _] = fields[..] else { return false };
    let expected = if offset.is_some() { "OFDLCK" } else { "FLOCK" };
    kind == expected
        && file.rsplit(':').next().is_some_and(|number| number.parse() == Ok(inode))
        && offset.is_none_or(|offset| start.parse() == Ok(offset))
}

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let byte = "lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:77 12 12";
        assert!(is_lock(byte, 77, Some(12)));
        assert!(!is_lock(byte, 77, Some(1)) && !is_lock(byte, 78, Some(12)) && !is_lock(byte, 77, None));
        assert!(is_lock("lock:\t1: FLOCK  ADVISORY  WRITE 359 fe:00:77 0 EOF", 77, None));
        assert!(!is_lock("pos:\t0", 0, None));
    }

    #[test]
    fn a_process_is_found_by_its_lock_and_its_own_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let own = fs::File::create(&path).unwrap();
        own.lock().unwrap();
        assert_eq!(holder(&path, None), None);
        own.unlock().unwrap();
        let mut other = Command::new("flock")
            .arg(&path)
            .args(["-c", "echo locked; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut [0; 7]).unwrap();
        let pid = other.id();
        assert_eq!(holder(&path, None), Some(Holder { pid, is_stopped: false }));
        let signal = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
        signal(nix::sys::signal::SIGSTOP);
        let began = std::time::Instant::now();
        while holder(&path, None) != Some(Holder { pid, is_stopped: true }) {
            assert!(began.elapsed() < std::time::Duration::from_secs(20));
        }
        signal(nix::sys::signal::SIGCONT);
        drop(other.stdin.take());
        other.wait().unwrap();
        assert_eq!(holder(&path, None), None);
    }
}
