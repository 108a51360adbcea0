//! Row 4: neither how actions are scheduled nor who builds where is seen in keys and contents.

use crate::attempt::{Attempt, Outcome};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};

/// The row.
pub const ROW: Row = Row {
    number: 4,
    title: "jobs, order, folder, user, time zone: equal keys and digests",
    tries: Tries { small: 12, full: 400 },
    run,
};

fn run(trials: &mut Trials) {
    trials.each(builds);
    trials.control(Control::Positive, "x", builds);
}

fn builds(attempt: &mut Attempt) -> Outcome {
    let workspace = attempt.workspace("w");
    workspace.write("BUILD.star", "genrule(name = \"a\", outs = [\"a.txt\"], cmd = \"echo a > $@\")\n");
    let run = workspace.run(&["build", "//..."]).expect(0)?;
    if run.actions("Ran") == 0 || workspace.outputs().is_empty() {
        return Err(format!("nothing was built: {}", run.stderr));
    }
    Ok(())
}
