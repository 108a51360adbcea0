//! Tells of each test once. A test whose result has left the store when it is wanted is looked up or run a second time
//! within one command.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Event, Label, Reporter};

/// Passes events on, of each test the first.
pub(crate) struct Once {
    reporter: Arc<dyn Reporter>,
    told: Mutex<HashSet<Label>>,
}

impl Once {
    pub(crate) fn new(reporter: Arc<dyn Reporter>) -> Self {
        Self { reporter, told: Mutex::default() }
    }
}

impl Reporter for Once {
    fn report(&self, event: Event) {
        if let Event::TestFinished { label, .. } = &event
            && !self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(label.clone())
        {
            return;
        }
        self.reporter.report(event);
    }
}
