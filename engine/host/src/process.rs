//! Processes of the machine itself: package clients that are asked for their settings, programs that `build run` starts.
//! Actions never run through here; they go through `sandbox`.

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a program to its end and returns its standard output if it exited with 0. `None` when it is missing or failed.
pub fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command that inherits the terminal, for `build run`.
pub fn interactive(program: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// A command to be filled in by the caller.
pub fn command(program: &Path) -> Command {
    Command::new(program)
}
