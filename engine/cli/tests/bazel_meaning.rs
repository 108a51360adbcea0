//! The same text means what it means to Bazel: values here are those of Bazel 4.2.3, but where rules/DIFFERENCES.md says
//! otherwise.

mod support;

use support::{Folder, Run};

fn query(folder: &Folder, expression: &str) -> String {
    folder.build(&["query", expression]).expect(0).stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The command fails in a BUILD.star that is wrong, for `build` and for `query`.
fn is_refused(files: &str, words: &[&str]) {
    let folder = Folder::of(files);
    for command in ["query", "build"] {
        let run: Run = folder.build(&[command, "//:all"]);
        assert_ne!(run.code, 0, "{command} takes {files}");
        run.says(words);
    }
}

#[test]
fn directories_among_arguments_stand_for_their_files() {
    let folder = Folder::of(
        r#"
== defs.star
def _impl(ctx):
    made = ctx.actions.declare_directory("made")
    ctx.actions.run_shell(
        outputs = [made],
        command = "mkdir $1/deep; echo 1 > $1/b; echo 2 > $1/a; echo 3 > $1/deep/c; ln -s a $1/link",
        arguments = [made.path],
    )
    args = ctx.actions.args()
    args.add("first")
    args.add_all("--all", [made, "word"], before_each = "-f", format_each = "<%s>")
    args.add_joined("--joined", [made], join_with = ":")
    args.add_all([made], expand_directories = False)
    args.add_all("--empty", depset([]))
    args.add("last")
    said = ctx.actions.declare_file("said")
    ctx.actions.run_shell(outputs = [said], command = "o=$1; shift; echo \"$@\" > $o", arguments = [said.path, args])
    written = ctx.actions.declare_file("written")
    ctx.actions.write(written, args)
    return [DefaultInfo(files = depset([said, written]))]

dirs = rule(implementation = _impl, attrs = {})
== BUILD.star
load(":defs.star", "dirs")
dirs(name = "d")
"#,
    );
    folder.build(&["build", "//:d"]).expect(0);
    let out = folder
        .read("build-out/said")
        .split_whitespace()
        .find_map(|word| Some(word.strip_prefix("--joined")?.to_owned()));
    assert_eq!(out.as_deref(), Some(""));
    let said = folder.read("build-out/said");
    let root = said.split(['<', '/']).nth(1).unwrap();
    let made = format!("{root}/{}/made", said.split('/').nth(1).unwrap());
    let words = format!(
        "first --all -f <{made}/a> -f <{made}/b> -f <{made}/deep/c> -f <{made}/link> -f <word> --joined \
         {made}/a:{made}/b:{made}/deep/c:{made}/link {made} last"
    );
    assert_eq!(said.trim(), words);
    assert_eq!(folder.read("build-out/written"), words.replace(' ', "\n") + "\n");

    // Another file in the directory is another argument.
    folder.replace("defs.star", "echo 2 > $1/a;", "echo 2 > $1/a; echo > $1/new;");
    folder.build(&["build", "//:d"]).expect(0);
    assert!(folder.read("build-out/said").contains(&format!("<{made}/new>")));
    assert!(folder.read("build-out/written").contains(&format!("<{made}/new>")));
    folder.replace("defs.star", "args.add(\"last\")", "args.add(made)");
    folder.build(&["build", "//:d"]).expect(1).says(&["is a directory, which may be several arguments", "add_all"]);
    folder.replace("defs.star", "args.add(made)", "args.add_all([made], map_each = str)");
    folder.build(&["build", "//:d"]).expect(1).says(&["`map_each` cannot see the files", "expand_directories = False"]);
}

#[test]
fn what_is_for_tests_only_is_used_by_tests_only() {
    let folder = Folder::of(
        r#"
== BUILD.star
filegroup(name = "t", testonly = True)
filegroup(name = "f", srcs = [":t"])
filegroup(name = "g", srcs = ["made"])
filegroup(name = "h", srcs = [":s_test"])
filegroup(name = "good", srcs = [":t", "made", ":s_test"], testonly = True)
genrule(name = "made_by", outs = ["made"], cmd = "touch $@", testonly = True)
sh_test(name = "s_test", src = "s.sh", data = [":t"])
test_suite(name = "suite", tests = [":s_test"])
alias(name = "a", actual = ":t")
== all/BUILD.star
package(default_testonly = True)
filegroup(name = "x", srcs = ["//:good"])
filegroup(name = "y", testonly = False)
== s.sh
true
"#,
    );
    folder.replace("BUILD.star", "name = \"good\"", "name = \"good\", visibility = [\"//visibility:public\"]");
    for target in ["f", "g", "h", "a"] {
        let run = folder.build(&["build", &format!("//:{target}")]);
        run.expect(1).says(&["is for tests only", "testonly = True"]);
    }
    folder.build(&["build", "//:good", "//:suite", "//all:x"]).expect(0);
    assert_eq!(query(&folder, "attr(testonly, 1, //...)"), "//:good //:made_by //:s_test //:suite //:t //all:x");
    assert_eq!(query(&folder, "attr(testonly, 0, //all:all)"), "//all:y");
}

#[test]
fn genrules_fail_where_a_part_of_a_pipe_does_and_their_outputs_are_programs() {
    let folder = Folder::of(
        r#"
== BUILD.star
genrule(name = "pipe", outs = ["p"], cmd = "false | cat > $@")
genrule(name = "mk", outs = ["mk.sh"], cmd = "printf '#!/bin/sh\necho made $$1\n' > $@", executable = True)
genrule(name = "use", outs = ["u"], tools = [":mk"], cmd = "$(location :mk) $(location u) > $(location :u)")
genrule(name = "source", outs = ["s"], tools = ["tool.sh"], cmd = "$(location tool.sh) > $@")
genrule(name = "vars", outs = ["v"], cmd = "echo $(COMPILATION_MODE) $(TARGET_CPU) $(word) $(BINDIR) $(GENDIR) > $@")
genrule(name = "unknown", outs = ["w"], cmd = "echo $(nothing) > $@")
config_setting(name = "both", define_values = {"word": "w", "b": "2"})
filegroup(name = "chosen", srcs = select({":both": ["u"], "//conditions:default": ["s"]}))
== tool.sh
#!/bin/sh
echo called
"#,
    );
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path().join("tool.sh"), mode).unwrap();
    folder.build(&["build", "//:pipe"]).expect(1);
    folder.build(&["build", "//:use", "//:source"]).expect(0);
    assert!(folder.read("build-out/u").starts_with("made out/"), "{}", folder.read("build-out/u"));
    assert_eq!(folder.read("build-out/s"), "called\n");
    assert!(folder.build(&["run", "//:mk", "--", "me"]).expect(0).stdout.contains("made me"));
    folder.build(&["build", "--define=word=w", "--define=b=2", "//:vars", "//:chosen"]).expect(0);
    let words = folder.read("build-out/v");
    let words: Vec<&str> = words.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("fastbuild", "w"));
    assert_eq!(words[3], words[4]);
    folder.build(&["build", "//:unknown"]).expect(1).says(&["`$(nothing)` in `cmd` is not known", "--define"]);
}

