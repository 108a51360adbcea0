//! Persistent workers as a user meets them: a rule whose tool is a Python program. The interpreter comes from the store
//! that tests share, so what makes actions new is a file of salt.

mod support;

use std::collections::BTreeSet;

use support::Folder;

const WORKSPACE: &str = r#"
== rules.star
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    flags = ctx.actions.declare_file(ctx.label.name + ".flags")
    args = ctx.actions.args()
    args.add(ctx.attr.mode).add(out).add_all(ctx.files.srcs)
    ctx.actions.write(flags, args)
    ctx.actions.run(
        executable = "/usr/bin/python3.11",
        arguments = ["-I", ctx.file._tool.path] + (["@" + flags.path] if ctx.attr.mode != "bare" else []),
        tools = [ctx.file._tool],
        inputs = ctx.files.srcs + [flags, ctx.file._salt],
        outputs = [out],
        root = ctx.attr._python[DefaultInfo].files.to_list()[0],
        execution_requirements = {
            "supports-workers": "1",
            "requires-worker-protocol": "json" if ctx.attr.mode != "xml" else "xml",
        },
    )
    return [DefaultInfo(files = depset([out]))]

joined = rule(
    implementation = _impl,
    attrs = {
        "mode": attr.string(default = "join"),
        "srcs": attr.label_list(allow_files = True),
        "_tool": attr.label(default = "//:tool.py", allow_single_file = True),
        "_salt": attr.label(default = "//:salt.txt", allow_single_file = True),
        "_python": attr.label(default = "@toolchains//:python", cfg = "exec"),
    },
)
== tool.py
import json, os, sys

TOKEN = os.urandom(8).hex()

def work(mode, out, *srcs):
    if mode in ("crash",):
        os.abort()
    if mode in ("token",):
        text = TOKEN
    else:
        text = "".join(open(src).read() for src in srcs)
    with open(out, "w") as file:
        file.write(text)

if sys.argv[-1] != "--persistent_worker":
    work(*open(sys.argv[-1][1:]).read().splitlines())
    sys.exit()
for line in sys.stdin:
    request = json.loads(line)
    response = {"requestId": request["requestId"]}
    try:
        work(*request["arguments"])
    except OSError as error:
        response.update(exitCode = 1, output = str(error))
    print(json.dumps(response), flush = True)
== a.txt
a
== b.txt
b
== BUILD.star
load(":rules.star", "joined")

joined(name = "ab", srcs = ["a.txt", "b.txt"])
joined(name = "ba", srcs = ["b.txt", "a.txt"])
joined(name = "t0", mode = "token")
joined(name = "t1", mode = "token")
joined(name = "t2", mode = "token")
joined(name = "t3", mode = "token")
== bad/BUILD.star
load("//:rules.star", "joined")

joined(name = "bare", mode = "bare")
joined(name = "xml", mode = "xml")
== crash/BUILD.star
load("//:rules.star", "joined")

joined(name = "crash", mode = "crash")
joined(name = "good", mode = "join", srcs = ["a.txt"])
== crash/a.txt
a
"#;

fn workspace() -> Folder {
    let folder = Folder::of(WORKSPACE);
    salt(&folder, "first");
    folder
}

/// Makes all actions new.
fn salt(folder: &Folder, word: &str) {
    folder.write("salt.txt", &format!("{} {word}", folder.path().display()));
}

/// Builds all; how many processes the tool had.
fn tools(folder: &Folder, flags: &[&str]) -> usize {
    let run = folder.build(&[&["build", "//:all"], flags].concat()).expect(0);
    assert_eq!(run.actions("Ran").iter().filter(|(_, mnemonic)| mnemonic == "Action").count(), 6, "{}", run.stderr);
    let token = |number: usize| folder.read(&format!("build-out/t{number}.txt"));
    (0..4).map(token).collect::<BTreeSet<_>>().len()
}

#[test]
fn a_tool_starts_once_for_each_job_and_makes_what_its_process_makes() {
    let folder = workspace();
    assert_eq!(tools(&folder, &["--jobs=1"]), 1);
    let texts = || [folder.read("build-out/ab.txt"), folder.read("build-out/ba.txt")];
    assert_eq!(texts(), ["a\nb\n", "b\na\n"]);
    assert_eq!(folder.build(&["build", "//:all"]).expect(0).count("Ran"), 0);

    // From the kept state of the request.
    salt(&folder, "second");
    assert!(tools(&folder, &["--jobs=2"]) <= 2);
    salt(&folder, "third");
    assert_eq!(tools(&folder, &["--jobs=2", "--worker_max_instances=1"]), 1);
    salt(&folder, "fourth");
    assert_eq!(tools(&folder, &["--jobs=2", "--noworkers"]), 4);
    assert_eq!(texts(), ["a\nb\n", "b\na\n"]);
}

#[test]
fn a_worker_that_ends_fails_its_action_and_no_other() {
    let folder = workspace();
    let run = folder.build(&["build", "//crash:all", "--keep_going", "--jobs=1"]).expect(1).says(&[
        "the persistent worker was ended by signal 6 without an answer",
        "run the tool as a process for each action, to see whether it fails there too: --noworkers",
    ]);
    let action = |label: &str| BTreeSet::from([(label.to_owned(), "Action".to_owned())]);
    assert_eq!(run.actions("Failed"), action("//crash:crash"));
    assert!(run.actions("Ran").is_superset(&action("//crash:good")), "{}", run.stderr);
}

#[test]
fn requirements_that_cannot_be_met_are_told_at_their_place() {
    let folder = workspace();
    folder.build(&["build", "//bad:all", "--keep_going"]).expect(1).says(&[
        "rules.star:7:",
        "the arguments of a persistent worker's requests come from a file, but none is named",
        "`requires-worker-protocol` is \"json\" or \"proto\", but got \"xml\"",
    ]);
}
