//! Real processes in real sandboxes. This program is the tests, the init of their sandboxes, and the tool that actions
//! run.

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use execution::{ExecutionError, FailureKind};
use fixture::real::{build, change, spawn, try_build, with_tools};
use fixture::{Fixture, artifact, as_test};
use model::Action;

fn main() {
    sandbox::init_if_requested();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.first().is_some_and(|program| program.ends_with("bin/tool")) {
        std::process::exit(tool(&arguments[1..]));
    }
    let tests: [(&str, fn()); 11] = [
        ("an_action_has_a_time_limit_and_is_told_how_to_raise_it", time_limit),
        ("a_program_that_cannot_be_started_is_explained", not_started),
        ("declared_inputs_are_read_and_a_second_build_runs_nothing", declared_inputs),
        ("an_undeclared_input_fails_and_the_hint_names_it", undeclared_input),
        ("a_missing_program_is_named", missing_program),
        ("standard_streams_are_artifacts", standard_streams),
        ("trees_are_inputs_and_outputs", trees),
        ("the_fixed_environment_is_the_same_everywhere", environment),
        ("tests_time_out_and_fail_with_their_log", tests_fail),
        ("stopping_kills_the_process", stopping),
        ("two_executors_share_one_store", shared_store),
    ];
    let filter = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, test) in tests.into_iter().filter(|(name, _)| filter.is_none_or(|part| name.contains(part.as_str()))) {
        test();
        println!("test {name} ... ok");
    }
}

/// The tool: a command and its arguments.
fn tool(arguments: &[String]) -> i32 {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["concat", to, ref from @ ..] => concat(to, from),
        ["copy-streams"] => std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()).map(|_| ()),
        ["list", from, to] => fs::create_dir_all(Path::new(to).join("deep")).and_then(|()| {
            let names: BTreeSet<_> = fs::read_dir(from)?.map(|entry| entry.unwrap().file_name()).collect();
            fs::write(Path::new(to).join("deep/names"), format!("{names:?}"))
        }),
        ["environment", to] => fs::write(to, format!("{:?}", std::env::vars().collect::<Vec<_>>())),
        ["sleep"] => loop {
            println!("still there");
            std::thread::sleep(Duration::from_millis(50));
        },
        ["complain"] => {
            println!("first to standard output");
            eprintln!("then to standard error");
            return 7;
        }
        ref other => panic!("unknown command {other:?}"),
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("tool: {error}");
            1
        }
    }
}

fn concat(to: &str, from: &[&str]) -> std::io::Result<()> {
    let mut text = String::new();
    for path in from {
        text += &fs::read_to_string(path).map_err(|error| std::io::Error::other(format!("{path}: {error}")))?;
    }
    fs::write(to, text)
}

/// Builds one action that must succeed; the text of its output.
fn output(fixture: &Fixture, action: Action, wanted: &str) -> String {
    let (outcome, _) = build(fixture, &[action], &[wanted]);
    if let Some(failure) = outcome.failures.first() {
        panic!("{}", failure.report());
    }
    fixture.text(&outcome, wanted)
}

fn declared_inputs() {
    let fixture = with_tools();
    fixture.write("p/a", "A");
    fixture.write("p/b", "B");
    let actions = [
        spawn("concat out/cfg/p/x p/a", &["p/a"], &["out/cfg/p/x"]),
        spawn("concat out/cfg/p/y out/cfg/p/x p/b", &["out/cfg/p/x", "p/b"], &["out/cfg/p/y"]),
    ];
    let (outcome, counts) = build(&fixture, &actions, &["out/cfg/p/y"]);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!((counts.as_str(), fixture.text(&outcome, "out/cfg/p/y").as_str()), ("ran 2 cached 0 failed 0", "AB"));
    assert_eq!(build(&fixture, &actions, &["out/cfg/p/y"]).1, "ran 0 cached 2 failed 0");
    fixture.write("p/b", "C");
    let (outcome, counts) = build(&fixture, &actions, &["out/cfg/p/y"]);
    assert_eq!((counts.as_str(), fixture.text(&outcome, "out/cfg/p/y").as_str()), ("ran 1 cached 1 failed 0", "AC"));
}

