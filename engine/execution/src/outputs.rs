//! Takes what a process made into the store: declared outputs only, no link followed out of its folder.

use std::collections::BTreeMap;
use std::path::Path;

use host::fs::FileKind;
use model::{Action, Artifact, RelPath, Spawn, Tree, TreeEntry};
use store::StoreError;

use crate::content::Content;
use crate::failure::{Failure, FailureKind};
use crate::worker::{Stop, Worker};

/// How many links a chain may have.
const LINKS: usize = 16;

/// What lies at an output's path in the end.
enum Found {
    File(RelPath),
    Folder(RelPath),
    /// A link to an input, whose content is known.
    Input(Content),
    Nothing,
    /// Why it cannot be taken.
    Refused(String),
}

/// The contents of all declared outputs; `places` are the working folder and the file of standard output.
pub(crate) fn collect(
    worker: &Worker,
    action: &Action,
    spawn: &Spawn,
    inputs: &BTreeMap<RelPath, Content>,
    places: (&Path, &Path),
) -> Result<Vec<(RelPath, Content)>, Stop> {
    let (work, stdout) = places;
    let mut outputs = Vec::with_capacity(action.outputs.len());
    let mut missing = Vec::new();
    for output in &action.outputs {
        let content = if spawn.stdout.as_ref() == Some(output) {
            file(worker, stdout, false).map(Some)
        } else {
            take(worker, action, output, inputs, work)?
        };
        match content {
            Ok(Some(content)) => outputs.push((output.path().clone(), content)),
            Ok(None) => missing.push(output.path().clone()),
            Err(error) => return Err(Stop::failure(Failure::engine(action, &error))),
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
    let trees = action.outputs.iter().filter(|output| output.is_tree());
    let taken = trees.filter_map(|output| match take(worker, action, output, inputs, work) {
        Ok(Ok(Some(content))) => Some((output.path().clone(), content)),
        _ => None,
    });
    taken.collect()
}

type Taken = Result<Option<Content>, StoreError>;

fn take(
    worker: &Worker,
    action: &Action,
    output: &Artifact,
    inputs: &BTreeMap<RelPath, Content>,
    work: &Path,
) -> Result<Taken, Stop> {
    let refuse = |message: String| Err(Stop::failure(Failure::new(action, FailureKind::MissingOutput, message)));
    let path = output.path();
    match (find(work, path, inputs), output.is_tree()) {
        (Found::Nothing, _) => Ok(Ok(None)),
        (Found::Refused(reason), _) => refuse(format!("the output {path} cannot be taken: {reason}")),
        (Found::Input(content @ Content::File { .. }), false) | (Found::Input(content @ Content::Tree(_)), true) => {
            Ok(Ok(Some(content)))
        }
        (Found::File(at), false) => {
            let executable = host::fs::lstat(&work.join(&at)).is_ok_and(|stat| stat.mode & 0o111 != 0);
            Ok(file(worker, &work.join(&at), executable).map(Some))
        }
        (Found::Folder(at), true) => {
            let captured = worker.executor.store.capture_tree(&work.join(at));
            match captured {
                Ok((_, tree)) if let Some(reason) = leaves(&tree) => {
                    refuse(format!("the output {path} cannot be taken: {reason}"))
                }
                captured => Ok(captured.map(|(digest, _)| Some(Content::Tree(digest)))),
            }
        }
        (Found::File(_) | Found::Input(_), true) => {
            refuse(format!("the output {path} was declared as a folder, but a file was created"))
        }
        (Found::Folder(_) | Found::Input(_), false) => {
            refuse(format!("the output {path} was declared as a file, but a folder was created"))
        }
    }
}

/// Says of a tree with a symbolic link to what is outside of it. What that is depends on where the tree is looked at: a
/// file of the machine, when its user does.
fn leaves(tree: &Tree) -> Option<String> {
    tree.entries.iter().find_map(|(path, entry)| {
        let TreeEntry::Symlink { target } = entry else { return None };
        let mut depth = path.as_str().split('/').count() - 1;
        let stays = !target.starts_with('/')
            && target.split('/').all(|segment| {
                match segment {
                    "" | "." => {}
                    ".." if depth == 0 => return false,
                    ".." => depth -= 1,
                    _ => depth += 1,
                }
                true
            });
        (!stays).then(|| format!("its {path} is a symbolic link to {target}, outside of it; copy the file instead"))
    })
}

fn file(worker: &Worker, path: &Path, executable: bool) -> Result<Content, StoreError> {
    let (digest, size) = worker.executor.store.put_file(path)?;
    Ok(Content::File { digest, size, executable })
}

/// What lies at `path`: links are resolved as the process saw them, as long as they stay in its folder.
fn find(work: &Path, path: &RelPath, inputs: &BTreeMap<RelPath, Content>) -> Found {
    let mut path = path.clone();
    for _ in 0..LINKS {
        let prefixes = prefixes(&path);
        if let Some(prefix) = prefixes.iter().find(|prefix| inputs.contains_key(*prefix)) {
            return if *prefix == path { Found::Input(inputs[prefix].clone()) } else { inside_input(prefix) };
        }
        let mut link = None;
        for prefix in prefixes {
            match host::fs::lstat(&work.join(&prefix)).map(|stat| stat.kind) {
                Ok(FileKind::Symlink) => {
                    link = Some(prefix);
                    break;
                }
                Ok(FileKind::File) if prefix == path => return Found::File(path),
                Ok(FileKind::Folder) if prefix == path => return Found::Folder(path),
                Ok(FileKind::Folder) => {}
                Ok(FileKind::File) | Err(_) => return Found::Nothing,
                Ok(FileKind::Other) => return Found::Refused("it is a device, socket or pipe".to_owned()),
            }
        }
        let Some(link) = link else { return Found::Nothing };
        match resolve(work, &link, &path) {
            Ok(target) => path = target,
            Err(reason) => return Found::Refused(reason),
        }
    }
    Found::Refused("it is a chain of too many symbolic links".to_owned())
}

/// The folders above a path, outermost first, and the path itself.
fn prefixes(path: &RelPath) -> Vec<RelPath> {
    let mut prefixes = vec![path.clone()];
    while let Some(parent) = prefixes[prefixes.len() - 1].parent().filter(|parent| !parent.as_str().is_empty()) {
        prefixes.push(parent);
    }
    prefixes.reverse();
    prefixes
}

fn inside_input(input: &RelPath) -> Found {
    Found::Refused(format!("it is a symbolic link into the input {input}; copy the file instead"))
}

/// `path` with its prefix `link`, a symbolic link, replaced by the link's target.
fn resolve(work: &Path, link: &RelPath, path: &RelPath) -> Result<RelPath, String> {
    let target = host::fs::read_link(&work.join(link)).map_err(|error| error.to_string())?;
    let target = target.to_str().ok_or("it is a symbolic link whose target is not UTF-8")?;
    let outside = || format!("{link} is a symbolic link to {target}, outside of the action's folder");
    let mut segments: Vec<&str> = match target.strip_prefix("/work/") {
        Some(_) => Vec::new(),
        None if target.starts_with('/') => return Err(outside()),
        None => link.as_str().split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect(),
    };
    let rest = path.strip_prefix(link.as_str());
    let rest = rest.as_ref().map_or("", RelPath::as_str);
    for segment in target.strip_prefix("/work/").unwrap_or(target).split('/').chain(rest.split('/')) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop().ok_or_else(outside)?),
            name => segments.push(name),
        }
    }
    RelPath::new(&segments.join("/")).map_err(|_| outside())
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
