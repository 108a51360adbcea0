//! What a command can fail with. The kind decides the exit code; the diagnostics say what to type next.

use std::fmt;

use model::{Diagnostic, Diagnostics};

/// Whose business a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line cannot be understood: unknown target, bad pattern, bad option.
    CommandLine,
    /// A BUILD.star, a .star file or a source file is wrong, or an action failed.
    Build,
    /// A test failed.
    Test,
    /// No test was found.
    NoTests,
    /// A query cannot be parsed or answered.
    Query,
    /// A rollout failed, was refused, or its smoke tests failed.
    Rollout,
    /// The machine, the network, a registry or a cluster does not answer.
    Environment,
    /// The user stopped the command.
    Interrupted,
    /// A defect of the engine.
    Internal,
}

/// A failed command.
#[derive(Debug)]
pub struct Error {
    /// Whose business it is.
    pub kind: ErrorKind,
    /// What went wrong; may be empty when everything was reported as events already.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether a content was not in the store any more. Then it can be made again.
    pub(crate) is_missing_content: bool,
}

impl Error {
    /// An error of one message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, diagnostics: vec![Diagnostic::error(message)], is_missing_content: false }
    }

    /// The same with a hint on the last diagnostic.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(diagnostic) = self.diagnostics.last_mut() {
            diagnostic.hints.push(hint.into());
        }
        self
    }

    /// Diagnostics of a kind.
    pub fn of(kind: ErrorKind, diagnostics: Diagnostics) -> Self {
        Self { kind, diagnostics: diagnostics.0, is_missing_content: false }
    }

    /// An error of which everything was reported as events already.
    pub fn reported(kind: ErrorKind) -> Self {
        Self { kind, diagnostics: Vec::new(), is_missing_content: false }
    }

    /// An error whose causes become notes.
    pub fn caused(kind: ErrorKind, error: &dyn std::error::Error) -> Self {
        let mut diagnostic = Diagnostic::error(error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            diagnostic.notes.push(error.to_string());
            cause = error.source();
        }
        diagnostic.hints.extend(host::remedy::of(error).map(str::to_owned));
        Self { kind, diagnostics: vec![diagnostic], is_missing_content: false }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Diagnostics(self.diagnostics.clone()))
    }
}

impl std::error::Error for Error {}

impl From<store::StoreError> for Error {
    fn from(error: store::StoreError) -> Self {
        Self { is_missing_content: error.is_missing(), ..Self::caused(ErrorKind::Environment, &error) }
    }
}

impl From<host::fs::FileError> for Error {
    fn from(error: host::fs::FileError) -> Self {
        Self::caused(ErrorKind::Environment, &error)
    }
}
