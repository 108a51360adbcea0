//! Persistent workers: real processes that stay. This program is the tests, the init of their sandboxes, and the tool: as
//! a process for each action, or as a worker.

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use execution::{ExecutionError, Failure, FailureKind, Outcome};
use fixture::real::{build, change, try_build, with_tools};
use fixture::{Fixture, artifact};
use model::Action;

fn main() {
    sandbox::init_if_requested();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.first().is_some_and(|program| program.ends_with("bin/tool")) {
        std::process::exit(tool(&arguments[1..]));
    }
    let tests: [(&str, fn()); 11] = [
        ("many_actions_start_one_worker_for_each_job", starts),
        ("a_tool_with_other_start_arguments_is_another_worker", other_tool),
        ("a_request_sees_its_own_inputs_alone", inputs),
        ("nothing_of_a_request_is_left_for_the_next", left_behind),
        ("an_input_cannot_be_changed", read_only),
        ("a_link_to_the_host_is_no_output_and_is_not_followed", links),
        ("a_worker_makes_what_its_process_makes", no_workers),
        ("a_failed_request_does_not_end_the_worker", failed_request),
        ("a_worker_that_breaks_off_fails_its_action_alone", broken),
        ("time_limits_and_stopping_end_a_worker", stopping),
        ("an_action_with_a_limit_is_a_process", limited),
    ];
    let filter = arguments.iter().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, test) in tests.into_iter().filter(|(name, _)| filter.is_none_or(|part| name.contains(part.as_str()))) {
        test();
        println!("test {name} ... ok");
    }
}

/// The tool: a worker if it is asked to be one, else a process for the lines of its flag file.
fn tool(arguments: &[String]) -> i32 {
    if arguments.iter().all(|argument| argument != "--persistent_worker") {
        let flags = arguments.iter().find_map(|argument| argument.strip_prefix('@')).expect("a flag file");
        let lines: Vec<String> = fs::read_to_string(flags).unwrap().lines().map(str::to_owned).collect();
        return match work(&lines, 0) {
            Ok(()) => 0,
            Err(message) => {
                eprintln!("{message}");
                1
            }
        };
    }
    for (number, line) in std::io::stdin().lock().lines().map_while(Result::ok).enumerate() {
        let request: serde_json::Value = serde_json::from_str(&line).unwrap();
        let strings = |list: &serde_json::Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let arguments = strings(&request["arguments"]);
        match arguments[0].as_str() {
            "garbage" => println!("Compiling 1 file ..."),
            "other-id" => println!("{{\"requestId\": 7}}"),
            "crash" => {
                eprintln!("out of luck");
                print!("half an ans");
                std::io::stdout().flush().unwrap();
                std::process::abort();
            }
            "leave" => {
                println!("{{}}");
                return 0;
            }
            "listed" => {
                let paths: Vec<&str> =
                    request["inputs"].as_array().unwrap().iter().map(|input| input["path"].as_str().unwrap()).collect();
                fs::write(&arguments[1], paths.join(" ")).unwrap();
                println!("{{}}");
            }
            _ => {
                let (code, output) = match work(&arguments, number + 1) {
                    Ok(()) => (0, String::new()),
                    Err(message) => (3, message),
                };
                println!("{}", serde_json::json!({"exitCode": code, "output": output, "requestId": 0}));
            }
        }
    }
    0
}

