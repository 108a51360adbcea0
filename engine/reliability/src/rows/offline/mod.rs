//! Row 20: after `build fetch`, nothing needs a network.
//!
//! A try is one command on one sample. It runs in a network namespace with nothing in it, so that whatever needs a network
//! fails, and under `strace`, so that what merely tries is counted: sockets of the internet, opened outside of the sandboxes'
//! own networks.

mod samples;
mod sockets;

use std::path::Path;
use std::process::Command;

use self::samples::{SAMPLES, Sample};
use self::sockets::Trace;
use crate::attempt::{Attempt, Outcome};
use crate::row::{Amount, Row, Tries};
use crate::trials::{Control, Trials};
use crate::workspace::{Run, Workspace};

/// The row.
pub const ROW: Row = Row {
    number: 20,
    title: "offline after `build fetch`: every sample builds, no socket is opened",
    // A sample each, and the system of this repository.
    tries: Tries { small: 5, full: 7 },
    run,
};

fn run(trials: &mut Trials) {
    if let Some(missing) = missing_tool() {
        trials.unavailable(missing);
        return;
    }
    // As a test, archives come from the store that this machine has; the figures are made with one that was empty.
    let fresh = (trials.settings().amount == Amount::Full).then(|| tempfile::tempdir().expect("a folder for a store"));
    let store = fresh.as_ref().map_or_else(samples::machine_store, |folder| folder.path().join("store"));
    trials.each(|attempt| {
        let sample = &SAMPLES[attempt.index as usize % SAMPLES.len()];
        offline(attempt, sample, &store, fresh.is_some()).map_err(|message| format!("{}: {message}", sample.name))
    });
    if let Some(folder) = fresh {
        // Read-only folders of a store do not go by themselves.
        let _ = host::fs::remove_tree(folder.path());
    }
    trials.control(
        Control::Positive,
        "without `build fetch`, a build opens sockets, fails, and says what to type",
        unfetched,
    );
    trials.control(Control::Positive, "a socket outside of a sandbox is counted, one inside is not", counted);
}

/// The tools that the row needs besides those of the engine.
fn missing_tool() -> Option<String> {
    let works = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if !works("strace", &["-V"]) {
        return Some("`strace` is not installed".to_owned());
    }
    (!works("unshare", &["--net", "true"])).then(|| "network namespaces cannot be made".to_owned())
}

fn offline(attempt: &Attempt, sample: &Sample, store: &Path, fresh: bool) -> Outcome {
    let workspace = attempt.workspace_with_store("w", store.to_owned());
    sample.write(&workspace, salt(attempt, "fetched"));
    workspace.run(&["fetch", "//..."]).expect(0)?;
    for arguments in sample.commands.iter().filter(|_| fresh) {
        // With toolchains to build from nothing. Compilers are slow under `strace`, so here sent packets are counted.
        let (run, packets) = counted_packets(attempt, &workspace, arguments)?;
        run.expect(0).map_err(|message| format!("`build {}` offline: {message}", arguments.join(" ")))?;
        if packets > 0 {
            return Err(format!("`build {}` sent {packets} packets", arguments.join(" ")));
        }
    }
    sample.write(&workspace, salt(attempt, "traced"));
    let mut ran = 0;
    for arguments in sample.traced.unwrap_or(sample.commands) {
        let (run, trace) = cut_off(attempt, &workspace, arguments)?;
        let run = run.expect(0).map_err(|message| format!("`build {}` offline: {message}", arguments.join(" ")))?;
        if trace.calls == 0 {
            return Err("strace saw nothing".to_owned());
        }
        if !trace.outside.is_empty() {
            return Err(format!("`build {}` opened sockets:\n{}", arguments.join(" "), trace.outside.join("\n")));
        }
        ran += run.actions("Ran");
    }
    if ran == 0 { Err("nothing was built offline".to_owned()) } else { Ok(()) }
}

