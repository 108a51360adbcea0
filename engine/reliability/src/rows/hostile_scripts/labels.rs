//! Labels and target patterns from random texts: parsing never panics, and what is parsed is printed so that it gives the
//! same again.

use fastrand::Rng;
use model::{Label, Members, PackageId, PatternKind, TargetPattern};

use crate::attempt::Outcome;

/// Texts of one try.
const TEXTS: usize = 5000;

const PIECES: [&str; 44] = [
    "//",
    "/",
    ":",
    "@",
    "@@",
    "...",
    "..",
    ".",
    "-",
    "a",
    "b",
    "all",
    "*",
    "a/b",
    "x.y",
    "_",
    "+",
    "~",
    "=",
    ",",
    " ",
    "\\",
    "?",
    "\"",
    "<",
    "|",
    "\0",
    "\n",
    "\t",
    "\u{1b}[0m",
    "\u{202e}",
    "\u{200b}",
    "\u{e9}",
    "e\u{301}",
    "\u{1f600}",
    "\u{2044}",
    "\u{ff0f}",
    "CON",
    "%2e%2e",
    "$(x)",
    "external",
    "BUILD.star",
    "\u{feff}",
    "\u{7f}",
];

/// Checks random texts.
pub fn check(dice: &mut Rng) -> Outcome {
    check_with(dice, &|text| Ok(text.to_owned()))
}

/// The same with something done to a printed label before it is parsed again.
pub fn check_with(dice: &mut Rng, change: &dyn Fn(&str) -> Result<String, String>) -> Outcome {
    let packages = ["", "a", "a/b c/d"].map(|path| PackageId::new("", path).expect("a package"));
    let mut labels = 0;
    for _ in 0..TEXTS {
        let count = dice.usize(1..8);
        let text: String = (0..count).map(|_| PIECES[dice.usize(..PIECES.len())]).collect();
        let package = &packages[dice.usize(..packages.len())];
        labels += usize::from(label(&text, package, change)?);
        pattern(&text, package)?;
    }
    if labels == 0 { Err("no text was a label: the texts try nothing".to_owned()) } else { Ok(()) }
}

/// Whether the text is a label.
fn label(text: &str, package: &PackageId, change: &dyn Fn(&str) -> Result<String, String>) -> Result<bool, String> {
    let Ok(label) = Label::parse(text, package) else { return Ok(false) };
    let printed = change(&label.to_string())?;
    let again = Label::absolute(&printed).map_err(|error| format!("{text:?} is printed as {printed:?}: {error}"))?;
    if again != label {
        return Err(format!("{text:?} is printed as {printed:?}, which is {again}"));
    }
    let path = label.exec_path();
    if path.starts_with('/') || path.split('/').any(|segment| matches!(segment, "" | "." | ".." | "...")) {
        return Err(format!("{text:?} has the path {path:?}"));
    }
    if path.chars().any(char::is_control) {
        return Err(format!("{text:?} has a control character in its path {path:?}"));
    }
    Ok(true)
}

fn pattern(text: &str, package: &PackageId) -> Outcome {
    let Ok(pattern) = TargetPattern::parse(text, package) else { return Ok(()) };
    let sign = if pattern.exclude { "-" } else { "" };
    let printed = match &pattern.kind {
        PatternKind::Target(label) => format!("{sign}{label}"),
        PatternKind::Path(label) => format!("{sign}{}", label.package().path()),
        PatternKind::Package(package, Members::Targets) => format!("{sign}{package}:all"),
        PatternKind::Package(package, Members::Files) => format!("{sign}{package}:*"),
        PatternKind::Below(package, members) => {
            let slash = if package.path().is_empty() { "" } else { "/" };
            let files = if *members == Members::Files { ":*" } else { "" };
            format!("{sign}{package}{slash}...{files}")
        }
    };
    match TargetPattern::parse(&printed, &PackageId::root()) {
        Ok(again) if again == pattern => Ok(()),
        again => Err(format!("the pattern {text:?} is {pattern:?}, printed as {printed:?}, which is {again:?}")),
    }
}
