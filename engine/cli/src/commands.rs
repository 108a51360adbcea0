//! The commands: what each asks of `driver`, and what it prints of the answer.

use std::io::Write;

use clap::CommandFactory as _;
use driver::{Collected, Error, ErrorKind, Limits, Program, Ran, Session};
use model::{TestStatus, printable};

use crate::arguments::{BuildArguments, Command, CommandLine, GcArguments, InfoArguments};
use crate::exit_code::ExitCode;
use crate::options;

/// How the process ends.
pub enum Ending {
    /// With an exit code: one of ours, or that of a shell in a sandbox.
    Exit(u8),
    /// By becoming the program that `build run` made ready.
    Become(Box<Program>),
}

impl From<ExitCode> for Ending {
    fn from(code: ExitCode) -> Self {
        Self::Exit(code as u8)
    }
}

/// The code of a process that `build` waited for. Codes beyond a byte do not exist on this system; should one come, it
/// must not turn into success.
fn of_process(code: i32) -> Ending {
    u8::try_from(code).map_or(ExitCode::Internal.into(), Ending::Exit)
}

/// A command that needs no workspace, carried out; `None` for all others.
pub fn without_workspace(command: &Command) -> Option<Result<Ending, Error>> {
    match command {
        Command::Version => Some(data(&format!("build {}\n", env!("CARGO_PKG_VERSION")))),
        Command::Completions(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(arguments.shell, &mut CommandLine::command(), "build", &mut script);
            Some(data(&String::from_utf8_lossy(&script)))
        }
        Command::DebugSandbox(arguments) => Some(driver::debug_sandbox(&arguments.folder).map(of_process)),
        _ => None,
    }
}

/// Carries a command out in an open workspace. One that fills the store makes room in it at its end.
pub async fn in_workspace(command: &Command, session: &Session) -> Result<Ending, Error> {
    let ending = carry_out(command, session).await;
    if matches!(command, Command::Build(_) | Command::Test(_) | Command::Run(_) | Command::Fetch(_)) {
        driver::gc_if_due(session);
    }
    ending
}

async fn carry_out(command: &Command, session: &Session) -> Result<Ending, Error> {
    match command {
        Command::Build(arguments) => build(arguments, session).await,
        Command::Test(arguments) => {
            let report = driver::test(session, &arguments.patterns).await?;
            Ok(test_ending(&report).into())
        }
        Command::Run(arguments) => match driver::run(session, &options::run_request(arguments)).await? {
            // A cluster's objects hold what others wrote.
            Ran::Done(text) => data(&printable(&text)),
            Ran::Program(program) => Ok(Ending::Become(program)),
        },
        Command::Query(arguments) => {
            let expression = arguments.expression.join(" ");
            data(&driver::query(session, &expression, options::query_format(arguments.output))?)
        }
        Command::Fetch(arguments) => {
            driver::fetch(session, &arguments.patterns).await?;
            Ok(ExitCode::Success.into())
        }
        Command::Show(arguments) => data(&driver::show(session, &arguments.target).await?),
        Command::Clean(arguments) => {
            driver::clean(session, arguments.expunge)?;
            Ok(ExitCode::Success.into())
        }
        Command::Gc(arguments) => gc(arguments, session),
        Command::Fsck(arguments) => fsck(arguments.quick, session),
        Command::Info(arguments) => info(arguments, session),
        Command::Version | Command::Completions(_) | Command::Watch(_) | Command::DebugSandbox(_) => {
            without_workspace(command).unwrap_or(Ok(ExitCode::Success.into()))
        }
    }
}

async fn build(arguments: &BuildArguments, session: &Session) -> Result<Ending, Error> {
    if arguments.nobuild {
        driver::analyse(session, &arguments.patterns)?;
        return Ok(ExitCode::Success.into());
    }
    let report = driver::build(session, &arguments.patterns, arguments.show_result).await?;
    let paths = report.targets.iter().flat_map(|(_, paths)| paths);
    let ending = data(&paths.map(|path| format!("{}\n", path.display())).collect::<String>())?;
    Ok(if report.failed { ExitCode::BuildFailed.into() } else { ending })
}

fn test_ending(report: &driver::TestReport) -> ExitCode {
    let all = report.results.len();
    match (report.count(TestStatus::NotBuilt), report.count(TestStatus::Passed)) {
        (not_built, _) if not_built > 0 || report.is_part => ExitCode::BuildFailed,
        (_, passed) if passed == all => ExitCode::Success,
        _ => ExitCode::TestsFailed,
    }
}

fn gc(arguments: &GcArguments, session: &Session) -> Result<Ending, Error> {
    let limits = Limits { size: arguments.max_size, age: arguments.max_age, dry_run: arguments.dry_run };
    let collected = driver::gc(session, &limits)?;
    let verb = if arguments.dry_run { "would free" } else { "freed" };
    let (freed, kept) = (driver::size_text(collected.bytes), driver::size_text(collected.kept));
    let Collected { results, blobs, trees, .. } = collected;
    let mut text = format!("{verb} {freed}: {results} results, {blobs} contents, {trees} trees; {kept} stay\n");
    if collected.beside_others {
        text.push_str("other commands are running; what they may use stays until they have ended\n");
    }
    data(&text)
}

fn fsck(quick: bool, session: &Session) -> Result<Ending, Error> {
    let found = driver::fsck(session, quick)?;
    let line = |what: &str, all: usize, damaged: usize| format!("{what}: {all} checked, {damaged} damaged\n");
    let mut text = line("contents", found.blobs, found.corrupt.len());
    text.push_str(&line("trees", found.trees + found.corrupt_trees, found.corrupt_trees));
    text.push_str(&line("results", found.memos, found.corrupt_memos));
    text.push_str(&line("source files", found.sources, found.corrupt_sources));
    for digest in &found.corrupt {
        text.push_str(&format!("removed {}\n", digest.to_hex()));
    }
    data(&text)?;
    Ok(if found.is_sound() { ExitCode::Success } else { ExitCode::BuildFailed }.into())
}

fn info(arguments: &InfoArguments, session: &Session) -> Result<Ending, Error> {
    let facts = driver::info(session, arguments.name.as_deref())?;
    let Some(wanted) = &arguments.name else {
        return data(&facts.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>());
    };
    match facts.iter().find(|(name, _)| name == wanted) {
        Some((_, value)) => data(&format!("{value}\n")),
        None => {
            let names: Vec<&str> = facts.iter().map(|(name, _)| name.as_str()).collect();
            let error = Error::new(ErrorKind::CommandLine, format!("there is no fact `{wanted}`"));
            Err(error.hint(format!("one of {}", names.join(", "))))
        }
    }
}

/// Prints to standard output. A reader that has seen enough (`| head`) is no failure.
fn data(text: &str) -> Result<Ending, Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Environment, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(ExitCode::Success.into()),
    }
}
