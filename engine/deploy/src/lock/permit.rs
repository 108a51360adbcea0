//! The right to write that a held lock gives, as all writers of a rollout share it. Pure; time is the holder's own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Until when its lock holds for certain.
#[derive(Debug, Clone)]
pub(crate) struct Permit {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    until: Duration,
    lost: Option<Loss>,
}

/// How a lock was lost. For good: what is not certain is told by [`Refusal::Lapsed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Another holds it.
    Taken(String),
    /// Its Lease was given up or removed by someone else.
    Gone,
    /// This process stood still for longer than its lock holds.
    Paused(Duration),
}

/// Why nothing may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The lock could not be renewed in time; it may turn out that nobody took it.
    Lapsed,
    /// The lock is lost.
    Lost(Loss),
}

impl Permit {
    pub(super) fn until(until: Duration) -> Self {
        Self { state: Arc::new(Mutex::new(State { until, lost: None })) }
    }

    /// For how long writing is allowed.
    pub(crate) fn check(&self, now: Duration) -> Result<Duration, Refusal> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &state.lost {
            Some(loss) => Err(Refusal::Lost(loss.clone())),
            None if now < state.until => Ok(state.until - now),
            None => Err(Refusal::Lapsed),
        }
    }

    /// Whether it is lost for good, and how.
    pub(crate) fn loss(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lost.as_ref().map(ToString::to_string)
    }

    pub(super) fn extend(&self, until: Duration) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).until = until;
    }

    pub(super) fn lose(&self, loss: Loss) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).lost.get_or_insert(loss);
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(holder) => write!(f, "{holder} took the lock while this rollout was not heard of"),
            Self::Gone => f.write_str("its lock was removed"),
            Self::Paused(pause) => write!(f, "it stood still for {} s, longer than its lock holds", pause.as_secs()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lapsed => f.write_str("its lock could not be renewed: the cluster does not answer"),
            Self::Lost(loss) => loss.fmt(f),
        }
    }
}
