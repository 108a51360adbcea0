//! Where lines go: to a writer, or above a live status.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::live::Live;
use super::lock;
use super::state::State;
use crate::style::Style;

/// A place for lines.
pub enum Screen {
    /// A writer; failures to write are not reported, since there is nowhere to report them.
    Lines(Mutex<Box<dyn Write + Send>>),
    /// A terminal with a status at its end.
    Live(Live),
}

impl Screen {
    pub(super) fn lines(out: Box<dyn Write + Send>) -> Self {
        Self::Lines(Mutex::new(out))
    }

    pub(super) fn live(state: Arc<Mutex<State>>, style: Style) -> Self {
        Self::Live(Live::start(state, style))
    }

    pub(super) fn print(&self, text: &str) {
        match self {
            Self::Lines(out) => {
                let mut out = lock(out);
                let _ = writeln!(out, "{text}").and_then(|()| out.flush());
            }
            Self::Live(live) => live.print(text),
        }
    }

    /// Takes the status away until there is something to show again.
    pub(super) fn rest(&self) {
        if let Self::Live(live) = self {
            live.draw();
        }
    }

    /// Takes the status away for good.
    pub(super) fn finish(&self) {
        if let Self::Live(live) = self {
            live.finish();
        }
    }
}
