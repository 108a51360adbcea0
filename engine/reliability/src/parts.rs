//! What rows have this program do in a process of its own: `reliability part NAME ARGUMENT...`.

use std::process::ExitCode;

/// A part: its name, and what it does with its arguments.
type Part = (&'static str, fn(&[String]) -> ExitCode);

/// All parts, by name.
const ALL: &[Part] = &[
    (crate::engine::PART, crate::engine::part),
    ("naive", crate::rows::hostile_servers::naive),
    ("unpack", crate::rows::hostile_archives::unpack::part),
];

/// Runs a part, if this process was started to be one.
pub fn run_if_requested() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, name, rest @ ..] = arguments.as_slice() else { return None };
    if first != "part" {
        return None;
    }
    let part = ALL.iter().find(|(known, _)| known == name);
    Some(part.map_or_else(
        || {
            eprintln!("error: there is no part {name}");
            ExitCode::from(2)
        },
        |(_, run)| run(rest),
    ))
}
