//! The engine's promises under injected faults, as figures: how many tries, how many failures, with which seed.
//!
//! Each row of the table (`rows/`) injects one kind of fault into real builds and counts what went wrong. The same program
//! does it with few tries, as a test, and with many, for the figures: `engine/reliability/run --help`.
//!
//! Rows see the engine as its users do: they run the program. Where a fault can only be placed from within, a row starts
//! this program again, as a part that opens the engine as a library (`parts.rs`).

#![allow(clippy::disallowed_methods, reason = "a test program: it damages files and starts programs as it likes")]

mod attempt;
mod bounded;
mod demo_packages;
mod engine;
mod faulty;
mod files;
mod fresh;
mod http_server;
mod leavings;
mod leftovers;
mod packages;
mod parts;
mod payload;
mod place;
mod program;
mod reference;
mod registry;
mod report;
mod results;
mod row;
mod rows;
mod running;
mod samples;
mod scenario;
mod seed;
mod servers;
mod template;
mod tls_front;
mod trials;
mod twins;
mod watched;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::program::Program;
use crate::row::{Amount, Row};
use crate::trials::{Settings, Trials};

/// Injects faults into builds and counts what goes wrong.
#[derive(Parser)]
#[command(name = "reliability")]
struct Arguments {
    /// Rows by number; none means all.
    rows: Vec<u8>,
    /// As many tries as the figures are published with; else a few, as a test.
    #[arg(long)]
    full: bool,
    /// Exactly so many tries of each row.
    #[arg(long)]
    tries: Option<u64>,
    /// Where the random choices start.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this try of a row: to see a failure again.
    #[arg(long)]
    only: Option<u64>,
    /// Tries at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// The program to test; the one beside this program by default.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Writes the figures to this file too, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Names the rows and ends.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    // This program, started again, is the first process inside of a sandbox, or a part that a row has asked for.
    driver::init_if_requested();
    if let Some(code) = parts::run_if_requested() {
        return code;
    }
    let arguments = Arguments::parse();
    let rows: Vec<&Row> =
        rows::ALL.iter().filter(|row| arguments.rows.is_empty() || arguments.rows.contains(&row.number)).collect();
    if arguments.list {
        rows.iter().for_each(|row| println!("{:>2}  {}", row.number, row.title));
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.rows.iter().find(|number| rows::ALL.iter().all(|row| row.number != **number)) {
        eprintln!("error: there is no row {unknown}; `--list` names them");
        return ExitCode::from(2);
    }
    let program = match Program::find(arguments.program.clone()) {
        Ok(program) => program,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let figures: Vec<report::Figure> = rows.into_iter().map(|row| measure(row, &arguments, &program)).collect();
    seed::remove();
    payload::remove();
    print!("\n{}", report::table(&figures));
    if let Some(path) = &arguments.json
        && let Err(error) = std::fs::write(path, report::json(&figures))
    {
        eprintln!("error: cannot write {}: {error}", path.display());
        return ExitCode::from(2);
    }
    if figures.iter().all(report::Figure::passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(row: &Row, arguments: &Arguments, program: &Program) -> report::Figure {
    let amount = if arguments.full { Amount::Full } else { Amount::Small };
    let wanted = arguments.tries.unwrap_or(row.tries.of(amount));
    let settings = Settings {
        row: row.number,
        seed: arguments.seed,
        wanted,
        amount,
        only: arguments.only,
        jobs: arguments.jobs.max(1),
    };
    eprintln!("row {}: {}, {wanted} tries, seed {}", row.number, row.title, arguments.seed);
    let began = std::time::Instant::now();
    let mut trials = Trials::new(settings, program.clone());
    (row.run)(&mut trials);
    let figure = report::Figure::of(row, trials, began.elapsed());
    eprint!("{}", figure.details());
    figure
}
