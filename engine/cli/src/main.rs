//! The command `build`: arguments, what the terminal shows, exit codes. What commands do is `driver`'s business.

mod arguments;
mod commands;
mod diagnostics;
mod event_file;
mod exit_code;
mod options;
mod runaway;
mod style;
mod terminal;
mod watch;

use std::process;
use std::sync::Arc;
use std::time::Duration;

use driver::{Error, ErrorKind, Session};
use model::{Cancel, Reporter};

use crate::arguments::{Command, CommandLine, When};
use crate::commands::Ending;
use crate::event_file::{EventFile, Fan};
use crate::exit_code::ExitCode;
use crate::style::{Style, Surroundings};
use crate::terminal::{Settings, Terminal};

/// How long a command may take to end by itself after Ctrl-C; with its end it stays below a second.
const GRACE: Duration = Duration::from_millis(700);

fn main() -> process::ExitCode {
    // This program, started again, is the first process inside of a sandbox; then nothing below runs.
    driver::init_if_requested();
    let line = match arguments::parse(host::env::arguments()) {
        Ok(line) => line,
        Err(error) => {
            // Nothing can be done about a terminal that is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::CommandLine.into() } else { ExitCode::Success.into() };
        }
    };
    runaway::watch();
    let ending = std::panic::catch_unwind(|| carry_out(&line));
    match ending {
        Ok(Ending::Exit(code)) => code.into(),
        // Everything of this command has ended by now; only the process is left, and it becomes the program.
        Ok(Ending::Become(program)) => {
            let error = program.replace_process();
            say(&error, &Terminal::lines(settings(&line, Surroundings::of_process()), Box::new(std::io::stderr())));
            ExitCode::from(error.kind).into()
        }
        Err(_) => {
            eprintln!("error: a defect of `build` itself; please report it with the lines above");
            ExitCode::Internal.into()
        }
    }
}

fn carry_out(line: &CommandLine) -> Ending {
    let surroundings = Surroundings::of_process();
    let settings = settings(line, surroundings);
    let live = is_live(line, surroundings);
    let terminal = Arc::new(match &line.command {
        // Its rounds have terminals of their own.
        Command::Watch(_) => Terminal::lines(settings, Box::new(std::io::stderr())),
        _ => Terminal::new(settings, live),
    });
    let result = match commands::without_workspace(&line.command) {
        Some(result) => result,
        None => in_workspace(line, &terminal, watch::Screen::new(settings, live)),
    };
    let ending = result.unwrap_or_else(|error| {
        say(&error, &terminal);
        ExitCode::from(error.kind).into()
    });
    terminal.finish();
    ending
}

fn settings(line: &CommandLine, surroundings: Surroundings) -> Settings {
    Settings {
        style: Style::new(surroundings.decide(line.global.color)),
        every_step: !line.global.noshow_progress,
        test_output: line.command.test_flags().test_output,
    }
}

fn say(error: &Error, terminal: &Terminal) {
    let texts = error.diagnostics.iter().map(|diagnostic| diagnostics::render(diagnostic, terminal.style()));
    texts.for_each(|text| terminal.print(&text));
}

/// Whether there is a status at the end of the terminal.
fn is_live(line: &CommandLine, surroundings: Surroundings) -> bool {
    match line.global.curses {
        When::Auto if line.global.noshow_progress => false,
        when => surroundings.terminal && surroundings.decide(when),
    }
}

fn in_workspace(line: &CommandLine, terminal: &Arc<Terminal>, watcher: watch::Screen) -> Result<Ending, Error> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| cannot_start(&error))?;
    let events = line.global.event_file.as_deref().map(EventFile::create).transpose()?.map(Arc::new);
    let cancel = Cancel::default();
    let ending = runtime.block_on(async {
        tokio::spawn(stop_on_signal(cancel.clone(), Arc::clone(terminal), line.command.ends_at_once()));
        if let Command::Watch(arguments) = &line.command {
            return watch::watch(line, arguments, watcher.with_events(events), cancel).await;
        }
        let mut reporters: Vec<Arc<dyn Reporter>> = vec![terminal.clone()];
        reporters.extend(events.map(|events| events as Arc<dyn Reporter>));
        let options = options::options(&line.global, &line.command.test_flags());
        let session = Session::open(options, Arc::new(Fan(reporters)), cancel)?;
        commands::in_workspace(&line.command, &session).await
    });
    // Threads that still block on the network must not hold up the end.
    runtime.shutdown_background();
    ending
}

/// The process may not even have threads and a few open files.
fn cannot_start(error: &std::io::Error) -> Error {
    let failed = Error::new(ErrorKind::Environment, format!("cannot start the threads of `build`: {error}"));
    host::remedy::of_system(error).into_iter().fold(failed, Error::hint)
}

/// The first Ctrl-C asks everything to stop, and what has no state of its own outside is given a moment for it; the
/// second has what was given time to end be killed; the third does not even wait for that. A terminal that is closed says
/// the same as Ctrl-C.
async fn stop_on_signal(cancel: Cancel, terminal: Arc<Terminal>, at_once: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut hangup)) = signals else { return };
    let mut asked = 0;
    loop {
        tokio::select! {
            Ok(()) = tokio::signal::ctrl_c() => {}
            Some(()) = terminate.recv() => {}
            Some(()) = hangup.recv() => {}
            () = tokio::time::sleep(GRACE), if asked > 0 && (at_once || asked > 1) => end_now(&terminal),
            else => return,
        }
        asked += 1;
        match asked {
            1 => {
                terminal.stopping();
                cancel.cancel();
            }
            2 if !at_once => cancel.insist(),
            _ => end_now(&terminal),
        }
    }
}

/// Ends the process while threads may still compute or wait for the network. Sandboxes end with it, and so do its locks;
/// every file that matters is written aside and renamed.
#[expect(clippy::disallowed_methods, reason = "the user insists on an end while threads may still be blocked")]
fn end_now(terminal: &Terminal) -> ! {
    terminal.finish();
    process::exit(ExitCode::Interrupted as i32);
}
