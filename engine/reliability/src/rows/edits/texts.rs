//! The model as files, and as arguments of the command line.

use std::fmt::Write;

use super::model::{Content, Kind, Model, Package, Srcs, Target};
use crate::files::{Files, Source};

/// The files of a workspace.
pub fn files(model: &Model) -> Files {
    let mut files = Files::new();
    let mut add = |path: &str, text: String| drop(files.insert(path.to_owned(), Source::text(text)));
    let ignored = model.ignored.map(|index| format!(", ignore = [\"p{index}\"]")).unwrap_or_default();
    add("WORKSPACE.star", format!("workspace(name = \"w\"{ignored})\n"));
    add("rules/BUILD.star", CONDITIONS.to_owned());
    add("rules/base.star", format!("CONSTANT = {}\n", model.constant));
    add("rules/middle.star", MIDDLE.to_owned());
    add("rules/defs.star", format!("# {}\n{}", model.comment, RULES.replace("VARIANT", &model.variant.to_string())));
    for (index, package) in model.packages.iter().enumerate() {
        if let Some(package) = package {
            add_package(&mut files, index, package, model);
        }
    }
    files
}

/// The arguments of the build.
pub fn arguments(model: &Model) -> Vec<String> {
    let mut arguments = vec!["build".to_owned(), "--show_result=1000".to_owned()];
    arguments.extend(model.mode.map(|mode| format!("--define=mode={mode}")));
    arguments.extend(model.optimised.then(|| "-copt".to_owned()));
    arguments.push(model.only.map_or("//...".to_owned(), |index| format!("//p{index}/...")));
    arguments
}

const CONDITIONS: &str = r#"package(default_visibility = ["//visibility:public"])
config_setting(name = "fast", define = {"mode": "0"})
config_setting(name = "slow", values = {"define": "mode=1"})
config_setting(name = "opt", compilation_mode = "opt")
"#;

const MIDDLE: &str = r#"load("//rules:base.star", "CONSTANT")
def marked(text):
    return "%s %s" % (text, CONSTANT)
"#;

const RULES: &str = r#"load("//rules:middle.star", "marked")
def _thing(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".out")
    ctx.actions.write(output = out, content = "\n".join([marked(ctx.attr.text)] + [f.path for f in ctx.files.srcs]))
    outs = [out]
    for src in ctx.files.srcs:
        if not src.is_directory:
            copy = ctx.actions.declare_file(ctx.label.name + "_/" + src.short_path)
            ctx.actions.symlink(output = copy, target_file = src)
            outs.append(copy)
    return [DefaultInfo(files = depset(outs))]

def _tree(ctx):
    out = ctx.actions.declare_directory(ctx.label.name + ".tree")
    ctx.actions.run_shell(
        outputs = [out],
        inputs = ctx.files.srcs,
        command = "set -eu; out=$1; shift; mkdir -p $out/d; for f; do cp -rL $f $out/d/; done; " +
                  "echo variant VARIANT > $out/x; chmod +x $out/x; ln -s x $out/link; echo '%s' > $out/text" % marked(ctx.attr.text),
        arguments = [out.path] + [f.path for f in ctx.files.srcs],
        mnemonic = "Tree",
    )
    return [DefaultInfo(files = depset([out]))]

def _tree_copy(ctx):
    outs = []
    for src in ctx.files.srcs:
        if src.is_directory:
            out = ctx.actions.declare_directory(ctx.label.name + "/" + src.short_path)
            ctx.actions.symlink(output = out, target_file = src)
            outs.append(out)
    return [DefaultInfo(files = depset(outs))]

def _shape(ctx):
    shape = int(ctx.attr.text) % 4
    path = ctx.label.name + ".shape" + ("/deep" if shape % 2 else "")
    if shape < 2:
        out = ctx.actions.declare_file(path)
        ctx.actions.write(output = out, content = marked(ctx.attr.text))
    else:
        out = ctx.actions.declare_directory(path)
        ctx.actions.run_shell(outputs = [out], command = "mkdir -p $1/deep; echo > $1/deep/a", arguments = [out.path])
    return [DefaultInfo(files = depset([out]))]