/// What makes sources such as no store has seen, so that there is something to do offline. Not of the seed: the store of
/// the machine knows what the same seed made before.
fn salt(attempt: &Attempt, phase: &str) -> u64 {
    let digest = model::Digest::of(format!("{} {phase}", attempt.folder().display()).as_bytes());
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("a digest has more than eight bytes"))
}

/// Runs a command of the program where there is no network, and counts its sockets.
fn cut_off(attempt: &Attempt, workspace: &Workspace, arguments: &[&str]) -> Result<(Run, Trace), String> {
    let log = attempt.folder().join("strace");
    let run = workspace.finish(arguments, |command| traced(command, &log).output().expect("strace starts"));
    let text = std::fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    Ok((run, Trace::read(&text)))
}

/// The same without `strace`: what is counted is what the program tried to send.
fn counted_packets(attempt: &Attempt, workspace: &Workspace, arguments: &[&str]) -> Result<(Run, u64), String> {
    const SCRIPT: &str = "log=$1; shift; \"$@\"; code=$?; cat /proc/net/snmp > \"$log\"; exit $code";
    let log = attempt.folder().join("packets");
    let run = workspace.finish(arguments, |command| {
        let mut words = vec!["--net".into(), "sh".into(), "-c".into(), SCRIPT.into(), "sh".into()];
        words.extend([log.as_os_str().to_owned(), command.get_program().to_owned()]);
        words.extend(command.get_args().map(ToOwned::to_owned));
        like(command, "unshare").args(words).output().expect("unshare starts")
    });
    let text = std::fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    Ok((run, sockets::packets(&text)?))
}

/// Another program in the folder and with the environment of a command.
fn like(command: &Command, program: &str) -> Command {
    let mut other = Command::new(program);
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => _ = other.env(name, value),
            None => _ = other.env_remove(name),
        }
    }
    other.stdin(std::process::Stdio::null());
    other
}

/// The same command in an empty network, under strace.
fn traced(command: &Command, log: &Path) -> Command {
    let mut traced = like(command, "strace");
    traced.args(["-f", "-qq", "--seccomp-bpf", "--pidns-translation", "-s", "200", "-e", "signal=none", "-e"]);
    traced.arg(format!("trace={}", sockets::CALLS)).arg("-o").arg(log);
    traced.args(["unshare", "--net"]).arg(command.get_program()).args(command.get_args());
    traced
}

fn unfetched(attempt: &mut Attempt) -> Outcome {
    let workspace = attempt.workspace("w");
    SAMPLES[0].write(&workspace, salt(attempt, "unfetched"));
    let (run, trace) = cut_off(attempt, &workspace, &["build", "//..."])?;
    if run.code == 0 || trace.outside.is_empty() {
        return Err(format!("exit code {}, {} sockets\n{}", run.code, trace.outside.len(), run.stderr));
    }
    run.says("build fetch")?;
    let (_, packets) = counted_packets(attempt, &workspace, &["build", "//..."])?;
    if packets == 0 {
        return Err("no packet was counted".to_owned());
    }
    // And with a network, fetching works.
    workspace.run(&["fetch", "//..."]).expect(0)?;
    cut_off(attempt, &workspace, &["build", "//..."])?.0.expect(0).map(drop)
}

/// A program that opens a socket, once in the network of the command and once in one of its own.
fn counted(attempt: &mut Attempt) -> Outcome {
    let sockets = |script: &str| {
        let log = attempt.folder().join("strace");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let output = traced(&command, &log).output().map_err(|error| error.to_string())?;
        let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
        if output.status.success() { Ok(Trace::read(&text)) } else { Err(format!("{output:?}")) }
    };
    let open = "python3 -c 'import socket; socket.socket()'";
    let (outside, inside) = (sockets(open)?, sockets(&format!("unshare --net --fork --pid sh -c \"{open}; true\""))?);
    if outside.outside.len() == 1 && inside.outside.is_empty() && inside.inside == 1 {
        return Ok(());
    }
    Err(format!("outside: {outside:?}\ninside: {inside:?}"))
}
