//! What `go test` calls failed is FAILED here, and what it lets pass is PASSED: both run on every shape of a test in
//! `shapes/go.txt`, which says what the verdict is. The module is of an older Go, with which loop variables are one a
//! loop. `go vet`, of which `go test` runs a part first, is no part of it.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use support::Folder;

/// A test that never ends is ended after so many seconds. The others take a fraction of one, on two busy processors too.
const LIMIT: u32 = 20;

/// The words of one shape: its verdict and its files.
struct Shape {
    passes: bool,
    files: Vec<(String, String)>,
}

fn shapes() -> BTreeMap<String, Shape> {
    let all = include_str!("shapes/go.txt");
    let shape = |text: &str| {
        let (head, body) = text.split_once('\n').expect("a shape has files");
        let (name, verdict) = head.split_once(": ").expect("a shape has a name and a verdict");
        let passes = match verdict {
            "PASSED" => true,
            "FAILED" => false,
            other => panic!("{other} is no verdict"),
        };
        let files = format!("\n{body}");
        let files = files.split("\n-- ").skip(1).map(|file| {
            let (path, content) = file.split_once('\n').expect("a file's name ends with a line break");
            (path.to_owned(), format!("{}\n", content.trim_end()))
        });
        (name.to_owned(), Shape { passes, files: files.collect() })
    };
    format!("\n{all}").split("\n=== ").skip(1).map(shape).collect()
}

/// The BUILD.star that a user would write for the files.
fn build_file(name: &str, files: &[(String, String)]) -> String {
    let quoted = |test: bool| {
        let sources = files.iter().filter(|(path, _)| path.ends_with(".go") && path.ends_with("_test.go") == test);
        sources.map(|(path, _)| format!("\"{path}\", ")).collect::<String>()
    };
    let (sources, tests) = (quoted(false), quoted(true));
    let program = files.iter().any(|(path, text)| !path.ends_with("_test.go") && text.starts_with("package main"));
    let tested = match (sources.as_str(), program) {
        ("", _) => "",
        (_, true) => "go_binary(name = \"a\", srcs = [SOURCES])\n",
        (_, false) => "go_library(name = \"a\", srcs = [SOURCES], importpath = \"shapes/NAME\")\n",
    };
    let library = if tested.is_empty() { "" } else { ", library = \":a\"" };
    let data =
        "data = glob([\"testdata/**\"], allow_empty = True), embed = glob([\"testdata/**\"], allow_empty = True)";
    format!("{tested}go_test(name = \"test\", srcs = [{tests}], {data}{library})\n")
        .replace("SOURCES", &sources)
        .replace("NAME", name)
}

fn write(folder: &Folder, shapes: &BTreeMap<String, Shape>) {
    folder.write(
        "WORKSPACE.star",
        "workspace(name = \"t\")\ngo_modules(name = \"go\", mod = \"//:go.mod\", sum = \"//:go.sum\")\n",
    );
    folder.write("go.mod", "module shapes\n\ngo 1.21\n");
    folder.write("go.sum", "");
    for (name, shape) in shapes {
        if !shape.files.iter().any(|(path, _)| path == "BUILD.star") {
            folder.write(&format!("{name}/BUILD.star"), &build_file(name, &shape.files));
        }
        for (path, content) in &shape.files {
            folder.write(&format!("{name}/{path}"), content);
        }
    }
}

/// The shapes with what `go test` says of each, and all it said.
fn go_test(folder: &Path) -> (BTreeMap<String, bool>, String) {
    let output = Command::new("go")
        .args(["test", "-vet=off", "-count=1", "-ldflags=-s -w", &format!("-timeout={LIMIT}s"), "./..."])
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "")
        .env("GOPROXY", "off")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("this test compares with `go test`: install Go");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut verdicts = BTreeMap::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (passes, package) = match words.as_slice() {
            ["ok" | "?", package, ..] => (true, package),
            ["FAIL", package, ..] => (false, package),
            _ => continue,
        };
        if let Some(name) = package.strip_prefix("shapes/").filter(|name| !name.contains('/')) {
            verdicts.insert(name.to_owned(), passes);
        }
    }
    (verdicts, format!("{said}\n{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn tests_end_as_go_test_says() {
    let shapes = shapes();
    assert!(shapes.len() >= 40, "only {} shapes", shapes.len());
    let folder = Folder::of("");
    write(&folder, &shapes);
    let (go, said) = go_test(folder.path());
    let run = folder.build(&["test", "-k", &format!("--test_timeout={LIMIT}"), "//..."]);
    // Some do not even compile.
    assert_eq!(run.code, 1, "{}", run.stderr);
    let ours: BTreeMap<String, bool> = run
        .events
        .iter()
        .filter_map(|event| event.get("TestFinished"))
        .map(|event| {
            let label = event["label"].as_str().unwrap_or_default();
            (label.trim_start_matches("//").trim_end_matches(":test").to_owned(), event["status"] == "Passed")
        })
        .collect();
    let word =
        |verdict: Option<&bool>| verdict.map_or("no verdict", |passes| if *passes { "PASSED" } else { "FAILED" });
    let wrong: Vec<String> = shapes
        .iter()
        .filter(|(name, shape)| go.get(*name) != Some(&shape.passes) || ours.get(*name) != Some(&shape.passes))
        .map(|(name, shape)| {
            let expected = word(Some(&shape.passes));
            format!("{name}: expected {expected}, go test {}, build {}", word(go.get(name)), word(ours.get(name)))
        })
        .collect();
    assert!(wrong.is_empty(), "{}\n\n{said}\n\n{}", wrong.join("\n"), run.stderr);
}
