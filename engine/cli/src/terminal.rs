//! What the user sees while a command runs: a reporter that turns events into lines, and on a terminal keeps a live status
//! below them.
//!
//! Everything goes to standard error; standard output belongs to a command's data.

mod live;
mod screen;
mod speech;
mod state;
mod visible;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Event, Reporter};

use crate::arguments::TestOutput;
use crate::style::Style;

pub use screen::Screen;
use speech::Speech;
use state::State;
use visible::visible;

/// The reporter of the command line.
pub struct Terminal {
    state: Arc<Mutex<State>>,
    speech: Speech,
    screen: Screen,
}

/// How a terminal speaks.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Colours or none.
    pub style: Style,
    /// A line for every action that ran and every transfer; `false` on a live terminal, whose status shows them.
    pub every_step: bool,
    /// Which test logs are printed.
    pub test_output: TestOutput,
}

impl Terminal {
    /// Lines on standard error, with a live status below them or without.
    pub fn new(settings: Settings, live: bool) -> Self {
        match live {
            true => Self::live(Settings { every_step: false, ..settings }),
            false => Self::lines(settings, Box::new(std::io::stderr())),
        }
    }

    /// Lines to a writer.
    pub fn lines(settings: Settings, out: Box<dyn std::io::Write + Send>) -> Self {
        Self { state: Arc::default(), speech: Speech(settings), screen: Screen::lines(out) }
    }

    /// Lines with a live status below them, on standard error.
    pub fn live(settings: Settings) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let screen = Screen::live(Arc::clone(&state), settings.style);
        Self { state, speech: Speech(settings), screen }
    }

    /// How it colours.
    pub fn style(&self) -> Style {
        self.speech.0.style
    }

    /// Prints a message.
    pub fn print(&self, text: &str) {
        self.screen.print(&visible(text, self.speech.0.style.is_coloured()));
    }

    /// Says that the command is being stopped; what fails from now on is not worth a word.
    pub fn stopping(&self) {
        lock(&self.state).stopping = true;
        self.print("stopping; press Ctrl-C again to end at once");
    }

    /// Ends the status and prints the summary, if there is something to sum up.
    pub fn finish(&self) {
        self.screen.finish();
        let summary = self.speech.summary(&lock(&self.state));
        summary.iter().for_each(|line| self.print(line));
    }
}

impl Reporter for Terminal {
    fn report(&self, event: Event) {
        let mut state = lock(&self.state);
        state.take(&event);
        let said = self.speech.say(&event, &mut state);
        let idle = state.is_idle();
        drop(state);
        if idle {
            // A program that `build run` starts now gets the terminal for itself.
            self.screen.rest();
        }
        if let Some(said) = said {
            self.print(&said);
        }
    }
}

/// A poisoned lock only means that a thread died while it counted; what it counted is still worth showing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
