//! Hints for processes that failed over a file which exists but was not declared.

use std::collections::{BTreeMap, BTreeSet};

use model::{Action, Artifact, ArtifactRoot, Label, RelPath, Spawn};

use crate::content::Content;
use crate::worker::Worker;

/// How programs say that a file is missing.
const PHRASES: [&str; 9] = [
    "no such file",
    "cannot find",
    "can't find",
    "could not find",
    "can't open",
    "cannot open",
    "not found",
    "does not exist",
    "enoent",
];
const MOST: usize = 3;

/// What to declare, for the paths that a failed process's log complains about.
pub(crate) fn hints(worker: &Worker, action: &Action, inputs: &BTreeMap<RelPath, Content>, log: &str) -> Vec<String> {
    let complaint = |line: &&str| {
        let line = line.to_lowercase();
        PHRASES.iter().any(|phrase| line.contains(phrase))
    };
    let mut candidates = Vec::new();
    for line in log.lines().filter(complaint).take(50) {
        let end = |c: char| c.is_whitespace() || "'\"`()[]<>,;:=\u{2018}\u{2019}".contains(c);
        candidates.extend(line.split(end).filter_map(|word| as_path(word.trim_end_matches('.'))));
    }
    let mut seen = BTreeSet::new();
    let hints = candidates.into_iter().filter_map(|path| hint(worker, action, inputs, &path));
    hints.filter(|hint| seen.insert(hint.clone())).take(MOST).collect()
}

/// What to declare, if the program itself was not.
pub(crate) fn program(
    worker: &Worker,
    action: &Action,
    spawn: &Spawn,
    inputs: &BTreeMap<RelPath, Content>,
) -> Vec<String> {
    let path = spawn.argv.first().and_then(|program| as_path(program));
    path.and_then(|path| hint(worker, action, inputs, &path)).into_iter().collect()
}

fn as_path(word: &str) -> Option<RelPath> {
    let word = word.strip_prefix("/work/").unwrap_or(word).trim_start_matches("./");
    if word.is_empty() || !(word.contains('.') || word.contains('/')) {
        return None;
    }
    RelPath::new(word).ok()
}

fn hint(worker: &Worker, action: &Action, inputs: &BTreeMap<RelPath, Content>, path: &RelPath) -> Option<String> {
    let owner = &action.owner.label;
    let package = RelPath::new(&owner.package().exec_path()).ok()?;
    for path in [path.clone(), package.join_path(path)] {
        if is_declared(inputs, &path) {
            return None;
        }
        let Some(artifact) = known(worker, &path) else { continue };
        let label = artifact.owner();
        let written = if label.package() == owner.package() { format!(":{}", label.name()) } else { label.to_string() };
        return Some(match artifact.root() {
            ArtifactRoot::Source => format!(
                "{path} exists, but is not declared as an input: add \"{}\" to `srcs` or `data` of {owner}",
                written.strip_prefix(':').unwrap_or(&written)
            ),
            ArtifactRoot::Output => {
                format!(
                    "{path} is made by {label}, which is not declared: add \"{written}\" to \
                     `deps`, `srcs` or `data` of {owner}"
                )
            }
        });
    }
    None
}

fn is_declared(inputs: &BTreeMap<RelPath, Content>, path: &RelPath) -> bool {
    let inside = |input: &RelPath| path.strip_prefix(input.as_str()).is_some();
    inputs.iter().any(|(input, content)| input == path || (matches!(content, Content::Tree(_)) && inside(input)))
}

/// An output of any action, or a source file that exists.
fn known(worker: &Worker, path: &RelPath) -> Option<Artifact> {
    if let Some(output) = worker.graph.output(path) {
        return Some(output.clone());
    }
    let folder = path.parent()?;
    let label = Label::absolute(&format!("//{folder}:{}", path.file_name())).ok()?;
    let artifact = Artifact::source(&label);
    worker.executor.sources.content(&artifact).is_ok().then_some(artifact)
}
