//! Row 4: neither how actions are scheduled nor who builds where is seen in keys and contents.
//!
//! A try makes a random graph of actions and builds it twice from nothing: plainly, and with another number of jobs, in
//! another order, in another folder, by another user, elsewhere in the world. Every action must have the same key and
//! the same outputs in both stores, and the files shown must be the same bytes.

use std::fmt::Write;

use fastrand::Rng;

use crate::attempt::{Attempt, Outcome};
use crate::place::{self, Place};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};
use crate::{samples, seed, twins};

/// The row.
pub const ROW: Row = Row {
    number: 4,
    title: "jobs, order, folder, user, time zone: equal keys and digests",
    tries: Tries { small: 24, full: 400 },
    run,
};

const ZONES: [&str; 4] = ["Pacific/Auckland", "America/St_Johns", "Asia/Kathmandu", "UTC"];
const JOBS: [&str; 4] = ["1", "2", "8", "64"];
/// Targets of a workspace.
const TARGETS: usize = 14;

fn run(trials: &mut Trials) {
    if !place::is_root() {
        trials.unavailable("another user: this process is not root");
    }
    trials.each(|attempt| same_twice(attempt, ""));
    // What one place leaks into an action's environment is what a key would be spoiled by.
    trials.control(Control::Positive, "a path of the machine in a command", |attempt| {
        match same_twice(attempt, "{root}") {
            Ok(()) => Err("the same keys and outputs, although a command names the workspace's folder".into()),
            Err(message) if message.contains("only in") => Ok(()),
            Err(message) => Err(message),
        }
    });
}

/// Builds a random workspace in two places and compares. `leak` is put into each command, `{root}` being the folder.
fn same_twice(attempt: &mut Attempt, leak: &str) -> Outcome {
    let text = random_targets(&mut attempt.dice);
    let here = Place::below(&attempt.folder().join("here"), attempt.program());
    let mut there = elsewhere(attempt);
    for place in [&here, &there] {
        let leak = leak.replace("{root}", &place.root.display().to_string());
        write(place, &text.replace("{leak}", &leak));
        seed::copy_to(&place.store, attempt.program());
    }
    if place::is_root() {
        there.hand_over(attempt.folder())?;
    }
    here.build(&["build", "//..."])?;
    // Building parts first, in any order, is what changes the order of actions most.
    let mut parts: Vec<String> = (0..TARGETS).map(|index| format!("//:t{index}")).collect();
    attempt.dice.shuffle(&mut parts);
    parts.truncate(attempt.dice.usize(0..4));
    for part in &parts {
        there.build(&["build", part])?;
    }
    there.build(&["build", "//..."])?;
    twins::same(&here, &there)
}

/// Another place: a folder with an odd name, another user, umask, zone, language, number of jobs.
fn elsewhere(attempt: &mut Attempt) -> Place {
    let (dice, top) = (&mut attempt.dice.fork(), attempt.folder());
    let depth = dice.usize(0..3);
    let folder = (0..depth).fold(top.join("else where"), |folder, index| folder.join(format!("d{index} ü")));
    let mut place = Place::below(&folder, attempt.program());
    place.umask = Some(if dice.bool() { "077" } else { "002" });
    place.set("TZ", ZONES[dice.usize(..ZONES.len())]);
    place.set("LC_ALL", "de_DE.UTF-8");
    place.set("USER", "somebody");
    place.arguments = vec!["--jobs".into(), JOBS[dice.usize(..JOBS.len())].into()];
    if dice.bool() {
        place.wrap(&["taskset", "-c", "0"]);
    }
    place
}

fn write(place: &Place, text: &str) {
    std::fs::create_dir_all(&place.root).expect("a folder");
    let file = |name: &str, text: &str| std::fs::write(place.root.join(name), text).expect("a file");
    file("WORKSPACE.star", "workspace(name = \"w\")\n");
    file("defs.star", samples::RULES);
    file("BUILD.star", text);
    (0..3).for_each(|index| file(&format!("s{index}.txt"), &format!("source {index}\n")));
}

/// Targets, each with earlier ones as inputs. What they print is all that an action can see of where it runs.
fn random_targets(dice: &mut Rng) -> String {
    let mut text = String::from("load(\"//:defs.star\", \"tree\", \"written\")\n");
    for index in 0..TARGETS {
        let mut srcs: Vec<String> =
            (0..index).filter(|_| dice.u8(..4) == 0).map(|dep| format!("\":t{dep}\"")).collect();
        srcs.push(format!("\"s{}.txt\"", dice.usize(..3)));
        let srcs = srcs.join(", ");
        _ = match dice.u8(..5) {
            0 => writeln!(text, "written(name = \"t{index}\", srcs = [{srcs}])"),
            1 => writeln!(text, "tree(name = \"t{index}\", srcs = [\"s0.txt\", \"s1.txt\"])"),
            _ => writeln!(
                text,
                "genrule(name = \"t{index}\", srcs = [{srcs}], outs = [\"o{index}.txt\"], cmd = \"\"\": '{{leak}}'
(echo {number}; find . -type f | sort; id; umask; hostname; pwd; env | sort; for f in $(SRCS); do find $$f -type f | sort | xargs sha256sum; done) > $@\"\"\")",
                number = dice.u32(..),
            ),
        };
    }
    text
}