fn undeclared_input() {
    let fixture = with_tools();
    fixture.write("p/a", "A");
    fixture.write("p/secret.txt", "B");
    let action = spawn("concat out/cfg/p/x p/a p/secret.txt", &["p/a"], &["out/cfg/p/x"]);
    let (outcome, _) = build(&fixture, &[action], &["out/cfg/p/x"]);
    let failure = &outcome.failures[0];
    assert_eq!(failure.kind, FailureKind::ExitCode(1));
    assert_eq!(&*failure.log, "tool: p/secret.txt: No such file or directory (os error 2)\n");
    let hint = "p/secret.txt exists, but is not declared as an input: add \"secret.txt\" to `srcs` or `data` of //p:x";
    assert_eq!(failure.hints, [hint]);
}

fn missing_program() {
    let fixture = with_tools();
    fixture.write("p/run.sh", "");
    let action = fixture::spawn("p/run.sh", &[], &["out/cfg/p/x"]);
    let (outcome, _) = build(&fixture, &[action], &["out/cfg/p/x"]);
    let failure = &outcome.failures[0];
    assert!(failure.report().contains("p/run.sh"), "{}", failure.report());
    assert!(failure.hints[0].contains("add \"run.sh\" to `srcs`"), "{:?}", failure.hints);
}

fn standard_streams() {
    let fixture = with_tools();
    fixture.write("p/a", "from here to there");
    let mut action = spawn("copy-streams", &[], &["out/cfg/p/x"]);
    change(&mut action, |spawn| {
        spawn.stdin = Some(artifact("p/a"));
        spawn.stdout = Some(artifact("out/cfg/p/x"));
    });
    assert_eq!(output(&fixture, action, "out/cfg/p/x"), "from here to there");
}

fn trees() {
    let fixture = with_tools();
    let actions = [
        spawn("list tools out/cfg/p/dir", &["tools"], &["out/cfg/p/dir"]),
        spawn("concat out/cfg/p/x out/cfg/p/dir/deep/names", &["out/cfg/p/dir"], &["out/cfg/p/x"]),
    ];
    let (outcome, _) = build(&fixture, &actions, &["out/cfg/p/x"]);
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(fixture.text(&outcome, "out/cfg/p/dir"), "deep/names");
    assert!(fixture.text(&outcome, "out/cfg/p/x").starts_with("{\"bin\", "));
}

fn environment() {
    let fixture = with_tools();
    let mut action = spawn("environment out/cfg/p/x", &[], &["out/cfg/p/x"]);
    change(&mut action, |spawn| spawn.env.extend([("A".into(), "1".into()), ("HOME".into(), "/work".into())]));
    let expected = [
        ("A", "1"),
        ("HOME", "/work"),
        ("LANG", "C.UTF-8"),
        ("PATH", "/bin"),
        ("SOURCE_DATE_EPOCH", "946684800"),
        ("TMPDIR", "/tmp"),
        ("TZ", "UTC"),
    ];
    assert_eq!(output(&fixture, action, "out/cfg/p/x"), format!("{expected:?}"));
}

fn time_limit() {
    let mut fixture = with_tools();
    fixture.action_timeout = 1;
    let own = |seconds| {
        let mut action = spawn("sleep", &[], &["out/cfg/p/x"]);
        change(&mut action, |spawn| spawn.timeout = seconds);
        build(&fixture, &[action], &["out/cfg/p/x"]).0.failures.remove(0)
    };
    let failure = own(None);
    let message = "the process took longer than 1 seconds";
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::TimedOut, message));
    assert!(failure.hints[0].contains("`timeout = SECONDS` where //p:x is declared"), "{:?}", failure.hints);
    assert!(failure.hints[0].contains("--action_timeout=SECONDS"), "{:?}", failure.hints);
    let failure = own(Some(2));
    assert_eq!(failure.message, "the process took longer than 2 seconds");
    assert_eq!(failure.hints, ["raise its time limit where //p:x is declared"]);
}

