//! A hash-locked requirements file, as pip takes it with `--require-hashes` and pip-compile, uv and poetry write it.
//!
//! Where packages come from is the machine's business, so that options that name indexes say nothing here. What depends
//! on what is read from the `# via` comments, if each package has one; else the wheels themselves say it.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::FetchError;
use crate::markers;
use crate::params;
use crate::pypi::normalised;
use crate::requirement::Requirement;

/// What a lock holds.
#[derive(Debug, Default)]
pub(crate) struct PipLock {
    /// Packages by normalised name.
    pub packages: BTreeMap<String, LockedWheel>,
    /// Packages that are locked for other platforms or interpreters only, with their marker.
    pub elsewhere: BTreeMap<String, String>,
    /// Whether comments tell what needs each package.
    pub annotated: bool,
}

/// A package of the lock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LockedWheel {
    pub version: String,
    pub sha256: Vec<String>,
    /// Normalised names of the packages that need it.
    needed_by: BTreeSet<String>,
    /// Normalised names of the packages it needs, as far as comments say.
    pub deps: BTreeSet<String>,
    pub extras: BTreeSet<String>,
    /// Whether a comment says what needs it.
    annotated: bool,
    line: usize,
    other_hashes: bool,
}

const FORM: &str = "expected `<package>==<version> --hash=sha256:<digest>`";

/// Options that say where packages come from, or that are so anyway.
const WITHOUT_MEANING: &[&str] = &[
    "-i",
    "-f",
    "-c",
    "--index-url",
    "--extra-index-url",
    "--pypi-url",
    "--no-index",
    "--find-links",
    "--trusted-host",
    "--constraint",
    "--pre",
    "--prefer-binary",
    "--only-binary",
    "--require-hashes",
    "--use-feature",
];

pub(crate) fn parse(file: &str, text: &str) -> Result<PipLock, FetchError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(index) = text.lines().position(|line| line.starts_with("[[package")) {
        let reason = "this is a lock of a tool's own form; `uv export --format requirements-txt`, `poetry export` or \
            `pip lock` followed by one of them write a requirements file with hashes";
        return Err(FetchError::lock(file, Some(index + 1), reason));
    }
    let mut reader = Reader::default();
    for (number, line) in logical_lines(text) {
        let (words, comment) = split_comment(&line);
        let read = match words {
            "" => Ok(()),
            option if option.starts_with('-') => reader.option(option),
            requirement => reader.requirement(requirement, number),
        };
        read.map_err(|reason| FetchError::lock(file, Some(number), reason))?;
        match comment {
            Some(comment) => reader.comment(comment, !words.is_empty()),
            None => reader.in_via = false,
        }
    }
    reader.finish(file)
}

/// Lines with their continuations, by the number of their first. A comment ends a line, as for pip.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let comment = line.trim_start().starts_with('#');
        let (part, continues) = match line.strip_suffix('\\') {
            Some(part) if !comment => (part, true),
            _ => (line, false),
        };
        match lines.last_mut() {
            Some((_, before)) if goes_on => {
                before.push(' ');
                before.push_str(part.trim_start());
            }
            _ => lines.push((index + 1, part.trim_start().to_owned())),
        }
        goes_on = continues;
    }
    lines
}

/// A comment begins a line or comes after a space.
fn split_comment(line: &str) -> (&str, Option<&str>) {
    let mut from = 0;
    while let Some(at) = line[from..].find('#').map(|at| from + at) {
        if line[..at].is_empty() || line[..at].ends_with(char::is_whitespace) {
            return (line[..at].trim(), Some(line[at + 1..].trim()));
        }
        from = at + 1;
    }
    (line.trim(), None)
}

#[derive(Default)]
struct Reader {
    lock: PipLock,
    /// The package of the line before, if it is for here.
    current: Option<String>,
    in_via: bool,
}

impl Reader {
    fn option(&self, text: &str) -> Result<(), String> {
        let name = text.split(['=', ' ']).next().unwrap_or(text);
        let short = if name.starts_with("--") { name } else { name.get(..2).unwrap_or(name) };
        match short {
            "--hash" => Err("a hash without a package before it".to_owned()),
            "-r" | "--requirement" => {
                Err("one lock is one file: write what that file holds into this one with `uv pip compile` or \
                     `pip-compile`"
                    .to_owned())
            }
            "-e" | "--editable" => Err("what is edited is part of the workspace: remove the line, and name its \
                                        `py_library` in `deps`"
                .to_owned()),
            "--no-binary" => {
                Err("packages are taken as wheels, nothing is built from its source: remove the line".to_owned())
            }
            known if WITHOUT_MEANING.contains(&known) => Ok(()),
            other => Err(format!("unknown option `{other}`; {FORM}")),
        }
    }

