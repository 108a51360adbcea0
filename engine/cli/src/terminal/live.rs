//! The live status: how far we are, what takes longest, what is being transferred. Redrawn ten times a second by a thread
//! of its own, so that taking an event costs nothing but counting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use model::printable;

use super::lock;
use super::state::{State, Transfer};
use crate::style::{Style, duration, size};

const INTERVAL: Duration = Duration::from_millis(100);
/// How many running actions and how many transfers are listed.
const LISTED: usize = 8;
const BAR: usize = 20;

/// The status and the thread that draws it.
pub struct Live {
    status: Arc<Status>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Status {
    state: Arc<Mutex<State>>,
    style: Style,
    screen: MultiProgress,
    /// Present while there is something to show.
    bar: Mutex<Option<ProgressBar>>,
    ended: AtomicBool,
}

impl Live {
    pub(super) fn start(state: Arc<Mutex<State>>, style: Style) -> Self {
        let screen = MultiProgress::new();
        let status = Arc::new(Status { state, style, screen, bar: Mutex::default(), ended: AtomicBool::new(false) });
        let drawer = Arc::clone(&status);
        let thread = std::thread::spawn(move || {
            while !drawer.ended.load(Ordering::SeqCst) {
                drawer.draw();
                std::thread::sleep(INTERVAL);
            }
        });
        Self { status, thread: Mutex::new(Some(thread)) }
    }

    pub(super) fn print(&self, text: &str) {
        self.status.screen.suspend(|| eprintln!("{text}"));
    }

    pub(super) fn draw(&self) {
        self.status.draw();
    }

    pub(super) fn finish(&self) {
        self.status.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = lock(&self.thread).take() {
            // A drawing thread that died has nothing left to draw.
            let _ = thread.join();
        }
        if let Some(bar) = lock(&self.status.bar).take() {
            bar.finish_and_clear();
        }
    }
}

impl Status {
    fn draw(&self) {
        let width = terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
        // Held while the text is made, or an old status could be drawn over a program that has the terminal by now.
        let mut bar = lock(&self.bar);
        let text = status(&lock(&self.state), self.style, Instant::now(), width);
        if text.is_empty() {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
                self.screen.remove(&bar);
            }
        } else {
            let bar = bar.get_or_insert_with(|| {
                let template = ProgressStyle::with_template("{msg}").expect("the template is well formed");
                self.screen.add(ProgressBar::new_spinner().with_style(template))
            });
            bar.set_message(text);
        }
    }
}

/// The lines of the status; empty when nothing is under way.
pub(super) fn status(state: &State, style: Style, now: Instant, width: usize) -> String {
    if state.is_idle() || (state.loaded == 0 && state.planned.is_none() && state.transfers.is_empty()) {
        return String::new();
    }
    let mut lines = vec![(head(state), true)];
    let mut running: Vec<_> = state.running.values().collect();
    running.sort_by_key(|action| action.since);
    for action in running.iter().take(LISTED) {
        lines.push((format!("  {} {}", duration(now - action.since), action.description), false));
    }
    if running.len() > LISTED {
        lines.push((format!("  and {} more", running.len() - LISTED), false));
    }
    let transfers = state.transfers.values().filter(|transfer| !transfer.ended).take(LISTED);
    lines.extend(transfers.map(|transfer| (format!("  {}", line_of(transfer)), false)));
    let lines = lines.into_iter().map(|(line, strong)| {
        let line: String = printable(&line).replace('\n', " ").chars().take(width.saturating_sub(1)).collect();
        if strong { style.strong(&line) } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn head(state: &State) -> String {
    let elapsed = duration(state.started.elapsed());
    let Some(planned) = state.planned else {
        return format!("loading: {} packages, {} targets analysed; {elapsed}", state.loaded, state.analysed);
    };
    let failed = if state.failed > 0 { format!(", {} failed", state.failed) } else { String::new() };
    format!("[{}/{planned}] {} running{failed}; {elapsed}", state.done(), state.running.len())
}

fn line_of(transfer: &Transfer) -> String {
    let Some(total) = transfer.total.filter(|total| *total > 0) else {
        return format!("{} {}", size(transfer.done), transfer.what);
    };
    let filled = usize::try_from(transfer.done.min(total) * BAR as u64 / total).unwrap_or(BAR);
    let bar = format!("{}{}", "#".repeat(filled), "-".repeat(BAR - filled));
    format!("[{bar}] {}/{} {}", size(transfer.done), size(total), transfer.what)
}
