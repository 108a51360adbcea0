//! `build watch` on the terminal: each round has a terminal of its own, which says nothing while nothing happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use driver::{Error, Rounds, Session};
use model::{ActionOutcome, Cancel, Event, Reporter, Severity, TestStatus};

use crate::arguments::{CommandLine, WatchArguments};
use crate::commands::Ending;
use crate::diagnostics;
use crate::event_file::{EventFile, Fan};
use crate::exit_code::ExitCode;
use crate::options;
use crate::terminal::{Settings, Terminal};

/// Watches until Ctrl-C.
pub async fn watch(
    line: &CommandLine,
    arguments: &WatchArguments,
    screen: Screen,
    cancel: Cancel,
) -> Result<Ending, Error> {
    let open = |reporter: Arc<dyn Reporter>| {
        Session::open(options::options(&line.global, &arguments.test), reporter, cancel.clone())
    };
    let rounds: Arc<dyn Rounds> = Arc::new(screen);
    driver::watch(&open, &options::watch_request(&line.global, arguments), &rounds, &cancel)
        .await
        .map(|()| ExitCode::Success.into())
}

/// Where rounds are shown.
pub struct Screen {
    settings: Settings,
    live: bool,
    events: Option<Arc<EventFile>>,
    round: Mutex<Arc<Round>>,
    /// Whether the next round is to say how it ended in any case: the first one, and one after a failure.
    speak: AtomicBool,
}

impl Screen {
    /// Rounds on standard error: their results, not their steps.
    pub fn new(settings: Settings, live: bool) -> Self {
        let settings = Settings { every_step: false, ..settings };
        let round = Mutex::new(Arc::new(Round::new(settings, live)));
        Self { settings, live, events: None, round, speak: AtomicBool::new(true) }
    }

    /// The same with all events written to a file.
    pub fn with_events(self, events: Option<Arc<EventFile>>) -> Self {
        Self { events, ..self }
    }
}

impl Rounds for Screen {
    fn begin(&self) -> Arc<dyn Reporter> {
        let round = Arc::new(Round::new(self.settings, self.live));
        if self.speak.load(Ordering::SeqCst) {
            round.terminal(&mut lock(&round.saying));
        }
        *lock(&self.round) = Arc::clone(&round);
        let mut reporters: Vec<Arc<dyn Reporter>> = vec![round];
        reporters.extend(self.events.clone().map(|events| events as Arc<dyn Reporter>));
        Arc::new(Fan(reporters))
    }

    fn end(&self, result: Result<(), Error>) {
        let round = Arc::clone(&lock(&self.round));
        let style = self.settings.style;
        self.speak.store(result.is_err() || round.failed.load(Ordering::SeqCst), Ordering::SeqCst);
        if let Err(error) = result {
            let texts = error.diagnostics.iter().map(|diagnostic| diagnostics::render(diagnostic, style));
            texts.for_each(|text| round.print(&text));
        }
        round.finish();
    }

    fn say(&self, line: &str) {
        Arc::clone(&lock(&self.round)).print(line);
    }
}

/// What one round says. It has a terminal as soon as there is something to say: most changes concern nobody.
struct Round {
    settings: Settings,
    live: bool,
    saying: Mutex<Saying>,
    failed: AtomicBool,
}

enum Saying {
    /// Nothing yet; what is to be told if something comes.
    Nothing(Vec<Event>),
    Something(Arc<Terminal>),
    /// It is over; lines that come late are printed as they are.
    Ended,
}

impl Round {
    fn new(settings: Settings, live: bool) -> Self {
        Self { settings, live, saying: Mutex::new(Saying::Nothing(Vec::new())), failed: AtomicBool::new(false) }
    }

    /// The terminal, which is told of everything so far.
    fn terminal(&self, saying: &mut Saying) -> Arc<Terminal> {
        match saying {
            Saying::Something(terminal) => Arc::clone(terminal),
            Saying::Nothing(events) => {
                let terminal = Arc::new(Terminal::new(self.settings, self.live));
                events.drain(..).for_each(|event| terminal.report(event));
                *saying = Saying::Something(Arc::clone(&terminal));
                terminal
            }
            Saying::Ended => Arc::new(Terminal::lines(self.settings, Box::new(std::io::stderr()))),
        }
    }

    fn print(&self, text: &str) {
        let terminal = self.terminal(&mut lock(&self.saying));
        terminal.print(text);
    }

    fn finish(&self) {
        if let Saying::Something(terminal) = std::mem::replace(&mut *lock(&self.saying), Saying::Ended) {
            terminal.finish();
        }
    }
}

impl Reporter for Round {
    fn report(&self, event: Event) {
        self.failed.fetch_or(is_failure(&event), Ordering::SeqCst);
        let mut saying = lock(&self.saying);
        match &mut *saying {
            Saying::Nothing(events) if !is_worth_a_word(&event) => events.push(event),
            Saying::Ended => {}
            other => self.terminal(other).report(event),
        }
    }
}

fn is_failure(event: &Event) -> bool {
    match event {
        Event::ActionFinished { outcome, .. } => *outcome == ActionOutcome::Failed,
        Event::TestFinished { status, .. } => *status != TestStatus::Passed,
        _ => false,
    }
}

/// Whether something happens that the user does not know from the round before.
fn is_worth_a_word(event: &Event) -> bool {
    match event {
        Event::ActionStarted { .. } | Event::TransferStarted { .. } | Event::Progress { .. } => true,
        Event::ActionFinished { outcome, .. } => matches!(outcome, ActionOutcome::Ran | ActionOutcome::Failed),
        Event::TestFinished { status, cached, .. } => !cached || *status != TestStatus::Passed,
        Event::Diagnosed(diagnostic) => diagnostic.severity == Severity::Error,
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