#[test]
fn scripts_are_tools_of_actions() {
    let folder = Folder::of(
        r#"
== defs.star
def _impl(ctx):
    by_target = ctx.actions.declare_file(ctx.label.name + ".1")
    ctx.actions.run(outputs = [by_target], executable = ctx.attr._tool, arguments = [by_target.path])
    by_file = ctx.actions.declare_file(ctx.label.name + ".2")
    ctx.actions.run(outputs = [by_file], executable = ctx.executable._tool, arguments = [by_file.path])
    by_source = ctx.actions.declare_file(ctx.label.name + ".3")
    ctx.actions.run(outputs = [by_source], executable = ctx.file._source, arguments = [by_source.path])
    return [DefaultInfo(files = depset([by_target, by_file, by_source]))]

uses = rule(implementation = _impl, attrs = {
    "_tool": attr.label(default = "//tools:tool", executable = True, cfg = "exec"),
    "_source": attr.label(default = "//:own.sh", allow_single_file = True),
})

def _made(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run_shell(outputs = [program], command = "echo '#!/bin/sh' > $1; echo 'echo own' >> $1", arguments = [program.path])
    return [DefaultInfo(executable = program)]

made = rule(implementation = _made, executable = True, attrs = {})
== BUILD.star
load(":defs.star", "made", "uses")
uses(name = "u")
made(name = "m")
genrule(name = "g", outs = ["g.txt"], tools = ["//tools:tool", ":m"], cmd = "$(location //tools:tool) $@; $(location :m) >> $@")
== own.sh
#!/bin/sh
echo own > $1
== tools/BUILD.star
sh_binary(name = "tool", src = "tool.sh", data = ["data.txt"], visibility = ["//visibility:public"])
== tools/tool.sh
cat tools/data.txt > $1
== tools/data.txt
from data
"#,
    );
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder.path().join("own.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.build(&["build", "//:u", "//:g"]).expect(0);
    assert_eq!(folder.read("build-out/u.1"), "from data\n");
    assert_eq!(folder.read("build-out/u.2"), "from data\n");
    assert_eq!(folder.read("build-out/u.3"), "own\n");
    assert_eq!(folder.read("build-out/g.txt"), "from data\nown\n");
    assert_eq!(folder.build(&["run", "//:m"]).expect(0).stdout, "own\n");
}

#[test]
fn what_no_package_may_have_is_refused_by_query_too() {
    let two = |first: &str, second: &str| {
        format!("== BUILD.star\ngenrule(name = \"g\", outs = [{first}], cmd = \"touch $(OUTS)\")\n{second}\n")
    };
    is_refused(&two("\"d\", \"d/x\"", ""), &["`d/x` lies inside of the output `d`"]);
    let other = "genrule(name = \"h\", outs = [\"d\"], cmd = \"touch $@\")";
    is_refused(&two("\"d/x/y\"", other), &["`d/x/y` lies inside of the output `d`", "BUILD.star:2:"]);
    is_refused(
        &two("\"o\"", "exports_files([\"o\"])"),
        &["exports_files() is for source files", "`o` is made by a target"],
    );
    is_refused(&format!("{}exports_files([\"g\"])\n", two("\"o\"", "")), &["`g` is a target"]);
    is_refused(
        "== BUILD.star\nexports_files([\"o\"])\ngenrule(name = \"g\", outs = [\"o\"], cmd = \"touch $@\")\n",
        &["`o` is made by a target", "BUILD.star:2:"],
    );
    is_refused(
        "== BUILD.star\ngenrule(name = \"g\", srcs = [\"o\"], outs = [\"o\"], cmd = \"touch $@\")\n",
        &["`o` is both a source and an output of //:g", "`srcs` names it"],
    );
    is_refused(
        "== BUILD.star\nfilegroup(name = \"p/x\")\n== p/BUILD.star\n",
        &["`p/x` cannot be a name in //: `p` is a package", "//p:x"],
    );
    is_refused(&format!("{}== d/BUILD.star\n", two("\"d/e/o\"", "")), &["`d/e/o` cannot be a name in //", "//d:e/o"]);
    is_refused(
        "== BUILD.star\nfilegroup(name = \"f\", visibility = [\"//visibility:public\", \"//p:__pkg__\"])\n",
        &["`//visibility:public` cannot stand beside other visibilities"],
    );
    let selects = |first: &str, second: &str| {
        format!(
            "== BUILD.star\nconfig_setting(name = \"c\", define = {{\"a\": \"1\"}})\n\
             filegroup(name = \"f\", srcs = {first} + select({{\":c\": [{second}], \"//conditions:default\": []}}))\n\
             == a\n"
        )
    };
    is_refused(&selects("[\"a\"]", "\"a\""), &["//:a is listed twice"]);
    is_refused(&selects("select({\":c\": [], \"//conditions:default\": [\"a\"]})", "\"a\""), &["//:a is listed twice"]);
    // One branch of a select or the other.
    let folder = Folder::of(&selects("[]", "\"a\"").replace("default\": []", "default\": [\"a\"]"));
    folder.build(&["build", "//:all"]).expect(0);
}

#[test]
fn a_package_below_takes_names_away_from_the_one_above() {
    let folder = Folder::of("== BUILD.star\ngenrule(name = \"g\", outs = [\"d/o\"], cmd = \"echo > $@\")\n");
    folder.build(&["build", "//:g"]).expect(0);
    folder.write("d/BUILD.star", "");
    folder.build(&["build", "//:g"]).expect(1).says(&["`d/o` cannot be a name in //"]);
    std::fs::remove_file(folder.path().join("d/BUILD.star")).unwrap();
    folder.build(&["build", "//:g"]).expect(0);
}

#[test]
fn globs_match_as_in_bazel() {
    let folder = Folder::of(
        r#"
== BUILD.star
filegroup(name = "below", srcs = glob(["*/**"]))
filegroup(name = "file", srcs = glob(["top.txt/**"]))
filegroup(name = "all", srcs = glob(["**/*.txt"]))
filegroup(name = "not", srcs = glob(["**/*.txt"], exclude = ["d/**"]))
== top.txt
== d/in.txt
== d/s/x.txt
== p/BUILD.star
== p/no.txt
"#,
    );
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, folder.path().join(at)).unwrap();
    link("d", "l");
    // None of these is entered: they lead around for ever, out of the workspace, or nowhere.
    link(".", "around");
    link("../d", "d/s/up");
    link("/etc", "out");
    link("nothing", "broken");
    link("p", "package");
    assert_eq!(query(&folder, "labels(srcs, //:below)"), "//:d/in.txt //:d/s/x.txt //:l/in.txt //:l/s/x.txt");
    assert_eq!(query(&folder, "labels(srcs, //:file)"), "");
    assert_eq!(query(&folder, "labels(srcs, //:all)"), "//:d/in.txt //:d/s/x.txt //:l/in.txt //:l/s/x.txt //:top.txt");
    assert_eq!(query(&folder, "labels(srcs, //:not)"), "//:l/in.txt //:l/s/x.txt //:top.txt");
    // Seen through the link, too.
    folder.write("d/new.txt", "");
    assert_eq!(query(&folder, "labels(srcs, //:not)"), "//:l/in.txt //:l/new.txt //:l/s/x.txt //:top.txt");
}

#[test]
fn patterns_and_names_mean_what_they_do_in_bazel() {
    let folder = Folder::of(
        r#"
== WORKSPACE.star
workspace(name = "df")
== defs.star
def all(name, srcs):
    native.filegroup(name = name, srcs = srcs, visibility = ["@df//q:__pkg__"])
== BUILD.star
load("@df//:defs.star", "all")
all(name = "f", srcs = ["@df//:a.txt"])
genrule(name = "g", srcs = ["@df//:f"], outs = ["o"], cmd = "cat $(location :f) $(SRCS) > $@", tags = ["manual"])
exports_files(["b.txt"])
== a.txt
a
== b.txt
== p/BUILD.star
genrule(name = "g", outs = ["d/o"], cmd = "echo > $@")
filegroup(name = "d/e")
filegroup(name = "uses", srcs = ["d/o", "in.txt"])
== p/in.txt
== q/BUILD.star
filegroup(name = "q", srcs = ["@df//:f", "//p:in.txt"])
"#,
    );
    folder.build(&["build", "@df//:f", "p/g", "p/d/e"]).expect(0);
    folder.build(&["build", "//:g"]).expect(0);
    assert_eq!(folder.read("build-out/o"), "a\na\n");
    assert_eq!(query(&folder, "@df//:f"), "//:f");
    assert_eq!(query(&folder, "deps(//:f)"), "//:a.txt //:f");
    assert_eq!(query(&folder, "visible(//q:q, //:f) + visible(//p:g, //:f)"), "//:f");
    assert_eq!(query(&folder, "//:*"), "//:BUILD.star //:a.txt //:b.txt //:f //:g //:o");
    assert_eq!(query(&folder, "//p:all"), "//p:d/e //p:g //p:uses");
    assert_eq!(query(&folder, "//p/...:*"), "//p:BUILD.star //p:d/e //p:d/o //p:g //p:in.txt //p:uses");
    assert_eq!(query(&folder, "siblings(//p:g)"), query(&folder, "//p:*"));
    assert_eq!(query(&folder, "buildfiles(//:f)"), "//:BUILD.star //:defs.star");
    assert_eq!(query(&folder, "loadfiles(//:f + //p:g)"), "//:defs.star");
    assert_eq!(query(&folder, "same_pkg_direct_rdeps(//p:d/o + //:a.txt)"), "//:f //p:uses");
    for pattern in ["//p...", "p...", "//p/g", "p/nothing", "@dg//:f"] {
        assert_ne!(folder.build(&["build", pattern]).code, 0, "{pattern}");
    }
    // A package takes the path when it comes.
    folder.build(&["build", "p/g"]).expect(0);
    folder.write("p/g/BUILD.star", "filegroup(name = \"g\", srcs = [\"missing\"])\n");
    folder.build(&["build", "p/g"]).expect(1).says(&["no target `missing` in the package //p/g"]);
    for platform in ["a/b", "linux/amd46", "@rules//platforms:linux_none", "//p:linux", "linux"] {
        folder.build(&["build", "//:f", &format!("--platforms={platform}")]).expect(2).says(&["is not a platform"]);
    }
    folder.build(&["build", "//:f", "--platforms=@rules//platforms:linux_arm64"]).expect(0);
}

#[test]
fn suites_have_the_tests_that_they_do_not_name_and_obey_exclusions() {
    let mut suites = String::from("test_suite(name = \"s0\")\n");
    for n in 1..40 {
        let below = n - 1;
        suites.push_str(&format!(
            "test_suite(name = \"s{n}\", tests = [\":l{n}\", \":r{n}\"])\n\
             test_suite(name = \"l{n}\", tests = [\":s{below}\"])\ntest_suite(name = \"r{n}\", tests = [\":s{below}\"])\n"
        ));
    }
    let folder = Folder::of(&format!(
        r#"
== p/BUILD.star
sh_test(name = "good_test", src = "good.sh", visibility = ["//visibility:private"])
sh_test(name = "bad_test", src = "bad.sh")
sh_test(name = "manual_test", src = "bad.sh", tags = ["manual"])
test_suite(name = "all_tests")
test_suite(name = "around", tests = [":around", ":good_test"])
== p/good.sh
true
== p/bad.sh
false
== q/BUILD.star
test_suite(name = "private", tests = ["//p:good_test"])
== r/BUILD.star
{suites}sh_test(name = "t", src = "t.sh")
== r/t.sh
true
"#
    ));
    assert_eq!(query(&folder, "deps(//p:all_tests, 1)"), "//p:all_tests //p:bad_test //p:good_test");
    assert_eq!(query(&folder, "tests(//p:around)"), "//p:good_test");
    folder.build(&["build", "//q:private"]).expect(0);
    let run = folder.build(&["test", "//p/...", "-//p:bad_test"]).expect(0);
    assert!(!run.stderr.contains("bad_test"), "{}", run.stderr);
    folder.build(&["test", "//p:all_tests", "//q:private", "-//p:bad_test"]).expect(0);
    folder.build(&["test", "//p:all_tests", "-//p:all_tests"]).expect(4);
    // Two to the fortieth ways lead to this test.
    assert_eq!(query(&folder, "tests(//r:s39)"), "//r:t");
    folder.build(&["test", "//r:s39"]).expect(0);
}

#[test]
fn deep_sets_are_taken() {
    let folder = Folder::of(
        r#"
== defs.star
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    files = depset([ctx.file.src])
    for i in range(100000):
        files = depset([ctx.file.src], transitive = [files])
    args = ctx.actions.args()
    args.add_all(files)
    ctx.actions.run_shell(outputs = [out], inputs = files, command = "echo $2 > $1", arguments = [out.path, args])
    return [DefaultInfo(files = depset([out], transitive = [files]), runfiles = ctx.runfiles(transitive_files = files))]

deep = rule(implementation = _impl, attrs = {"src": attr.label(allow_single_file = True)})
== BUILD.star
load(":defs.star", "deep")
deep(name = "t", src = "f")
filegroup(name = "u", srcs = [":t"])
== f
"#,
    );
    folder.build(&["build", "//:u"]).expect(0);
    assert_eq!(folder.read("build-out/t.txt"), "f\n");
    folder.write("f", "changed");
    folder.build(&["build", "//:u"]).expect(0);
    folder.replace("defs.star", "echo $2", "echo again $2");
    folder.build(&["build", "//:u"]).expect(0);
    assert_eq!(folder.read("build-out/t.txt"), "again f\n");
}

#[test]
fn what_is_good_is_built_whatever_fails_beside_it() {
    let good = "genrule(name = \"ok\", outs = [\"ok.txt\"], cmd = \"echo ok > $@\")\nsh_test(name = \"ok_test\", src = \"t.sh\")\n";
    let folder = Folder::of(&format!(
        r#"
== good/BUILD.star
{good}
== good/t.sh
true
== syntax/BUILD.star
{good}filegroup(name =
== missing/BUILD.star
{good}filegroup(name = "bad", srcs = [":nothing"])
filegroup(name = "bad_package", srcs = ["//nowhere:x"])
filegroup(name = "bad_source", srcs = ["nothing.txt"])
sh_test(name = "bad_test", src = "nothing.sh")
== missing/t.sh
true
== rule/defs.star
def _impl(ctx):
    fail("boom")

broken = rule(implementation = _impl)
== rule/BUILD.star
load(":defs.star", "broken")
{good}broken(name = "bad")
filegroup(name = "above", srcs = [":bad", ":ok"])
== rule/t.sh
true
== action/BUILD.star
{good}genrule(name = "bad", outs = ["bad.txt"], cmd = "echo half > $@; exit 3")
genrule(name = "above", srcs = ["bad.txt"], outs = ["above.txt"], cmd = "cat $< > $@")
== action/t.sh
true
== circle/BUILD.star
{good}filegroup(name = "bad", srcs = [":bad_too"])
filegroup(name = "bad_too", srcs = [":bad"])
filegroup(name = "above", srcs = [":bad", "ok.txt"])
== circle/t.sh
true
"#
    ));
    let faults = [
        "syntax/BUILD.star:4:",
        "there is no target `nothing`",
        "there is no package `//nowhere`",
        "//missing:nothing.txt is missing",
        "error: boom",
        "//circle:bad depends on itself",
        "exit code 3",
    ];
    for _ in 0..2 {
        let run = folder.build(&["build", "-k", "//..."]).expect(1).says(&faults);
        for package in ["good", "missing", "rule", "action", "circle"] {
            assert_eq!(folder.read(&format!("build-out/{package}/ok.txt")), "ok\n");
            assert!(run.stdout.contains(&format!("/build-out/{package}/ok.txt")), "{}", run.stdout);
        }
        for bad in ["bad.txt", "above.txt"] {
            assert!(!run.stdout.contains(bad) && !folder.path().join("build-out/action").join(bad).exists());
        }
    }
    let run = folder.build(&["test", "-k", "//..."]).expect(1);
    for package in ["good", "missing", "rule", "action", "circle"] {
        let passed = |event: &serde_json::Value| {
            event.get("TestFinished").is_some_and(|test| test["label"] == format!("//{package}:ok_test").as_str())
        };
        assert!(run.events.iter().any(passed), "{package}");
    }
    // One that names nothing, beside one that is good.
    let run = folder.build(&["build", "-k", "//nowhere:x", "//good:ok"]).expect(1).says(&["no package `//nowhere`"]);
    assert!(run.stdout.contains("/build-out/good/ok.txt"));
    // Without it, nothing is made.
    let run = folder.build(&["build", "//..."]).expect(1);
    assert_eq!((run.count("Ran"), run.stdout.as_str()), (0, ""));
    // What was wrong is right the next time.
    for (path, text) in [("syntax/BUILD.star", good), ("missing/BUILD.star", good), ("circle/BUILD.star", good)] {
        folder.write(path, text);
    }
    folder.write("syntax/t.sh", "true");
    folder.replace("rule/defs.star", "fail(\"boom\")", "return []");
    folder.replace("action/BUILD.star", "; exit 3", "");
    folder.build(&["build", "-k", "//..."]).expect(0);
    assert_eq!(folder.read("build-out/action/above.txt"), "half\n");
}
