//! What needs no target: help, version, completions, facts; which stream it goes to and the exit code.

mod support;

use support::Folder;

#[test]
fn help_is_data_when_asked_for_and_a_message_when_not() {
    let folder = Folder::of("");
    let asked = folder.command(&["help"]).output().unwrap();
    assert_eq!(asked.status.code(), Some(0));
    let text = String::from_utf8(asked.stdout).unwrap();
    assert!(text.contains("Usage: build [OPTIONS] <COMMAND>") && text.contains("Examples:"), "{text}");
    let none = folder.command(&[]).output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(none.stdout.is_empty() && String::from_utf8_lossy(&none.stderr).contains("Usage: build"));
}

#[test]
fn every_command_has_examples() {
    let folder = Folder::of("");
    for command in ["build", "test", "run", "query", "fetch", "show", "clean", "gc", "fsck", "info", "completions"] {
        let output = folder.command(&[command, "--help"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(text.contains(&format!("\n  build {command}")), "{text}");
        assert!(text.contains("Examples:"), "{text}");
    }
}

#[test]
fn mistakes_of_the_command_line() {
    let folder = Folder::of("");
    for (arguments, said) in [
        (&["biuld"][..], "a similar subcommand exists: 'build'"),
        (&["build", "//x", "--keep_goin"], "a similar argument exists: '--keep_going'"),
        (&["build", "//x", "-j", "many"], "expected a number from 1"),
        (&["query", "//x", "--output=xml"], "[possible values: label, label_kind, json, dot]"),
        (&["gc", "--max_size=much"], "expected a size such as 20G"),
        (&["gc", "--max_age=30"], "expected a time such as 30d"),
        (&["info", "wrokspace"], "one of build-out, configuration,"),
    ] {
        let output = folder.command(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{said:?} is not in:\n{stderr}");
    }
}

#[test]
fn version_completions_and_facts_are_data() {
    let folder = Folder::of("");
    let out = |arguments: &[&str]| {
        let output = folder.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(out(&["version"]), format!("build {}\n", env!("CARGO_PKG_VERSION")));
    assert!(out(&["completions", "bash"]).starts_with("_build()"));
    assert!(out(&["completions", "zsh"]).starts_with("#compdef build"));
    assert!(out(&["completions", "fish"]).contains("complete -c build"));
    let top = folder.path().canonicalize().unwrap();
    assert_eq!(out(&["info", "workspace"]), format!("{}\n", top.display()));
    assert!(out(&["info"]).contains("\nstore: "));
}

#[test]
fn a_machine_that_knows_no_endpoint_is_told_of_all_of_them_at_once() {
    let folder = Folder::of(
        r#"
== WORKSPACE.star
workspace(name = "t")
go_modules(name = "go", mod = "//:go.mod", sum = "//:go.sum")
pip_lock(name = "pypi", lock = "//:requirements.lock")
== go.mod
module t
go 1.24
require example.com/a v1.0.0
== go.sum
example.com/a v1.0.0 h1:ogZGgioUbILcJZb6JCPiHx+oAK/UZkw8SOIRLbGYtx4=
== requirements.lock
six==1.16.0 --hash=sha256:0000000000000000000000000000000000000000000000000000000000000001
== BUILD.star
"#,
    )
    .with_fresh_store();
    // Neither `go` nor `pip` is on the PATH, and nobody has configured anything.
    let folder = folder.with_env("PATH", "/nonexistent").with_env("HOME", "/nonexistent").with_env("GOPROXY", "");
    let folder =
        folder.with_env("PIP_INDEX_URL", "").with_env("BUILD_GO_ENDPOINT", "").with_env("BUILD_PYPI_ENDPOINT", "");
    // What a package is made of is known only once it is there: that is told as an error of loading.
    for target in ["@go//example.com/a", "@pypi//six"] {
        let run = folder.build(&["build", target]).expect(1);
        assert_eq!(run.stderr.matches("no endpoint is configured for").count(), 1, "{}", run.stderr);
        let hints = ["BUILD_GO_ENDPOINT=https://HOST", "BUILD_PYPI_ENDPOINT=https://HOST/simple/"];
        run.says(&["Go modules and Python packages"]).says(&hints);
    }
}
