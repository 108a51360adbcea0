//! What runs when: the longest way first, never more than the machine holds, one action once.

mod fixture;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fixture::{Fixture, concat, spawn};
use model::{Action, ActionKind, Resources};

fn with_resources(mut action: Action, cpu: u32, memory: u64) -> Action {
    if let ActionKind::Spawn(spawn) = &mut action.kind {
        spawn.resources = Resources { cpu, memory };
    }
    action
}

/// Independent actions that take a moment each, so that those which may overlap do.
fn independent(fixture: &Fixture, count: usize, cpu: u32, memory: u64) -> (Vec<Action>, Vec<String>) {
    *fixture.runner.hook.lock().unwrap() = Some(Arc::new(|| std::thread::sleep(Duration::from_millis(20))));
    let names: Vec<String> = (0..count).map(|n| format!("out/cfg/p/o{n}")).collect();
    let action = |name: &String| with_resources(spawn(&format!("write {name} x"), &[], &[name]), cpu, memory);
    (names.iter().map(action).collect(), names)
}

/// Builds them all; how many ran at once, at most.
fn peak(fixture: &Fixture, (actions, names): &(Vec<Action>, Vec<String>)) -> usize {
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let (_, counts) = fixture.build(actions, &wanted);
    assert_eq!(counts, format!("ran {} cached 0 failed 0 skipped 0", names.len()));
    fixture.runner.peak.load(Ordering::SeqCst)
}

#[test]
fn processors_and_memory_limit_what_runs_at_once() {
    for (jobs, memory, cpu, each, most) in [
        (3, 0, 1, 0, 3),
        (3, 0, 2, 0, 1),
        (4, 0, 2, 0, 2),
        (4, 1000, 1, 500, 2),
        (4, 1000, 1, 501, 1),
        (2, 10, 9, 90, 1),
    ] {
        let mut fixture = Fixture::new();
        (fixture.jobs, fixture.memory) = (jobs, Some(memory));
        let actions = independent(&fixture, 8, cpu, each);
        let peak = peak(&fixture, &actions);
        assert!(peak <= most, "{peak} at once: --jobs={jobs} --local_memory={memory}, each {cpu} cpu, {each} MB");
    }
}

#[test]
fn resources_are_not_part_of_the_key() {
    let fixture = Fixture::new();
    let action = spawn("write out/cfg/p/x y", &[], &["out/cfg/p/x"]);
    fixture.build(std::slice::from_ref(&action), &["out/cfg/p/x"]);
    let (_, counts) = fixture.build(&[with_resources(action, 2, 100)], &["out/cfg/p/x"]);
    assert_eq!(counts, "ran 0 cached 1 failed 0 skipped 0");
}

#[test]
fn the_longest_chain_goes_first() {
    let mut fixture = Fixture::new();
    fixture.jobs = 1;
    fixture.write("p/a", "A");
    let actions = [
        concat(&["p/a"], "out/cfg/p/short"),
        concat(&["p/a"], "out/cfg/p/one"),
        concat(&["out/cfg/p/one"], "out/cfg/p/two"),
        concat(&["out/cfg/p/two"], "out/cfg/p/three"),
    ];
    fixture.build(&actions, &["out/cfg/p/short", "out/cfg/p/three"]);
    // The ends of both are as far: the one that was ready first goes first.
    let chain = ["out/cfg/p/one", "out/cfg/p/two", "out/cfg/p/short", "out/cfg/p/three"];
    assert_eq!(*fixture.runner.ran.lock().unwrap(), chain);
}

#[test]
fn what_took_long_the_last_time_starts_first_the_next() {
    let mut fixture = Fixture::new();
    fixture.jobs = 1;
    let names = ["out/cfg/p/a", "out/cfg/p/b", "out/cfg/p/c", "out/cfg/p/long"];
    let actions = |text: &str| {
        let action = |name: &&str| match name.ends_with("long") {
            true => spawn(&format!("write-slowly {name} {text}"), &[], &[name]),
            false => spawn(&format!("write {name} {text}"), &[], &[name]),
        };
        names.iter().map(action).collect::<Vec<_>>()
    };
    fixture.build(&actions("1"), &names);
    assert_eq!(fixture.runner.ran.lock().unwrap()[3], "out/cfg/p/long", "nothing is known yet");
    fixture.build(&actions("2"), &names);
    assert_eq!(fixture.runner.ran.lock().unwrap()[0], "out/cfg/p/long");
}

#[test]
fn a_build_that_runs_nothing_neither_reads_nor_writes_durations() {
    let fixture = Fixture::new();
    let (actions, names) = independent(&fixture, 8, 1, 0);
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    fixture.build(&actions, &wanted);
    let file = fixture.store.root().join("durations");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 8 * 16);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(fixture.build(&actions, &wanted).1, "ran 0 cached 8 failed 0 skipped 0");
    std::fs::remove_dir(&file).unwrap();
    fixture.build(&actions, &wanted);
    assert!(!file.exists());
}

#[test]
fn builds_at_the_same_time_share_the_work() {
    let fixture = Fixture::new();
    let (actions, names) = independent(&fixture, 12, 1, 0);
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let ran: usize = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..3).map(|_| scope.spawn(|| fixture.try_build(&actions, &wanted).unwrap())).collect();
        builds.into_iter().map(|build| build.join().unwrap().stats).map(|stats| stats.ran).sum()
    });
    assert_eq!((ran, fixture.runner.ran.lock().unwrap().len()), (12, 12), "each action ran once in all");
}
