//! The last resort against BUILD.star and .star files that take all memory, all stack or all time in one single step, where
//! the evaluator cannot stop them: the program says where that was, and ends.

use std::io::Write;
use std::time::{Duration, Instant};

use driver::Running;
use model::Location;

use crate::exit_code::ExitCode;

/// How often is looked while something is evaluated.
const PERIOD: Duration = Duration::from_millis(15);
/// How often is looked whether something is: programs and rollouts may run for hours.
const IDLE: Duration = Duration::from_millis(100);
/// What is evaluated in less is not looked at.
const SHORT: Duration = Duration::from_millis(30);
/// How much the process may grow while one file is evaluated, in megabytes. The evaluator itself stops at half of it.
const MOST_GROWTH: u64 = 1024;
/// How long one file may take. The evaluator itself stops earlier, between two steps.
const LONGEST: Duration = Duration::from_secs(20);

/// Watches evaluations from now on.
pub fn watch() {
    driver::before_abort(last_words);
    let watcher = std::thread::Builder::new().name("runaway".to_owned()).stack_size(256 << 10);
    // Without the thread the program only ends less politely.
    let _ = watcher.spawn(look_on);
}

fn look_on() {
    // When the oldest evaluation began, and what the process held when it was first seen.
    let mut seen: Option<(Instant, u64)> = None;
    let mut period = PERIOD;
    loop {
        std::thread::sleep(period);
        let oldest = driver::running().into_iter().min_by_key(|running| running.began);
        period = if oldest.is_some() { PERIOD } else { IDLE };
        let Some(oldest) = oldest else { continue };
        if oldest.began.elapsed() < SHORT {
            // What is held before anything runs long is what the next one is measured by.
            seen = host::memory::held().map(|held| (oldest.began, held));
            continue;
        }
        let held = host::memory::held().unwrap_or(0);
        let before = match seen {
            Some((began, before)) if began == oldest.began => before,
            _ => held,
        };
        seen = Some((oldest.began, before));
        if let Some(reason) = verdict(&oldest, held.saturating_sub(before)) {
            end(&oldest.place, reason);
        }
    }
}

/// Says where the evaluation was and ends the process. Locks end with it, and files that matter are written aside.
#[expect(clippy::disallowed_methods, reason = "the thread that evaluates cannot be stopped otherwise")]
fn end(place: &Location, reason: &str) -> ! {
    say(place, reason);
    std::process::exit(ExitCode::BuildFailed as i32);
}

fn verdict(running: &Running, growth: u64) -> Option<&'static str> {
    if growth > MOST_GROWTH {
        return Some("evaluation takes too much memory");
    }
    (running.began.elapsed() > LONGEST).then_some("evaluation takes too long")
}

/// Called when the program aborts: the stack or the memory is used up.
fn last_words() -> Option<u8> {
    let place = driver::running_here()?;
    say(&place, "evaluation nests too deeply, or takes too much memory");
    Some(ExitCode::BuildFailed as u8)
}

/// Written in pieces and without formatting, for which there may be no memory.
fn say(place: &Location, reason: &str) {
    let mut err = std::io::stderr();
    let pieces: [&[u8]; 5] = [b"error: ", reason.as_bytes(), b"\n  --> ", place.file.as_bytes(), b":"];
    pieces.iter().for_each(|piece| drop(err.write_all(piece)));
    number(&mut err, place.line);
    let _ = err.write_all(b":");
    number(&mut err, place.column);
    let _ = err.write_all(b"\n  = help: compute less here, or do it in an action\n");
}

fn number(out: &mut dyn Write, number: u32) {
    if number > 9 {
        self::number(out, number / 10);
    }
    let _ = out.write_all(&[b'0' + (number % 10) as u8]);
}
