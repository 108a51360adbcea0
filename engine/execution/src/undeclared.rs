//! Hints for processes that failed over something which exists but was not declared: a file of the workspace or of the
//! machine, a program, a server, a variable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::{Action, Artifact, ArtifactRoot, Label, RelPath, Spawn};

use crate::complaint::{self, Complaint};
use crate::content::Content;
use crate::worker::Worker;

/// So many hints are enough.
const MOST: usize = 3;

/// What to declare, for what a failed process's log complains about.
pub(crate) fn hints(worker: &Worker, action: &Action, inputs: &BTreeMap<RelPath, Content>, log: &str) -> Vec<String> {
    let look = Look { worker, action, inputs };
    let mut seen = BTreeSet::new();
    let hints = complaint::all(log).into_iter().filter_map(|complaint| look.hint(&complaint));
    hints.filter(|hint| seen.insert(hint.clone())).take(MOST).collect()
}

/// What to declare, if the program itself was not.
pub(crate) fn program(
    worker: &Worker,
    action: &Action,
    spawn: &Spawn,
    inputs: &BTreeMap<RelPath, Content>,
) -> Vec<String> {
    let look = Look { worker, action, inputs };
    spawn.argv.first().and_then(|program| look.file(program, "")).into_iter().collect()
}

/// What is looked at to say what something is.
struct Look<'a> {
    worker: &'a Worker,
    action: &'a Action,
    inputs: &'a BTreeMap<RelPath, Content>,
}

impl Look<'_> {
    fn hint(&self, complaint: &Complaint) -> Option<String> {
        let owner = &self.action.owner.label;
        match complaint {
            Complaint::File { path, beside } => self.file(path, beside),
            Complaint::Program(name) => Some(format!(
                "`{name}` is no program that this action was given, and those of the machine are not seen: add a target \
                 that makes or brings it to `tools` of {owner}, and call it by `$(location ...)`"
            )),
            Complaint::Variable(name) => Some(format!(
                "`{name}` is not set: actions see no variable of the environment in which `build` runs; write what is \
                 needed into the command of {owner}, or set it by `env` in its rule"
            )),
            Complaint::Target { attribute, value } => {
                let label = self.worker.executor.sources.target_with(attribute, value)?;
                Some(format!("`{attribute} = \"{value}\"` is {label}: add \"{label}\" to `deps` of {owner}"))
            }
            Complaint::Server(line) => Some(format!(
                "\"{line}\": actions reach no server, neither elsewhere nor on this machine: declare what {owner} needs \
                 as a file, or let its rule ask for the machine's network by `network = True`"
            )),
        }
    }

    /// `beside` is the file that names this one, if it is known.
    fn file(&self, path: &str, beside: &str) -> Option<String> {
        let path = path.strip_prefix("/work/").unwrap_or(path);
        if path.starts_with('/') {
            return self.absolute(path);
        }
        if !(path.contains('.') || path.contains('/')) {
            return None;
        }
        let package = self.action.owner.label.package().exec_path();
        let folders = ["", &package, beside.rsplit_once('/').map_or("", |(folder, _)| folder)];
        for path in folders.iter().filter_map(|folder| normal(&format!("{folder}/{path}"))) {
            if self.is_declared(&path) {
                return None;
            }
            if let Some(artifact) = self.known(&path) {
                return Some(self.declare(&path, &artifact));
            }
        }
        self.unmade(&normal(path)?)
    }

    /// An output's path that nothing in this build makes.
    fn unmade(&self, path: &RelPath) -> Option<String> {
        let own = self.action.outputs.first()?.path().as_str();
        // out/<configuration>/<package>/<file>
        let (folder, _) = own.match_indices('/').nth(1).map(|(at, _)| own.split_at(at))?;
        let below = path.strip_prefix(folder)?;
        let package = below.parent()?;
        Some(format!(
            "{path} would be an output, but nothing that {owner} depends on makes it: add a target of //{package} that \
             makes {file} to its `deps`, `srcs` or `data`",
            owner = self.action.owner.label,
            file = below.file_name(),
        ))
    }

    /// A path of the machine, perhaps into the workspace.
    fn absolute(&self, path: &str) -> Option<String> {
        let ends = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
        for below in ends.filter_map(normal) {
            if self.is_declared(&below) {
                return Some(format!(
                    "{path} is not seen by actions: declared files are at their paths in the workspace: {below}"
                ));
            }
            if let Some(artifact) = self.known(&below) {
                let declare = self.declare(&below, &artifact);
                return Some(format!(
                    "{path} is not seen by actions, which name files by their paths in the workspace: {declare}"
                ));
            }
        }
        host::fs::exists(Path::new(path)).then(|| {
            format!(
                "{path} is there on this machine, but actions see nothing of the machine: put what is needed of it into \
                 the workspace, and declare it in `srcs` or `tools` of {}",
                self.action.owner.label
            )
        })
    }

    fn declare(&self, path: &RelPath, artifact: &Artifact) -> String {
        let (owner, label) = (&self.action.owner.label, artifact.owner());
        let own = label.package() == owner.package();
        match artifact.root() {
            _ if self.action.outputs.contains(artifact) => {
                format!("{path} is an output of this action, which starts without what an earlier run of it made")
            }
            ArtifactRoot::Source => {
                let written = if own { label.name().to_owned() } else { label.to_string() };
                format!(
                    "{path} exists, but is not declared as an input: add \"{written}\" to `srcs` or `data` of {owner}"
                )
            }
            ArtifactRoot::Output => {
                let written = if own { format!(":{}", label.name()) } else { label.to_string() };
                format!(
                    "{path} is made by {label}, which is not declared: add \"{written}\" to `deps`, `srcs` or `data` of \
                     {owner}"
                )
            }
        }
    }

    fn is_declared(&self, path: &RelPath) -> bool {
        let inside = |input: &RelPath| path.strip_prefix(input.as_str()).is_some();
        self.inputs
            .iter()
            .any(|(input, content)| input == path || (matches!(content, Content::Tree(_)) && inside(input)))
    }

    /// An output of any action, or a source file that exists.
    fn known(&self, path: &RelPath) -> Option<Artifact> {
        if let Some(output) = self.worker.graph.output(path) {
            return Some(output.clone());
        }
        let folder = path.parent()?;
        let label = Label::absolute(&format!("//{folder}:{}", path.file_name())).ok()?;
        let artifact = Artifact::source(&label);
        self.worker.executor.sources.content(&artifact).is_ok().then_some(artifact)
    }
}

/// A path without `.` and `..`, if it stays where it begins.
fn normal(path: &str) -> Option<RelPath> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()?),
            name => segments.push(name),
        }
    }
    if segments.is_empty() { None } else { RelPath::new(&segments.join("/")).ok() }
}
