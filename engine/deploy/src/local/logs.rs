//! What the services print: the last lines are kept, all of them are reported on request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Event, Reporter};
use sandbox::LogSink;

/// How many lines are kept of each service, to be shown when it dies.
const KEPT: usize = 40;

/// The last lines of one service.
#[derive(Debug, Clone, Default)]
pub(super) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    /// A sink that keeps lines, and reports them with the service's name before each if `reporter` is given.
    pub(super) fn sink(&self, service: &str, reporter: Option<Arc<dyn Reporter>>) -> LogSink {
        let lines = self.clone();
        let service = service.to_owned();
        LogSink::new(move |line| {
            lines.push(line);
            if let Some(reporter) = &reporter {
                reporter.report(Event::Progress { phase: "log".into(), message: format!("{service} | {line}").into() });
            }
        })
    }

    fn push(&self, line: &str) {
        // A panic elsewhere leaves the list whole.
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    pub(super) fn get(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
