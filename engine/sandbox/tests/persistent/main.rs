//! A program that stays: what it is shown, for how long, and what it cannot reach.

#[path = "../commands/fixture.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod fixture;

use std::fs;

use std::time::{Duration, Instant};

use fixture::{Fixture, PROBE};
use model::{Cancel, RelPath};
use sandbox::{Launcher, Mount, Patience, Persistent, Status, Unanswered};

/// A probe that answers, and its shelf with some files.
struct Answering {
    fixture: Fixture,
    program: Persistent,
}

impl Answering {
    fn new() -> Self {
        let fixture = Fixture::new(&["answer", ""]);
        let shelf = fixture.folder.path().join("shelf");
        fs::create_dir_all(shelf.join("tree/deep")).unwrap();
        fs::write(shelf.join("a"), "A").unwrap();
        fs::write(shelf.join("tree/deep/b"), "B").unwrap();
        let program = Persistent::start(&Launcher::new(PROBE), &fixture.command, &shelf).unwrap();
        Self { fixture, program }
    }

    fn try_ask(&mut self, line: &str) -> Result<String, Unanswered> {
        let patience = Patience { deadline: None, cancel: &Cancel::default() };
        let answer = self.program.ask(format!("{line}\n").as_bytes(), &patience)?;
        Ok(String::from_utf8(answer).unwrap().trim_end_matches('\n').to_owned())
    }

    fn ask(&mut self, line: &str) -> String {
        self.try_ask(line).unwrap()
    }

    fn show(&self, shown: &[(&str, &str, bool)]) -> Result<(), Unanswered> {
        let shelf = self.fixture.folder.path().join("shelf");
        let path = |path: &str| RelPath::new(path).unwrap();
        let mount = |&(source, target, folder): &_| Mount { source: shelf.join(source), target: path(target), folder };
        self.program.show(&[path("out/p")], &shown.iter().map(mount).collect::<Vec<_>>())
    }
}

#[test]
fn what_is_shown_is_there_read_only_until_it_is_hidden() {
    let mut probe = Answering::new();
    assert_eq!(probe.ask("list /work"), "/work: ");
    probe.show(&[("a", "p/a", false), ("tree", "t", true)]).unwrap();
    assert_eq!(probe.ask("list /work"), "/work: out p t");
    assert_eq!([probe.ask("read p/a"), probe.ask("read t/deep/b")], ["A", "B"]);
    for path in ["p/a", "t/deep/b", "t/new"] {
        assert_eq!(probe.ask(&format!("write {path}")), format!("write {path} ReadOnlyFilesystem"));
    }
    assert_eq!(probe.ask("write out/p/x"), "write out/p/x ok");
    probe.program.hide().unwrap();
    // What is left are the places of the mounts, in the folder of the host.
    assert_eq!([probe.ask("read p/a"), probe.ask("list /work/t")], ["", "/work/t: "]);
    probe.show(&[("tree/deep/b", "q/b", false)]).unwrap();
    assert_eq!(probe.ask("read q/b"), "B");
    assert_eq!(fs::read_to_string(probe.fixture.command.workdir.join("out/p/x")).unwrap(), "written\n");
}

/// Process 1 holds the shelf open; nothing that it has can be reached.
#[track_caller]
fn held_by_process_1(probe: &mut Answering) {
    let listed = probe.ask("list /proc/1/fd");
    // It is not even seen.
    assert_eq!(listed, "/proc/1/fd: ");
    let names = ["0", "1", "2", "3", "4", "5"];
    for name in names.into_iter().chain(["../root", "../cwd"]) {
        let path = format!("/proc/1/fd/{name}");
        assert_eq!(probe.ask(&format!("list {path}/")), format!("{path}/: "));
        let read = probe.ask(&format!("read {path}/a"));
        assert!(["error NotFound", "error PermissionDenied"].contains(&read.as_str()), "{read}");
    }
}

#[test]
fn the_shelf_cannot_be_reached_by_any_path() {
    let mut probe = Answering::new();
    held_by_process_1(&mut probe);
    let peeled = probe.ask("peel /work");
    let attempts = "entered false; copy of one false; taken away false; /tmp/one/work: ; \
                    copy of all false; taken away false; /tmp/all/work: ; taken away false; /work: ";
    assert_eq!(peeled, attempts);
    held_by_process_1(&mut probe);
    assert_eq!(probe.ask("descriptors"), "/proc/self/fd: 0 1 2 3");
}

#[test]
fn a_link_in_the_place_of_a_folder_is_not_followed() {
    let mut probe = Answering::new();
    std::os::unix::fs::symlink("/tmp", probe.fixture.command.workdir.join("p")).unwrap();
    assert!(matches!(probe.show(&[("a", "p/a", false)]), Err(Unanswered::Failed(_))));
    assert_eq!(probe.ask("list /tmp"), "/tmp: ");
    // What is not on the shelf is not shown at all.
    let mount = Mount { source: "/etc/passwd".into(), target: RelPath::new("x").unwrap(), folder: false };
    assert!(matches!(probe.program.show(&[], &[mount]), Err(Unanswered::Failed(_))));
}

#[test]
fn the_end_of_the_program_is_told_and_dropping_it_is_one() {
    let mut probe = Answering::new();
    assert!(matches!(probe.try_ask("exit 7"), Err(Unanswered::Ended(Status::Code(7)))));

    let mut probe = Answering::new();
    let child: u32 = probe.ask("background 600000").rsplit(' ').next().unwrap().parse().unwrap();
    assert!(child > 1);
    let sleeping = || {
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
        all.filter(|line| line.ends_with(b"sleep\x00600000\x00")).count()
    };
    // A process has no command line until the kernel has laid it out, which is after its parent goes on.
    let began = Instant::now();
    while sleeping() != 1 {
        assert!(began.elapsed() < Duration::from_secs(20), "it sleeps");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(probe);
    assert_eq!(sleeping(), 0);
}

#[test]
fn a_late_or_stopped_answer_is_not_waited_for() {
    let mut probe = Answering::new();
    let (stopped, never) = (Cancel::default(), Cancel::default());
    stopped.cancel();
    let ask =
        |probe: &mut Answering, deadline, cancel| probe.program.ask(b"sleep 600001\n", &Patience { deadline, cancel });
    assert!(matches!(ask(&mut probe, None, &stopped), Err(Unanswered::Cancelled)));
    let soon = Some(Instant::now() + Duration::from_millis(30));
    assert!(matches!(ask(&mut probe, soon, &never), Err(Unanswered::TimedOut)));
}

#[test]
fn a_long_request_is_sent_while_the_program_reads() {
    let mut probe = Answering::new();
    let long = "x".repeat(1 << 20);
    assert_eq!(probe.ask(&format!("print {long}")), long);
}
