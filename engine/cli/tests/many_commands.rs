//! Several commands at once on one workspace, and commands that are ended early: nothing is done twice, nothing waits
//! without need, nothing is left behind.

mod support;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Instant;

use support::Folder;
use support::waiting::{PATIENCE, processes_with, signal, wait_until};

/// `slow` takes long enough for a second command to find the first at it.
const SHARED: &str = r#"
== BUILD.star
genrule(name = "slow", outs = ["slow.txt"], cmd = "sleep 4; echo slow > $@")
genrule(name = "other", outs = ["other.txt"], cmd = "echo other > $@")
"#;

/// A command that runs, and the file of its events.
struct Running {
    child: Child,
    events: PathBuf,
}

impl Running {
    fn start(folder: &Folder, name: &str, arguments: &[&str]) -> Self {
        let events = folder.path().with_extension(format!("{name}.events"));
        let flag = format!("--event_file={}", events.display());
        let child = folder.start(&[arguments, &[&flag]].concat());
        Self { child, events }
    }

    fn events(&self) -> String {
        std::fs::read_to_string(&self.events).unwrap_or_default()
    }

    /// Waits until an event contains all of the texts.
    #[track_caller]
    fn wait_for(&self, texts: &[&str]) {
        wait_until(&format!("{texts:?} in {}", self.events()), || {
            self.events().lines().any(|line| texts.iter().all(|text| line.contains(text)))
        });
    }

    /// Waits for its end; the exit code and how many actions of `label` ended so.
    fn end(mut self, label: &str, outcome: &str) -> (Option<i32>, usize) {
        let code = self.child.wait().unwrap().code();
        let events = self.events();
        let of_label = |line: &&str| line.contains("ActionFinished") && line.contains(&format!("\"{label}"));
        let count = events.lines().filter(of_label).filter(|line| line.contains(outcome)).count();
        std::fs::remove_file(&self.events).unwrap();
        (code, count)
    }
}

#[test]
fn an_action_that_two_commands_need_runs_once() {
    let folder = Folder::of(SHARED).with_fresh_store();
    folder.build(&["build", ":other"]).expect(0);
    let first = Running::start(&folder, "first", &["build", ":slow"]);
    first.wait_for(&["ActionStarted", "//:slow"]);
    let second = Running::start(&folder, "second", &["build", ":slow"]);
    second.wait_for(&["ActionStarted", "another command is at it"]);
    assert_eq!(first.end("//:slow", "Ran"), (Some(0), 1));
    assert_eq!(second.end("//:slow", "Cached"), (Some(0), 1));
    assert_eq!(folder.read("build-out/slow.txt"), "slow\n");
}

#[test]
fn a_command_waits_for_nothing_but_the_action_it_needs_and_goes_on_when_the_other_is_killed() {
    let folder = Folder::of(SHARED).with_fresh_store();
    folder.build(&["build", ":other"]).expect(0);
    folder.replace("BUILD.star", "echo other", "echo changed");
    let mut first = Running::start(&folder, "first", &["build", ":slow"]);
    first.wait_for(&["ActionStarted", "//:slow"]);
    // With one job: the wait must not take it.
    let second = Running::start(&folder, "second", &["build", "--jobs=1", ":slow", ":other"]);
    second.wait_for(&["ActionStarted", "another command is at it"]);
    second.wait_for(&["ActionFinished", "//:other", "Ran"]);
    assert!(first.child.try_wait().unwrap().is_none(), "the first command ended before it was killed");
    first.child.kill().unwrap();
    assert_eq!(first.end("//:slow", "Ran").1, 0);
    assert_eq!(second.end("//:slow", "Ran"), (Some(0), 1));
}

#[test]
fn the_action_of_a_stopped_command_is_taken_over() {
    let folder = Folder::of(SHARED).with_fresh_store();
    folder.build(&["build", ":other"]).expect(0);
    let first = Running::start(&folder, "first", &["build", ":slow"]);
    first.wait_for(&["ActionStarted", "//:slow"]);
    signal(&first.child, "-STOP");
    let second = Running::start(&folder, "second", &["build", ":slow"]);
    let pid = first.child.id();
    second.wait_for(&["Progress", &format!("process {pid} is stopped (`kill -CONT {pid}` lets it go on)"), "//:slow"]);
    assert_eq!(second.end("//:slow", "Ran"), (Some(0), 1));
    assert_eq!(folder.read("build-out/slow.txt"), "slow\n");
    signal(&first.child, "-CONT");
    assert_eq!(first.end("//:slow", "Ran"), (Some(0), 1));
}

