//! Row 15: what an action does reaches nothing that it was not given, whoever runs the engine.
//!
//! A try is one attack by an action of a real build, as root or as a user who owns nothing. Whether it came through is
//! seen from outside wherever it can be: the secret is in the outputs, the file is another, the process is dead. The
//! controls make each attack without a sandbox, where it must come through, and its harmless twin with one, which must
//! succeed.

mod attacks;
mod bare;
mod guarded;
mod harm;
mod scene;

use crate::payload;
use crate::place;
use crate::row::{Amount, Row, Tries};
use crate::trials::{Control, Trials};
use attacks::Attack;

/// The row.
pub const ROW: Row = Row {
    number: 15,
    title: "escape attempts, as root and not: all blocked",
    tries: Tries { small: attacks::ALL.len() as u64, full: attacks::ALL.len() as u64 * 2 },
    run,
};

/// An attack by someone.
struct Case {
    attack: &'static Attack,
    as_nobody: bool,
}

fn run(trials: &mut Trials) {
    if !place::is_root() {
        trials.unavailable("attacks as root, and as another user: this process is not root");
        return;
    }
    payload::path("attack");
    let cases: Vec<Case> = match trials.settings().amount {
        Amount::Full => {
            attacks::ALL.iter().flat_map(|attack| [false, true].map(|as_nobody| Case { attack, as_nobody })).collect()
        }
        // Each attack once, by one of the two.
        Amount::Small => {
            attacks::ALL.iter().enumerate().map(|(index, attack)| Case { attack, as_nobody: index % 2 == 1 }).collect()
        }
    };
    trials.over(&cases, 1, |attempt, case| {
        let who = if case.as_nobody { "as another user" } else { "as root" };
        guarded::attack(attempt, case.attack, case.as_nobody)
            .map_err(|message| format!("{} {who}: {message}", case.attack.name))
    });
    for attack in attacks::ALL {
        trials.control(Control::Positive, &format!("{} without a sandbox", attack.name), |attempt| {
            bare::attack(attempt, attack)
        });
    }
    let mut twins: Vec<&Attack> = attacks::ALL.iter().collect();
    twins.sort_by_key(|attack| attack.twin);
    twins.dedup_by_key(|attack| attack.twin);
    for (index, attack) in twins.into_iter().enumerate() {
        trials.control(Control::Negative, &format!("{} in the sandbox", attack.twin), |attempt| {
            guarded::twin(attempt, attack, index % 2 == 1)
        });
    }
}
