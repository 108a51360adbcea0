//! Configured targets on workspaces written in one string: what rules get, what is refused and with which words.

#[path = "../../loading/tests/fixture/mod.rs"]
mod fixture;

use std::collections::BTreeMap;
use std::sync::Arc;

use analysis::{Analysis, Options, analyse};
use fixture::{Fixture, label};
use model::{ActionKind, Configuration, Data, Diagnostics, NoReporter, Platform, TargetKey};

fn platform(arch: &str) -> Platform {
    Platform { os: Arc::from("linux"), arch: Arc::from(arch) }
}

fn analyse_for(fixture: &Fixture, targets: &str, configuration: Configuration) -> Result<Analysis, Diagnostics> {
    let loader = fixture.loader();
    let configuration = Arc::new(configuration);
    let key = |text| TargetKey { label: label(text), configuration: Some(Arc::clone(&configuration)) };
    let keys: Vec<TargetKey> = targets.split(' ').map(key).collect();
    let options = Options { exec_platform: platform("amd64"), keep_going: false, shell: label("@toolchains//:shell") };
    analyse(&loader, &keys, &options, &NoReporter)
}

fn run(fixture: &Fixture, targets: &str) -> Result<Analysis, Diagnostics> {
    analyse_for(fixture, targets, Configuration::new(platform("amd64")))
}

/// The files of the requested targets, or the errors.
fn files(result: Result<Analysis, Diagnostics>) -> String {
    match result {
        Err(errors) => errors.to_string(),
        Ok(analysis) => {
            let targets = analysis.requested.iter().map(|key| &analysis.targets[key]);
            let files = targets.flat_map(|target| target.default_info().files.to_list());
            let paths = files.map(|file| file.as_file().unwrap().path().to_string());
            paths.collect::<Vec<_>>().join(" ")
        }
    }
}

fn check(text: &str, targets: &str) -> String {
    files(run(&Fixture::new(text), targets))
}

/// A rule `shell` with a tree, and a rule `copies` that depends on files and programs.
const RULES: &str = r#"
//- WORKSPACE.star
workspace(name = "test")
toolchain(name = "shell", target = "//rules:shell")
//- rules/defs.star
def _shell_impl(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.tree(output = out, entries = {})
    return [DefaultInfo(files = depset([out]))]
shell = rule(implementation = _shell_impl)

InfoA = provider(fields = ["files"])

def _lib_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".o")
    ctx.actions.write(out, ctx.attr.text)
    return [InfoA(files = depset([out])), DefaultInfo(files = depset([out]))]
lib = rule(implementation = _lib_impl, attrs = {
    "srcs": attr.label_list(allow_files = [".c"]),
    "deps": attr.label_list(providers = [InfoA], doc = "Other libraries."),
    "tool": attr.label(cfg = "exec"),
    "text": attr.string(),
    "words": attr.string_list(),
})
//- rules/BUILD.star
load(":defs.star", "shell")
shell(name = "shell")
"#;

#[test]
fn genrules_get_the_shell() {
    let fixture = Fixture::new(&format!(
        r#"{RULES}
//- BUILD.star
genrule(
    name = "gen",
    srcs = ["a.txt", ":part"],
    outs = ["x.txt", "sub/y.txt"],
    tools = ["tool.sh"],
    cmd = "$(location tool.sh) $(SRCS) $(location a.txt) $(OUTS) $(RULEDIR) $$HOME",
)
genrule(name = "part", outs = ["part.txt"], cmd = "echo > $@")
filegroup(name = "all", srcs = [":gen", ":sub/y.txt", "a.txt"])
//- a.txt
//- tool.sh
"#
    ));
    let analysis = run(&fixture, "//:all").unwrap();
    assert_eq!(files(Ok(analysis.clone())), "out/linux-amd64/x.txt out/linux-amd64/sub/y.txt a.txt");
    let gen_action = analysis.actions.iter().find(|action| action.owner.label == label("//:gen")).unwrap();
    let ActionKind::Spawn(spawn) = &gen_action.kind else { panic!() };
    assert_eq!(
        spawn.argv[2],
        "set -eu -o pipefail; ./tool.sh a.txt out/linux-amd64/part.txt ./a.txt out/linux-amd64/x.txt \
         out/linux-amd64/sub/y.txt out/linux-amd64 $HOME"
    );
    assert_eq!(spawn.root.as_ref().unwrap().path().as_str(), "out/linux-amd64/rules/shell");
    let mut inputs: Vec<String> =
        gen_action.inputs.to_list().iter().map(|file| file.as_file().unwrap().path().to_string()).collect();
    inputs.sort();
    assert_eq!(inputs.join(" "), "a.txt out/linux-amd64/part.txt out/linux-amd64/rules/shell tool.sh");
}

