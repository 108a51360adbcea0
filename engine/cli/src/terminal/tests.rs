use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::{ActionOutcome, Diagnostic, Event, Label, Reporter, TestStatus};

use super::{Settings, Terminal, live, lock, state::State};
use crate::arguments::TestOutput;
use crate::style::Style;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All lines for the events, with the time of the whole command taken out.
fn said(events: Vec<Event>, test_output: TestOutput, every_step: bool) -> String {
    let buffer = Buffer::default();
    let settings = Settings { style: Style::new(false), every_step, test_output };
    let terminal = Terminal::lines(settings, Box::new(buffer.clone()));
    events.into_iter().for_each(|event| terminal.report(event));
    terminal.finish();
    let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    text.rsplit_once("; ").map_or(text.clone(), |(text, _)| text.to_owned())
}

fn label(text: &str) -> Label {
    Label::absolute(text).unwrap()
}

fn finished(id: u64, target: &str, mnemonic: &str, outcome: ActionOutcome, log: &str) -> Event {
    let duration = Duration::from_millis(1234);
    Event::ActionFinished {
        id,
        label: label(target),
        mnemonic: mnemonic.into(),
        test: mnemonic == "Test",
        outcome,
        log: log.into(),
        duration,
    }
}

fn test(target: &str, status: TestStatus, cached: bool, log: &str) -> Event {
    let duration = Duration::from_millis(300);
    Event::TestFinished { label: label(target), status, cached, log: log.into(), duration }
}

/// Names, logs, words of servers: each way by which a text of others comes to the terminal.
#[test]
fn nothing_that_is_said_acts_on_the_terminal() {
    let evil = "x\u{1b}]52;c;cHduZWQ=\u{7}\u{1b}[2J";
    let progress = |phase: &str, message: &str| Event::Progress { phase: phase.into(), message: message.into() };
    let events = vec![
        Event::ActionsPlanned { total: 9 },
        Event::ActionStarted { id: 1, description: evil.into() },
        Event::TransferStarted { id: 9, what: evil.into(), total: None },
        finished(1, "//a:x", evil, ActionOutcome::Ran, evil),
        finished(2, "//a:y", "M", ActionOutcome::Failed, evil),
        test("//a:t", TestStatus::Failed, false, evil),
        progress("log", evil),
        progress(evil, "x"),
        Event::Diagnosed(Diagnostic::error(evil).note(evil).hint(evil)),
        Event::TransferFinished { id: 9 },
    ];
    for colour in [true, false] {
        let (buffer, mut state) = (Buffer::default(), State::default());
        let settings = Settings { style: Style::new(colour), every_step: true, test_output: TestOutput::All };
        let terminal = Terminal::lines(settings, Box::new(buffer.clone()));
        events.iter().for_each(|event| {
            state.take(event);
            terminal.report(event.clone());
            let status = live::status(&state, Style::new(false), Instant::now(), 200);
            assert!(!status.contains(|c: char| c.is_control() && c != '\n'), "{status:?}");
        });
        terminal.print(evil);
        terminal.finish();
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert!(text.matches("\u{241b}]52").count() >= 9, "{text:?}");
        assert!(!text.contains("\u{1b}]") && !text.contains("\u{1b}[2J") && !text.contains('\u{7}'), "{text:?}");
        assert_eq!(text.contains('\u{1b}'), colour, "its own colours stay");
    }
}

#[test]
fn a_build_says_what_ran_and_sums_up() {
    let events = vec![
        Event::PackageLoaded { loaded: 2 },
        Event::TargetAnalysed { analysed: 5 },
        Event::ActionsPlanned { total: 4 },
        finished(1, "//a:x", "GoCompile", ActionOutcome::Cached, "old warning"),
        finished(2, "//a:y", "GoCompile", ActionOutcome::Ran, "warning: w\n"),
        finished(3, "//a:z", "GoLink", ActionOutcome::Failed, "line 1\nline 2\nerror: it exited with 1\n"),
        finished(4, "//a:w", "GoLink", ActionOutcome::Skipped, ""),
    ];
    let failure = "FAILED: GoLink //a:z\nline 1\nline 2\nerror: it exited with 1\n";
    let summary = "4 actions: 1 ran, 1 cached, 1 failed, 1 skipped";
    assert_eq!(
        said(events.clone(), TestOutput::Errors, true),
        format!(
            "loaded 2 packages, analysed 5 targets; up to 4 actions to run\n\
             [2/4] GoCompile //a:y 1.2s\nwarning: w\n{failure}{summary}"
        )
    );
    assert_eq!(
        said(events, TestOutput::Errors, false),
        format!("GoCompile //a:y says:\nwarning: w\n{failure}{summary}")
    );
}

