//! Whether what a state was made from is still there: by the word of a watcher where one lives, else by stat.

use observation::{Claim, Verification};
use snapshot::{State, Table};
use watch::{Changes, Token};

use crate::session::Session;

/// So many events later, a new token spares the watcher a long answer.
const MANY_EVENTS: u64 = 1000;

/// Asks a watcher what changed since the state was kept, and notes the moment.
pub(crate) struct Watched {
    token: Option<Token>,
    changes: Changes,
}

impl Watched {
    /// To be asked before anything is looked at, so that what changes meanwhile is seen by the next command.
    pub(crate) fn ask(session: &Session, state: Option<&State>) -> Self {
        let since = state.filter(|state| state.is_sound(&[Table::Token])).and_then(token);
        match watch::ask(&session.watcher_socket(), since.as_ref()) {
            Some((token, changes)) => Self { token: Some(token), changes },
            None => Self { token: None, changes: Changes::Unknown },
        }
    }

    /// Checks all observations of a state.
    pub(crate) fn verify(&self, session: &Session, claims: &[Claim<'_>]) -> Verification {
        if matches!(self.changes, Changes::Unknown) {
            return observation::verify(session.root(), claims, &loading::MARKS);
        }
        // Times play no part here: the watcher has seen every edit since the answers were noted.
        let (indices, doubtful): (Vec<usize>, Vec<Claim<'_>>) = claims
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, claim)| {
                // What lies outside of the workspace has no watcher.
                claim.fingerprint.linked || claim.path.starts_with('/') || self.changes.contains(claim.path)
            })
            .unzip();
        let mut verification = observation::verify(session.root(), &doubtful, &loading::MARKS);
        verification.verdicts.iter_mut().for_each(|(index, _)| *index = indices[*index]);
        verification
    }

    /// Notes in the state from which moment on a watcher is to be asked, where that saves something.
    pub(crate) fn note(&self, state: &mut State) {
        let Some(now) = &self.token else { return };
        let useful = match token(state) {
            Some(then) => then.watcher != now.watcher || now.event - then.event > MANY_EVENTS || state.is_changed(),
            None => true,
        };
        if useful {
            state.put(Table::Token, 0, now.to_bytes().to_vec());
        }
    }
}

fn token(state: &State) -> Option<Token> {
    state.row(Table::Token, 0).try_into().ok().map(Token::from_bytes)
}
