//! Go, Python and protobuf as a user meets them: what the compilers say of mistakes, what tests say of failures, and
//! that programs are what they are said to be. The toolchains come from the store that tests share.

mod support;

use std::io::Write as _;
use std::process::Stdio;

use support::Folder;

const GO: &str = r#"
== BUILD.star
go_library(name = "greet", srcs = ["greet.go"], importpath = "t/greet")
go_binary(name = "hello", srcs = ["hello.go"], deps = [":greet"], embed = ["motd.txt"])
go_test(name = "greet_test", srcs = ["greet_test.go"], library = ":greet")
== greet.go
package greet

// Hello greets.
func Hello(name string) string { return "hello " + name }
== greet_test.go
package greet

import "testing"

func TestGood(t *testing.T) {
	t.Log("the log of a good one")
	if Hello("x") != "hello x" {
		t.Fatal("no")
	}
}

func TestBad(t *testing.T) {
	t.Log("a line before")
	if got := Hello("x"); got != "bye x" {
		t.Fatalf("got %q", got)
	}
}
== hello.go
package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"

	"t/greet"
)

//go:embed motd.txt
var motd string

func main() {
	input, _ := io.ReadAll(os.Stdin)
	fmt.Printf("%sinput: %s\n", motd, input)
	for _, argument := range os.Args[1:] {
		fmt.Println(greet.Hello(argument))
	}
	os.Exit(40 + len(os.Args))
}
== motd.txt
of the day
"#;

const PYTHON: &str = r#"
== BUILD.star
py_library(name = "words", srcs = ["words.py"])
py_binary(name = "echo", srcs = ["echo.py"])
py_test(name = "good_test", srcs = ["good_test.py"], deps = [":words"])
py_test(name = "bad_test", srcs = ["bad_test.py"], deps = [":words"])
py_test(name = "undeclared_test", srcs = ["good_test.py"])
== words.py
def first(text):
    return text.split()[0]
== echo.py
import sys

print(sys.argv[1:], sys.stdin.read())
sys.exit(7)
== good_test.py
import unittest

import words


class Words(unittest.TestCase):
    def test_first(self):
        print("the log of a good one")
        self.assertEqual(words.first("a b"), "a")
== bad_test.py
import unittest

import words


class Words(unittest.TestCase):
    def test_first(self):
        self.assertEqual(words.first("a b"), "a")

    def test_second(self):
        print("a line before")
        self.assertEqual(words.first("a b"), "b")
"#;

/// How often a text is said.
fn times(text: &str, said: &str) -> usize {
    said.matches(text).count()
}

