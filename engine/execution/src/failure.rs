//! A failed action, as the user is told of it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use model::{Action, Artifact, Label, RelPath, TestStatus};

use crate::content::Content;

/// An action that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In which way.
    pub kind: FailureKind,
    /// The target whose action it is.
    pub label: Label,
    /// The action's mnemonic.
    pub mnemonic: Arc<str>,
    /// What went wrong, in a sentence without a full stop.
    pub message: String,
    /// What the process wrote, whole; empty when none ran.
    pub log: Arc<str>,
    /// What to do.
    pub hints: Vec<String>,
    /// What it should have made.
    pub outputs: Vec<Artifact>,
    /// What a test that failed left of it: its report, files it wrote for people.
    pub left: Vec<(RelPath, Content)>,
    /// Wall time.
    pub duration: Duration,
}

/// The way in which an action failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Its process exited with another code than 0.
    ExitCode(i32),
    /// A signal ended its process.
    Signal(i32),
    /// Its process took longer than its limit.
    TimedOut,
    /// Its processes reached a limit other than time.
    OverLimit,
    /// It is a test that ran and did not pass.
    TestFailed,
    /// It is a test that took longer than its limit.
    TestTimedOut,
    /// Its persistent worker cannot be asked, or did not keep to the protocol.
    Worker,
    /// Its process succeeded without making all outputs.
    MissingOutput,
    /// A source file cannot be read.
    Source,
    /// A built-in function failed, or an action of its kind cannot be carried out.
    Builtin,
    /// The process could not be started or the store failed.
    Engine,
}

impl FailureKind {
    /// How a test ended whose action failed in this way.
    pub fn test_status(self) -> TestStatus {
        match self {
            Self::TestFailed => TestStatus::Failed,
            Self::TestTimedOut => TestStatus::TimedOut,
            _ => TestStatus::NotBuilt,
        }
    }
}

impl Failure {
    /// A failure of `action` before or without a process.
    pub(crate) fn new(action: &Action, kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            label: action.owner.label.clone(),
            mnemonic: Arc::clone(&action.mnemonic),
            message: message.into(),
            log: Arc::from(""),
            hints: Vec::new(),
            outputs: action.outputs.clone(),
            left: Vec::new(),
            duration: Duration::ZERO,
        }
    }

    /// A wanted source file that cannot be read.
    pub(crate) fn of_source(artifact: &Artifact, message: String) -> Self {
        Self {
            kind: FailureKind::Source,
            label: artifact.owner().clone(),
            mnemonic: Arc::from("Source"),
            message,
            log: Arc::from(""),
            hints: Vec::new(),
            outputs: vec![artifact.clone()],
            left: Vec::new(),
            duration: Duration::ZERO,
        }
    }

    /// A failure of the engine around `action`.
    pub(crate) fn engine(action: &Action, error: &dyn Error) -> Self {
        let hints = host::remedy::of(error).map(str::to_owned).into_iter().collect();
        Self { hints, ..Self::new(action, FailureKind::Engine, chain(error)) }
    }

    /// Whether it is the result of a test, which stops nothing else.
    pub fn is_test_result(&self) -> bool {
        matches!(self.kind, FailureKind::TestFailed | FailureKind::TestTimedOut)
    }

    /// All there is to say, as text: the log, then the message and the hints.
    pub fn report(&self) -> String {
        let mut text = self.log.to_string();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("error: {}\n", self.message));
        self.hints.iter().for_each(|hint| text.push_str(&format!("hint: {hint}\n")));
        text
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
