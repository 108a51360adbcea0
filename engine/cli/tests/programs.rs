//! `build run` of programs and what `build test` leaves behind, on the real binary: signals, exit codes, folders, reports.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::Folder;

/// Scripts as programs and tests.
const RULES: &str = r##"
== rules.star
def _script(ctx):
    program = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(program, "#!/bin/sh\n" + ctx.attr.script, is_executable = True)
    return [DefaultInfo(executable = program, runfiles = ctx.runfiles(ctx.files.data))]

ATTRIBUTES = {"script": attr.string(), "data": attr.label_list(allow_files = True)}
script_binary = rule(implementation = _script, executable = True, attrs = ATTRIBUTES)
script_test = rule(implementation = _script, test = True, attrs = ATTRIBUTES)
"##;

fn folder(build: &str) -> Folder {
    Folder::of(&format!("{RULES}\n== BUILD.star\nload(\"//:rules.star\", \"script_binary\", \"script_test\")\n{build}"))
}

/// Starts `build run`, and waits until the program has said so in its first line, which is returned.
fn start(folder: &Folder, arguments: &[&str]) -> (Child, String) {
    let mut command = folder.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    // The pipe is kept open, so that the program can go on writing.
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    if line.is_empty() {
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        panic!("the program did not start:\n{stderr}");
    }
    child.stdout = Some(out.into_inner());
    (child, line.trim().to_owned())
}

#[test]
fn signals_reach_the_program_and_its_code_comes_back() {
    let script =
        r#"trap 'exit 41' TERM; trap 'exit 42' INT; trap 'exit 43' HUP; echo $$; while :; do sleep 0.05; done"#;
    let folder = folder(&format!("script_binary(name = \"p\", script = \"\"\"{script}\"\"\")"));
    for (signal, code) in [(Signal::SIGTERM, 41), (Signal::SIGINT, 42), (Signal::SIGHUP, 43)] {
        let (mut child, pid) = start(&folder, &["run", "//:p"]);
        assert_eq!(pid, child.id().to_string(), "the program has the process of the command");
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
    }
    let (mut child, _) = start(&folder, &["run", "//:p"]);
    child.kill().unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
fn a_program_starts_among_its_files_or_where_it_was_asked_for() {
    let script =
        r#"pwd; cat data.txt 2>/dev/null || echo none; echo $BUILD_WORKING_DIRECTORY $BUILD_WORKSPACE_DIRECTORY"#;
    let folder = folder(&format!("script_binary(name = \"p\", script = \"\"\"{script}\"\"\", data = [\"data.txt\"])"));
    folder.write("data.txt", "told\n");
    folder.write("sub/file", "");
    let here = folder.path().join("sub");
    let run = |arguments: &[&str]| {
        let output = folder.command(arguments).current_dir(&here).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (top, sub) = (folder.path().display(), here.display());
    let among = run(&["run", "//:p"]);
    let lines: Vec<&str> = among.lines().collect();
    assert!(lines[0].starts_with(&format!("{top}/build-out/run/p-")), "{among}");
    assert_eq!(lines[1..], ["told", &format!("{sub} {top}")], "{among}");
    assert_eq!(run(&["run", "--run_in_cwd", "//:p"]), format!("{sub}\nnone\n{sub} {top}\n"));
}

#[test]
fn two_runs_of_one_target_keep_their_files() {
    let script = "echo started; while [ ! -e go ]; do sleep 0.05; done; cat data.txt";
    let folder = folder(&format!("script_binary(name = \"p\", script = \"\"\"{script}\"\"\", data = [\"data.txt\"])"));
    folder.write("data.txt", "first\n");
    let (first, _) = start(&folder, &["run", "//:p"]);
    let (second, _) = start(&folder, &["run", "//:p"]);
    folder.write("data.txt", "other\n");
    let (third, _) = start(&folder, &["run", "//:p"]);
    let folders = || {
        let of_target = std::fs::read_dir(folder.path().join("build-out/run")).unwrap().next().unwrap().unwrap();
        let entries = std::fs::read_dir(of_target.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    assert_eq!(folders().len(), 2, "one folder for each content");
    folders().iter().for_each(|folder| std::fs::write(folder.join("go"), "").unwrap());
    for (mut child, expected) in [(first, "first\n"), (second, "first\n"), (third, "other\n")] {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), child.wait().unwrap().code()), (expected, Some(0)));
    }
    // What ended programs left is gone with the next run.
    let (mut fourth, _) = start(&folder, &["run", "//:p"]);
    let left = folders();
    fourth.kill().unwrap();
    fourth.wait().unwrap();
    assert!(left.len() == 1 && !left[0].join("go").exists(), "{left:?}");
}

#[test]
fn a_program_that_cannot_start_says_why() {
    let folder = folder("script_binary(name = \"p\", script = \"\")");
    folder.replace("rules.star", "#!/bin/sh", "#!/nowhere/interpreter");
    folder.build(&["run", "//:p"]).expect(36).says(&["cannot start //:p"]);
    folder.write("BUILD.star", "filegroup(name = \"f\")\n");
    folder.build(&["run", "//:f"]).expect(1).says(&["//:f is not executable", "`filegroup`"]);
}

#[test]
fn tests_are_reported_as_they_end() {
    let folder = folder(
        "script_test(name = \"quick\", script = \"echo the quick log; exit 1\")\n\
         script_test(name = \"slow\", script = \"sleep 600\")\n",
    );
    let mut child = folder.start(&["test", "-k", "--jobs=2", "//..."]);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let began = Instant::now();
    let seen = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("//:quick  FAILED"));
    let log = lines.next().unwrap().unwrap();
    assert!(child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(500));
    assert_eq!((seen.is_some(), log.as_str()), (true, "the quick log"));
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(8), "{rest:?}");
    assert!(!rest.iter().any(|line| line.contains("//:quick") || line.contains("//:slow")), "{rest:?}");
}

