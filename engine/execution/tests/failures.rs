//! What goes wrong is said once, whole, with what to do; the rest goes on.

mod fixture;

use std::sync::Arc;

use execution::{Builtin, BuiltinCall, Content, ExecutionError, FailureKind, Made, Refused};
use fixture::{Fixture, action, artifact, as_test, concat, spawn};
use model::{ActionKind, ActionOutcome, Network, RelPath};

#[test]
fn a_failure_leaves_what_does_not_need_it_alone() {
    let mut fixture = Fixture::new();
    fixture.jobs = 1;
    fixture.write("p/a", "A");
    let actions = [
        spawn("fail out/cfg/p/bad it broke", &[], &["out/cfg/p/bad"]),
        concat(&["out/cfg/p/bad"], "out/cfg/p/after"),
        concat(&["p/a"], "out/cfg/p/good"),
    ];
    let wanted = ["out/cfg/p/after", "out/cfg/p/good"];
    let (outcome, counts) = fixture.build(&actions, &wanted);
    assert_eq!(counts, "ran 1 cached 0 failed 1 skipped 1");
    assert_eq!(fixture.text(&outcome, "out/cfg/p/good"), "A");
    let [failure] = &outcome.failures[..] else { panic!("{:?}", outcome.failures) };
    assert_eq!((failure.kind, &*failure.log, &*failure.mnemonic), (FailureKind::ExitCode(3), "it broke", "Make"));
    assert_eq!(failure.label, fixture::label("p/bad"));
    assert_eq!(failure.report(), "it broke\nerror: the process failed with exit code 3\n");
    let logs: Vec<_> = fixture.outcomes().into_iter().filter(|(_, _, log)| log.contains("it broke")).collect();
    assert_eq!(logs.len(), 1, "a log is reported once");
    let (_, counts) = fixture.build(&actions, &wanted);
    assert_eq!(counts, "ran 0 cached 1 failed 1 skipped 1", "a failure is not kept");
}

#[test]
fn without_keep_going_the_first_failure_stops_the_rest() {
    let mut fixture = Fixture::new();
    fixture.jobs = 1;
    fixture.keep_going = false;
    let names: Vec<String> = (0..5).map(|n| format!("out/cfg/p/f{n}")).collect();
    let actions: Vec<_> = names.iter().map(|name| spawn(&format!("fail {name} x"), &[], &[name])).collect();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let (outcome, counts) = fixture.build(&actions, &wanted);
    assert_eq!(counts, "ran 0 cached 0 failed 1 skipped 4");
    assert_eq!(outcome.failures.len(), 1);
    assert_eq!(fixture.outcomes().iter().filter(|(_, outcome, _)| *outcome == ActionOutcome::Skipped).count(), 4);
}

#[test]
fn a_missing_output_is_named_with_what_was_created_instead() {
    let fixture = Fixture::new();
    let actions = [spawn("write out/cfg/p/sub/x.txt text", &[], &["out/cfg/p/x.txt"])];
    let (outcome, _) = fixture.build(&actions, &["out/cfg/p/x.txt"]);
    let failure = &outcome.failures[0];
    assert_eq!(failure.kind, FailureKind::MissingOutput);
    assert_eq!(failure.message, "the declared output was not created: out/cfg/p/x.txt");
    assert_eq!(failure.hints, ["it created out/cfg/p/sub/x.txt"]);
    let actions = [spawn("write out/cfg/p/dir text", &[], &["out/cfg/p/other"])];
    assert_eq!(fixture.build(&actions, &["out/cfg/p/other"]).0.failures[0].hints, ["it created out/cfg/p/dir"]);
}

