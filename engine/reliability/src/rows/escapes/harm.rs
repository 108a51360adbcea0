//! Whether an attack came through: what is looked at afterwards, from outside.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::attacks::Harm;
use super::scene::Prey;

/// What an input holds.
pub const DATA: &str = "data\n";

/// What is there after an attack.
pub struct Aftermath<'a> {
    /// What the attacker said.
    pub said: String,
    /// What it left as an output; perhaps nothing.
    pub output: &'a Path,
    /// What the next action reads of the input.
    pub input: String,
    /// Whether the attacker, or the build with it, succeeded.
    pub succeeded: bool,
    /// Whether anything is left in scratch folders.
    pub litter: bool,
}

/// What harm was done, if any.
pub fn of(harm: Harm, prey: &mut Prey, after: &Aftermath<'_>) -> Option<String> {
    let output = || read_all(after.output);
    match harm {
        Harm::Leak => {
            let seen = format!("{}{}", after.said, output());
            seen.contains(&prey.secret).then(|| "the secret got out".to_owned())
        }
        Harm::Damage => {
            (!prey.is_whole() || after.input != DATA).then(|| "a file of the machine is another".to_owned())
        }
        Harm::Tampered => (after.input != DATA).then(|| format!("the input is {:?} now", after.input)),
        Harm::Killed => {
            // Signals take a moment.
            std::thread::sleep(Duration::from_millis(50));
            (!prey.is_alive()).then(|| "the victim is dead".to_owned())
        }
        Harm::Granted => after.said.contains("came through").then(|| after.said.clone()),
        Harm::Taken => {
            let kind = std::fs::symlink_metadata(after.output).map(|metadata| metadata.file_type());
            let special = kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket() || kind.is_char_device());
            (after.succeeded || special).then(|| "it was taken as an output".to_owned())
        }
        Harm::Privileged => {
            let mode = std::fs::metadata(after.output).map_or(0, |metadata| metadata.mode());
            let capable = has_attribute(after.output, "security.capability");
            (mode & 0o6000 != 0 || capable).then(|| format!("mode {mode:o}, capabilities: {capable}"))
        }
        Harm::Marked => has_attribute(after.output, "user.secret").then(|| "the attribute is there".to_owned()),
        Harm::Left => (prey.left() > 0).then(|| "a process was left".to_owned()),
        Harm::Late => {
            std::thread::sleep(Duration::from_millis(900));
            output().contains("tampered").then(|| "the output changed afterwards".to_owned())
        }
        Harm::Litter => after.litter.then(|| "something was left in the scratch folder".to_owned()),
    }
}

/// The text of a file, or of all files below a folder, links followed.
fn read_all(path: &Path) -> String {
    // A pipe would not end.
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
        }
        Ok(metadata) if metadata.is_dir() => {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| read_all(&entry.path())).collect()
        }
        _ => String::new(),
    }
}

/// Python is on every machine that runs the tests; a crate for one call is not worth it.
fn has_attribute(path: &Path, name: &str) -> bool {
    let script = "import os, sys; sys.exit(0 if sys.argv[2] in os.listxattr(sys.argv[1]) else 1)";
    Command::new("python3").args(["-c", script]).arg(path).arg(name).status().is_ok_and(|status| status.success())
}