/// One piece of work; `number` counts those of this process.
fn work(arguments: &[String], number: usize) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let write = |to: &str, text: &str| fs::write(to, text).map_err(|error| format!("{to}: {error}"));
    match words[..] {
        ["concat", to, ref from @ ..] => {
            let read = |path: &&str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
            write(to, &from.iter().map(read).collect::<Result<String, _>>()?)
        }
        ["number", to] => {
            // Long enough for the other job to start its worker.
            std::thread::sleep(std::time::Duration::from_millis(20));
            write(to, &number.to_string())
        }
        ["see", to] => write(to, &files(Path::new("/work")).join(" ")),
        ["plant", to] => {
            fs::create_dir_all("/work/own/deep").unwrap();
            fs::create_dir_all("/work/out/cfg/p/more").unwrap();
            fs::write("/work/own/deep/file", "").unwrap();
            fs::write("/work/out/cfg/p/undeclared", "").unwrap();
            std::os::unix::fs::symlink("/", "/work/p/link").unwrap();
            write(to, "planted")
        }
        ["change", to, path] => {
            let opened = fs::OpenOptions::new().write(true).open(path).map(drop);
            let mode = fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777));
            write(to, &format!("{} {}", opened.is_err(), mode.is_err()))
        }
        ["remove", to, path] => {
            fs::remove_file(path).map_err(|error| format!("{path}: {error}"))?;
            write(to, "removed")
        }
        ["link", to, target] => {
            // The output's folder goes, so that the link can stand in its place.
            let _ = fs::remove_dir(to);
            std::os::unix::fs::symlink(target, to).map_err(|error| format!("{to}: {error}"))
        }
        ["fail", ..] => Err("it does not compile\n".to_owned()),
        ["sleep", ..] => loop {
            std::thread::sleep(std::time::Duration::from_millis(50));
        },
        ref other => Err(format!("unknown command {other:?}")),
    }
}

/// All files below a folder, sorted. The root of the action is an input too, and left out.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true if entry.file_name() == "tools" => {}
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path().strip_prefix("/work").unwrap_or(&entry.path()).display().to_string()),
        }
    }
    found.sort();
    found
}

/// A build of actions of the tool.
struct Build {
    fixture: Fixture,
    actions: Vec<Action>,
    wanted: Vec<String>,
}

impl Build {
    fn new() -> Self {
        Self { fixture: with_tools(), actions: Vec::new(), wanted: Vec::new() }
    }

    /// Adds an action: the words are its request. The worker is started with an argument that names this test.
    fn add(&mut self, name: &str, words: &[&str], inputs: &[&str]) -> &mut Action {
        let (output, flags) = (format!("out/cfg/p/{name}"), format!("p/{name}.flags"));
        self.fixture.write(&flags, &words.iter().map(|word| format!("{word}\n")).collect::<String>());
        let argv = format!("/bin/tool {} @{flags}", self.marker());
        let inputs: Vec<&str> = inputs.iter().copied().chain([flags.as_str()]).collect();
        let mut action = fixture::spawn(&argv, &inputs, &[&output]);
        change(&mut action, |spawn| {
            spawn.root = Some(artifact("tools"));
            spawn.worker_tools = Some(Vec::new());
        });
        self.actions.push(action);
        self.wanted.push(output);
        self.actions.last_mut().unwrap()
    }

    fn marker(&self) -> String {
        format!("--test={}", self.fixture.folder.path().file_name().unwrap().to_string_lossy())
    }

    fn wanted(&self) -> Vec<&str> {
        self.wanted.iter().map(String::as_str).collect()
    }

    /// Runs it, after which no worker and no file of one may be left.
    #[track_caller]
    fn run(&self) -> Outcome {
        let outcome = build(&self.fixture, &self.actions, &self.wanted()).0;
        self.nothing_is_left();
        outcome
    }

    /// Runs it; all must succeed. The texts of the outputs.
    #[track_caller]
    fn texts(&self) -> Vec<String> {
        let outcome = self.run();
        if let Some(failure) = outcome.failures.first() {
            panic!("{}", failure.report());
        }
        self.wanted.iter().map(|path| self.fixture.text(&outcome, path)).collect()
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        let marker = self.marker();
        let is_ours = |entry: PathBuf| {
            let command_line = fs::read(entry.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command_line).contains(&marker)
        };
        let running = fs::read_dir("/proc").unwrap().filter(|entry| is_ours(entry.as_ref().unwrap().path())).count();
        assert_eq!(running, 0, "workers that outlive their command");
        let works = |folder: &Path| {
            let all = walk(folder);
            all.into_iter().filter(|path| path.ends_with("work") || path.ends_with("outputs")).collect::<Vec<_>>()
        };
        assert_eq!(works(self.fixture.store.root()), Vec::<PathBuf>::new(), "folders of workers");
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let below = |entry: fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => walk(&entry.path()).into_iter().chain([entry.path()]).collect(),
        false => vec![entry.path()],
    };
    entries.flat_map(below).collect()
}

