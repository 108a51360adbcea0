//! Rule implementations: providers, actions, and every error with its place.
#![allow(missing_docs, reason = "a test")]

mod support;

use model::{ActionKind, DefaultInfo};
use support::Workspace;

fn workspace(implementation: &str, attrs: &str, build: &str) -> Workspace {
    Workspace::new(&format!(
        "== r.star ==\nInfo = provider(fields = [\"files\", \"make\"])\n\ndef _impl(ctx):\n{implementation}\n\nr = rule(implementation = _impl, attrs = {{{attrs}}})\n\ndef _tool(ctx):\n    out = ctx.actions.declare_file(ctx.label.name + \".sh\")\n    ctx.actions.write(out, \"#!\", is_executable = True)\n    return [DefaultInfo(executable = out, runfiles = ctx.runfiles(files = ctx.files.data))]\n\ntool = rule(implementation = _tool, executable = True, attrs = {{\"data\": attr.label_list(allow_files = True)}})\n== BUILD.star ==\nload(\":r.star\", \"r\", \"tool\")\n{build}"
    ))
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// The errors of a rule with this implementation on `r(name = "x")`.
fn errors(implementation: &str) -> String {
    workspace(&indent(implementation), "", "r(name = \"x\")\n").analysis_errors("x")
}

#[test]
fn run_with_arguments_tools_and_inputs() {
    let workspace = workspace(
        &indent(
            r#"
out = ctx.actions.declare_file("d/" + ctx.label.name + ".o")
args = ctx.actions.args()
args.add("-o", out).add("--mode=fast").add(3, format = "-j%s")
args.add_all("--srcs", depset(ctx.files.srcs), before_each = "-s", map_each = _base, format_each = "<%s>")
args.add_joined("-d", [], join_with = ",")
args.add_joined("-e", ["b", "a", "b"], join_with = ",", uniquify = True)
ctx.actions.run(
    executable = ctx.executable.tool,
    arguments = ["first", args],
    inputs = depset(ctx.files.srcs),
    outputs = [out],
    env = {"A": "1", "F": out},
    mnemonic = "Compile",
    progress_message = "Compiling",
    timeout = 10,
)
return [DefaultInfo(files = depset([out])), Info(files = [out])]"#,
        ),
        r#""srcs": attr.label_list(allow_files = [".go"]), "tool": attr.label(executable = True, cfg = "exec")"#,
        "r(name = \"x\", srcs = [\"a.go\", \"b.go\"], tool = \":t\")\ntool(name = \"t\", data = [\"data.txt\"])\n",
    );
    let workspace = workspace.prepend("r.star", "def _base(file):\n    return file.basename\n\n");
    let analysed = workspace.analyse("x").unwrap();
    let action = &analysed.actions[0];
    let ActionKind::Spawn(spawn) = &action.kind else { panic!("no process") };
    insta::assert_snapshot!(spawn.argv.join(" "), @"out/linux-amd64/t.sh first -o out/linux-amd64/d/x.o --mode=fast -j3 --srcs -s <a.go> -s <b.go> -e b,a");
    insta::assert_debug_snapshot!(spawn.env, @r###"
        {
            "A": "1",
            "F": "out/linux-amd64/d/x.o",
        }
        "###);
    insta::assert_debug_snapshot!(action.inputs.to_list(), @r###"
        [
            File(
                <file a.go>,
            ),
            File(
                <file b.go>,
            ),
            File(
                <file data.txt>,
            ),
            File(
                <file out/linux-amd64/t.sh>,
            ),
        ]
        "###);
    assert_eq!(spawn.timeout, Some(10));
    assert_eq!(analysed.providers[0].id.to_string(), "DefaultInfo");
    assert_eq!(analysed.providers[1].id.to_string(), "Info");
    assert_eq!(analysed, workspace.analyse("x").unwrap());
}

#[test]
fn write_shell_tree_copy() {
    let analysed = workspace(
        &indent(
            r#"
a = ctx.actions.declare_file("a")
ctx.actions.write(a, "text\n", is_executable = True)
b = ctx.actions.declare_file("b", sibling = a)
ctx.actions.run_shell(command = "cat $1 > $2", arguments = [a.path, b], inputs = [a], outputs = [b])
t = ctx.actions.declare_directory("t")
ctx.actions.tree(output = t, entries = {"x/a": a, "b": b})
u = ctx.actions.declare_directory("u")
ctx.actions.copy(output = u, source = t)
args = ctx.actions.args()
args.add_all(["p", "q"])
w = ctx.actions.declare_file("w")
ctx.actions.write(w, args)
ctx.actions.expand_template(output = ctx.outputs.out, content = "a @X@", substitutions = {"@X@": ctx.platform.os})
return None"#,
        ),
        "\"out\": attr.output()",
        "r(name = \"x\", out = \"named.txt\")\n",
    )
    .analyse("x")
    .unwrap();
    let shown: Vec<String> = analysed
        .actions
        .iter()
        .map(|action| format!("{} {:?} {:?}", action.mnemonic, action.outputs, action.kind))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r###"
        Write [<file out/linux-amd64/a>] Write { content: "text\n", expansions: [], executable: true }
        Shell [<file out/linux-amd64/b>] Spawn(Spawn { argv: ["/bin/sh", "-c", "cat $1 > $2", "sh", "out/linux-amd64/a", "out/linux-amd64/b"], expansions: [], env: {}, root: None, needs_shell: true, network: Loopback, stdin: None, stdout: None, timeout: None, limits: Limits { memory: None, cpu_time: None, processes: None }, test: false, executable_outputs: false, resources: Resources { cpu: 1, memory: 0 }, worker_tools: None })
        Tree [<tree out/linux-amd64/t>] Tree { entries: [("x/a", <file out/linux-amd64/a>), ("b", <file out/linux-amd64/b>)] }
        Copy [<tree out/linux-amd64/u>] Copy { source: <tree out/linux-amd64/t> }
        Write [<file out/linux-amd64/w>] Write { content: "p\nq\n", expansions: [], executable: false }
        ExpandTemplate [<file out/linux-amd64/named.txt>] Write { content: "a linux", expansions: [], executable: false }
        "###);
    let info = DefaultInfo::from_provider(&analysed.providers[0]);
    insta::assert_debug_snapshot!(info.files.to_list(), @r###"
        [
            File(
                <file out/linux-amd64/named.txt>,
            ),
        ]
        "###);
}

#[test]
fn dependencies_are_targets_with_providers() {
    let text = r#"
== r.star ==
Info = provider()

def twice(x):
    return x * 2

def _dep(ctx):
    return [Info(name = ctx.label.name, nested = struct(list = [1, 2], f = twice), set = depset([ctx.label]))]

dep = rule(implementation = _dep)

def _impl(ctx):
    d = ctx.attr.deps[0]
    if Info not in d or DefaultInfo not in d:
        fail("providers")
    info = d[Info]
    lines = [
        info.name,
        str(info.nested.list),
        str(info.nested.f(4)),
        str(info.set.to_list()),
        str(d.label),
        ctx.attr.name,
        str(ctx.attr.texts),
        str({k.label: v for k, v in ctx.attr.keyed.items()}),
        str({k: v.label for k, v in ctx.attr.by_name.items()}),
        ctx.bin_dir.path,
        ctx.var["COMPILATION_MODE"],
        ctx.exec_platform.arch,
        ctx.build_file_path,
        ctx.expand_location("$(location :f.txt) $(locations f.txt) $HOME $(X)"),
        ctx.file.file.path,
        repr(ctx.attr.none),
    ]
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(out, "\n".join(lines))
    return DefaultInfo(files = depset([out]), runfiles = ctx.runfiles([out]).merge(ctx.runfiles(transitive_files = depset([ctx.file.file]))))

r = rule(implementation = _impl, attrs = {
    "deps": attr.label_list(providers = [Info]),
    "texts": attr.string_list_dict(),
    "keyed": attr.label_keyed_string_dict(),
    "by_name": attr.string_keyed_label_dict(),
    "file": attr.label(allow_single_file = [".txt"]),
    "none": attr.label(),
}, provides = [DefaultInfo])
== BUILD.star ==
load(":r.star", "dep", "r")
dep(name = "d")
r(name = "x", deps = [":d"], texts = {"a": ["b"]}, keyed = {":d": "v"}, by_name = {"n": ":d"}, file = "f.txt")
"#;
    let analysed = Workspace::new(text).analyse("x").unwrap();
    let ActionKind::Write { content, .. } = &analysed.actions[0].kind else { panic!("no text") };
    insta::assert_snapshot!(content, @r###"
        d
        [1, 2]
        8
        [//:d]
        //:d
        x
        {"a": ["b"]}
        {//:d: "v"}
        {"n": //:d}
        out/linux-amd64
        fastbuild
        amd64
        BUILD.star
        ./f.txt ./f.txt $HOME $(X)
        f.txt
        None
        "###);
    let runfiles = DefaultInfo::from_provider(&analysed.providers[0]).runfiles;
    insta::assert_debug_snapshot!(runfiles.to_list(), @r###"
        [
            File(
                <file out/linux-amd64/x>,
            ),
            File(
                <file f.txt>,
            ),
        ]
        "###);
}

#[test]
fn builtins_are_for_the_engines_rules() {
    let rule = r#"
def _impl(ctx):
    out = ctx.actions.declare_file("o")
    ctx.actions.builtin("oci_layer", outputs = [out], inputs = [], params = {"z": [out, None, True], "a": {"l": ctx.label}})

r = rule(implementation = _impl)
"#;
    let build = "\n== BUILD.star ==\nload(\"@rules//x:r.star\", \"r\")\nr(name = \"x\")\n";
    let analysed = Workspace::new(&format!("== @rules//x/r.star =={rule}{build}")).analyse("x").unwrap();
    assert_eq!(&*analysed.actions[0].mnemonic, "OciLayer");
    let ActionKind::Builtin { name, params } = &analysed.actions[0].kind else { panic!("no builtin") };
    insta::assert_snapshot!(format!("{name} {params}"), @r###"
        oci_layer {"a":{"l":"//:x"},"z":["out/linux-amd64/o",null,true]}
        "###);
    let build = build.replace("@rules//x:r.star", ":r.star");
    let refused = Workspace::new(&format!("== r.star =={rule}{build}")).analysis_errors("x");
    insta::assert_snapshot!(refused, @r###"
        r.star:3:5: error: `ctx.actions.builtin` is for @rules only; //:r.star cannot call it
                ctx.actions.builtin("oci_layer", outputs = [out], inputs = [], params = {"z": [out, None, True], "a": {"l": ctx.label}})
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
}

#[test]
fn errors_of_implementations() {
    insta::assert_snapshot!(errors("ctx.actions.declare_file(\"o\")\nctx.actions.declare_file(\"p\")"), @r###"
        r.star:4:5: error: no action writes the output `o`
                ctx.actions.declare_file("o")
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
          hint: write it with an action, or do not declare it
        r.star:5:5: error: no action writes the output `p`
                ctx.actions.declare_file("p")
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
          hint: write it with an action, or do not declare it
        "###);
    insta::assert_snapshot!(errors("ctx.actions.declare_file(\"o\")\nctx.actions.declare_file(\"o\")"), @r###"
        r.star:5:5: error: `o` is declared twice
                ctx.actions.declare_file("o")
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: it is first declared at r.star:4:5
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("ctx.actions.declare_file(\"../o\")"), @r###"
        r.star:4:5: error: `../o` cannot name an output: it has a `..` segment
                ctx.actions.declare_file("../o")
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: outputs lie in the folder of their package
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("o = ctx.actions.declare_file(\"o\")\nctx.actions.write(o, \"\")\nctx.actions.write(o, \"\")"), @r###"
        r.star:6:5: error: two actions write `o`
                ctx.actions.write(o, "")
                ^^^^^^^^^^^^^^^^^^^^^^^^
          note: the first is Write, this one is Write
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("ctx.actions.run(executable = \"x\", outputs = [])"), @r###"
        r.star:4:5: error: the action Action has no outputs, so it could never run
                ctx.actions.run(executable = "x", outputs = [])
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("return 3"), @r###"
        r.star:3:5: error: a rule must return a list of providers, but returned an int
            def _impl(ctx):
                ^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("return [3]"), @r###"
        r.star:3:5: error: a rule must return a list of providers, but the list holds an int
            def _impl(ctx):
                ^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("return [DefaultInfo(), DefaultInfo()]"), @r###"
        r.star:3:5: error: `r` returned `DefaultInfo` twice
            def _impl(ctx):
                ^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("return [DefaultInfo(files = \"x\")]"), @r###"
        r.star:4:13: error: `files` of DefaultInfo takes a depset of files, but got a string
                return [DefaultInfo(files = "x")]
                        ^^^^^^^^^^^^^^^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("return [Info(make = lambda: 1)]"), @r###"
        r.star:4:13: error: the field `make` of `Info` must be data: a lambda is not defined at the top level of a .star file, so it cannot be kept as data
                return [Info(make = lambda: 1)]
                        ^^^^^^^^^^^^^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("ctx.attr.srcz"), @r###"
        r.star:4:5: error: Object of type `attributes` has no attribute `srcz`
                ctx.attr.srcz
                ^^^^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
    insta::assert_snapshot!(errors("ctx.atr"), @r###"
        r.star:4:5: error: Object of type `ctx` has no attribute `atr`
                ctx.atr
                ^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
          hint: did you mean `attr`?
        "###);
    insta::assert_snapshot!(errors("ctx.actions.run(executable = \"x\", inputs = [\"a\"], outputs = [])"), @r###"
        r.star:4:5: error: `inputs` takes files, but got a string
                ctx.actions.run(executable = "x", inputs = ["a"], outputs = [])
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
          hint: take a File: of `ctx.files.<attribute>`, or of `ctx.actions.declare_file`
        "###);
    insta::assert_snapshot!(errors("a = ctx.actions.args()\na.add([1])"), @r###"
        r.star:5:5: error: a list cannot be an argument
                a.add([1])
                ^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
          hint: use `add_all` or `add_joined` for more than one
        "###);
    insta::assert_snapshot!(errors("fail(\"cannot build\", ctx.label)"), @r###"
        r.star:4:5: error: cannot build //:x
                fail("cannot build", ctx.label)
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
        "###);
}

#[test]
fn executable_rules_return_an_executable() {
    let text = "== r.star ==\ndef _impl(ctx):\n    return []\nr = rule(implementation = _impl, test = True)\n== BUILD.star ==\nload(\":r.star\", \"r\")\nr(name = \"x\", size = \"small\")\n";
    insta::assert_snapshot!(Workspace::new(text).analysis_errors("x"), @r###"
        r.star:1:5: error: `r` is executable, but returned no executable
            def _impl(ctx):
                ^^^^^^^^^
          note: while analysing //:x (r), declared at BUILD.star:2:1
          hint: return `DefaultInfo(executable = ...)`
        "###);
}

#[test]
fn processes_declare_what_they_take_of_the_machine() {
    let run = |resources: &str| {
        format!(
            "o = ctx.actions.declare_file(\"o\")\nctx.actions.run_shell(outputs = [o], command = \"x\", resources = {resources})\nreturn None"
        )
    };
    let analysed =
        workspace(&indent(&run("{\"cpu\": 2, \"memory\": 512}")), "", "r(name = \"x\")\n").analyse("x").unwrap();
    let ActionKind::Spawn(spawn) = &analysed.actions[0].kind else { panic!("{:?}", analysed.actions) };
    assert_eq!(spawn.resources, model::Resources { cpu: 2, memory: 512 });
    for (resources, message) in [
        ("{\"cpu\": 0}", "`resources[\"cpu\"]` is a number of processors, at least 1, but got 0"),
        ("{\"memory\": \"1G\"}", "`resources[\"memory\"]` is a number of MB, at least 1, but got \"1G\""),
        ("{\"disk\": 1}", "\"disk\" is no resource of the machine"),
    ] {
        let errors = errors(&run(resources));
        assert!(errors.contains(message), "{message:?} is not in:\n{errors}");
    }
}