#[test]
fn an_undeclared_input_fails_and_the_hint_names_it() {
    let fixture = Fixture::new();
    fixture.write("p/a", "A");
    fixture.write("p/undeclared.txt", "B");
    fixture.write("q/far.txt", "C");
    let target = "out/cfg/p/x";
    for (path, expected) in [
        (
            "p/undeclared.txt",
            "p/undeclared.txt exists, but is not declared as an input: add \"undeclared.txt\" to `srcs` or `data` of //p:x",
        ),
        (
            "q/far.txt",
            "q/far.txt exists, but is not declared as an input: add \"//q:far.txt\" to `srcs` or `data` of //p:x",
        ),
        (
            "out/cfg/p/made.txt",
            "out/cfg/p/made.txt is made by //p:made.txt, which is not declared: add \":made.txt\" to `deps`, `srcs` or `data` of //p:x",
        ),
    ] {
        let actions = [
            spawn(&format!("concat {target} p/a {path}"), &["p/a"], &[target]),
            concat(&["p/a"], "out/cfg/p/made.txt"),
        ];
        let (outcome, _) = fixture.build(&actions, &[target]);
        let failure = &outcome.failures[0];
        assert_eq!(failure.hints, [expected]);
        assert_eq!(&*failure.log, &format!("concat: {path}: No such file or directory\n"));
    }
    let actions = [spawn("concat out/cfg/p/x out/cfg/q/r/unmade.txt", &["p/a"], &[target])];
    let unmade = "out/cfg/q/r/unmade.txt would be an output, but nothing that //p:x depends on makes it: add a target of \
                  //q/r that makes unmade.txt to its `deps`, `srcs` or `data`";
    assert_eq!(fixture.build(&actions, &[target]).0.failures[0].hints, [unmade]);
    let actions = [spawn("concat out/cfg/p/x p/nowhere.txt", &["p/a"], &[target])];
    assert!(fixture.build(&actions, &[target]).0.failures[0].hints.is_empty(), "no hint for what does not exist");
}

#[test]
fn a_missing_source_is_a_failure_of_its_action_only() {
    let fixture = Fixture::new();
    fixture.write("p/a", "A");
    let actions = [concat(&["p/absent"], "out/cfg/p/x"), concat(&["p/a"], "out/cfg/p/y")];
    let (outcome, counts) = fixture.build(&actions, &["out/cfg/p/x", "out/cfg/p/y", "p/gone"]);
    assert_eq!(counts, "ran 1 cached 0 failed 1 skipped 0");
    let kinds: Vec<_> = outcome.failures.iter().map(|failure| (failure.kind, failure.label.to_string())).collect();
    assert_eq!(kinds, [(FailureKind::Source, "//p:x".to_owned()), (FailureKind::Source, "//p:gone".to_owned())]);
    assert!(outcome.failures[0].message.starts_with("the source file p/absent cannot be read"));
}

#[test]
fn tests_pass_from_the_store_and_fail_without_stopping_others() {
    let mut fixture = Fixture::new();
    (fixture.jobs, fixture.keep_going) = (1, false);
    let actions = [
        as_test(spawn("fail out/cfg/t1.log one is not two", &[], &["out/cfg/t1.log"])),
        as_test(spawn("slow out/cfg/t2.log", &[], &["out/cfg/t2.log"])),
        as_test(spawn("pass out/cfg/t3.log all well", &[], &["out/cfg/t3.log"])),
    ];
    let wanted = ["out/cfg/t1.log", "out/cfg/t2.log", "out/cfg/t3.log"];
    let (outcome, counts) = fixture.build(&actions, &wanted);
    assert_eq!(counts, "ran 1 cached 0 failed 2 skipped 0");
    assert_eq!(fixture.text(&outcome, "out/cfg/t3.log"), "all well");
    let mut kinds: Vec<_> =
        outcome.failures.iter().map(|failure| (failure.outputs[0].path().as_str(), failure.kind)).collect();
    kinds.sort_by_key(|(path, _)| *path);
    assert_eq!(kinds, [("out/cfg/t1.log", FailureKind::TestFailed), ("out/cfg/t2.log", FailureKind::TestTimedOut)]);
    assert!(outcome.failures.iter().any(|failure| &*failure.log == "one is not two"));
    let (outcome, counts) = fixture.build(&actions, &wanted);
    assert_eq!(counts, "ran 0 cached 1 failed 2 skipped 0");
    assert!(outcome.was_cached(artifact("out/cfg/t3.log").path()));
}

#[test]
fn what_sees_the_network_is_never_kept() {
    let fixture = Fixture::new();
    let mut smoke = as_test(spawn("pass out/cfg/t.log fine", &[], &["out/cfg/t.log"]));
    let mut fetch = spawn("write out/cfg/p/x text", &[], &["out/cfg/p/x"]);
    for action in [&mut smoke, &mut fetch] {
        if let ActionKind::Spawn(spawn) = &mut action.kind {
            spawn.network = Network::Host;
        }
    }
    let actions = [smoke, fetch];
    fixture.build(&actions, &["out/cfg/t.log", "out/cfg/p/x"]);
    assert_eq!(fixture.build(&actions, &["out/cfg/t.log", "out/cfg/p/x"]).1, "ran 2 cached 0 failed 0 skipped 0");
}

