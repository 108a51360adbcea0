//! Takes what a process made into the store: declared outputs only, no link followed out of its folder.

use std::collections::BTreeMap;
use std::path::Path;

use host::fs::FileKind;
use model::{Absolute, Action, Artifact, Digest, RelPath, Spawn, Tree, TreeEntry};
use store::StoreError;

use crate::content::Content;
use crate::failure::{Failure, FailureKind};
use crate::worker::{Stop, Worker};

/// How many links a chain may have.
const LINKS: usize = 16;

/// What lies at an output's path in the end.
enum Found {
    File {
        at: RelPath,
        executable: bool,
    },
    Folder(RelPath),
    /// A link to an input, whose content is known.
    Input(Content),
    /// What the process wrote to its standard output.
    Printed,
    Nothing,
    /// Why it cannot be taken.
    Refused(String),
}

/// The contents of all declared outputs; `places` are the working folder and the file of standard output.
///
/// Outputs may be links to one another. So it is looked where each leads before the first is moved away, and what several
/// lead to is taken once.
pub(crate) fn collect(
    worker: &Worker,
    action: &Action,
    spawn: &Spawn,
    inputs: &BTreeMap<RelPath, Content>,
    places: (&Path, &Path),
) -> Result<Vec<(RelPath, Content)>, Stop> {
    let (work, _) = places;
    let look = |output: &Artifact| match spawn.stdout.as_ref() == Some(output) {
        true => Found::Printed,
        false => find(work, output.path(), inputs),
    };
    let found: Vec<(&Artifact, Found)> = action.outputs.iter().map(|output| (output, look(output))).collect();
    let mut taker = Taker::new(worker, action, places);
    taker.take_trees(&found)?;
    let mut outputs = Vec::with_capacity(found.len());
    let mut missing = Vec::new();
    for (output, found) in &found {
        match taker.content(output, found)? {
            Some(Content::File { digest, size, .. }) if spawn.executable_outputs => {
                outputs.push((output.path().clone(), Content::File { digest, size, executable: true }));
            }
            Some(content) => outputs.push((output.path().clone(), content)),
            None => missing.push(output.path().clone()),
        }
    }
    if missing.is_empty() { Ok(outputs) } else { Err(Stop::failure(not_created(action, inputs, work, &missing))) }
}

/// What a test that did not pass left in its output folders, as far as it can be taken.
pub(crate) fn left_by_test(
    worker: &Worker,
    action: &Action,
    inputs: &BTreeMap<RelPath, Content>,
    work: &Path,
) -> Vec<(RelPath, Content)> {
    let take = |output: &Artifact| {
        let found = [(output, find(work, output.path(), inputs))];
        let mut taker = Taker::new(worker, action, (work, work));
        taker.take_trees(&found).ok()?;
        Some((output.path().clone(), taker.content(output, &found[0].1).ok()??))
    };
    action.outputs.iter().filter(|output| output.is_tree()).filter_map(take).collect()
}

/// Moves outputs into the store, each place once.
struct Taker<'a> {
    worker: &'a Worker,
    action: &'a Action,
    work: &'a Path,
    stdout: &'a Path,
    /// Folders that were taken, by their places.
    trees: BTreeMap<RelPath, (Digest, Tree)>,
    files: BTreeMap<RelPath, Content>,
}

impl<'a> Taker<'a> {
    fn new(worker: &'a Worker, action: &'a Action, (work, stdout): (&'a Path, &'a Path)) -> Self {
        Self { worker, action, work, stdout, trees: BTreeMap::new(), files: BTreeMap::new() }
    }

    /// Takes the folders first, outer ones before what is in them: an output may be a link to a file in one.
    fn take_trees(&mut self, found: &[(&Artifact, Found)]) -> Result<(), Stop> {
        let folders = found.iter().filter_map(|(output, found)| match found {
            Found::Folder(at) if output.is_tree() => Some((at, output.path())),
            _ => None,
        });
        let mut folders: Vec<(&RelPath, &RelPath)> = folders.collect();
        folders.sort();
        for (at, output) in folders {
            if !self.trees.contains_key(at) {
                let taken = self.tree(at)?;
                if let Err(error) = taken.1.check_links(Absolute::Machine) {
                    return Err(self.refusal(output, &format!("{error}; copy the file instead")));
                }
                self.trees.insert(at.clone(), taken);
            }
        }
        Ok(())
    }