_ATTRS = {"srcs": attr.label_list(allow_files = True), "text": attr.string()}
shape = rule(implementation = _shape, attrs = _ATTRS)
thing = rule(implementation = _thing, attrs = _ATTRS)
tree = rule(implementation = _tree, attrs = _ATTRS)
tree_copy = rule(implementation = _tree_copy, attrs = _ATTRS)
"#;

/// Shell text that names each file below its arguments with its mode and content.
const CAT: &str = "for f in $(SRCS) /dev/null; do find -L $$f -type f | sort | while read g; do \
     if [ -x $$g ]; then m=x; else m=-; fi; echo == $$m $$g; cat $$g; done; done";

/// The package's own library.
fn macros(package: &Package) -> String {
    format!(
        "def gen(name, text, srcs):\n    for src in srcs:\n        native.genrule(name = name + \"_\" + \
         src.replace(\"/\", \"_\"), srcs = [src], outs = [name + \"/\" + src + \".gen\"], \
         cmd = \"tr a-z A-Z < $< > $@; echo %s {} >> $@\" % text)\n",
        package.comment % 2
    )
}

fn add_package(files: &mut Files, index: usize, package: &Package, model: &Model) {
    for (name, content) in &package.sources {
        let source = match content {
            Content::Lines(value, executable) => Source::File(Content::text(*value), *executable),
            Content::Link(target) => Source::Link(target.clone()),
        };
        files.insert(format!("p{index}/{name}"), source);
    }
    if package.nested {
        let text = "filegroup(name = \"n\", srcs = glob([\"**/*.txt\"]), visibility = [\"//visibility:public\"])\n";
        files.insert(format!("p{index}/sub/BUILD.star"), Source::text(text));
    }
    files.insert(format!("p{index}/macros.star"), Source::text(macros(package)));
    let mut text = String::from(
        "load(\"//rules:defs.star\", \"shape\", \"thing\", \"tree\", \"tree_copy\")\nload(\":macros.star\", \"gen\")\n",
    );
    let visibility = if package.public { "public" } else { "private" };
    _ = writeln!(text, "package(default_visibility = [\"//visibility:{visibility}\"])");
    for target in &package.targets {
        text.push_str(&declaration(target, package, index, model));
    }
    _ = writeln!(text, "# {}", package.comment);
    if package.broken {
        text.push_str("genrule(name = \"broken\",\n");
    }
    files.insert(format!("p{index}/BUILD.star"), Source::text(text));
}

/// The name of a target. It tells the kind, so that its users change with it.
fn name(target: &Target) -> String {
    let kind = match target.kind {
        Kind::Cat => "cat",
        Kind::Sort => "sort",
        Kind::Count => "count",
        Kind::Two => "two",
        Kind::Fails => "fails",
        Kind::Script => "script",
        Kind::Tool => "tool",
        Kind::Thing => "thing",
        Kind::Tree => "tree",
        Kind::TreeCopy => "copy",
        Kind::Shape => "shape",
        Kind::Group => "group",
        Kind::Alias => "alias",
        Kind::Macro => "macro",
    };
    format!("{kind}{}", target.number)
}

