//! Row 3: what an action did not declare it does not see; or it sees the same everywhere; or it is part of its key.
//!
//! A try takes one kind of undeclared input and one way of running a process: by the shell, as a program of its own, or
//! in a persistent worker. First the same program looks without a sandbox, on two machines that differ: what it does not
//! see there, or sees alike on both, would say nothing. Then an action looks in a fresh build on both machines.
//!
//! What no sandbox can take away or make equal is no kind, but a note of the row: see `NOTES`.

mod kinds;
mod machine;

use crate::attempt::{Attempt, Outcome};
use crate::payload;
use crate::row::{Amount, Row, Tries};
use crate::servers::Servers;
use crate::trials::{Control, Trials};
use kinds::{Expect, Kind};
use machine::Machine;

/// The row.
pub const ROW: Row = Row {
    number: 3,
    title: "undeclared inputs: each fails by name, is the same everywhere, or is in the key",
    tries: Tries { small: kinds::ALL.len() as u64, full: kinds::ALL.len() as u64 * 3 },
    run,
};

/// What an action sees, and no sandbox of the kernel's can change: it is left to tools and to comparing two builds.
const NOTES: [&str; 3] = [
    "not kept from actions: the clock, random bytes, the kernel's version (uname), how many processors and how much \
     memory there are (sched_getaffinity, sysinfo), inode numbers, counts of links, the order of a folder's entries, \
     the nice value; in /proc/self/mountinfo and /proc/self/fd, where the store is",
    "against the clock: time stamps of outputs are no part of their content, those of inputs are fixed, and \
     SOURCE_DATE_EPOCH is set; what a tool writes into a file nonetheless shows when two builds are compared (a control)",
    "a display, an agent with keys and a daemon are tried as what they are to a process: a variable and a socket",
];

/// How the process of the action runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Shell,
    Program,
    Worker,
}

const WAYS: [Way; 3] = [Way::Shell, Way::Program, Way::Worker];

fn run(trials: &mut Trials) {
    if !crate::place::is_root() {
        trials.unavailable("two machines that differ: this process is not root");
        return;
    }
    payload::path("probe");
    let count = kinds::ALL.len() as u64;
    let rounds = if trials.settings().amount == Amount::Full { 3 } else { 1 };
    trials.over(kinds::ALL, rounds, |attempt, kind| {
        // A small run takes another way for each kind, so that all ways are there.
        let way = match WAYS[((attempt.index / count + attempt.index) % 3) as usize] {
            // What a worker reads from standard input are its requests.
            Way::Worker if kind.look.0 == "stdin" => Way::Program,
            way => way,
        };
        trial(attempt, kind, way).map_err(|message| format!("{} ({way:?}): {message}", kind.name))
    });
    for way in WAYS {
        trials.control(Control::Negative, &format!("a declared file ({way:?})"), |attempt| declared(attempt, way));
    }
    trials.control(Control::Positive, "the clock in an output is found", |attempt| {
        let kind = Kind { name: "clock", look: ("clock", "-"), outside: None, shell: None, expect: Expect::Fixed };
        match trial(attempt, &kind, Way::Program) {
            Err(message) if message.contains("differ") => Ok(()),
            other => Err(format!("two builds with the clock in an output were taken for equal: {other:?}")),
        }
    });
    // Without a sandbox, paths below /tmp are led to a folder of the action's own; the machine's are reached by another way.
    let file = ("read", "/proc/self/root{folder}/canary");
    for (name, look) in [("a file", file), ("a server", ("unix", "@{abstract}")), ("a tool", ("run", "cc"))] {
        let kind = Kind { name, look, outside: None, shell: None, expect: Expect::Refused("") };
        trials.control(Control::Positive, &format!("{name} is seen without a sandbox"), |attempt| {
            unguarded(attempt, &kind)
        });
    }
    Machine::clean();
    NOTES.into_iter().for_each(|note| trials.note(note));
}

