//! BUILD.star files: what they declare, and every error with its place.
#![allow(missing_docs, reason = "a test")]

mod support;

use model::{Configurable, Data, Part, Visibility};
use support::Workspace;

const RULES: &str = r#"
== rules.star ==
def _impl(ctx):
    return []

lib = rule(
    implementation = _impl,
    attrs = {
        "srcs": attr.label_list(mandatory = True, allow_files = [".go"]),
        "deps": attr.label_list(),
        "mode": attr.string(default = "fast", values = ["fast", "slow"]),
        "count": attr.int(default = 3),
        "flags": attr.string_list(allow_empty = False),
        "env": attr.string_dict(),
        "helper": attr.label(default = ":helper"),
        "outs": attr.output_list(),
        "info": attr.data(),
    },
)
"#;

fn workspace(build: &str) -> Workspace {
    let loads = "load(\"//:rules.star\", \"lib\")\n";
    Workspace::new(&format!("{RULES}\n== a/BUILD.star ==\n{loads}{build}"))
}

fn errors(build: &str) -> String {
    workspace(build).errors("a")
}

#[test]
fn a_target_has_its_attributes_and_the_defaults() {
    let package = workspace(
        "lib(name = \"x\", srcs = glob([\"*.go\"], exclude = [\"*_test.go\"]), deps = [\":y\", \"//b\"], info = {\"z\": [1], \"a\": None})",
    )
    .package("a")
    .unwrap();
    let target = &package.targets["x"];
    assert_eq!(target.label.to_string(), "//a:x");
    assert_eq!(target.rule.file.to_string(), "//:rules.star");
    assert_eq!(target.location.as_ref().unwrap().to_string(), "a/BUILD.star:2:1");
    assert_eq!(target.visibility, Visibility::Private);
    insta::assert_debug_snapshot!(target.attributes["srcs"], @r###"
        Plain(
            List(
                [
                    Label(
                        //a:a.go,
                    ),
                    Label(
                        //a:b.go,
                    ),
                ],
            ),
        )
        "###);
    insta::assert_debug_snapshot!(target.attributes["deps"], @r###"
        Plain(
            List(
                [
                    Label(
                        //a:y,
                    ),
                    Label(
                        //b:b,
                    ),
                ],
            ),
        )
        "###);
    insta::assert_debug_snapshot!(target.attributes["helper"], @r###"
        Plain(
            Label(
                //:helper,
            ),
        )
        "###);
    insta::assert_debug_snapshot!(target.attributes["info"], @r###"
        Plain(
            Dict(
                [
                    (
                        Str(
                            "z",
                        ),
                        List(
                            [
                                Int(
                                    1,
                                ),
                            ],
                        ),
                    ),
                    (
                        Str(
                            "a",
                        ),
                        None,
                    ),
                ],
            ),
        )
        "###);
    let explicit: Vec<&str> = target.explicit.iter().map(|name| &**name).collect();
    assert_eq!(explicit, ["deps", "info", "srcs"]);
    assert_eq!(target.attributes["count"], Configurable::Plain(Data::Int(3)));
}

#[test]
fn selects_stay_until_the_configuration_is_known() {
    let package = workspace(
        "lib(name = \"x\", srcs = [\"a.go\"] + select({\":linux\": [\"b.go\"], \"//conditions:default\": []}))",
    )
    .package("a")
    .unwrap();
    let Configurable::Sum(parts) = &package.targets["x"].attributes["srcs"] else { panic!("no select") };
    let [Part::Plain(_), Part::Select(select)] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!(select.branches[0].0.to_string(), "//a:linux");
    assert_eq!(format!("{:?}", select.branches[0].1), "List([Label(//a:b.go)])");
    assert_eq!(select.default, Some(Data::empty_list()));
}

#[test]
fn visibility_and_exports() {
    let package = workspace(
        r#"package(default_visibility = ["//b:__subpackages__"])
lib(name = "x", srcs = [])
lib(name = "y", srcs = [], visibility = ["//visibility:public"])
exports_files(["c.txt"])
"#,
    )
    .package("a")
    .unwrap();
    insta::assert_debug_snapshot!(package.targets["x"].visibility, @r###"
        Packages(
            [
                VisibleTo {
                    package: //b:__pkg__,
                    subpackages: true,
                },
            ],
        )
        "###);
    assert_eq!(package.targets["y"].visibility, Visibility::Public);
    assert_eq!(package.exported_files["c.txt"], Visibility::Public);
}

#[test]
fn many_errors_at_once() {
    insta::assert_snapshot!(errors(
        r#"lib(name = "x", srcs = "a.go", mode = "fats", count = "3")
lib(name = "y", src = ["a.go"])
lib(name = "x", srcs = [])
lib(name = "z", srcs = ["a.go", 1], flags = [], visibility = ["//b:all"])
lib(srcs = [])
lib("w", srcs = [], deps = [":p", ":p", "a::b"])
lib(name = "o", srcs = [], outs = ["x", "//b:c"])
"#
    ), @r###"
        a/BUILD.star:2:17: error: `srcs` of `lib`: expected a list of labels, but got the string "a.go"
            lib(name = "x", srcs = "a.go", mode = "fats", count = "3")
                            ^^^^^^^^^^^^^
          hint: write `["a.go"]`
        a/BUILD.star:2:32: error: `mode` of `lib`: "fats" is not one of "fast", "slow"
            lib(name = "x", srcs = "a.go", mode = "fats", count = "3")
                                           ^^^^^^^^^^^^^
          hint: did you mean `fast`?
        a/BUILD.star:2:47: error: `count` of `lib`: expected an int, but got the string "3"
            lib(name = "x", srcs = "a.go", mode = "fats", count = "3")
                                                          ^^^^^^^^^^^
        a/BUILD.star:3:1: error: `lib` needs the attribute `srcs`
            lib(name = "y", src = ["a.go"])
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          hint: it is a list of labels
        a/BUILD.star:3:17: error: `lib` has no attribute `src`
            lib(name = "y", src = ["a.go"])
                            ^^^^^^^^^^^^^^
          hint: did you mean `srcs`?
        a/BUILD.star:4:5: error: the package has two targets named `x`
            lib(name = "x", srcs = [])
                ^^^^^^^^^^
          note: the other is declared at a/BUILD.star:2:1
        a/BUILD.star:5:17: error: `srcs` of `lib`: element 2: expected a label, but got the int 1
            lib(name = "z", srcs = ["a.go", 1], flags = [], visibility = ["//b:all"])
                            ^^^^^^^^^^^^^^^^^^
        a/BUILD.star:5:37: error: `flags` of `lib`: it must not be empty
            lib(name = "z", srcs = ["a.go", 1], flags = [], visibility = ["//b:all"])
                                                ^^^^^^^^^^
        a/BUILD.star:5:49: error: `//b:all` is not a visibility
            lib(name = "z", srcs = ["a.go", 1], flags = [], visibility = ["//b:all"])
                                                            ^^^^^^^^^^^^^^^^^^^^^^^^
          hint: write `//visibility:public`, `//visibility:private`, `//pkg:__pkg__` or `//pkg:__subpackages__`
        a/BUILD.star:6:1: error: `lib` needs a `name`
            lib(srcs = [])
            ^^^^^^^^^^^^^^
        a/BUILD.star:7:1: error: `lib` takes named arguments only
            lib("w", srcs = [], deps = [":p", ":p", "a::b"])
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          hint: write `lib(name = ...)`
        a/BUILD.star:7:21: error: `deps` of `lib`: //a:p is listed twice
            lib("w", srcs = [], deps = [":p", ":p", "a::b"])
                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^
        a/BUILD.star:8:28: error: `outs` of `lib`: element 2: an output lies in its own package, but `//b:c` is in //b
            lib(name = "o", srcs = [], outs = ["x", "//b:c"])
                                       ^^^^^^^^^^^^^^^^^^^^^
        "###);
}

#[test]
fn unknown_names_are_all_found_and_the_rest_is_evaluated() {
    insta::assert_snapshot!(errors(
        r#"lib(name = "x", srcs = gloob(["*.go"]))
FLAGS = undefined + ["x"]
lib(name = "y", srcs = FLAGS, mode = "no")
lib(name = "z", srcs = [f for f in fs])
lib(name = "z", srcs = 3)
"#
    ), @r###"
        a/BUILD.star:2:24: error: the name `gloob` is not defined
            lib(name = "x", srcs = gloob(["*.go"]))
                                   ^^^^^
          hint: did you mean `glob`?
        a/BUILD.star:3:9: error: the name `undefined` is not defined
            FLAGS = undefined + ["x"]
                    ^^^^^^^^^
        a/BUILD.star:5:36: error: the name `fs` is not defined
            lib(name = "z", srcs = [f for f in fs])
                                               ^^
        a/BUILD.star:6:17: error: `srcs` of `lib`: expected a list of labels, but got the int 3
            lib(name = "z", srcs = 3)
                            ^^^^^^^^
        "###);
}

#[test]
fn an_error_does_not_hide_those_below() {
    insta::assert_snapshot!(errors(
        r#"lib(name = "x", srcs = glob(["/*.go"]))
N = 1 + "a"
lib(name = "y", srcs = [], count = N)
lib(name = "z", srcs = {})
fail("no", 3)
"#
    ), @r###"
        a/BUILD.star:2:24: error: a pattern cannot start with `/`
            lib(name = "x", srcs = glob(["/*.go"]))
                                   ^^^^^^^^^^^^^^^
        a/BUILD.star:3:5: error: Operation `+` not supported for types `int` and `string`
            N = 1 + "a"
                ^^^^^^^
        a/BUILD.star:5:17: error: `srcs` of `lib`: expected a list of labels, but got a dict
            lib(name = "z", srcs = {})
                            ^^^^^^^^^
        a/BUILD.star:6:1: error: no 3
            fail("no", 3)
            ^^^^^^^^^^^^^
        "###);
}

#[test]
fn what_a_build_file_may_not_contain() {
    insta::assert_snapshot!(errors("def f():\n    pass\n"), @r###"
        a/BUILD.star:2:1: error: `def` is not allowed here
            def f():
            ^^^^^^^^
          hint: move the function to a .star file and load() it
        "###);
    insta::assert_snapshot!(errors("for x in [1]:\n    lib(name = str(x), srcs = [])\n"), @r###"
        a/BUILD.star:2:1: error: `for` can stand only inside a function
            for x in [1]:
            ^^^^^^^^^^^^^
          hint: use a list comprehension, or a function in a .star file
        "###);
    insta::assert_snapshot!(errors("if True:\n    lib(name = \"x\", srcs = [])\n"), @r###"
        a/BUILD.star:2:1: error: `if` can stand only inside a function
            if True:
            ^^^^^^^^
          hint: use `x if condition else y`, or a function in a .star file
        "###);
    insta::assert_snapshot!(errors("lib(**{\"name\": \"x\"})\n"), @r###"
        a/BUILD.star:2:1: error: `lib` needs the attribute `srcs`
            lib(**{"name": "x"})
            ^^^^^^^^^^^^^^^^^^^^
          hint: it is a list of labels
        a/BUILD.star:2:5: error: a BUILD.star cannot spread arguments with `*` or `**`
            lib(**{"name": "x"})
                ^^^^^^^^^^^^^^^
          hint: name the arguments, or do it in a macro of a .star file
        "###);
    insta::assert_snapshot!(errors("lib(name = \"x\", srcs = [)\n"), @r###"
        a/BUILD.star:2:25: error: unexpected symbol ')', expected expression
            lib(name = "x", srcs = [)
                                    ^
        "###);
    insta::assert_snapshot!(errors("package()\npackage()\n"), @r###"
        a/BUILD.star:3:1: error: package() is called twice
            package()
            ^^^^^^^^^
          note: it is first called at a/BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("load(\"//:rules.star\", \"libb\")\n"), @r###"
        a/BUILD.star:2:23: error: Module has no symbol `libb`
            load("//:rules.star", "libb")
                                  ^^^^^^
          hint: did you mean `lib`?
        "###);
}

#[test]
fn the_prelude_is_in_scope_and_macros_reach_it_through_native() {
    let workspace = Workspace::new(&format!(
        r#"{RULES}
== prelude.star ==
load("//:rules.star", _lib = "lib")

lib = _lib

== macros.star ==
def many(name, n):
    for i in range(n):
        native.lib(name = name + str(i), srcs = native.glob(["*.go"]))

def bad(name):
    native.lib(name = name, srcs = 1)

def worse(name):
    native.libb(name = name)

def fails(name):
    fail("cannot", name)

== good/BUILD.star ==
load("//:macros.star", "many")
lib(name = "x", srcs = [])
many(name = "m", n = 2)

== bad/BUILD.star ==
load("//:macros.star", "bad", "fails", "worse")
bad(name = "a")
worse(name = "b")
fails(name = "c")
"#
    ));
    let package = workspace.package("good").unwrap();
    assert_eq!(package.targets.keys().map(|name| &**name).collect::<Vec<_>>(), ["m0", "m1", "x"]);
    assert_eq!(package.targets["m1"].location.as_ref().unwrap().to_string(), "good/BUILD.star:3:1");
    insta::assert_snapshot!(workspace.errors("bad"), @r###"
        bad/BUILD.star:2:1: error: `srcs` of `lib`: expected a list of labels, but got the int 1
            bad(name = "a")
            ^^^^^^^^^^^^^^^
          note: `lib` is called at macros.star:6:5
        macros.star:9:5: error: native has no `libb`
                native.libb(name = name)
                ^^^^^^^^^^^^^^^^^^^^^^^^
          note: in `worse`, called at bad/BUILD.star:3:1
          hint: did you mean `lib`?
        macros.star:12:5: error: cannot c
                fail("cannot", name)
                ^^^^^^^^^^^^^^^^^^^^
          note: in `fails`, called at bad/BUILD.star:4:1
        "###);
}

#[test]
fn evaluation_is_deterministic() {
    let text = "lib(name = \"x\", srcs = glob([\"*.go\"]), env = {\"b\": \"1\", \"a\": \"2\"})";
    assert_eq!(workspace(text).package("a").unwrap(), workspace(text).package("a").unwrap());
    let digest = |text| workspace(text).library("rules.star").unwrap().digest();
    assert_eq!(digest(text), digest(""));
}

/// One step can take as much as a thousand: each is looked at.
#[test]
fn what_doubles_is_stopped_at_its_line() {
    let doubling = errors(&format!("x = \"abcdefgh\"\n{}", "x = x + x\n".repeat(60)));
    assert!(doubling.contains("evaluation takes too much memory") && doubling.contains("a/BUILD.star:"), "{doubling}");
    let range = errors("x = list(range(2147483647))\n");
    assert!(range.contains("a/BUILD.star:2:") && range.contains("at most 10000000"), "{range}");
}

#[test]
fn an_escape_before_a_long_character_has_its_place() {
    for text in ["x = f\"\\U\u{feff}abs\"\n", "x = f\"\\x\u{e9}abs", "x = \"\\x\u{e9}", "x = f\"\\u\u{1f600}"] {
        let error = errors(text);
        assert!(error.starts_with("a/BUILD.star:2:"), "{error}");
    }
}
