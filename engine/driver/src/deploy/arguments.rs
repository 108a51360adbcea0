//! What may be asked of a deploy target: nothing is taken that would be ignored, since it may have been meant to hold the
//! rollout back.

use model::Label;

use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;

/// What each kind of deploy target knows.
const CLUSTER: [&str; 3] = ["--plan", "--branch", "--take_over"];
const LOCAL: [&str; 3] = ["--plan", "--logs", "--exit_when_ready"];

/// Refuses what a deploy target does not know.
pub(super) fn check(label: &Label, local: bool, request: &RunRequest) -> Result<(), Error> {
    let known = if local { LOCAL } else { CLUSTER };
    if let Some(first) = request.arguments.first() {
        let message = format!("{label} is a deploy target, which takes no arguments after `--`: `{first}`");
        let word = first.split('=').next().unwrap_or_default();
        let error = Error::new(ErrorKind::CommandLine, message);
        return Err(match nearest(word, known) {
            Some(flag) => {
                let value = first.split_once('=').map(|(_, value)| format!("={value}")).unwrap_or_default();
                error.hint(format!("`build run {} {flag}{value}`", request.target))
            }
            None => error.hint(format!("it knows {}, before `--`", known.join(", "))),
        });
    }
    let given = [
        ("--branch", request.branch.is_some()),
        ("--take_over", request.take_over),
        ("--logs", request.logs),
        ("--exit_when_ready", request.exit_when_ready),
    ];
    match given.iter().find(|(flag, given)| *given && !known.contains(flag)) {
        Some((flag, _)) => {
            let place = if local { "on this machine" } else { "to a cluster" };
            let message = format!("{label} rolls out {place}, where `{flag}` means nothing");
            Err(Error::new(ErrorKind::CommandLine, message).hint(format!("it knows {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

/// The flag that a word stands for, however many dashes it has, or that it is a slip of.
fn nearest(word: &str, known: [&'static str; 3]) -> Option<&'static str> {
    let word = word.trim_start_matches('-').replace('-', "_");
    let names = known.map(|flag| flag.trim_start_matches('-'));
    let found = model::nearest(&word, names).first().cloned()?;
    known.into_iter().find(|flag| flag.trim_start_matches('-') == found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(local: bool, change: impl FnOnce(&mut RunRequest)) -> String {
        let mut request = RunRequest { target: "deploy:x".into(), ..RunRequest::default() };
        change(&mut request);
        match check(&Label::absolute("//deploy:x").unwrap(), local, &request) {
            Ok(()) => "ok".into(),
            Err(error) => error.diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn nothing_is_ignored() {
        let after = |local: bool, arguments: &[&str]| {
            told(local, |request| request.arguments = arguments.iter().map(ToString::to_string).collect())
        };
        let cases = [
            after(false, &["--plan"]),
            after(false, &["plan"]),
            after(false, &["--take-over"]),
            after(false, &["--brnach=main"]),
            after(false, &["services"]),
            after(true, &["--exit_when_redy"]),
            told(false, |request| request.logs = true),
            told(true, |request| request.branch = Some("main".into())),
            told(false, |request| (request.plan, request.take_over) = (true, true)),
            told(true, |request| (request.logs, request.exit_when_ready) = (true, true)),
        ];
        insta::assert_snapshot!(cases.join("\n"), @r"
        error: //deploy:x is a deploy target, which takes no arguments after `--`: `--plan`
          hint: `build run deploy:x --plan`
        error: //deploy:x is a deploy target, which takes no arguments after `--`: `plan`
          hint: `build run deploy:x --plan`
        error: //deploy:x is a deploy target, which takes no arguments after `--`: `--take-over`
          hint: `build run deploy:x --take_over`
        error: //deploy:x is a deploy target, which takes no arguments after `--`: `--brnach=main`
          hint: `build run deploy:x --branch=main`
        error: //deploy:x is a deploy target, which takes no arguments after `--`: `services`
          hint: it knows --plan, --branch, --take_over, before `--`
        error: //deploy:x is a deploy target, which takes no arguments after `--`: `--exit_when_redy`
          hint: `build run deploy:x --exit_when_ready`
        error: //deploy:x rolls out to a cluster, where `--logs` means nothing
          hint: it knows --plan, --branch, --take_over
        error: //deploy:x rolls out on this machine, where `--branch` means nothing
          hint: it knows --plan, --logs, --exit_when_ready
        ok
        ok
        ");
    }
}