/// Programs that are there and cannot be run: what is said of each.
fn not_started() {
    let fixture = with_tools();
    fixture.write("p/plain.sh", "#!/bin/tool\n");
    fixture.write("p/script.sh", "#!/usr/bin/absent\n");
    fixture.write("p/text.sh", "echo\n");
    for name in ["script.sh", "text.sh"] {
        let path = fixture.folder.path().join("workspace/p").join(name);
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let said = |change_it: &dyn Fn(&mut model::Spawn), inputs: &[&str]| {
        let mut action = spawn("unused", inputs, &["out/cfg/p/x"]);
        change(&mut action, change_it);
        build(&fixture, &[action], &["out/cfg/p/x"]).0.failures.remove(0).report()
    };
    let cases = [
        ("p/plain.sh", "p/plain.sh is a file that cannot be executed: `chmod +x` it"),
        ("p/script.sh", "p/script.sh is there, but what it is run by is not among what the action sees"),
        ("p/text.sh", "p/text.sh has no first line `#!...` that names what it is run by"),
    ];
    for (program, hint) in cases {
        let report = said(&|spawn| spawn.argv = vec![program.to_owned()], &[program]);
        assert!(report.contains(hint) && !report.contains("not declared"), "{report}");
    }
    let report = said(&|spawn| spawn.argv.push("x".repeat(200_000)), &[]);
    assert!(report.contains("Argument list too long") && report.contains("128 KB for one"), "{report}");
    assert!(!report.contains("is there on this machine"), "{report}");
}

fn tests_fail() {
    let fixture = with_tools();
    let mut slow = as_test(spawn("sleep", &[], &["out/cfg/slow.log"]));
    change(&mut slow, |spawn| spawn.timeout = Some(1));
    let wrong = as_test(spawn("complain", &[], &["out/cfg/wrong.log"]));
    let (outcome, counts) = build(&fixture, &[slow, wrong], &["out/cfg/slow.log", "out/cfg/wrong.log"]);
    assert_eq!(counts, "ran 0 cached 0 failed 2");
    let find = |kind| outcome.failures.iter().find(|failure| failure.kind == kind).unwrap();
    assert!(find(FailureKind::TestTimedOut).log.contains("still there"));
    assert_eq!(&*find(FailureKind::TestFailed).log, "first to standard output\nthen to standard error\n");
}

fn stopping() {
    let fixture = with_tools();
    let cancel = fixture.cancel.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        cancel.cancel();
    });
    let started = Instant::now();
    let result = try_build(&fixture, &[spawn("sleep", &[], &["out/cfg/p/x"])], &["out/cfg/p/x"]);
    assert!(matches!(result, Err(ExecutionError::Cancelled)));
    assert!(started.elapsed() < Duration::from_secs(20));
    stopper.join().unwrap();
}

fn shared_store() {
    let fixture = with_tools();
    let names: Vec<String> = (0..12).map(|n| format!("out/cfg/p/o{n}")).collect();
    fixture.write("p/a", "A");
    let actions: Vec<Action> =
        names.iter().map(|name| spawn(&format!("concat {name} p/a"), &["p/a"], &[name.as_str()])).collect();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let (outcome, _) = build(&fixture, &actions, &wanted);
                assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
                assert_eq!(outcome.contents.len(), 12);
            });
        }
    });
    assert_eq!(build(&fixture, &actions, &wanted).1, "ran 0 cached 12 failed 0");
    assert!(fixture.store.fsck(false, &|_, _| ()).unwrap().corrupt.is_empty());
}
