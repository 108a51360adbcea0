//! Requests: what is asked for, and what makes two of them the same.

use std::path::PathBuf;

use loading::{Matched, Wildcards};
use model::{KeyBuilder, Label, TargetKey, TargetPattern};
use snapshot::{RequestRow, State};

use crate::error::{Error, ErrorKind};
use crate::session::Session;

/// Changes whenever states of an older engine could be read wrongly. A program that was built anew never reads them.
const FORMAT: u32 = 1;

/// What patterns are expanded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All targets that match.
    Targets,
    /// The tests among them.
    Tests,
    /// They are the words of a query.
    Query,
}

/// Targets with what makes them, and how they were named.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    kind: Kind,
    patterns: Vec<String>,
    /// Whether the shell's tree is needed in any case: tests and programs may be scripts.
    with_shell: bool,
}

impl Request {
    /// All targets that match the patterns.
    pub(crate) fn targets(patterns: &[String]) -> Self {
        Self { kind: Kind::Targets, patterns: patterns.to_vec(), with_shell: false }
    }

    /// All tests that match the patterns, with the shell.
    pub(crate) fn tests(patterns: &[String]) -> Self {
        Self { kind: Kind::Tests, patterns: patterns.to_vec(), with_shell: true }
    }

    /// One target that is to be run, with the shell.
    pub(crate) fn program(label: &Label) -> Self {
        Self { kind: Kind::Targets, patterns: vec![label.to_string()], with_shell: true }
    }

    /// A query and the form of its answer.
    pub(crate) fn query(expression: &str, form: &str) -> Self {
        Self { kind: Kind::Query, patterns: vec![expression.to_owned(), form.to_owned()], with_shell: false }
    }

    /// Whether a pattern means files too, which any change of a package may add.
    pub(crate) fn means_files(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.ends_with(":*") || pattern.ends_with(":all-targets"))
    }

    /// All that decides what the request stands for, apart from the files of the workspace.
    pub(crate) fn identity(&self, session: &Session) -> Vec<u8> {
        let mut key = KeyBuilder::new("request", FORMAT);
        key.bytes(&program_identity()).text(&session.root.to_string_lossy()).text(&session.package.to_string());
        key.digest(&session.configuration.digest());
        key.text(&session.exec_platform.os).text(&session.exec_platform.arch);
        key.sequence(session.options.override_repositories.len());
        for (name, folder) in &session.options.override_repositories {
            key.text(name).text(&folder.to_string_lossy());
        }
        key.number(self.kind as u64).number(u64::from(self.with_shell)).sequence(self.patterns.len());
        self.patterns.iter().for_each(|pattern| _ = key.text(pattern));
        key.finish().as_bytes().to_vec()
    }

    /// The file of the request's state. It does not depend on the program, so that a new one replaces an old one's.
    pub(crate) fn path(&self, session: &Session) -> PathBuf {
        let mut key = KeyBuilder::new("request file", 1);
        key.text(&session.package.to_string()).digest(&session.configuration.digest());
        key.number(self.kind as u64).number(u64::from(self.with_shell)).sequence(self.patterns.len());
        self.patterns.iter().for_each(|pattern| _ = key.text(pattern));
        session.requests_folder().join(key.finish().to_hex())
    }

    /// The labels that the patterns stand for.
    pub(crate) fn labels(&self, session: &Session, loader: &loading::Loader) -> Result<Vec<Label>, Error> {
        let labels = self.matched(session, loader)?.whole();
        labels.map_err(|errors| Error::of(ErrorKind::Build, errors))
    }

    /// The same as far as there is no error.
    pub(crate) fn matched(&self, session: &Session, loader: &loading::Loader) -> Result<Matched, Error> {
        let patterns = self.patterns.iter().map(|text| session.pattern(text));
        let patterns: Vec<TargetPattern> = patterns.collect::<Result<_, _>>()?;
        if patterns.is_empty() {
            let error = Error::new(ErrorKind::CommandLine, "no target was named");
            return Err(error.hint("`build build //...` builds everything; `build query //...` lists it"));
        }
        Ok(match self.kind {
            Kind::Targets | Kind::Query => loader.expand_what_can_be(&patterns, Wildcards::NotManual),
            Kind::Tests => loader.expand_tests(&patterns),
        })
    }

    /// The configured targets to analyse: those of the labels, and what the command itself needs.
    pub(crate) fn keys(&self, session: &Session, loader: &loading::Loader, labels: &[Label]) -> Vec<TargetKey> {
        let mut keys: Vec<TargetKey> = labels.iter().map(|label| session.key(label)).collect();
        if self.with_shell {
            keys.push(session.shell_key(loader));
        }
        keys
    }
}

/// What tells this program from one that was built from other sources.
fn program_identity() -> Vec<u8> {
    let stat = host::env::current_exe().ok().and_then(|program| host::fs::stat(&program).ok());
    let stat = stat.map(|stat| [stat.device, stat.inode, stat.size, stat.mtime as u64, stat.ctime as u64]);
    stat.unwrap_or_default().iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The request's row, if the state has a sound one.
pub(super) fn read(state: &State) -> Option<RequestRow> {
    if !state.is_sound(&[snapshot::Table::Request]) {
        return None;
    }
    RequestRow::read(state)
}