/// Runs a target with a text at its standard input; what it printed, and its exit code.
fn run_with_input(folder: &Folder, arguments: &[&str], input: &str) -> (String, Option<i32>) {
    let mut command = folder.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

#[test]
fn errors_of_the_go_compiler_are_shown_once_and_whole() {
    let folder = Folder::of(GO);
    folder.write("hello.go", "package main\n\nfunc main() {\n\tx := (\n}\n");
    let syntax = folder.build(&["build", ":hello"]).expect(1).says(&["GoCompile //:hello"]);
    assert_eq!(times("hello.go:5:1: syntax error", &syntax.stderr), 1, "{}", syntax.stderr);

    folder.write("hello.go", "package main\n\nfunc main() {\n\tvar n int = \"text\"\n\t_ = n\n\tnowhere()\n}\n");
    let types = folder.build(&["build", ":hello"]).expect(1);
    for error in ["hello.go:4:14: cannot use \"text\"", "hello.go:6:2: undefined: nowhere"] {
        assert_eq!(times(error, &types.stderr), 1, "{}", types.stderr);
    }
    assert_eq!((types.count("Failed"), types.actions("Ran").len()), (1, 0), "{}", types.stderr);

    // An error in a dependency is told of the dependency.
    let folder = Folder::of(GO);
    folder.replace("greet.go", "return", "retrun");
    folder.build(&["build", ":hello"]).expect(1).says(&["GoCompile //:greet", "greet.go:4:"]);
}

#[test]
fn go_imports_what_deps_name() {
    let folder = Folder::of(GO);
    folder.replace("BUILD.star", "deps = [\":greet\"], ", "");
    let own = folder.build(&["build", ":hello"]).expect(1);
    let hint = "`importpath = \"t/greet\"` is //:greet: add \"//:greet\" to `deps` of //:hello";
    own.says(&["hello.go:9:2: import \"t/greet\"", "`deps` of //:hello", hint]);

    folder.replace("hello.go", "\"t/greet\"", "\"example.com/far/away\"");
    let far = folder.build(&["build", ":hello"]).expect(1);
    far.says(&["hello.go:9:2: import \"example.com/far/away\"", "`deps` of //:hello", "\"@go//example.com/far/away\""]);
}

#[test]
fn go_tests_show_the_log_of_failures_and_can_be_chosen() {
    let folder = Folder::of(GO);
    let all = folder.build(&["test", ":greet_test"]).expect(3);
    let all = all.says(&["//:greet_test", "FAILED", "--- FAIL: TestBad", "greet_test.go:15: got \"hello x\""]);
    assert_eq!(times("a line before", &all.stderr), 1, "{}", all.stderr);
    assert!(!all.stderr.contains("the log of a good one"), "{}", all.stderr);
    folder.build(&["test", ":greet_test", "--test_filter=TestGood"]).expect(0).says(&["PASSED"]);
    folder.build(&["test", ":greet_test", "--test_filter=TestBad"]).expect(3);
}

#[test]
fn a_missing_package_of_the_own_module_is_named_by_its_target() {
    let folder = Folder::of(
        r#"
== WORKSPACE.star
workspace(name = "t")
go_modules(name = "go", mod = "//:go.mod", sum = "//:go.sum")
== go.mod
module example.org/shop

go 1.25
== go.sum
== src/BUILD.star
go_binary(name = "shop", srcs = ["main.go"])
go_library(name = "money", srcs = ["money/money.go"], importpath = "example.org/shop/src/money")
== src/money/money.go
package money

const Cents = 100
== src/main.go
package main

import (
	"example.org/shop/src/money"
	_ "example.org/shop/src/none"
	_ "example.com/elsewhere"
)

func main() { println(money.Cents) }
"#,
    );
    let missing = folder.build(&["build", "//src:shop"]).expect(1);
    let missing = missing.says(&[
        "src/main.go:4:2: import \"example.org/shop/src/money\"",
        "`importpath = \"example.org/shop/src/money\"` is //src:money: add \"//src:money\" to `deps` of //src:shop",
        "of the sources in \"src/none\"",
        "src/main.go:6:2: import \"example.com/elsewhere\"",
        "add \"@go//example.com/elsewhere\"",
    ]);
    assert!(!missing.stderr.contains("@go//example.org"), "{}", missing.stderr);

    folder.replace("src/main.go", "\t_ \"example.org/shop/src/none\"\n\t_ \"example.com/elsewhere\"\n", "");
    folder.replace("src/BUILD.star", "[\"main.go\"]", "[\"main.go\"], deps = [\":money\"]");
    folder.build(&["build", "//src:shop"]).expect(0);
}

#[test]
fn go_tests_find_what_is_made_for_them_beside_their_sources() {
    let folder = Folder::of(
        r#"
== p/BUILD.star
genrule(name = "made", outs = ["testdata/deep/made.txt", "alone.txt"], cmd = "for f in $(OUTS); do echo made > $$f; done")
go_test(name = "test", srcs = ["a_test.go"], data = ["testdata/deep/source.txt", ":made"])
== p/testdata/deep/source.txt
source
== p/a_test.go
package a

import (
	"os"
	"testing"
)

func TestFiles(t *testing.T) {
	for _, name := range []string{"testdata/deep/source.txt", "testdata/deep/made.txt", "alone.txt"} {
		if _, err := os.ReadFile(name); err != nil {
			t.Error(err)
		}
	}
}
"#,
    );
    folder.build(&["test", "//p:test"]).expect(0);
    folder.replace("p/BUILD.star", ", \":made\"]", "]");
    folder.build(&["test", "//p:test"]).expect(3).says(&["testdata/deep/made.txt: no such file"]);
}

#[test]
fn tests_say_where_they_are_when_their_time_is_over() {
    let folder = Folder::of(
        r#"
== BUILD.star
go_test(name = "slow_test", srcs = ["slow_test.go"])
sh_test(name = "deaf_test", src = "deaf.sh")
== slow_test.go
package slow

import (
	"testing"
	"time"
)

func waitForEver() { time.Sleep(time.Hour) }

func TestSlow(t *testing.T) { waitForEver() }
== deaf.sh
trap '' QUIT TERM INT
while true; do sleep 1; done
"#,
    );
    let slow = folder.build(&["test", "--test_timeout=1", ":slow_test"]).expect(3);
    slow.says(&["//:slow_test  TIMED OUT", "goroutine ", "slow_test.go:8", "waitForEver"]);
    let start = std::time::Instant::now();
    folder.build(&["test", "--test_timeout=1", ":deaf_test"]).expect(3).says(&["//:deaf_test  TIMED OUT"]);
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn go_programs_are_started_with_arguments_input_and_their_exit_code() {
    let folder = Folder::of(GO);
    let (printed, code) = run_with_input(&folder, &["run", ":hello", "--", "--name", "a b"], "from outside");
    assert_eq!(printed, "of the day\ninput: from outside\nhello --name\nhello a b\n");
    assert_eq!(code, Some(43));

    // What is embedded is an input: another text is another program.
    folder.write("motd.txt", "of tomorrow\n");
    let (printed, code) = run_with_input(&folder, &["run", ":hello"], "");
    assert_eq!((printed.as_str(), code), ("of tomorrow\ninput: \n", Some(41)));
}

#[test]
fn go_programs_are_cross_compiled() {
    let folder = Folder::of(GO);
    for (platform, machine) in [("linux/arm64", 0xb7), ("linux/amd64", 0x3e)] {
        folder.build(&["build", &format!("--platforms={platform}"), ":hello"]).expect(0);
        let program = std::fs::read(folder.path().join("build-out/hello")).unwrap();
        assert_eq!(&program[..5], b"\x7fELF\x02", "{platform}: not a 64-bit program");
        assert_eq!(u16::from_le_bytes([program[18], program[19]]), machine, "{platform}: another machine");
    }
}

#[test]
fn a_python_syntax_error_fails_the_build() {
    let folder = Folder::of(PYTHON);
    folder.write("words.py", "def first(:\n    pass\n");
    for target in [":words", "//..."] {
        let broken = folder.build(&["build", target]).expect(1).says(&["PyCompile //:words", "def first(:"]);
        assert_eq!(times("File \"words.py\", line 1", &broken.stderr), 1, "{}", broken.stderr);
        assert_eq!(times("SyntaxError", &broken.stderr), 1, "{}", broken.stderr);
    }
}

#[test]
fn python_tests_show_the_log_of_failures_and_can_be_chosen() {
    let folder = Folder::of(PYTHON);
    let all = folder.build(&["test", "-k", "//..."]).expect(3);
    let all = all.says(&["//:good_test  ", "PASSED", "//:bad_test  FAILED", "AssertionError: 'a' != 'b'"]);
    assert_eq!(times("a line before", &all.stderr), 1, "{}", all.stderr);
    assert!(!all.stderr.contains("the log of a good one"), "{}", all.stderr);
    // A module that no dependency gives is not there, though it lies beside the test.
    let all = all.says(&["//:undeclared_test  FAILED", "ModuleNotFoundError: No module named 'words'"]);
    assert_eq!(all.count("Failed"), 2, "{}", all.stderr);

    folder.build(&["test", ":bad_test", "--test_filter=test_first"]).expect(0).says(&["PASSED"]);
    folder.build(&["test", ":bad_test", "--test_filter=nothing"]).expect(3).says(&["no test in bad_test"]);
}

#[test]
fn python_programs_are_started_with_arguments_input_and_their_exit_code() {
    let folder = Folder::of(PYTHON);
    let (printed, code) = run_with_input(&folder, &["run", ":echo", "--", "-v", "a b"], "from outside");
    assert_eq!((printed.as_str(), code), ("['-v', 'a b'] from outside\n", Some(7)));
}

#[test]
fn protobuf_imports_what_deps_name() {
    let folder = Folder::of(
        r#"
== BUILD.star
proto_library(name = "a", srcs = ["a.proto"])
proto_library(name = "b", srcs = ["b.proto"], deps = [":a"])
proto_library(name = "c", srcs = ["c.proto"], deps = [":b"])
proto_library(name = "bad", srcs = ["bad.proto"])
== a.proto
syntax = "proto3";
package t;
message A { string x = 1; }
== b.proto
syntax = "proto3";
package t;
import "a.proto";
message B { A a = 1; }
== c.proto
syntax = "proto3";
package t;
import "a.proto";
import "b.proto";
message C { A a = 1; B b = 2; }
== bad.proto
syntax = "proto3";
package t;

message Bad {
  Missing m = 1;
}
"#,
    );
    folder.build(&["build", ":b"]).expect(0);
    let strict = folder.build(&["build", ":c"]).expect(1);
    strict.says(&["c.proto:3:1", "`a.proto`", "import \"a.proto\";", "add `//:a`"]);
    let wrong = folder.build(&["build", ":bad"]).expect(1);
    wrong.says(&["bad.proto:5:3: error: \"Missing\" is not defined", "  Missing m = 1;"]);

    folder.replace("BUILD.star", "deps = [\":b\"]", "deps = [\":a\", \":b\"]");
    folder.build(&["build", ":c"]).expect(0);
}