#[test]
fn tests_leave_reports_that_ci_systems_read() {
    let folder = folder(
        r#"
script_test(name = "good", script = "echo fine")
script_test(name = "bad", script = "echo '<wrong>'; exit 3")
script_test(name = "own", script = "echo '<testsuites/>' > $XML_OUTPUT_FILE; echo shot > $TEST_UNDECLARED_OUTPUTS_DIR/picture")
script_test(name = "own_bad", script = "echo '<testsuite/>' > $XML_OUTPUT_FILE; echo core > $TEST_UNDECLARED_OUTPUTS_DIR/dump; exit 1")
"#,
    );
    folder.build(&["test", "-k", "//..."]).expect(3).says(&["2 tests passed, 2 failed"]);
    let read = |path: &str| folder.read(&format!("build-out/testlogs/{path}"));
    assert_eq!((read("good/test.log"), read("bad/test.log")), ("fine\n".to_owned(), "<wrong>\n".to_owned()));
    assert!(read("good/test.xml").contains("<testcase name=\"//:good\""));
    assert!(read("bad/test.xml").contains("<failure message=\"the test failed with exit code 3\"/>"));
    assert!(read("bad/test.xml").contains("<system-out>&lt;wrong&gt;\n</system-out>"));
    assert_eq!((read("own/test.xml"), read("own/test.outputs/picture")), ("<testsuites/>\n".into(), "shot\n".into()));
    // A failure is what people want to look into.
    assert_eq!(
        (read("own_bad/test.xml"), read("own_bad/test.outputs/dump")),
        ("<testsuite/>\n".into(), "core\n".into())
    );
    assert!(!folder.path().join("build-out/testlogs/good/test.outputs").exists());

    // The report is that of the last run, also when its result was kept from before.
    folder.replace("BUILD.star", "echo fine", "echo broken; exit 1");
    folder.build(&["test", "-k", "//:good"]).expect(3);
    assert!(read("good/test.xml").contains("<failure"));
    folder.replace("BUILD.star", "echo broken; exit 1", "echo fine");
    folder.build(&["test", "//:good"]).expect(0).says(&["(cached) PASSED"]);
    assert!(!read("good/test.xml").contains("<failure") && read("good/test.log") == "fine\n");
}

#[test]
fn a_test_finds_the_variables_of_bazels_test_encyclopedia() {
    let folder = folder(
        r#"
script_test(name = "t", data = ["p/data.txt"], script = """
set -e
cat "$TEST_SRCDIR/$TEST_WORKSPACE/p/data.txt" p/data.txt
test -x "$TEST_BINARY" -a "$TEST_TARGET" = //:t -a "$TEST_SIZE" = medium -a "$TEST_TIMEOUT" = 300
test -d "$TEST_TMPDIR" -a -d "$TEST_UNDECLARED_OUTPUTS_DIR" -a -d "$(dirname "$XML_OUTPUT_FILE")" -a "$BAZEL_TEST" = 1
touch "$TEST_TMPDIR/x" "$HOME/y"
echo user $USER
""")
"#,
    );
    folder.write("p/data.txt", "told\n");
    folder.build(&["test", "//:t"]).expect(0);
    assert_eq!(folder.read("build-out/testlogs/t/test.log"), "told\ntold\nuser user\n");
    folder.build(&["test", "//:t", "--test_timeout=7"]).expect(3);
}

#[test]
fn a_test_whose_runner_did_not_come_to_its_end_did_not_pass() {
    let folder = folder(
        r#"
script_test(name = "whole", script = "touch $TEST_PREMATURE_EXIT_FILE; rm $TEST_PREMATURE_EXIT_FILE")
script_test(name = "early", script = "touch $TEST_PREMATURE_EXIT_FILE; echo half; exit 0")
"#,
    );
    folder.build(&["test", "//:whole"]).expect(0);
    folder.build(&["test", "//:early"]).expect(3).says(&["//:early  FAILED", "half", "before its runner had finished"]);
}