    fn tree(&self, at: &RelPath) -> Result<(Digest, Tree), Stop> {
        let store = &self.worker.executor.store;
        let taken = match self.tree_around(at) {
            Some((tree, below)) => {
                let tree = tree.below(&below);
                store.put_tree(&tree).map(|digest| (digest, tree))
            }
            None => store.capture_tree(&self.work.join(at)),
        };
        taken.map_err(|error| self.failed(&error))
    }

    /// The taken folder that a place lies in, and where in it.
    fn tree_around(&self, at: &RelPath) -> Option<(&Tree, RelPath)> {
        self.trees.iter().find_map(|(folder, (_, tree))| Some((tree, at.strip_prefix(folder.as_str())?)))
    }

    fn content(&mut self, output: &Artifact, found: &Found) -> Result<Option<Content>, Stop> {
        let path = output.path();
        match (found, output.is_tree()) {
            (Found::Nothing, _) => Ok(None),
            (Found::Refused(reason), _) => Err(self.refusal(path, reason)),
            (Found::Printed, _) => self.put(self.stdout, false).map(Some),
            (Found::Input(content @ Content::File { .. }), false)
            | (Found::Input(content @ Content::Tree(_)), true) => Ok(Some(content.clone())),
            (Found::File { at, executable }, false) => self.file(at, *executable).map(Some),
            (Found::Folder(at), true) => Ok(self.trees.get(at).map(|(digest, _)| Content::Tree(*digest))),
            (Found::File { .. } | Found::Input(_), true) => {
                Err(self.mistake(format!("the output {path} was declared as a folder, but a file was created")))
            }
            (Found::Folder(_) | Found::Input(_), false) => {
                Err(self.mistake(format!("the output {path} was declared as a file, but a folder was created")))
            }
        }
    }

    fn file(&mut self, at: &RelPath, executable: bool) -> Result<Content, Stop> {
        if let Some(content) = self.files.get(at) {
            return Ok(content.clone());
        }
        let inside = self.tree_around(at).and_then(|(tree, below)| tree.entries.get(&below).cloned());
        let content = match inside {
            Some(TreeEntry::File { digest, size, executable }) => Content::File { digest, size, executable },
            _ => self.put(&self.work.join(at), executable)?,
        };
        self.files.insert(at.clone(), content.clone());
        Ok(content)
    }

    fn put(&self, path: &Path, executable: bool) -> Result<Content, Stop> {
        let put = self.worker.executor.store.put_file(path);
        put.map(|(digest, size)| Content::File { digest, size, executable }).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &StoreError) -> Stop {
        Stop::failure(Failure::engine(self.action, error))
    }

    fn refusal(&self, output: &RelPath, reason: &str) -> Stop {
        self.mistake(format!("the output {output} cannot be taken: {reason}"))
    }

    fn mistake(&self, message: String) -> Stop {
        Stop::failure(Failure::new(self.action, FailureKind::MissingOutput, message))
    }
}

/// What lies at `path`: links are followed as the process saw them, as long as they stay in its folder.
fn find(work: &Path, path: &RelPath, inputs: &BTreeMap<RelPath, Content>) -> Found {
    let mut way = Way { place: Vec::new(), rest: segments(path.as_str()), links: Vec::new() };
    while let Some(segment) = way.rest.pop() {
        match segment.as_str() {
            ".." if way.place.pop().is_none() => return Found::Refused(way.outside()),
            ".." => continue,
            _ => way.place.push(segment),
        }
        let Ok(here) = RelPath::new(&way.place.join("/")) else { return way.nothing() };
        if let Some(content) = inputs.get(&here) {
            return match way.rest.is_empty() {
                true => Found::Input(content.clone()),
                false => inside_input(&here),
            };
        }
        match host::fs::lstat(&work.join(&here)).map(|stat| (stat.kind, stat.mode)) {
            Ok((FileKind::Folder, _)) => {}
            Ok((FileKind::File, mode)) if way.rest.is_empty() => {
                return Found::File { at: here, executable: mode & 0o111 != 0 };
            }
            Ok((FileKind::File, _)) | Err(_) => return way.nothing(),
            Ok((FileKind::Other, _)) => return Found::Refused("it is a device, socket or pipe".to_owned()),
            Ok((FileKind::Symlink, _)) => {
                if let Err(reason) = way.follow(work, here) {
                    return Found::Refused(reason);
                }
            }
        }
    }
    match RelPath::new(&way.place.join("/")) {
        Ok(place) if !place.as_str().is_empty() => Found::Folder(place),
        _ => Found::Refused(way.outside()),
    }
}