#[test]
fn circles_duplicates_and_unknown_outputs_are_errors_that_name_the_targets() {
    let fixture = Fixture::new();
    let actions = [
        concat(&["out/cfg/p/c"], "out/cfg/p/a"),
        concat(&["out/cfg/p/a"], "out/cfg/p/b"),
        concat(&["out/cfg/p/b"], "out/cfg/p/c"),
    ];
    let Err(ExecutionError::Cycle(path)) = fixture.try_build(&actions, &["out/cfg/p/b"]) else { panic!() };
    assert_eq!(path.len(), 4);
    assert_eq!(path[0], path[3]);
    let position = |name: &str| path.iter().position(|step| step == &format!("//p:{name} (out/cfg/p/{name})")).unwrap();
    assert_eq!((position("a") + 1) % 3, position("c") % 3, "a needs c: {path:?}");

    let one = concat(&["p/a"], "out/cfg/p/x");
    let mut two = concat(&["p/b"], "out/cfg/p/x");
    two.owner.label = fixture::label("q/y");
    let error = fixture.try_build(&[one.clone(), two], &["out/cfg/p/x"]).unwrap_err();
    assert_eq!(error.to_string(), "both //p:x and //q:y make the output out/cfg/p/x");
    fixture.write("p/a", "A");
    assert_eq!(fixture.build(&[one.clone(), one], &["out/cfg/p/x"]).1, "ran 1 cached 0 failed 0 skipped 0");

    let error = fixture.try_build(&[concat(&["out/cfg/p/none"], "out/cfg/p/x")], &["out/cfg/p/x"]).unwrap_err();
    assert_eq!(error.to_string(), "no action makes out/cfg/p/none, which //p:x needs");
}

#[test]
fn stopping_ends_running_processes_and_starts_no_other() {
    let mut fixture = Fixture::new();
    fixture.jobs = 1;
    let cancel = fixture.cancel.clone();
    *fixture.runner.hook.lock().unwrap() = Some(Arc::new(move || cancel.cancel()));
    let actions = [
        spawn("hang out/cfg/p/a", &[], &["out/cfg/p/a"]),
        spawn("hang out/cfg/p/b", &[], &["out/cfg/p/b"]),
        concat(&["out/cfg/p/a", "out/cfg/p/b"], "out/cfg/p/ab"),
    ];
    assert!(matches!(fixture.try_build(&actions, &["out/cfg/p/ab"]), Err(ExecutionError::Cancelled)));
    assert_eq!(fixture.runner.ran.lock().unwrap().len(), 1);
}

struct Odd;

impl Builtin for Odd {
    fn version(&self) -> u32 {
        1
    }

    fn run(&self, call: &BuiltinCall<'_>) -> Result<Made, Refused> {
        let digest = call.store.put_bytes(b"x").unwrap();
        let file = Content::File { digest, size: 1, executable: false };
        let made = (call.outputs[0].path().clone(), file.clone());
        match call.params.as_str() {
            Some("fail") => Err("it cannot be done".into()),
            Some("nothing") => Ok(Made::Outputs(Vec::new())),
            Some("other") => Ok(Made::Outputs(vec![made, (RelPath::new("z").unwrap(), file)])),
            _ => Ok(Made::Outputs(vec![made])),
        }
    }
}

#[test]
fn built_in_functions_are_held_to_their_declared_outputs() {
    let mut fixture = Fixture::new();
    fixture.builtins.insert(Arc::from("odd"), Arc::new(Odd));
    for (name, params, expected) in [
        ("odd", "fail", "it cannot be done"),
        ("odd", "nothing", "the declared output out/cfg/p/x was not made"),
        ("odd", "other", "z was made, but is not declared as an output"),
        ("unknown", "", "the engine has no built-in function `unknown`"),
    ] {
        let kind = ActionKind::Builtin { name: Arc::from(name), params: serde_json::Value::from(params) };
        let (outcome, _) = fixture.build(&[action(kind, &[], &["out/cfg/p/x"])], &["out/cfg/p/x"]);
        assert_eq!(outcome.failures[0].message, expected);
    }
    let kind = ActionKind::Builtin { name: Arc::from("odd"), params: serde_json::Value::Null };
    let actions = [action(kind, &[], &["out/cfg/p/x"])];
    assert_eq!(fixture.build(&actions, &["out/cfg/p/x"]).1, "ran 1 cached 0 failed 0 skipped 0");
    assert_eq!(fixture.build(&actions, &["out/cfg/p/x"]).1, "ran 0 cached 1 failed 0 skipped 0");
}
