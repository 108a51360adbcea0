//! The part `engine`: a command of the engine, carried out by this process as a library under a fault.
//!
//! `reliability part engine FAULT FOLDER RECORD COMMAND ARGUMENT...`, in the workspace and with the environment that the
//! program itself would be started with. Prints what the program prints, as far as rows look at it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use driver::{Error, Limits, Options, QueryFormat, Session};
use model::{Cancel, Event, Reporter};

use crate::faulty::{Fault, Injector};
use crate::workspace::{Run, Workspace};

/// The name of the part.
pub const PART: &str = "engine";

/// Runs the command.
pub fn part(arguments: &[String]) -> ExitCode {
    let [fault, folder, record, command, rest @ ..] = arguments else {
        eprintln!("error: part {PART}: FAULT FOLDER RECORD COMMAND ARGUMENT...");
        return ExitCode::from(2);
    };
    if let Some(fault) = Fault::parse(fault) {
        host::faults::install(Box::new(Injector::new(fault, Path::new(folder), Path::new(record))));
    }
    let (events, rest) = match rest {
        [flag, rest @ ..] if flag.starts_with("--event_file=") => (flag.strip_prefix("--event_file="), rest),
        rest => (None, rest),
    };
    let reporter = Arc::new(Lines(Mutex::new(events.and_then(|path| std::fs::File::create(path).ok()))));
    match carry_out(command, rest, reporter) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            // The exit codes are the program's business; a part tells failure from defect.
            ExitCode::from(if error.kind == driver::ErrorKind::Internal { 37 } else { 1 })
        }
    }
}

fn carry_out(command: &str, arguments: &[String], reporter: Arc<Lines>) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    // One action at a time, so that calls come in nearly the same order each time.
    let options = Options { jobs: Some(1), ..Options::default() };
    let session = Session::open(options, reporter, Cancel::default())?;
    match command {
        "build" => drop(runtime.block_on(driver::build(&session, arguments, 10))?),
        "fetch" => drop(runtime.block_on(driver::fetch(&session, arguments))?),
        "test" => drop(runtime.block_on(driver::test(&session, arguments))?),
        "query" => drop(driver::query(&session, &arguments.join(" "), QueryFormat::Label)?),
        "clean" => driver::clean(&session, false)?,
        "gc" => {
            let size = arguments.first().and_then(|size| driver::parse_size(size));
            _ = driver::gc(&session, &Limits { size, ..Limits::default() })?;
        }
        "fsck" => {
            let found = driver::fsck(&session, false)?;
            return Ok(ExitCode::from(u8::from(!found.is_sound())));
        }
        other => panic!("the part knows no command {other}"),
    }
    driver::gc_if_due(&session);
    Ok(ExitCode::SUCCESS)
}

/// Events as lines of JSON, and what people read of them on standard error.
struct Lines(Mutex<Option<std::fs::File>>);

impl Reporter for Lines {
    fn report(&self, event: Event) {
        match &event {
            Event::ActionFinished { outcome: model::ActionOutcome::Failed, label, log, .. } => {
                eprintln!("{label} failed: {log}");
            }
            Event::Diagnosed(diagnostic) => eprintln!("{}", model::Diagnostics(vec![diagnostic.clone()])),
            _ => {}
        }
        if let (Ok(mut file), Ok(line)) = (self.0.lock(), serde_json::to_string(&event)) {
            _ = file.as_mut().map(|file| writeln!(file, "{line}"));
        }
    }
}

/// What a run under a fault did, and the calls that it wrote down.
#[derive(Debug)]
pub struct Faulted {
    /// What it did.
    pub run: Run,
    /// The call that was hit, or all that were counted: operation, bytes, path below the folder.
    pub calls: Vec<String>,
}

/// Runs a command in a workspace under a fault, or under none. Calls are counted below `folder`.
pub fn run(workspace: &Workspace, folder: &Path, fault: Option<Fault>, arguments: &[&str]) -> Faulted {
    let record: PathBuf = workspace.root().with_extension("calls");
    _ = std::fs::remove_file(&record);
    let run = workspace.finish(arguments, |command| {
        let own = std::env::current_exe().expect("this program has a path");
        let mut part = std::process::Command::new(own);
        let fault = fault.map_or("none".to_owned(), Fault::to_argument);
        part.args(["part", PART, &fault]).arg(folder).arg(&record).args(command.get_args());
        part.current_dir(workspace.root()).stdin(std::process::Stdio::null()).env_clear();
        let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        part.envs(std::env::vars_os()).envs(set);
        part.output().expect("this program starts again")
    });
    let calls = std::fs::read_to_string(&record).unwrap_or_default();
    Faulted { run, calls: calls.lines().map(str::to_owned).collect() }
}