    fn requirement(&mut self, text: &str, line: usize) -> Result<(), String> {
        let options = text.find(" --").unwrap_or(text.len());
        let (named, options) = text.split_at(options);
        if named.split(';').next().is_some_and(|what| what.contains("://") || what.contains(" @")) {
            let reason =
                "a package that comes from an address is not supported: lock a version of it that an index has";
            return Err(reason.to_owned());
        }
        if named.starts_with(['.', '/']) || named.ends_with(".whl") {
            return Err("a file is no package of an index: put the wheel on an index, and lock its version".to_owned());
        }
        let requirement = Requirement::parse(named).map_err(|_| FORM.to_owned())?;
        let version = requirement.versions.strip_prefix("===").or_else(|| requirement.versions.strip_prefix("=="));
        let version =
            version.map(str::trim).filter(|version| !version.is_empty() && !version.contains([',', '*', ' ']));
        let version = version.ok_or(FORM)?;
        if let Some(marker) = &requirement.marker {
            let here = markers::holds(marker, "").map_err(|reason| format!("the marker `{marker}`: {reason}"))?;
            if !here {
                self.lock.elsewhere.insert(requirement.name, marker.clone());
                self.current = None;
                return Ok(());
            }
        }
        let (sha256, other_hashes) = hashes(options)?;
        let known = self.lock.packages.entry(requirement.name.clone()).or_insert_with(|| LockedWheel {
            version: version.to_owned(),
            line,
            ..LockedWheel::default()
        });
        if known.version != version {
            return Err(format!(
                "`{}` is locked twice, as {} in line {} and as {version}; one lock holds one version",
                requirement.name, known.version, known.line
            ));
        }
        known.sha256.extend(sha256);
        known.other_hashes |= other_hashes;
        known.extras.extend(requirement.extras);
        self.current = Some(requirement.name);
        Ok(())
    }

    /// `via a` or `via a, b` beside or below a package, or `via` with a name in each of the next comments.
    fn comment(&mut self, comment: &str, beside: bool) {
        let via = comment.strip_prefix("via").filter(|rest| rest.is_empty() || rest.starts_with([' ', ':']));
        self.in_via = via.is_some() || (self.in_via && !beside);
        let package = self.current.as_ref().and_then(|name| self.lock.packages.get_mut(name));
        if let Some(package) = package.filter(|_| self.in_via) {
            package.annotated = true;
            package.needed_by.extend(via.unwrap_or(comment).split(',').filter_map(requirer));
        }
    }

    fn finish(self, file: &str) -> Result<PipLock, FetchError> {
        let mut lock = self.lock;
        if let Some((name, package)) = lock.packages.iter().find(|(_, package)| package.sha256.is_empty()) {
            let reason = match package.other_hashes {
                true => format!("`{name}` has no sha256 hash, only others"),
                false => format!(
                    "`{name}` has no hash; lock it with `uv pip compile --generate-hashes`, `pip-compile \
                     --generate-hashes` or ci/lock/pypi.py"
                ),
            };
            return Err(FetchError::lock(file, Some(package.line), reason));
        }
        lock.elsewhere.retain(|name, _| !lock.packages.contains_key(name));
        lock.annotated = lock.packages.values().all(|package| package.annotated);
        let edges: Vec<(String, String)> = lock
            .packages
            .iter()
            .flat_map(|(name, package)| package.needed_by.iter().map(|requirer| (requirer.clone(), name.clone())))
            .collect();
        for (requirer, name) in edges.into_iter().filter(|(requirer, name)| requirer != name) {
            if let Some(requirer) = lock.packages.get_mut(&requirer) {
                requirer.deps.insert(name);
            }
        }
        Ok(lock)
    }
}

/// The SHA-256 digests among a requirement's options, and whether there are others.
fn hashes(options: &str) -> Result<(Vec<String>, bool), String> {
    let (mut sums, mut others) = (Vec::new(), false);
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let hash = match word.split_once('=') {
            Some(("--hash", hash)) => hash,
            None if word == "--hash" => words.next().unwrap_or_default(),
            _ if word.starts_with("--config-settings") || word.starts_with("--global-option") => {
                return Err(
                    "packages are taken as wheels, nothing is built from its source: remove that option".to_owned()
                );
            }
            _ => return Err(format!("unexpected `{word}`; {FORM}")),
        };
        match hash.split_once(':') {
            Some(("sha256", sum)) => sums.push(params::sha256(sum).map_err(|error| error.to_string())?),
            Some(("sha384" | "sha512", _)) => others = true,
            _ => return Err(format!("`{hash}` is no hash that pip knows; only sha256 hashes are checked")),
        }
    }
    Ok((sums, others))
}

/// A package that a `via` comment names; `None` for a requirements file and for the empty rest of a line.
fn requirer(name: &str) -> Option<String> {
    let name = name.trim().trim_start_matches(':').trim();
    let name = name.split('[').next().unwrap_or(name);
    if name.is_empty() || name.starts_with('-') || name.contains([' ', '(', '/']) {
        return None;
    }
    normalised(name).ok()
}

#[cfg(test)]
mod tests;
