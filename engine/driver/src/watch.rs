//! `build watch`: builds, tests or runs again whenever a file of the workspace changes.
//!
//! Each round opens the workspace anew and is an ordinary command, so that its result is that of one. What a change does
//! not concern is found out by the round itself, which then runs nothing.

mod eyes;
mod program;

use std::path::PathBuf;
use std::sync::Arc;

use model::{Cancel, NoReporter, Reporter};

use crate::error::{Error, ErrorKind};
use crate::session::Session;
use crate::{build, test};
use eyes::Eyes;
use program::Program;

/// What is to be done in each round.
#[derive(Debug, Clone)]
pub struct WatchRequest {
    /// The targets as typed.
    pub patterns: Vec<String>,
    /// What to do with them.
    pub mode: WatchMode,
    /// Files that the command itself writes: their changes start no round.
    pub own_files: Vec<PathBuf>,
}

/// What a round does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchMode {
    /// `build build`.
    Build,
    /// `build test`.
    Test,
    /// Builds one program and starts it with these arguments; starts it again when it or its files are others.
    Run(Vec<String>),
}

/// Who is told of the rounds.
pub trait Rounds: Send + Sync {
    /// A round begins, and this takes its events.
    fn begin(&self) -> Arc<dyn Reporter>;
    /// The round has ended.
    fn end(&self, result: Result<(), Error>);
    /// A line for people between rounds.
    fn say(&self, line: &str);
}

/// Does rounds until it is cancelled. `open` opens the workspace with a reporter.
pub async fn watch(
    open: &(dyn Fn(Arc<dyn Reporter>) -> Result<Session, Error> + Sync),
    request: &WatchRequest,
    rounds: &Arc<dyn Rounds>,
    cancel: &Cancel,
) -> Result<(), Error> {
    let mut eyes = Eyes::open(&open(Arc::new(NoReporter))?, request, &**rounds);
    let mut program = Program::new(Arc::clone(rounds), cancel.clone());
    while !cancel.is_cancelled() {
        let since = eyes.now();
        let result = match open(rounds.begin()) {
            Ok(session) => round(&session, request, &mut program).await,
            Err(error) => Err(error),
        };
        match result {
            // The user sees how that goes and changes something, or ends it.
            Err(error) if cancel.is_cancelled() => drop(error),
            result => rounds.end(result),
        }
        if eyes.wait(since, cancel) {
            // What is ignored may be different now, and so may be what was missed.
            if let Ok(session) = open(Arc::new(NoReporter)) {
                drop(eyes);
                eyes = Eyes::open(&session, request, &**rounds);
            }
        }
    }
    program.end().await?;
    Err(Error::reported(ErrorKind::Interrupted))
}

async fn round(session: &Session, request: &WatchRequest, program: &mut Program) -> Result<(), Error> {
    match &request.mode {
        WatchMode::Build => build::build(session, &request.patterns, 0).await.map(drop),
        WatchMode::Test => test::test(session, &request.patterns).await.map(drop),
        WatchMode::Run(arguments) => program.round(session, &request.patterns, arguments).await,
    }
}