#[test]
fn tests_have_a_line_each_and_failures_their_log_once() {
    let events = || {
        vec![
            finished(1, "//t:bad", "Test", ActionOutcome::Failed, "panic\nerror: it exited with 1\n"),
            test("//t:good", TestStatus::Passed, false, "fine"),
            test("//t:old", TestStatus::Passed, true, "fine"),
            test("//t:bad", TestStatus::Failed, false, "panic\nerror: it exited with 1\n"),
            test("//t:slow", TestStatus::TimedOut, false, ""),
        ]
    };
    let log = "panic\nerror: it exited with 1\n";
    let lines = |good: &str, bad: &str| {
        format!(
            "//t:good  PASSED in 0.3s\n{good}//t:old  (cached) PASSED\n{good}//t:bad  FAILED in 0.3s\n{bad}\
             //t:slow  TIMED OUT after 0.3s\nresult: 2 tests passed, 1 failed, 1 timed out (1 cached)\n"
        )
    };
    assert_eq!(said(events(), TestOutput::Errors, true), lines("", log));
    assert_eq!(said(events(), TestOutput::Summary, true), lines("", ""));
    assert_eq!(said(events(), TestOutput::All, true), lines("fine\n", log));
}

#[test]
fn other_events_are_lines_too() {
    let events = vec![
        Event::Diagnosed(Diagnostic::error("no such target").hint("did you mean `x`?")),
        Event::Progress { phase: "wait".into(), message: "orders: 1/2 ready".into() },
        Event::TransferStarted { id: 7, what: "go1.24.tar.gz".into(), total: Some(1000) },
        Event::TransferProgress { id: 7, done: 2_500_000 },
        Event::TransferFinished { id: 7 },
    ];
    assert_eq!(
        said(events, TestOutput::Errors, true),
        "error: no such target\n  hint: did you mean `x`?\nwait   orders: 1/2 ready\ngo1.24.tar.gz: 2.5 MB in 0.0s\n"
    );
}

#[test]
fn the_live_status_shows_what_takes_longest_and_rests_when_idle() {
    let mut state = State::default();
    let now = Instant::now() + Duration::from_secs(2);
    let show = |state: &State, width| live::status(state, Style::new(false), now, width);
    assert_eq!(show(&state, 80), "");
    state.take(&Event::PackageLoaded { loaded: 3 });
    assert!(show(&state, 80).starts_with("loading: 3 packages, 0 targets analysed; "));
    state.take(&Event::ActionsPlanned { total: 2 });
    state.take(&Event::ActionStarted { id: 1, description: "Compiling //a:b".into() });
    state.take(&Event::ActionStarted { id: 2, description: "Compiling //a:c".into() });
    state.take(&Event::TransferStarted { id: 9, what: "layer".into(), total: Some(4_000_000) });
    state.take(&Event::TransferProgress { id: 9, done: 1_000_000 });
    let text = show(&state, 200);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("[0/2] 2 running; "), "{text}");
    assert!(lines[1].ends_with(" Compiling //a:b") && lines[2].ends_with(" Compiling //a:c"), "{text}");
    assert_eq!(lines[3], "  [#####---------------] 1.0 MB/4.0 MB layer");
    assert!(show(&state, 10).lines().all(|line| line.chars().count() < 10));
    state.take(&finished(1, "//a:b", "C", ActionOutcome::Ran, ""));
    state.take(&finished(2, "//a:c", "C", ActionOutcome::Ran, ""));
    state.transfers.clear();
    assert_eq!(show(&state, 80), "");
    let shared = Arc::new(Mutex::new(state));
    assert!(lock(&shared).is_idle());
}

#[test]
fn what_is_planned_is_said_once() {
    let events = vec![Event::ActionsPlanned { total: 4 }, Event::ActionsPlanned { total: 3 }];
    assert_eq!(said(events, TestOutput::Errors, true).matches("to run").count(), 1);
}