/// A path that is followed.
struct Way {
    /// How far it has come; no link is in it.
    place: Vec<String>,
    /// What is to be gone yet, the next at the end.
    rest: Vec<String>,
    /// The links on the way, with their targets.
    links: Vec<(RelPath, String)>,
}

impl Way {
    /// Goes where a link leads that has just been reached.
    fn follow(&mut self, work: &Path, link: RelPath) -> Result<(), String> {
        if self.links.len() == LINKS {
            return Err("it is a chain of too many symbolic links".to_owned());
        }
        let target = host::fs::read_link(&work.join(&link)).map_err(|error| error.to_string())?;
        let target = target.to_str().ok_or("it is a symbolic link whose target is not UTF-8")?.to_owned();
        self.links.push((link, target.clone()));
        let relative = match target.strip_prefix("/work/") {
            Some(rest) => {
                self.place.clear();
                rest
            }
            None if target.starts_with('/') => return Err(self.outside()),
            None => {
                self.place.pop();
                &target
            }
        };
        self.rest.extend(segments(relative));
        Ok(())
    }

    fn outside(&self) -> String {
        let (link, target) = self.last();
        format!("{link} is a symbolic link to {target}, outside of the action's folder")
    }

    /// What is not there is told from what a link should lead to.
    fn nothing(&self) -> Found {
        match self.links.is_empty() {
            true => Found::Nothing,
            false => {
                let (link, target) = self.last();
                Found::Refused(format!("{link} is a symbolic link to {target}, where nothing is"))
            }
        }
    }

    fn last(&self) -> (&str, &str) {
        self.links.last().map_or(("it", ""), |(link, target)| (link.as_str(), target.as_str()))
    }
}

/// The segments of a path that say something, the first at the end.
fn segments(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|segment| !matches!(*segment, "" | ".")).map(str::to_owned).collect()
}

fn inside_input(input: &RelPath) -> Found {
    Found::Refused(format!("it is a symbolic link into the input {input}; copy the file instead"))
}

fn not_created(action: &Action, inputs: &BTreeMap<RelPath, Content>, work: &Path, missing: &[RelPath]) -> Failure {
    let names: Vec<&str> = missing.iter().map(RelPath::as_str).collect();
    let noun = if names.len() == 1 { "output was" } else { "outputs were" };
    let message = format!("the declared {noun} not created: {}", names.join(", "));
    let mut failure = Failure::new(action, FailureKind::MissingOutput, message);
    let mut created = Vec::new();
    list(work, &RelPath::new("").expect("the root is a path"), inputs, &mut created);
    created.retain(|path| !action.outputs.iter().any(|output| output.path().as_str() == path));
    let mut similar: Vec<String> = names
        .iter()
        .flat_map(|name| {
            let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
            let by_path = model::nearest(name, created.iter().map(String::as_str));
            let same = created.iter().filter(|path| last(path) == last(name)).cloned();
            same.chain(by_path).collect::<Vec<_>>()
        })
        .collect();
    similar.dedup();
    similar.truncate(5);
    let shown = if similar.is_empty() { created.into_iter().take(5).collect() } else { similar };
    failure.hints.push(match shown.is_empty() {
        true => "the process succeeded, but wrote no file into its folder".to_owned(),
        false => format!("it created {}", shown.join(", ")),
    });
    failure
}

/// The files in the working folder that are not inputs.
fn list(work: &Path, below: &RelPath, inputs: &BTreeMap<RelPath, Content>, created: &mut Vec<String>) {
    let Ok(entries) = host::fs::read_dir(&work.join(below)) else { return };
    for entry in entries {
        let Ok(path) = below.join(&entry.name) else { continue };
        match () {
            () if inputs.contains_key(&path) => {}
            () if entry.is_folder => list(work, &path, inputs, created),
            () => created.push(path.to_string()),
        }
    }
}