fn declaration(target: &Target, package: &Package, index: usize, model: &Model) -> String {
    let (name, text) = (name(target), target.text);
    let srcs = sources(target, package, index, model);
    let genrule = |outs: &str, command: &str, more: &str| {
        format!("genrule(name = \"{name}\", srcs = {srcs}, outs = [{outs}], cmd = \"\"\"{command}\"\"\"{more})\n")
    };
    let one = format!("\"{name}.txt\"");
    match target.kind {
        Kind::Cat => genrule(&one, &format!("({CAT}; echo {text}) > $@"), ""),
        Kind::Sort => genrule(&one, "find -L $(SRCS) /dev/null -type f -exec cat {} + | sort > $@", ""),
        Kind::Count => genrule(&one, "find -L $(SRCS) /dev/null -type f -exec cat {} + | wc -l > $@", ""),
        Kind::Two => {
            let outs = format!("\"{name}.1\", \"{name}/2\"");
            genrule(&outs, &format!("({CAT}) > $(RULEDIR)/{name}.1; : > $(RULEDIR)/{name}/2"), "")
        }
        Kind::Fails => {
            let end = if text < 3 { format!("echo no {text} >&2; exit {}", text + 1) } else { String::new() };
            genrule(&one, &format!("{CAT} > $@; {end}"), "")
        }
        Kind::Script => {
            let command = format!("echo 'echo script {text}; cat \"$$@\"' > $@; chmod +x $@");
            format!(
                "genrule(name = \"{name}\", outs = [{one}], cmd = \"\"\"{command}\"\"\", executable = {})\n",
                if text.is_multiple_of(7) { "False" } else { "True" }
            )
        }
        Kind::Tool => {
            let command = format!("for t in $(SRCS); do sh $$t /dev/null 2>/dev/null || echo {text}; done > $@");
            genrule(&one, &command, "")
        }
        Kind::Thing => format!("thing(name = \"{name}\", srcs = {srcs}, text = \"{text}\")\n"),
        Kind::Tree => format!("tree(name = \"{name}\", srcs = {srcs}, text = \"{text}\")\n"),
        Kind::TreeCopy => format!("tree_copy(name = \"{name}\", srcs = {srcs})\n"),
        Kind::Shape => format!("shape(name = \"{name}\", srcs = [], text = \"{text}\")\n"),
        Kind::Group => format!("filegroup(name = \"{name}\", srcs = {srcs})\n"),
        Kind::Alias => format!("alias(name = \"{name}\", actual = \"{}\")\n", first(target, package, index, model)),
        Kind::Macro => format!("gen(name = \"{name}\", text = \"{text}\", srcs = glob([\"*.in\", \"a.*\"]))\n"),
    }
}

/// The first thing that a target reads, as a label.
fn first(target: &Target, package: &Package, index: usize, model: &Model) -> String {
    let label = target.srcs.iter().find_map(|part| match part {
        Srcs::Target(other, at) => label(*other, *at, package, index, model),
        Srcs::Name(name) => Some((*name).to_owned()),
        _ => None,
    });
    label.unwrap_or_else(|| "a.txt".to_owned())
}

/// The label of a target by its place; mostly one that is there.
fn label(other: usize, at: usize, package: &Package, index: usize, model: &Model) -> Option<String> {
    let found = if other == index { Some(package) } else { model.packages.get(other)?.as_ref() }?;
    let target = found.targets.get(at)?;
    (target.kind != Kind::Macro).then(|| format!("//p{other}:{}", name(target)))
}

/// The value of `srcs`. What would be listed twice, an error, is left out but for one text.
fn sources(target: &Target, package: &Package, index: usize, model: &Model) -> String {
    let own = format!("//p{index}:{}", name(target));
    let (mut parts, mut has_files) = (Vec::new(), false);
    for part in &target.srcs {
        let text = match part {
            Srcs::Target(other, at) => label(*other, *at, package, index, model).map(|label| format!("[\"{label}\"]")),
            _ if has_files && target.text != 18 => None,
            _ => files_of(part, target, package),
        };
        has_files |= !matches!(part, Srcs::Target(..)) && text.is_some();
        // Itself, after targets before it went.
        let text = text.filter(|text| *text != format!("[\"{own}\"]"));
        parts.extend(text.filter(|text| target.text == 18 || !parts.contains(text)));
    }
    if parts.is_empty() { "[]".to_owned() } else { parts.join(" + ") }
}

/// Files of the package that a target reads.
fn files_of(part: &Srcs, target: &Target, package: &Package) -> Option<String> {
    // A source that is not there is an error, and one of them in a while is enough.
    let is_there = |name: &str| package.sources.contains_key(name) || target.text == 19;
    match part {
        Srcs::Target(..) => None,
        Srcs::Name(name) => is_there(name).then(|| format!("[\"{name}\"]")),
        Srcs::Glob(pattern, None) => Some(format!("glob([\"{pattern}\"], allow_empty = True)")),
        Srcs::Glob(pattern, Some(exclude)) => {
            Some(format!("glob([\"{pattern}\"], exclude = [\"{exclude}\"], allow_empty = True)"))
        }
        Srcs::Select(condition, yes, no) => (is_there(yes) && is_there(no))
            .then(|| format!("select({{\"{condition}\": [\"{yes}\"], \"//conditions:default\": [\"{no}\"]}})")),
    }
}
