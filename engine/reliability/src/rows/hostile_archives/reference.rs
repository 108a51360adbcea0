//! The reference reader: Python's `tarfile` and `zipfile`, and `dpkg-deb`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::package::Package;
use super::{Found, found};

const SCRIPT: &str = include_str!("reference.py");

/// What this machine lacks for it.
pub fn missing() -> Option<String> {
    let lacks = |program: &str, flag: &str| Command::new(program).arg(flag).output().is_err();
    if lacks("python3", "--version") || lacks("dpkg-deb", "--version") {
        return Some("the reference readers, python3 and dpkg-deb, are not here".to_owned());
    }
    None
}

/// What it finds in packages.
pub fn list(packages: &[Package]) -> Result<Vec<Found>, String> {
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT, "list"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("python3: {error}"))?;
    let lines: String = packages.iter().map(|package| format!("{}\n", package.json())).collect();
    child.stdin.take().expect("it is piped").write_all(lines.as_bytes()).map_err(|error| error.to_string())?;
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let answers: Vec<Found> = String::from_utf8_lossy(&output.stdout).lines().map(found).collect();
    if answers.len() != packages.len() {
        return Err(format!("the reference reader failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(answers)
}

/// Unpacks a package as a careless program does.
pub fn naive(package: &Package, folder: &Path) {
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT, "naive", package.kind]).arg(&package.paths[0]).arg(folder);
    // Its errors do not matter: what it has written until then is looked at.
    let _ = command.stderr(Stdio::null()).status();
}