#[test]
fn tools_are_built_for_the_exec_platform() {
    let fixture = Fixture::new(&format!(
        r#"{RULES}
//- BUILD.star
load("//rules:defs.star", "lib")
lib(name = "app", deps = [":dep"], tool = ":tool")
lib(name = "dep")
lib(name = "tool")
"#
    ));
    let analysis = analyse_for(&fixture, "//:app", Configuration::new(platform("arm64"))).unwrap();
    let outputs: Vec<&str> =
        analysis.actions.iter().flat_map(|action| &action.outputs).map(|output| output.path().as_str()).collect();
    assert_eq!(outputs, ["out/linux-arm64/dep.o", "out/linux-amd64/tool.o", "out/linux-arm64/app.o"]);
}

#[test]
fn selects() {
    let text = format!(
        r#"{RULES}
//- BUILD.star
load("//rules:defs.star", "lib")
config_setting(name = "linux", os = "linux")
config_setting(name = "linux_arm", os = "linux", arch = "arm64")
config_setting(name = "fast", define = {{"speed": "fast"}})
config_setting(name = "opt", values = {{"c": "opt"}})
platform(name = "arm", os = "linux", arch = "arm64")
alias(name = "also_linux", actual = ":linux")
lib(
    name = "a",
    words = ["always"] + select({{":linux": ["linux"], ":linux_arm": ["arm"], "//conditions:default": []}}),
    text = select({{":fast": "fast", "//conditions:default": "slow"}}) + select({{":also_linux": "-linux"}}),
)
lib(name = "ambiguous", text = select({{":linux": "a", ":fast": "b"}}))
lib(name = "same", text = select({{":linux": "a", ":fast": "a"}}))
lib(name = "none", text = select({{":opt": "a", ":arm": "b"}}))
lib(name = "wrong", text = select({{":a": "a", "//conditions:default": "b"}}))
"#
    );
    let fixture = Fixture::new(&text);
    let fast = |arch: &str, fast: bool| {
        let defines = if fast { BTreeMap::from([(Arc::from("speed"), Arc::from("fast"))]) } else { BTreeMap::new() };
        Configuration { defines, ..Configuration::new(platform(arch)) }
    };
    let show = |name: &str, configuration: Configuration| match analyse_for(&fixture, name, configuration) {
        Err(errors) => errors.to_string(),
        Ok(analysis) => {
            let attributes = analysis.attributes_of(&analysis.requested[0]).unwrap();
            let words: Vec<&str> = attributes["words"].as_list().unwrap().iter().filter_map(Data::as_str).collect();
            format!("{} {}", words.join(","), attributes["text"].as_str().unwrap())
        }
    };
    assert_eq!(show("//:a", fast("amd64", false)), "always,linux slow-linux");
    assert_eq!(show("//:a", fast("arm64", true)), "always,arm fast-linux");
    assert_eq!(show("//:same", fast("arm64", true)), " a");
    assert_eq!(show("//:none", fast("arm64", true)), " b");
    insta::assert_snapshot!(show("//:ambiguous", fast("amd64", true)), @r#"
    BUILD.star:13:1: error: `text` of //:ambiguous has several matching conditions
        lib(name = "ambiguous", text = select({":linux": "a", ":fast": "b"}))
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      note: none of //:linux, //:fast demands more than the others
      hint: add a condition that demands what these demand together
    "#);
    insta::assert_snapshot!(show("//:none", fast("amd64", true)), @r#"
    BUILD.star:15:1: error: no condition of the select in `text` of //:none matches
        lib(name = "none", text = select({":opt": "a", ":arm": "b"}))
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      note: //:opt demands compilation_mode = opt
      note: //:arm demands arch = arm64, os = linux
      note: the configuration has os = linux, arch = amd64, compilation_mode = fastbuild
      hint: "//conditions:default": ... takes all other configurations
    "#);
    insta::assert_snapshot!(show("//:wrong", fast("amd64", true)), @r#"
    BUILD.star:16:1: error: //:a cannot be a condition of a select: it is a lib
        lib(name = "wrong", text = select({":a": "a", "//conditions:default": "b"}))
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      hint: config_setting(name = ..., os = "linux") declares a condition
    "#);
}

#[test]
fn invisible_targets_are_refused() {
    let lib = r#"
//- lib/BUILD.star
package(default_visibility = ["//other:__subpackages__"])
filegroup(name = "lib")
filegroup(name = "open", srcs = ["open.txt"], visibility = ["//visibility:public"])
alias(name = "door", actual = ":lib", visibility = ["//visibility:public"])
exports_files(["open.txt"])
//- lib/open.txt
//- lib/closed.txt
"#;
    insta::assert_snapshot!(check(&format!("{lib}//- app/BUILD.star\nfilegroup(name = \"app\", srcs = [\"//lib\"])\n"), "//app"), @r#"
    app/BUILD.star:1:33: error: //lib:lib is not visible to //app:app
        filegroup(name = "app", srcs = ["//lib"])
                                        ^^^^^^^
      note: `srcs` of //app:app names it
      note: visibility of //lib:lib (lib/BUILD.star:2:1): ["//other:__subpackages__"]
      hint: add "//app:__pkg__" to `visibility` of //lib:lib
    "#);
    insta::assert_snapshot!(check(&format!("{lib}//- app/BUILD.star\nfilegroup(name = \"app\", srcs = [\"//lib:closed.txt\"])\n"), "//app"), @r#"
    app/BUILD.star:1:33: error: //lib:closed.txt is not visible to //app:app
        filegroup(name = "app", srcs = ["//lib:closed.txt"])
                                        ^^^^^^^^^^^^^^^^^^
      note: `srcs` of //app:app names it
      note: a source file is visible to its own package, unless it is exported
      hint: in //lib: exports_files(["closed.txt"], visibility = ["//app:__pkg__"])
    "#);
    let open = "filegroup(name = \"app\", srcs = [\"//lib:open\", \"//lib:door\", \"//lib:open.txt\"])\n";
    assert_eq!(check(&format!("{lib}//- app/BUILD.star\n{open}"), "//app"), "lib/open.txt");
    let other = "filegroup(name = \"app\", srcs = [\"//lib\"])\n";
    assert_eq!(check(&format!("{lib}//- other/x/BUILD.star\n{other}"), "//other/x:app"), "");
}

#[test]
fn aliases_forward() {
    let text = r#"
//- BUILD.star
filegroup(name = "real", srcs = ["a.txt"])
alias(name = "one", actual = ":real")
alias(name = "two", actual = ":one")
alias(name = "file", actual = "a.txt")
filegroup(name = "user", srcs = [":two", ":file"])
//- a.txt
"#;
    let analysis = run(&Fixture::new(text), "//:two").unwrap();
    assert_eq!(analysis.requested_target(0).unwrap().label(), &label("//:real"));
    assert_eq!(check(text, "//:user"), "a.txt");
}

#[test]
fn cycles_are_shown_with_their_path() {
    let text = r#"
//- BUILD.star
filegroup(name = "a", srcs = [":b"])
filegroup(name = "b", srcs = ["//sub:c"], visibility = ["//visibility:public"])
filegroup(name = "own", srcs = [":own"])
//- sub/BUILD.star
filegroup(name = "c", srcs = ["//:a"], visibility = ["//visibility:public"])
"#;
    let text = text.replace("srcs = [\":b\"]", "srcs = [\":b\"], visibility = [\"//visibility:public\"]");
    insta::assert_snapshot!(check(&text, "//:a //:own"), @r#"
    BUILD.star:1:31: error: //:a depends on itself
        filegroup(name = "a", srcs = [":b"], visibility = ["//visibility:public"])
                                      ^^^^
      note: BUILD.star:1:31: //:a depends on //:b
      note: BUILD.star:2:31: //:b depends on //sub:c
      note: sub/BUILD.star:1:31: //sub:c depends on //:a
    BUILD.star:3:33: error: //:own depends on itself
        filegroup(name = "own", srcs = [":own"])
                                        ^^^^^^
      note: BUILD.star:3:33: //:own depends on //:own
    "#);
}

#[test]
fn dependencies_must_give_what_is_demanded() {
    let text = format!(
        r#"{RULES}
//- BUILD.star
load("//rules:defs.star", "lib")
lib(name = "no_provider", deps = [":files"])
lib(name = "file_in_deps", deps = ["a.c"])
lib(name = "wrong_file", srcs = ["a.h"])
lib(name = "no_such_files", srcs = [":files"])
lib(name = "fine", srcs = ["a.c"], deps = [":other"])
lib(name = "other")
filegroup(name = "files", srcs = ["a.h"])
//- a.c
//- a.h
"#
    );
    insta::assert_snapshot!(check(&text, "//:no_provider"), @r#"
    BUILD.star:2:35: error: //:files is a filegroup (`deps` of //:no_provider)
        lib(name = "no_provider", deps = [":files"])
                                          ^^^^^^^^
      note: expected a target that provides InfoA
      note: `deps`: Other libraries.
    "#);
    insta::assert_snapshot!(check(&text, "//:file_in_deps"), @r#"
    BUILD.star:3:36: error: //:a.c is a file (`deps` of //:file_in_deps)
        lib(name = "file_in_deps", deps = ["a.c"])
                                           ^^^^^
      note: expected a target, not a file
      note: `deps`: Other libraries.
    "#);
    insta::assert_snapshot!(check(&text, "//:wrong_file"), @r#"
    BUILD.star:4:34: error: //:a.h has the wrong type (`srcs` of //:wrong_file)
        lib(name = "wrong_file", srcs = ["a.h"])
                                         ^^^^^
      note: expected .c
    "#);
    insta::assert_snapshot!(check(&text, "//:no_such_files"), @r#"
    BUILD.star:5:37: error: //:files makes no such file (`srcs` of //:no_such_files)
        lib(name = "no_such_files", srcs = [":files"])
                                            ^^^^^^^^
      note: expected .c
    "#);
    assert_eq!(check(&text, "//:fine"), "out/linux-amd64/fine.o");
}

#[test]
fn missing_dependencies_are_shown_where_they_are_named() {
    let text = r#"
//- BUILD.star
filegroup(name = "a", srcs = ["mising.txt", ":bb", "//sbu:x"])
filegroup(name = "b")
//- missing.txt
//- sub/BUILD.star
"#;
    insta::assert_snapshot!(check(text, "//:a"), @r#"
    BUILD.star:1:31: error: //:mising.txt is missing: // has neither such a file nor such a target
        filegroup(name = "a", srcs = ["mising.txt", ":bb", "//sbu:x"])
                                      ^^^^^^^^^^^^
      note: `srcs` of //:a names it
      hint: did you mean `//:missing.txt`?
      hint: to see what there is: build query //:all
    BUILD.star:1:45: error: there is no target `bb` in the package //
        filegroup(name = "a", srcs = ["mising.txt", ":bb", "//sbu:x"])
                                                    ^^^^^
      note: `srcs` of //:a names it
      hint: did you mean `//:b`?
      hint: to see what there is: build query //:all
    BUILD.star:1:52: error: there is no package `//sbu`: there is no folder `sbu`
        filegroup(name = "a", srcs = ["mising.txt", ":bb", "//sbu:x"])
                                                           ^^^^^^^^^
      note: `srcs` of //:a names it
      hint: did you mean `//sub`?
    "#);
}

#[test]
fn no_path_is_made_twice() {
    let text = r#"
//- defs.star
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.attr.out)
    ctx.actions.write(out, "")
    return [DefaultInfo(files = depset([out]))]
make = rule(implementation = _impl, attrs = {"out": attr.string()})
//- BUILD.star
load(":defs.star", "make")
make(name = "a", out = "x")
make(name = "b", out = "x")
make(name = "c", out = "x/y")
"#;
    insta::assert_snapshot!(check(text, "//:a //:b"), @r#"
    BUILD.star:3:1: error: //:a and //:b both make `out/linux-amd64/x`
        make(name = "b", out = "x")
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      note: BUILD.star:2:1: //:a is declared here
      hint: rename one of the outputs
    "#);
    insta::assert_snapshot!(check(text, "//:a //:c"), @r#"
    BUILD.star:4:1: error: `out/linux-amd64/x/y` of //:c lies inside `out/linux-amd64/x` of //:a
        make(name = "c", out = "x/y")
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      hint: rename one of the outputs
    "#);
}

#[test]
fn failing_rules_do_not_hide_each_other() {
    let text = r#"
//- defs.star
def _impl(ctx):
    fail("no " + ctx.label.name)
bad = rule(implementation = _impl, attrs = {"deps": attr.label_list()})
//- BUILD.star
load(":defs.star", "bad")
bad(name = "a")
bad(name = "b")
bad(name = "above", deps = [":a"])
"#;
    let errors = run(&Fixture::new(text), "//:a //:b //:above").unwrap_err();
    assert_eq!(errors.0.len(), 2, "{errors}");
    insta::assert_snapshot!(errors.0[0], @r#"
    defs.star:2:5: error: no a
            fail("no " + ctx.label.name)
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      note: while analysing //:a (bad), declared at BUILD.star:2:1
    "#);
}

#[test]
fn arguments_of_programs_are_expanded() {
    let text = r#"
//- defs.star
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(out, "", is_executable = True)
    return [DefaultInfo(executable = out)]
probe_test = rule(implementation = _impl, test = True, attrs = {"data": attr.label_list(allow_files = True)})
//- BUILD.star
load(":defs.star", "probe_test")
probe_test(name = "x_test", data = ["a.txt"], args = ["--in=$(location a.txt)"])
probe_test(name = "y_test", args = ["$(location a.txt)"])
//- a.txt
"#;
    let analysis = run(&Fixture::new(text), "//:x_test").unwrap();
    let attributes = analysis.attributes_of(&analysis.requested[0]).unwrap();
    assert_eq!(attributes["args"].as_list().unwrap()[0].as_str(), Some("--in=./a.txt"));
    insta::assert_snapshot!(check(text, "//:y_test"), @r#"
    BUILD.star:3:1: error: `$(location a.txt)`: //:a.txt is no dependency of //:y_test
        probe_test(name = "y_test", args = ["$(location a.txt)"])
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      hint: add "//:a.txt" to `data`
    "#);
}

#[test]
fn the_result_is_the_same_each_time() {
    let text = format!(
        r#"{RULES}
//- BUILD.star
load("//rules:defs.star", "lib")
[lib(name = "l%d" % i, deps = [":l%d" % j for j in range(i)]) for i in range(12)]
"#
    );
    let fixture = Fixture::new(&text);
    let first = run(&fixture, "//:l11").unwrap();
    let second = run(&fixture, "//:l11").unwrap();
    assert_eq!(first.actions, second.actions);
    assert_eq!(first.targets.keys().collect::<Vec<_>>(), second.targets.keys().collect::<Vec<_>>());
}
