//! What the commands build: targets, their commands, and what belongs into each output.

use std::collections::BTreeSet;
use std::fmt::Write;

use fastrand::Rng;

use crate::workspace::Workspace;

/// Actions that both workspaces have.
pub const COMMON: usize = 10;
/// Actions that each workspace has for itself.
pub const OWN: usize = 4;

/// Writes workspace number `which`.
pub fn write(workspace: &Workspace, which: usize) {
    let mut text = String::new();
    for n in 0..COMMON {
        let command = format!("sleep 0.0{n}; cat $< > $@; echo c{n} >> $@");
        _ = writeln!(text, "genrule(name = \"c{n}\", srcs = [\"x\"], outs = [\"c{n}.txt\"], cmd = \"{command}\")");
        let srcs = format!("\":c{n}\", \":c{}\"", (n + 1) % COMMON);
        let command = "sleep 0.02; cat $(SRCS) > $@";
        _ = writeln!(text, "genrule(name = \"d{n}\", srcs = [{srcs}], outs = [\"d{n}.txt\"], cmd = \"{command}\")");
    }
    for n in 0..OWN {
        let command = format!("sleep 0.03; echo own {which} {n} > $@");
        _ = writeln!(text, "genrule(name = \"o{n}\", outs = [\"o{n}.txt\"], cmd = \"{command}\")");
    }
    text.push_str("genrule(name = \"slow\", outs = [\"slow.txt\"], cmd = \"sleep 20; echo slow > $@\")\n");
    workspace.write("BUILD.star", text);
    workspace.write("x", "x\n");
}

/// Some targets, each named once. Two commands rarely name the same.
pub fn targets(dice: &mut Rng) -> Vec<String> {
    let mut chosen = BTreeSet::new();
    for _ in 0..dice.usize(4..9) {
        chosen.insert(match dice.u8(0..5) {
            0 | 1 => format!("c{}", dice.usize(0..COMMON)),
            2 | 3 => format!("d{}", dice.usize(0..COMMON)),
            _ => format!("o{}", dice.usize(0..OWN)),
        });
    }
    chosen.into_iter().collect()
}

/// What belongs into the output of a target.
pub fn output(target: &str, which: usize) -> String {
    let (kind, number) = target.split_at(1);
    let n: usize = number.parse().expect("targets have numbers");
    match kind {
        "c" => format!("x\nc{n}\n"),
        "d" => format!("x\nc{n}\nx\nc{}\n", (n + 1) % COMMON),
        _ => format!("own {which} {n}\n"),
    }
}
