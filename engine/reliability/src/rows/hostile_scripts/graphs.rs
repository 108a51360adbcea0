//! Files that refer to each other in circles or out of the workspace, and names that are none.

use super::file::{Content, Hostile};

pub fn all() -> Vec<Hostile> {
    let mut all = loads();
    all.extend(dependencies());
    all.extend(globs());
    all.extend(names());
    all.extend(patterns());
    all
}

fn loads() -> Vec<Hostile> {
    let from = |name, label: &str| Hostile::build(name, format!("\nload(\"{label}\", \"a\")\n")).at("BUILD.star:2");
    let chain = (0..2000).fold(
        Hostile::build("a long chain of loads", "load(\"//:l0.star\", \"f\")\nf()\n"),
        |hostile, index| {
            let next = if index == 1999 {
                "def f():\n    wrong\n".to_owned()
            } else {
                format!("load(\"//:l{}.star\", _f = \"f\")\nf = _f\n", index + 1)
            };
            let name: &'static str = Box::leak(format!("l{index}.star").into_boxed_str());
            hostile.with(name, next)
        },
    );
    vec![
        Hostile::library("a library that loads itself", "load(\"//:lib.star\", \"f\")\n"),
        Hostile::library("libraries that load each other", "load(\"//:b.star\", \"f\")\n")
            .with("b.star", "load(\"//:lib.star\", \"f\")\n")
            .at("lib.star:1"),
        from("a load of the file itself", "//:BUILD.star"),
        from("a load from above the workspace", "//..:x.star"),
        from("a load from above the package", ":../x.star"),
        from("a load of an absolute path", "/etc/passwd"),
        from("a load of a file outside", "//:/etc/passwd"),
        from("a load of a repository that is not there", "@nothing//:x.star"),
        from("a load of a malformed label", "//a//b:::c"),
        from("a load of an empty label", ""),
        from("a load of control characters", "//:\\u0001\\n.star"),
        from("a load of a private file", "@rules//core:private/genrule.star"),
        from("a load of a missing file", "//:missing.star"),
        from("a load from a missing package", "//missing:x.star"),
        chain.at("l1999.star:2"),
        Hostile::build("a load through a link out of the workspace", "load(\"//:out.star\", \"a\")\n")
            .holding("out.star", Content::Link("../../../../../../../../etc/passwd"))
            .at("out.star"),
    ]
}

fn dependencies() -> Vec<Hostile> {
    let chain: String =
        (0..20_000).map(|i| format!("filegroup(name = \"t{i}\", srcs = [\":t{}\"])\n", i + 1)).collect();
    let circle = format!("{chain}filegroup(name = \"t20000\", srcs = [\":t0\"])\n");
    let missing: String =
        (0..20_000).map(|i| format!("filegroup(name = \"t{i}\", srcs = [\":t{}\"])\n", i + 1)).collect();
    let build = |name, text: &str| Hostile::build(name, text).by(&["build", "//:x"]).at("BUILD.star:1");
    vec![
        build("a target that depends on itself", "filegroup(name = \"x\", srcs = [\":x\"])\n"),
        build(
            "targets that depend on each other",
            "filegroup(name = \"x\", srcs = [\":y\"])\nfilegroup(name = \"y\", srcs = [\":x\"])\n",
        )
        .at("BUILD.star"),
        Hostile::build("a circle of twenty thousand targets", circle).by(&["build", "//:t0"]),
        Hostile::build("a chain of twenty thousand targets without an end", missing).by(&["build", "//:t0"]),
        build("an alias of itself", "alias(name = \"x\", actual = \":x\")\n"),
        build("aliases of each other", "alias(name = \"x\", actual = \":y\")\nalias(name = \"y\", actual = \":x\")\n")
            .at("BUILD.star"),
        build(
            "a condition that depends on itself",
            "config_setting(name = \"x\", define_values = select({\":x\": {\"a\": \"b\"}}))\n",
        ),
        build("a select on its own target", "filegroup(name = \"x\", srcs = select({\":x\": []}))\n"),
        build("a select without branches", "filegroup(name = \"x\", srcs = select({}))\n"),
        build(
            "a select on what is no condition",
            "filegroup(name = \"x\", srcs = select({\":y\": []}))\nfilegroup(name = \"y\")\n",
        ),
        build(
            "an output that is its own source",
            "genrule(name = \"x\", srcs = [\"o\"], outs = [\"o\"], cmd = \"true\")\n",
        ),
        build("a dependency out of the workspace", "filegroup(name = \"x\", srcs = [\"../secret\"])\n"),
        build("an absolute dependency", "filegroup(name = \"x\", srcs = [\"/etc/passwd\"])\n"),
        build("an output out of the package", "genrule(name = \"x\", outs = [\"../o\"], cmd = \"true\")\n"),
        build("an absolute output", "genrule(name = \"x\", outs = [\"/tmp/o\"], cmd = \"true\")\n"),
        build(
            "an output that is a folder of another",
            "genrule(name = \"x\", outs = [\"a\", \"a/b\"], cmd = \"true\")\n",
        ),
    ]
}

