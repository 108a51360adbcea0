//! Files of a shape that nobody writes by hand: very deep, very long, very large.

use super::file::{Content, Hostile};

const DEEP: usize = 100_000;

pub fn all() -> Vec<Hostile> {
    let mut all = deep_expressions();
    all.extend(deep_statements());
    all.extend(large());
    all.extend(special());
    all
}

fn nested(open: &str, inner: &str, close: &str) -> String {
    format!("x = {}{inner}{}\n", open.repeat(DEEP), close.repeat(DEEP))
}

fn deep_expressions() -> Vec<Hostile> {
    let build = |name, text: String| Hostile::build(name, text).at("BUILD.star:1");
    vec![
        build("deep parentheses", nested("(", "1", ")")),
        build("deep lists", nested("[", "1", "]")),
        build("deep dictionaries", nested("{1: ", "1", "}")),
        build("deep calls", nested("len(", "1", ")")),
        build("deep parentheses that are never closed", nested("(", "1", "")),
        build("deep brackets of different kinds", nested("[({1: ", "1", "})]")),
        build("deep comprehensions", nested("[a for a in ", "[]", "]")),
        build("many signs", nested("-", "1", "")),
        build("many complements", nested("~", "1", "")),
        build("many negations", nested("not ", "1", "")),
        build("many conditions", nested("1 if 1 else ", "1", "")),
        build("many lambdas", nested("lambda: ", "1", "")),
        build("many lambdas with defaults", nested("lambda a = ", "1", ": 1")),
        build("a long sum", nested("1 + ", "1", "")),
        build("a long product", nested("1 * ", "1", "")),
        build("a long comparison", nested("1 == ", "1", "")),
        build("a long conjunction", nested("1 and ", "1", "")),
        build("a long membership", nested("1 in ", "[1]", "")),
        build("many attributes", nested("", "a", ".b")),
        build("many calls of what a call gives", nested("", "len", "()")),
        build("many indices", nested("", "a", "[0]")),
        build("many slices", nested("", "a", "[0:1]")),
        build("many calls and indices", nested("", "a", "[0]()")),
        build("many clauses of a comprehension", nested("", "[1 for a in [1]", " for b in [1]") + "]\n"),
        build("many conditions of a comprehension", nested("", "[1 for a in [1]", " if a") + "]\n"),
        Hostile::library(
            "a deep type",
            format!("def f(x: {}int{}):\n    pass\n", "list[".repeat(DEEP), "]".repeat(DEEP)),
        ),
        Hostile::library("a long union of types", format!("def f(x: {}int):\n    pass\n", "int | ".repeat(DEEP))),
        build("deep brackets in one line after many", format!("{}{}", "y = 1;".repeat(1000), nested("(", "1", ")"))),
        build("strings side by side", nested("\"a\" ", "\"a\"", "")),
        build("deep brackets over many lines", nested("(\n", "1", "\n)")).at("BUILD.star"),
    ]
}

fn indented(header: &str, depth: usize, last: &str) -> String {
    let lines: String = (1..depth).map(|level| format!("{}{header}\n", " ".repeat(level))).collect();
    format!("def f():\n{lines}{}{last}\n", " ".repeat(depth))
}

fn deep_statements() -> Vec<Hostile> {
    let elifs = "    elif x:\n        pass\n".repeat(DEEP);
    vec![
        Hostile::library("deep conditions", indented("if True:", 3000, "pass")),
        Hostile::library("deep loops", indented("for i in range(2):", 3000, "pass")),
        Hostile::library("deep functions", indented("def g():", 3000, "pass")),
        Hostile::library("a long chain of conditions", format!("def f(x = 0):\n    if x:\n        pass\n{elifs}")),
        Hostile::library("a chain over many lines", format!("def f():\n    return 1{}\n", " \\\n+ 1".repeat(DEEP))),
        Hostile::library("deep conditions on one line", format!("def f():\n    {}pass\n", "if True: ".repeat(DEEP))),
        Hostile::library("many targets of one assignment", format!("def f():\n    {}1\n", "a = ".repeat(DEEP))),
        Hostile::library(
            "a deep target of an assignment",
            format!("def f():\n    {}a{} = 1\n", "(".repeat(DEEP), ",)".repeat(DEEP)),
        ),
        Hostile::library(
            "a deep target of a loop",
            format!("def f():\n    for {}a{} in []:\n        pass\n", "[".repeat(DEEP), "]".repeat(DEEP)),
        ),
    ]
}