fn trial(attempt: &Attempt, kind: &Kind, way: Way) -> Outcome {
    let servers = &Servers::start("sings").map_err(|error| error.to_string())?;
    let mut machines = [Machine::this(attempt), Machine::other(attempt)];
    for machine in &mut machines {
        write(machine, kind, way, servers);
        machine.ready(attempt.folder())?;
    }
    match kind.expect {
        Expect::Refused(text) => machines.iter().try_for_each(|machine| refused(machine, kind, text, servers)),
        Expect::Fixed => fixed(&machines, kind, servers),
        Expect::Keyed => keyed(&machines[0], kind),
    }
}

/// What the probe sees without a sandbox.
fn outside(machine: &Machine, kind: &Kind, servers: &Servers) -> Result<std::process::Output, String> {
    let (what, argument) = kind.outside.unwrap_or(kind.look);
    machine.look(what, &machine.text(argument, servers))
}

fn refused(machine: &Machine, kind: &Kind, text: &str, servers: &Servers) -> Outcome {
    machine.run(&["build", "//p:sibling", "//lib:made"])?;
    let seen = outside(machine, kind, servers)?;
    if !seen.status.success() || seen.stdout.is_empty() {
        return Err(format!("nothing of it is there on the machine: {}", String::from_utf8_lossy(&seen.stderr)));
    }
    let reached = servers.reached();
    let output = machine.run(&["build", "//p:t"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        let made = std::fs::read_to_string(machine.root().join("build-out/p/t.out"));
        return Err(format!("the action succeeded, and saw {made:?}\n{said}"));
    }
    if matches!(kind.look.0, "tcp" | "udp" | "unix") && servers.reached() != reached {
        return Err(format!("a server was reached\n{said}"));
    }
    let text = machine.text(text, servers);
    let hints: Vec<&str> = said.lines().filter(|line| line.contains("hint: ")).collect();
    match hints.iter().any(|line| line.contains(&text)) {
        true => Ok(()),
        false => Err(format!("no hint has {text:?}:\n{said}")),
    }
}

fn fixed(machines: &[Machine; 2], kind: &Kind, servers: &Servers) -> Outcome {
    machines[0].run(&["build", "//p:sibling"])?;
    let seen = [outside(&machines[0], kind, servers)?, outside(&machines[1], kind, servers)?];
    if seen[0].stdout == seen[1].stdout {
        let text = String::from_utf8_lossy(&seen[0].stdout);
        return Err(format!("the machines are alike in it, which says nothing: {text}"));
    }
    let mut made = Vec::new();
    for machine in machines {
        made.push(build(machine)?);
    }
    match made[0] == made[1] {
        true => Ok(()),
        false => Err(format!("the outputs differ:\n{}---\n{}", made[0], made[1])),
    }
}

/// Builds the target; its output.
fn build(machine: &Machine) -> Result<String, String> {
    let output = machine.run(&["build", "//p:t"])?;
    if !output.status.success() {
        return Err(format!("the build failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let path = machine.root().join("build-out/p/t.out");
    std::fs::read(&path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Builds, changes what the workspace does not name, and builds again.
fn keyed(machine: &Machine, kind: &Kind) -> Outcome {
    let before = build(machine)?;
    std::fs::write(machine.root().join("../outside.txt"), "second\n").map_err(|e| e.to_string())?;
    machine.write("p/mode.sh", b"", 0o755);
    machine.write("p/some/new.txt", b"", 0o644);
    let after = build(machine)?;
    if before == after {
        return Err(format!("{} changed, and the output did not: {before}", kind.name));
    }
    // And back: the first key is met again.
    std::fs::write(machine.root().join("../outside.txt"), "first\n").map_err(|e| e.to_string())?;
    machine.write("p/mode.sh", b"", 0o644);
    let _ = std::fs::remove_file(machine.root().join("p/some/new.txt"));
    match build(machine)? == before {
        true => Ok(()),
        false => Err("back at the first state, the output is not the first one".to_owned()),
    }
}

fn declared(attempt: &Attempt, way: Way) -> Outcome {
    let servers = &Servers::start("sings").map_err(|error| error.to_string())?;
    let look = ("read", "p/declared.txt");
    let shell = Some("cat p/declared.txt > $@");
    let kind = Kind { name: "declared", look, outside: None, shell, expect: Expect::Fixed };
    let mut machine = Machine::this(attempt);
    write(&machine, &kind, way, servers);
    machine.ready(attempt.folder())?;
    match build(&machine)?.as_str() {
        "declared\n" => Ok(()),
        other => Err(format!("it saw {other:?}")),
    }
}

/// The same action where the program can make no sandbox: it must see the thing, else the row proves nothing.
fn unguarded(attempt: &Attempt, kind: &Kind) -> Outcome {
    let servers = &Servers::start("sings").map_err(|error| error.to_string())?;
    let machine = Machine::without_namespaces(attempt);
    write(&machine, kind, Way::Program, servers);
    match build(&machine)?.is_empty() {
        true => Err("it saw nothing".to_owned()),
        false => Ok(()),
    }
}

/// The workspace, in which `//p:t` looks.
fn write(machine: &Machine, kind: &Kind, way: Way, servers: &Servers) {
    let probe = std::fs::read(payload::path("probe")).expect("it was compiled");
    let text = |path: &str, text: &str| machine.write(path, text.as_bytes(), 0o664);
    machine.write("probe", &probe, 0o775);
    machine.write("p/mode.sh", b"", 0o644);
    text("WORKSPACE.star", "workspace(name = \"w\")\n");
    text("rules.star", RULES);
    text("BUILD.star", "exports_files([\"probe\"], visibility = [\"//p:__pkg__\"])\n");
    text(".git/HEAD", "ref: refs/heads/main\n");
    text(
        "lib/BUILD.star",
        "genrule(name = \"made\", outs = [\"made.txt\"], cmd = \"echo made > $@\", visibility = [\"//visibility:public\"])\n",
    );
    text("lib/far.h", "far\n");
    text("p/declared.txt", "declared\n");
    text("p/undeclared.txt", "undeclared\n");
    text("p/near.c", "#include \"near.h\"\n");
    text("p/near.h", "near\n");
    text("p/far.c", "#include \"../lib/far.h\"\n");
    text("p/some/old.txt", "");
    std::fs::write(machine.root().join("../outside.txt"), "first\n").expect("a file");
    let _ = std::os::unix::fs::symlink("../../outside.txt", machine.root().join("p/link.txt"));
    let (what, argument) = (kind.look.0, machine.text(kind.look.1, servers));
    let shell = kind.shell.map_or_else(
        || format!("./$(location //:probe) {what} '{argument}' $@"),
        |command| machine.text(command, servers),
    );
    text(
        "p/BUILD.star",
        &BUILD.replace(
            "{target}",
            &match way {
                Way::Shell => format!(
                    "genrule(name = \"t\", srcs = SRCS, outs = [\"t.out\"], tools = [\"//:probe\"], cmd = {shell:?})"
                ),
                _ => format!(
                    "seen(name = \"t\", srcs = SRCS, what = {what:?}, argument = {argument:?}, worker = {})",
                    if way == Way::Worker { "True" } else { "False" }
                ),
            },
        ),
    );
}

const BUILD: &str = r#"load("//:rules.star", "seen")

SRCS = ["declared.txt", "near.c", "far.c", "link.txt", "mode.sh"] + glob(["some/*.txt"])

genrule(name = "sibling", outs = ["sibling.txt"], cmd = "echo sibling > $@")

{target}
"#;

const RULES: &str = r#"
def _seen_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".out")
    words = [ctx.attr.what, ctx.attr.argument, out.path]
    requirements = {}
    inputs = ctx.files.srcs
    if ctx.attr.worker:
        flags = ctx.actions.declare_file(ctx.label.name + ".flags")
        ctx.actions.write(flags, "\n".join(words) + "\n")
        words = ["@" + flags.path]
        inputs = inputs + [flags]
        requirements = {"supports-workers": "1", "requires-worker-protocol": "json"}
    ctx.actions.run(
        executable = ctx.file._probe,
        arguments = words,
        inputs = inputs,
        outputs = [out],
        execution_requirements = requirements,
    )
    return [DefaultInfo(files = depset([out]))]

seen = rule(
    implementation = _seen_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = True),
        "what": attr.string(),
        "argument": attr.string(),
        "worker": attr.bool(),
        "_probe": attr.label(default = "//:probe", allow_single_file = True),
    },
)
"#;