fn globs() -> Vec<Hostile> {
    let names: String = "a".repeat(200);
    let stars = |count: usize| "*a".repeat(count);
    let path: &'static str = Box::leak(names.into_boxed_str());
    let deep: &'static str = Box::leak(format!("{}f", "a/".repeat(100)).into_boxed_str());
    let of = |name, pattern: &str| {
        Hostile::build(name, format!("x = glob([\"{pattern}\"])\n")).with(path, "").with(deep, "").at("BUILD.star:1")
    };
    vec![
        // These are odd, and find nothing; all that can be wrong is the time they take.
        of("a pattern of many stars", &format!("{}b", stars(60))).loads(),
        of("a pattern of many folders", &format!("{}nothing", "**/".repeat(60))).loads(),
        of("a pattern of folders and stars", &format!("{}b", "**/*a*/".repeat(40))).loads(),
        of("a pattern out of the package", "../**"),
        of("an absolute pattern", "/etc/*"),
        of("an empty pattern", ""),
        // As in Bazel, a bracket is a character like others.
        of("a pattern with an open class", "[a").loads(),
        of("a pattern with a zero byte", "a\\0b"),
        of("a pattern of a megabyte", &"*".repeat(1_000_000)),
        Hostile::build("a number as a pattern", "x = glob([1])\n").at("BUILD.star:1"),
        Hostile::build("a hundred thousand patterns", "x = glob([\"*%d\" % i for i in range(100000)])\n").loads(),
        Hostile::build("folders that link in a circle", "filegroup(name = \"x\", srcs = glob([\"**/nothing\"]))\n")
            .holding("a/up", Content::Link(".."))
            .holding("a/b/top", Content::Link("../.."))
            .loads(),
    ]
}

fn names() -> Vec<Hostile> {
    let named = |name, text: &str| Hostile::build(name, format!("\nfilegroup(name = \"{text}\")\n")).at("BUILD.star:2");
    vec![
        named("an empty name", ""),
        named("a name that leads up", "../x"),
        named("a name that leads up inside", "a/../../x"),
        named("an absolute name", "/x"),
        named("a name with an empty folder", "a//b"),
        named("a name that ends in a slash", "a/"),
        named("a name with a colon", "a:b"),
        named("a name that is a dot", "."),
        named("a name that is two dots", ".."),
        named("a name of all", "..."),
        named("a name with a line break", "a\\nb"),
        named("a name with a zero byte", "a\\x00b"),
        named("a name with an escape sequence", "a\\x1b[2Jb"),
        named("a name with a backslash", "a\\\\b"),
        named("a name with a quote", "a\\\"b"),
        named("a name with a star", "a*b"),
        Hostile::build("a name that is a number", "filegroup(name = 1)\n").at("BUILD.star:1"),
        Hostile::build("a name that is a list", "filegroup(name = [])\n").at("BUILD.star:1"),
        Hostile::build("no name", "filegroup()\n").at("BUILD.star:1"),
        Hostile::build("a name twice", "filegroup(name = \"a\")\nfilegroup(name = \"a\")\n").at("BUILD.star:2"),
        Hostile::build("a visibility that is none", "filegroup(name = \"a\", visibility = [\"//a:b:c\"])\n")
            .at("BUILD.star:1"),
        Hostile::build("a source that is no label", "filegroup(name = \"a\", srcs = [\"//a:b:c\"])\n")
            .at("BUILD.star:1"),
        Hostile::build("an unknown attribute", "filegroup(name = \"a\", nothing = 1)\n").at("BUILD.star:1"),
    ]
}

fn patterns() -> Vec<Hostile> {
    let asked = |name, pattern: &'static str, text| {
        Hostile::build(name, "filegroup(name = \"x\")\n").by(&["query", "--", pattern]).says(text)
    };
    vec![
        asked("a pattern that leads up on the command line", "//../x:y", ".."),
        asked("an absolute path on the command line", "/etc/passwd", "/etc/passwd"),
        asked("a pattern with an escape sequence on the command line", "//a:\u{1b}[2J", "\u{241b}"),
        asked("many dots on the command line", "//a/....", "..."),
        asked("colons on the command line", "//a:b:c", "//a:b:c"),
        asked("an unknown repository on the command line", "@nothing//:x", "nothing"),
        asked("an empty name on the command line", "//:", "//:"),
        asked("a deep nesting of a query", Box::leak("deps(".repeat(5000).into_boxed_str()), "deps"),
        asked(
            "a long query",
            Box::leak(format!("//:x{}", " + //:x".repeat(3000)).into_boxed_str()).trim_end_matches("x"),
            "//:",
        ),
        asked("a catastrophic pattern of a query", "filter(\"(a+)+$\", //...) + wrong(", "wrong"),
    ]
}