#[track_caller]
fn failure<'a>(outcome: &'a Outcome, name: &str) -> &'a Failure {
    let path = format!("out/cfg/p/{name}");
    let failed = |failure: &&Failure| failure.outputs.iter().any(|output| output.path().as_str() == path);
    outcome.failures.iter().find(failed).unwrap_or_else(|| panic!("{name} did not fail"))
}

fn starts() {
    for jobs in [1, 2] {
        let mut build = Build::new();
        build.fixture.jobs = jobs;
        let names: Vec<String> = (0..12).map(|number| format!("n{number}")).collect();
        names.iter().for_each(|name| _ = build.add(name, &["number", &format!("out/cfg/p/{name}")], &[]));
        let texts = build.texts();
        let firsts = texts.iter().filter(|text| *text == "1").count();
        assert!((1..=jobs).contains(&firsts), "{firsts} workers for {jobs} jobs");
        if jobs == 1 {
            let all: BTreeSet<usize> = texts.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(all, (1..=12).collect());
        }
    }
    let mut build = Build::new();
    build.fixture.workers = 1;
    ["a", "b", "c"].iter().for_each(|name| _ = build.add(name, &["number", &format!("out/cfg/p/{name}")], &[]));
    let texts: BTreeSet<String> = build.texts().into_iter().collect();
    assert_eq!(texts, BTreeSet::from(["1", "2", "3"].map(str::to_owned)), "two jobs share the only worker");
}

fn other_tool() {
    let mut build = Build::new();
    build.fixture.jobs = 1;
    ["a", "b", "c"].iter().for_each(|name| _ = build.add(name, &["number", &format!("out/cfg/p/{name}")], &[]));
    change(build.add("d", &["number", "out/cfg/p/d"], &[]), |spawn| spawn.argv.insert(1, "-O2".to_owned()));
    change(build.add("e", &["number", "out/cfg/p/e"], &[]), |spawn| _ = spawn.env.insert("A".into(), "1".into()));
    build.fixture.write("p/tool.cfg", "x");
    change(build.add("f", &["number", "out/cfg/p/f"], &["p/tool.cfg"]), |spawn| {
        spawn.worker_tools = Some(vec![artifact("p/tool.cfg")]);
    });
    let mut texts = build.texts();
    assert_eq!(texts.split_off(3), ["1", "1", "1"]);
    texts.sort();
    assert_eq!(texts, ["1", "2", "3"]);

    // Two tools take turns without ending each other.
    let mut build = Build::new();
    build.fixture.jobs = 1;
    for number in 0..6 {
        let name = format!("t{number}");
        let action = build.add(&name, &["number", &format!("out/cfg/p/{name}")], &[]);
        change(action, |spawn| spawn.argv.insert(1, format!("-O{}", number % 2)));
    }
    let mut texts = build.texts();
    texts.sort();
    assert_eq!(texts, ["1", "1", "2", "2", "3", "3"]);
}

