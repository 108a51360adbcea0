//! Whether what a state was made from is still there: by the word of a watcher where one lives, else by stat.
//!
//! A stat tells only on the file system on which the state was made. On other ones, which may have been mounted in its
//! place, everything is read again.

use model::Digest;
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
    /// Whether times and numbers of files mean what they meant to the state.
    is_telling: bool,
}

impl Watched {
    /// To be asked before anything is looked at, so that what changes meanwhile is seen by the next command.
    pub(crate) fn ask(session: &Session, state: Option<&State>) -> Self {
        let state = state.filter(|state| state.is_sound(&[Table::View, Table::Token]));
        let state = state.filter(|state| state.row(Table::View, 0) == view(session).as_bytes());
        let is_telling = state.is_some() && !session.view.is_loose;
        match watch::ask(&session.watcher_socket(), state.and_then(token).as_ref()) {
            Some((token, changes)) => Self { token: Some(token), changes, is_telling },
            None => Self { token: None, changes: Changes::Unknown, is_telling },
        }
    }

    /// Checks all observations of a state.
    pub(crate) fn verify(&self, session: &Session, claims: &[Claim<'_>]) -> Verification {
        if matches!(self.changes, Changes::Unknown) {
            return self.look(session, claims);
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
        let mut verification = self.look(session, &doubtful);
        verification.verdicts.iter_mut().for_each(|(index, _)| *index = indices[*index]);
        verification
    }

    fn look(&self, session: &Session, claims: &[Claim<'_>]) -> Verification {
        if self.is_telling {
            return observation::verify(session.root(), claims, &loading::MARKS);
        }
        let mut claims = claims.to_vec();
        claims.iter_mut().for_each(|claim| claim.fingerprint.settled = claim.fingerprint.is_absent());
        observation::verify(session.root(), &claims, &loading::MARKS)
    }

    /// Notes in the state on which file systems it was made, and from which moment on a watcher is to be asked, where that saves something.
    pub(crate) fn note(&self, session: &Session, state: &mut State) {
        let view = view(session);
        if state.row(Table::View, 0) != view.as_bytes() {
            state.put(Table::View, 0, view.as_bytes().to_vec());
        }
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

fn view(session: &Session) -> Digest {
    Digest::of(session.view.text.as_bytes())
}

fn token(state: &State) -> Option<Token> {
    state.row(Table::Token, 0).try_into().ok().map(Token::from_bytes)
}
