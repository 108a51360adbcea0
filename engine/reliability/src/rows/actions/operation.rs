//! What steps do: as rules of the workspace, and as what their actions read and make.

use std::fmt::Write;

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Cat,
    Sort,
    Count,
    First,
    Constant,
    Upper,
    Two,
    Pair,
    Fails,
    Write,
    Copy,
}

/// A file: path, whether it can be executed, content.
pub type File = (String, bool, String);

/// An action as the model sees it.
#[derive(Clone)]
pub struct Action {
    /// The label of its target.
    pub label: String,
    /// Its mnemonic.
    pub mnemonic: &'static str,
    /// All that is done, as text.
    pub definition: String,
    /// What it reads, in no order that means something.
    pub inputs: Vec<File>,
    /// What it makes.
    pub outputs: Vec<File>,
    /// Whether it makes nothing, since it fails.
    pub fails: bool,
}

/// All of them.
pub const OPERATIONS: [Operation; 11] = [
    Operation::Cat,
    Operation::Sort,
    Operation::Count,
    Operation::First,
    Operation::Constant,
    Operation::Upper,
    Operation::Two,
    Operation::Pair,
    Operation::Fails,
    Operation::Write,
    Operation::Copy,
];

impl Operation {
    /// The command of a genrule.
    pub fn command(self) -> &'static str {
        match self {
            Self::Cat => "(cat $(SRCS) /dev/null; echo TEXT) > $@",
            Self::Sort => "cat $(SRCS) /dev/null | sort > $@",
            Self::Count => "cat $(SRCS) /dev/null | wc -l > $@",
            // Not `head`, which may end before `cat` has written all; then the pipeline fails.
            Self::First => "cat $(SRCS) /dev/null | sed -n 1p > $@",
            Self::Constant => "cat $(SRCS) /dev/null > /dev/null; echo TEXT > $@",
            Self::Upper => "cat $(SRCS) /dev/null | tr a-z A-Z > $@",
            Self::Two => "set -- $(OUTS); cat $(SRCS) /dev/null > $$1; cat $(SRCS) /dev/null | wc -l > $$2",
            Self::Fails => "cat $(SRCS) /dev/null > $@; if grep -q 1 $@; then exit 1; fi",
            Self::Pair | Self::Write | Self::Copy => "",
        }
    }

    /// The actions of a step with this number and text.
    pub fn actions(self, number: u32, text: u32, inputs: Vec<File>, output: &dyn Fn(&str) -> String) -> Vec<Action> {
        let all: String = inputs.iter().map(|(_, _, content)| content.as_str()).collect();
        let paths: Vec<&str> = inputs.iter().map(|(path, ..)| path.as_str()).collect();
        let paths = paths.join(" ");
        let action = |mnemonic, definition: String, inputs, outputs| Action {
            label: format!("//p:s{number}"),
            mnemonic,
            definition,
            inputs,
            outputs,
            fails: self == Self::Fails && all.contains('1'),
        };
        let lines = format!("{}\n", all.lines().count());
        match self {
            Self::Pair => {
                let first = (output("a"), false, lines.clone());
                let second = vec![(output("b"), false, format!("{lines}{text}\n"))];
                let definition = format!("pair {} {text}", first.0);
                vec![
                    action("PairA", format!("pair {paths}"), inputs, vec![first.clone()]),
                    action("PairB", definition, vec![first], second),
                ]
            }
            Self::Write => {
                let shown: Vec<&str> = inputs.iter().map(|(path, ..)| shown_at(path)).collect();
                let content = format!("{text} {}\n", shown.join(" "));
                vec![action("Write", content.clone(), Vec::new(), vec![(output("out"), false, content)])]
            }
            Self::Copy => {
                // The first of its inputs; without one it makes an empty text.
                let Some((path, executable, content)) = inputs.into_iter().next() else {
                    return vec![action(
                        "Write",
                        String::new(),
                        Vec::new(),
                        vec![(output("copy"), false, String::new())],
                    )];
                };
                let outputs = vec![(output("copy"), executable, content.clone())];
                vec![action("Symlink", format!("copy {path}"), vec![(path, executable, content)], outputs)]
            }
            _ => {
                // An output of a genrule can be executed.
                let mut outputs = vec![(output("1"), true, self.result(&all, text))];
                if self == Self::Two {
                    outputs.push((output("2"), true, lines));
                }
                let definition = format!("{} {paths}", self.command().replace("TEXT", &text.to_string()));
                vec![action("Genrule", definition, inputs, outputs)]
            }
        }
    }

    /// What a genrule's first output holds.
    fn result(self, all: &str, text: u32) -> String {
        let mut lines: Vec<&str> = all.lines().collect();
        match self {
            Self::Cat => return format!("{all}{text}\n"),
            Self::Count => return format!("{}\n", lines.len()),
            Self::Constant => return format!("{text}\n"),
            Self::Upper => return all.to_uppercase(),
            Self::Sort => lines.sort_unstable(),
            Self::First => lines.truncate(1),
            Self::Two | Self::Fails | Self::Pair | Self::Write | Self::Copy => {}
        }
        lines.iter().fold(String::new(), |mut text, line| {
            _ = writeln!(text, "{line}");
            text
        })
    }
}

/// Where an output is shown: without the folder of its settings.
pub fn shown_at(path: &str) -> &str {
    if path.starts_with("out/") { path.splitn(3, '/').nth(2).unwrap_or(path) } else { path }
}

/// The rules of steps that are no genrules.
pub const RULES: &str = r#"
def _pair(ctx):
    a = ctx.actions.declare_file(ctx.label.name + ".a")
    b = ctx.actions.declare_file(ctx.label.name + ".b")
    ctx.actions.run_shell(
        outputs = [a],
        inputs = ctx.files.srcs,
        command = "out=$1; shift; cat \"$@\" /dev/null | wc -l > $out",
        arguments = [a.path] + [f.path for f in ctx.files.srcs],
        mnemonic = "PairA",
    )
    ctx.actions.run_shell(
        outputs = [b],
        inputs = [a],
        command = "(cat $1; echo $3) > $2",
        arguments = [a.path, b.path, ctx.attr.text],
        mnemonic = "PairB",
    )
    return [DefaultInfo(files = depset([a, b]))]

def _write(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".out")
    paths = " ".join([f.short_path for f in ctx.files.srcs])
    ctx.actions.write(output = out, content = ctx.attr.text + " " + paths + "\n", mnemonic = "Write")
    return [DefaultInfo(files = depset([out]))]

def _copy(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".copy")
    if ctx.files.srcs:
        ctx.actions.symlink(output = out, target_file = ctx.files.srcs[0])
    else:
        ctx.actions.write(output = out, content = "", mnemonic = "Write")
    return [DefaultInfo(files = depset([out]))]

_ATTRS = {"srcs": attr.label_list(allow_files = True), "text": attr.string()}
copy = rule(implementation = _copy, attrs = _ATTRS)
pair = rule(implementation = _pair, attrs = _ATTRS)
write = rule(implementation = _write, attrs = _ATTRS)
"#;