fn inputs() {
    let mut build = Build::new();
    build.fixture.jobs = 1;
    build.fixture.write("p/secret", "S");
    build.fixture.write("q/deep/a", "A");
    build.fixture.write("p/tool.cfg", "T");
    let many: Vec<String> = (0..40).map(|number| format!("m/src/f{number}")).collect();
    many.iter().for_each(|path| build.fixture.write(path, path));
    build.add("declared", &["see", "out/cfg/p/declared"], &["p/secret"]);
    build.add("undeclared", &["concat", "out/cfg/p/undeclared", "p/secret"], &["q/deep/a"]);
    build.add("other", &["see", "out/cfg/p/other"], &["q/deep/a"]);
    build.add("many", &["see", "out/cfg/p/many"], &many.iter().map(String::as_str).collect::<Vec<_>>());
    build.add("listed", &["listed", "out/cfg/p/listed"], &["q/deep/a"]);
    let outcome = build.run();
    let text = |name: &str| build.fixture.text(&outcome, &format!("out/cfg/p/{name}"));
    assert_eq!(text("declared"), "p/declared.flags p/secret");
    assert_eq!(text("other"), "p/other.flags q/deep/a");
    let mut expected = many;
    expected.push("p/many.flags".to_owned());
    expected.sort();
    assert_eq!(text("many"), expected.join(" "));
    assert!(text("listed").contains("p/listed.flags q/deep/a"), "{}", text("listed"));
    let failure = failure(&outcome, "undeclared");
    assert_eq!((failure.kind, outcome.failures.len()), (FailureKind::ExitCode(3), 1));
    assert!(failure.log.contains("p/secret: No such file"), "{}", failure.log);
    assert!(failure.hints[0].contains("add \"secret\" to `srcs`"), "{:?}", failure.hints);
}

fn left_behind() {
    let mut build = Build::new();
    build.fixture.jobs = 1;
    build.fixture.write("p/tool.cfg", "T");
    for name in ["a", "b"] {
        for command in ["plant", "see"] {
            let name = format!("{command}-{name}");
            let action = build.add(&name, &[command, &format!("out/cfg/p/{name}")], &["p/tool.cfg"]);
            change(action, |spawn| spawn.worker_tools = Some(vec![artifact("p/tool.cfg")]));
        }
    }
    let texts = build.texts();
    assert_eq!([&*texts[0], &*texts[2]], ["planted", "planted"]);
    assert_eq!(texts[1], "p/see-a.flags p/tool.cfg");
    assert_eq!(texts[3], "p/see-b.flags p/tool.cfg");
}

fn read_only() {
    let mut build = Build::new();
    build.fixture.write("p/a", "A");
    build.add("change", &["change", "out/cfg/p/change", "p/a"], &["p/a"]);
    assert_eq!(build.texts(), ["true true"]);
    let mut build = Build::new();
    build.fixture.write("p/a", "A");
    build.add("remove", &["remove", "out/cfg/p/remove", "p/a"], &["p/a"]);
    let outcome = build.run();
    let failure = failure(&outcome, "remove");
    assert_eq!(failure.kind, FailureKind::Worker);
    assert!(failure.message.contains("removed or moved an input"), "{}", failure.message);
    assert!(build.fixture.store.fsck(false, &|_, _| ()).unwrap().corrupt.is_empty());
}

fn links() {
    let mut build = Build::new();
    build.fixture.jobs = 1;
    let outside = build.fixture.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x"), "secret").unwrap();
    let (folder, file) = (outside.display().to_string(), outside.join("x").display().to_string());
    build.add("file", &["link", "out/cfg/p/file", &file], &[]);
    build.add("folder/x", &["link", "out/cfg/p/folder", &folder], &[]);
    build.add("number", &["number", "out/cfg/p/number"], &[]);
    let outcome = build.run();
    for name in ["file", "folder/x"] {
        let failure = failure(&outcome, name);
        assert!(failure.message.contains("outside of the action's folder"), "{}", failure.message);
    }
    assert_eq!(build.fixture.text(&outcome, "out/cfg/p/number").len(), 1, "the worker goes on");
    assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), "secret", "nothing outside was removed");
}