fn large() -> Vec<Hostile> {
    let arguments: String = (0..DEEP).map(|index| format!("a{index} = 1, ")).collect();
    let parameters: String = (0..DEEP).map(|index| format!("a{index}, ")).collect();
    vec![
        Hostile::build("a hundred megabytes of comments", "# a comment that says nothing at all\n".repeat(3_000_000)),
        Hostile::build("a hundred megabytes in one line", "x = 1;".repeat(17_000_000)),
        Hostile::build("a hundred megabytes of a text", format!("x = \"{}\"\n", "a".repeat(100_000_000))),
        Hostile::build("a hundred megabytes of lists", format!("x = [{}]\n", "[],".repeat(33_000_000))),
        Hostile::build("a hundred megabytes of line breaks", "\n".repeat(100_000_000)),
        Hostile::build("eight megabytes of lists", format!("x = [{}]\nwrong\n", "[],".repeat(2_500_000))),
        Hostile::build("eight megabytes of statements", "x=1\n".repeat(2_000_000) + "wrong\n"),
        Hostile::build("eight megabytes of garbage", "@#$%^&*()}{".repeat(700_000)),
        Hostile::build("a million errors", "wrong\n".repeat(1_000_000)),
        Hostile::build("a hundred thousand calls that fail", "filegroup(nam = 1)\n".repeat(100_000)),
        Hostile::build("a file that is a hole of ten gigabytes", "").holding("BUILD.star", Content::Hole(10 << 30)),
        Hostile::library("a library that is a hole of ten gigabytes", "").holding("lib.star", Content::Hole(10 << 30)),
        Hostile::build("a WORKSPACE.star that is a hole of ten gigabytes", "")
            .holding("WORKSPACE.star", Content::Hole(10 << 30))
            .at("WORKSPACE.star"),
        Hostile::build("a name of a million letters", format!("{} = wrong\n", "a".repeat(1_000_000)))
            .at("BUILD.star:1"),
        Hostile::build("an unknown name of a million letters", format!("x = {}\n", "a".repeat(1_000_000)))
            .at("BUILD.star:1"),
        Hostile::build(
            "a target's name of a million letters",
            format!("filegroup(name = \"{}\", srcs = [3])\n", "a".repeat(1_000_000)),
        )
        .at("BUILD.star:1"),
        Hostile::build(
            "a label of a million folders",
            format!("filegroup(name = \"x\", srcs = [\"//{}b\"])\n", "a/".repeat(500_000)),
        )
        .by(&["build", "//:x"])
        .at("BUILD.star:1"),
        Hostile::build("a hundred thousand arguments", format!("filegroup({arguments})\n")).at("BUILD.star:1"),
        Hostile::library("a hundred thousand parameters", format!("def f({parameters}):\n    pass\n"))
            .at("BUILD.star:2"),
        Hostile::library(
            "a hundred thousand functions, one wrong",
            (0..DEEP).map(|i| format!("def f{i}():\n    pass\n")).collect::<String>() + "wrong\n",
        ),
        Hostile::build(
            "a hundred thousand loads",
            (0..DEEP).map(|i| format!("load(\"//:l{i}.star\", \"a\")\n")).collect::<String>(),
        )
        .at("BUILD.star:1"),
        Hostile::library(
            "a library loaded by many names",
            (0..20_000).map(|i| format!("load(\"@rules//core:defs.star\", a{i} = \"genrule\")\n")).collect::<String>()
                + "wrong\n",
        ),
        Hostile::build("an unclosed text of eight megabytes", format!("x = \"\"\"{}", "a\n".repeat(4_000_000))),
        Hostile::build("many backslashes", format!("x = \"{}\n", "\\".repeat(4_000_001))),
        Hostile::build("many escapes", format!("x = \"{}\" + 1\n", "\\x41".repeat(1_000_000))),
        Hostile::build("a million indented lines", format!("x = 1\n{}", " \n\t\n  y\n".repeat(300_000))),
    ]
}

fn special() -> Vec<Hostile> {
    vec![
        Hostile::build("a BUILD.star that is a pipe", "").holding("BUILD.star", Content::Pipe),
        Hostile::build("a BUILD.star without end", "").holding("BUILD.star", Content::Link("/dev/zero")),
        // To a link that leads nowhere there is no package.
        Hostile::build("a BUILD.star that links to itself", "")
            .holding("BUILD.star", Content::Link("BUILD.star"))
            .says("no folder there has a BUILD.star"),
        Hostile::build("a BUILD.star below that is a folder", "")
            .holding("BUILD.star", Content::Folder)
            .with("a.txt", "")
            .by(&["build", "//:x"])
            .says("BUILD.star"),
        Hostile::library("a library that is a pipe", "").holding("lib.star", Content::Pipe),
        Hostile::library("a library without end", "").holding("lib.star", Content::Link("/dev/zero")),
        Hostile::library("a library that is a folder", "").holding("lib.star", Content::Folder).at("BUILD.star:1"),
        Hostile::build("a WORKSPACE.star that is a pipe", "")
            .holding("WORKSPACE.star", Content::Pipe)
            .at("WORKSPACE.star"),
        Hostile::build("a WORKSPACE.star without end", "")
            .holding("WORKSPACE.star", Content::Link("/dev/zero"))
            .at("WORKSPACE.star"),
        Hostile::build("a lockfile without end", "")
            .with("WORKSPACE.star", "workspace(name = \"w\")\npip_lock(name = \"pip\", lock = \"//:lock\")\n")
            .with("BUILD.star", "filegroup(name = \"x\", srcs = [\"@pip//a\"])\n")
            .holding("lock", Content::Link("/dev/zero"))
            .by(&["build", "//:x"])
            .says("lock"),
    ]
}