#[test]
fn a_command_that_waits_for_the_store_says_whom_for() {
    let folder = Folder::of(SHARED).with_fresh_store();
    folder.build(&["build", ":other"]).expect(0);
    // As a collection of garbage that was stopped.
    let gate = folder.path().with_extension("store").join("v1/gate");
    let mut holder = std::process::Command::new("flock")
        .arg(gate)
        .args(["-c", "read line"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut open = None;
    wait_until("the lock", || {
        let running = open.get_or_insert_with(|| Running::start(&folder, "waiting", &["build", ":other"]));
        std::thread::sleep(std::time::Duration::from_millis(100));
        // A command that came before the lock goes through; the next one waits.
        if running.child.try_wait().unwrap().is_some() {
            open = None;
        }
        open.as_ref().is_some_and(|running| running.events().contains("waiting for process"))
    });
    let waiting = open.unwrap();
    let wanted = format!("waiting for process {}, which holds a lock of the store", holder.id());
    waiting.wait_for(&["Progress", &wanted]);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    assert_eq!(waiting.end("//:other", "Ran"), (Some(0), 0));
}

#[test]
fn many_commands_at_once_all_succeed_and_share_the_work() {
    let rules = "[genrule(name = \"a%d\" % i, srcs = [\"x\"], outs = [\"a%d.o\" % i], cmd = \"cat x > $@\") for i in range(30)]";
    let folder = Folder::of(&format!("== BUILD.star\n{rules}\n== x\n0\n")).with_fresh_store();
    folder.build(&["build", ":a0"]).expect(0);
    for round in 1..4 {
        folder.write("x", &format!("{round}\n"));
        let name = |n: usize| format!("many{n}");
        let commands: Vec<Running> = (0..5).map(|n| Running::start(&folder, &name(n), &["build", "//..."])).collect();
        let ran: usize = commands
            .into_iter()
            .map(|command| {
                let (code, ran) = command.end("//:a", "Ran");
                assert_eq!(code, Some(0));
                ran
            })
            .sum();
        assert_eq!(ran, 30, "each action once");
        assert_eq!(folder.read("build-out/a29.o"), format!("{round}\n"));
    }
}

/// What lies in the scratch folder of a store.
fn scratch(store: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(store.join("v1/tmp")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn an_interrupted_build_leaves_no_process_and_no_scratch_and_keeps_what_it_made() {
    for name in ["-INT", "-TERM"] {
        let marker = format!("marker-{}-{name}", std::process::id());
        // Each action starts processes of its own, in the background too, that ignore what can be ignored.
        let rule = |n: usize| {
            let run = "trap '' INT TERM HUP; (sleep 600; :) & (sleep 600; :) & wait";
            format!("genrule(name = \"s{n}\", outs = [\"s{n}.txt\"], cmd = \"sh -c \\\"{run}\\\" {marker}\")\n")
        };
        let text = format!(
            "== BUILD.star\ngenrule(name = \"quick\", outs = [\"q.txt\"], cmd = \"echo q > $@\")\n{}{}",
            rule(1),
            rule(2)
        );
        let folder = Folder::of(&text).with_fresh_store();
        let running = Running::start(&folder, "stopped", &["build", "-k", "--jobs=3", "//..."]);
        running.wait_for(&["ActionFinished", "//:quick"]);
        wait_until("both actions", || processes_with(&marker).len() >= 6);
        let started = Instant::now();
        signal(&running.child, name);
        assert_eq!(running.end("//:s1", "Ran"), (Some(8), 0));
        let took = started.elapsed();
        assert_eq!(processes_with(&marker), Vec::<String>::new());
        assert!(took < PATIENCE / 2, "{took:?}");
        let next = folder.build(&["build", ":quick"]).expect(0);
        assert_eq!(next.actions("Cached").len(), next.count("Cached"));
        assert_eq!(next.count("Ran"), 0, "what was made is kept");
        assert_eq!(scratch(&folder.path().with_extension("store")), Vec::<String>::new());
    }
}

#[test]
fn a_command_that_waits_for_a_silent_server_ends_on_request() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.local_addr().unwrap());
    let folder = Folder::of(SHARED).with_fresh_store().with_env("BUILD_DEBIAN_ENDPOINT", &address);
    let mut running = Running::start(&folder, "silent", &["build", ":other"]);
    // The shell of the action is fetched first; the connection stays open and silent until the end of this test.
    let connection = server.accept().unwrap();
    signal(&running.child, "-INT");
    // Its own patience with the server is longer than this test's with it.
    wait_until("the end", || running.child.try_wait().unwrap().is_some());
    assert_eq!(running.end("//:other", "Ran"), (Some(8), 0));
    drop(connection);
}
