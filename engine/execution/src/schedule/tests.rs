//! What is told of tests: each has an event of its own, as soon as it ends.

use std::sync::Arc;
use std::time::Duration;

use model::{Action, ActionKind, Event, TestStatus};

use crate::content::Content;
use crate::failure::FailureKind;
use crate::worker::{Done, Worker};

/// Whether an action runs a test.
pub(super) fn is_test(action: &Action) -> bool {
    matches!(&action.kind, ActionKind::Spawn(spawn) if spawn.test)
}

/// The event of a test that passed, now or when its result was kept.
pub(super) fn passed(worker: &Worker, action: &Action, done: &Done) -> Option<Event> {
    let ActionKind::Spawn(spawn) = &action.kind else { return None };
    if !spawn.test {
        return None;
    }
    // A log that has left the store since is missed by those who want its content, who say so.
    let kept = || {
        let log = spawn.stdout.as_ref()?;
        let (_, content) = done.outputs.iter().find(|(path, _)| path == log.path())?;
        let Content::File { digest, .. } = content else { return None };
        worker.executor.store.read(digest).ok()
    };
    let log = match done.cached {
        true => Arc::from(String::from_utf8_lossy(&kept().unwrap_or_default())),
        false => Arc::clone(&done.log),
    };
    Some(event(action, TestStatus::Passed, done.cached, log, done.duration))
}

/// The event of a test that failed, or could not be run.
pub(super) fn failed(action: &Action, kind: FailureKind, report: Arc<str>, duration: Duration) -> Option<Event> {
    is_test(action).then(|| event(action, kind.test_status(), false, report, duration))
}

/// The event of a test whose inputs could not be made.
pub(super) fn skipped(action: &Action) -> Option<Event> {
    is_test(action).then(|| event(action, TestStatus::NotBuilt, false, Arc::from(""), Duration::ZERO))
}

fn event(action: &Action, status: TestStatus, cached: bool, log: Arc<str>, duration: Duration) -> Event {
    Event::TestFinished { label: action.owner.label.clone(), status, cached, log, duration }
}