fn no_workers() {
    let mut with = Build::new();
    with.fixture.write("p/a", "A");
    with.add("x", &["concat", "out/cfg/p/x", "p/a", "p/a"], &["p/a"]);
    let mut without = Build::new();
    without.fixture.workers = 0;
    without.fixture.write("p/a", "A");
    without.add("x", &["concat", "out/cfg/p/x", "p/a", "p/a"], &["p/a"]);
    let process = without.add("n", &["number", "out/cfg/p/n"], &[]).clone();
    assert_eq!(without.texts(), ["AA", "0"], "a process counts no requests");
    assert_eq!(with.texts(), ["AA"]);
    // The key is that of the process, so a result counts for both.
    let (_, counts) = {
        without.fixture.workers = 2;
        build(&without.fixture, &[process], &["out/cfg/p/n"])
    };
    assert_eq!(counts, "ran 0 cached 1 failed 0");
}

fn failed_request() {
    let mut build = Build::new();
    build.fixture.jobs = 1;
    build.add("a", &["fail", "out/cfg/p/a"], &[]);
    build.add("b", &["concat", "elsewhere"], &[]);
    build.add("c", &["number", "out/cfg/p/c"], &[]);
    let outcome = build.run();
    assert_eq!(failure(&outcome, "a").kind, FailureKind::ExitCode(3));
    assert_eq!(&*failure(&outcome, "a").log, "it does not compile\n");
    assert_eq!(failure(&outcome, "b").kind, FailureKind::MissingOutput);
    assert!(failure(&outcome, "b").hints[0].contains("elsewhere"), "{:?}", failure(&outcome, "b").hints);
    let number: usize = build.fixture.text(&outcome, "out/cfg/p/c").parse().unwrap();
    assert!((1..=3).contains(&number));
    assert_eq!(outcome.stats.failed, 2);
}

fn broken() {
    for (command, kind, said) in [
        ("crash", FailureKind::Signal(6), "was ended by signal 6 without an answer"),
        ("garbage", FailureKind::Worker, "wrote something that is no response"),
        ("other-id", FailureKind::Worker, "answered request 7 instead of request 0"),
    ] {
        let mut build = Build::new();
        build.fixture.jobs = 1;
        build.add("a", &["number", "out/cfg/p/a"], &[]);
        build.add("bad", &[command], &[]);
        build.add("b", &["number", "out/cfg/p/b"], &[]);
        build.add("c", &["leave"], &[]);
        build.add("d", &["number", "out/cfg/p/d"], &[]);
        let outcome = build.run();
        let failure = failure(&outcome, "bad");
        assert_eq!(failure.kind, kind, "{}", failure.report());
        let report = failure.report();
        assert!(report.contains(said) && report.contains("--noworkers"), "{report}");
        match command {
            "crash" => assert!(report.contains("out of luck") && report.contains("half an ans"), "{report}"),
            "garbage" => assert!(report.contains("Compiling 1 file"), "{report}"),
            _ => {}
        }
        // "leave" makes no output, but does not harm others either.
        assert_eq!((outcome.stats.ran, outcome.stats.failed), (3, 2));
    }
}

fn stopping() {
    let mut build = Build::new();
    change(build.add("slow", &["sleep"], &[]), |spawn| spawn.timeout = Some(1));
    build.add("a", &["number", "out/cfg/p/a"], &[]);
    let outcome = build.run();
    assert_eq!(failure(&outcome, "slow").kind, FailureKind::TimedOut);
    assert_eq!(outcome.stats.ran, 1);

    let mut build = Build::new();
    build.add("slow", &["sleep"], &[]);
    let cancel = build.fixture.cancel.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        cancel.cancel();
    });
    let result = try_build(&build.fixture, &build.actions, &build.wanted());
    assert!(matches!(result, Err(ExecutionError::Cancelled)));
    stopper.join().unwrap();
    build.nothing_is_left();
}

fn limited() {
    let mut build = Build::new();
    change(build.add("a", &["number", "out/cfg/p/a"], &[]), |spawn| spawn.limits.memory = Some(512));
    assert_eq!(build.texts(), ["0"]);
}
