//! .star files: from `load` statements to frozen libraries, cycles and private files refused.
//!
//! A file is known by one label whatever the spelling: its folder as the package, its file name as the name
//! (`@rules//go/private:compile.star`), so that a rule or provider has one identity.
//! The closure of `load` statements is searched for cycles before anything is evaluated; so threads that wait for each
//! other's evaluations cannot wait in a circle.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use host::fs::FileKind;
use model::{Diagnostic, Diagnostics, Label, Location, PackageId, nearest};
use script::{Library, Source};

use crate::glob::join;
use crate::loader::Loader;
use crate::packages::BUILD_FILE;

/// A .star file that was read, with what its `load` statements name.
pub(crate) struct LibraryFile {
    source: Source,
    loads: Vec<Load>,
}

struct Load {
    written: String,
    file: Label,
    location: Location,
}

/// So many wrong `load` statements of a file are reported. Each quotes its line, which takes time; more help nobody.
const MOST_ERRORS: usize = 100;

impl Loader {
    /// The evaluated .star file.
    pub fn library(&self, label: &Label) -> Result<Library, Diagnostics> {
        let label = canonical(label)?;
        if let Some(library) = self.libraries.ready(&label) {
            return Ok(library);
        }
        self.check_cycles(&label, &mut Vec::new(), &mut HashSet::new())?;
        self.evaluate(&label)
    }

    /// The libraries that a BUILD.star loads, by the text of the load statement.
    pub(crate) fn load_all(&self, source: &Source) -> Result<BTreeMap<String, Library>, Diagnostics> {
        let loads = self.resolve_loads(source)?;
        self.libraries_of(&loads, |file| self.library(file))
    }

    /// The .star files that the BUILD.star of packages load, and those that these load.
    pub(crate) fn load_files(&self, packages: &[PackageId]) -> Result<Vec<Label>, Diagnostics> {
        let mut files = Vec::new();
        for id in packages {
            let (Some(text), Ok(label)) = (self.build_file(id)?, id.label(BUILD_FILE)) else { continue };
            let loaded = self.load_all(&self.remember(label, text))?;
            files.extend(loaded.values().flat_map(|library| library.closure()));
        }
        Ok(files)
    }

    fn libraries_of(
        &self,
        loads: &[Load],
        library: impl Fn(&Label) -> Result<Library, Diagnostics>,
    ) -> Result<BTreeMap<String, Library>, Diagnostics> {
        let mut loaded = BTreeMap::new();
        let mut wrong = Vec::new();
        for load in loads {
            if wrong.len() >= MOST_ERRORS {
                break;
            }
            match library(&load.file) {
                Ok(library) => drop(loaded.insert(load.written.clone(), library)),
                // What has no place yet (a file that is missing) is shown at the load statement.
                Err(errors) => wrong.extend(errors.0.into_iter().map(|error| match error.location {
                    None => self.locate(error, Some(&load.location)),
                    Some(_) => error,
                })),
            }
        }
        if wrong.is_empty() { Ok(loaded) } else { Err(too_many(wrong)) }
    }

    fn evaluate(&self, label: &Label) -> Result<Library, Diagnostics> {
        self.libraries.get_or(label, || {
            let file = self.file(label)?;
            let loaded = self.libraries_of(&file.loads, |file| self.evaluate(file))?;
            script::eval_library(&file.source, &loaded)
        })
    }

    /// Whether a .star file may call rules of the prelude by `native`.
    pub(crate) fn names_native(&self, label: &Label) -> bool {
        self.file(label).is_ok_and(|file| file.source.text.contains("native"))
    }

    fn file(&self, label: &Label) -> Result<Arc<LibraryFile>, Diagnostics> {
        self.files.get_or(label, || {
            let path = join(label.package().path(), label.name());
            let tree = match self.tree(label.repository()) {
                Some(tree) => tree,
                None if self.repositories().iter().any(|name| name == label.repository()) => {
                    return Err(
                        Diagnostic::error(format!("{label}: `@{}` has no .star files", label.repository())).into()
                    );
                }
                None => return Err(self.unknown_repository(label.repository()).into()),
            };
            let text = match tree.read(&path) {
                Err(_) if tree.kind(&path) == Some(FileKind::Folder) => None,
                text => text?,
            };
            let text = text.ok_or_else(|| self.missing_library(label))?;
            let source = self.remember(label.clone(), text);
            let loads = self.resolve_loads(&source)?;
            Ok(Arc::new(LibraryFile { source, loads }))
        })
    }

    fn resolve_loads(&self, source: &Source) -> Result<Vec<Load>, Diagnostics> {
        let mut loads = Vec::new();
        let mut wrong = Vec::new();
        for (written, location) in script::loads(source)? {
            if wrong.len() >= MOST_ERRORS {
                break;
            }
            match resolve(&written, source.label.package()).map(|file| self.own(&file)) {
                Ok(file) => loads.push(Load { written, file, location }),
                Err(diagnostic) => wrong.push(self.locate(diagnostic, Some(&location))),
            }
        }
        if wrong.is_empty() { Ok(loads) } else { Err(too_many(wrong)) }
    }

    fn check_cycles(
        &self,
        label: &Label,
        path: &mut Vec<(Label, Option<Location>)>,
        done: &mut HashSet<Label>,
    ) -> Result<(), Diagnostics> {
        if done.contains(label) || self.libraries.ready(label).is_some() {
            return Ok(());
        }
        // A file that cannot be read or parsed is reported by its evaluation, at the load statement.
        let Ok(file) = self.file(label) else { return Ok(()) };
        for load in &file.loads {
            path.push((label.clone(), Some(load.location.clone())));
            if let Some(start) = path.iter().position(|(on_path, _)| *on_path == load.file) {
                return Err(self.load_cycle(&path[start..]).into());
            }
            self.check_cycles(&load.file, path, done)?;
            path.pop();
        }
        done.insert(label.clone());
        Ok(())
    }

    fn load_cycle(&self, path: &[(Label, Option<Location>)]) -> Diagnostic {
        let (first, location) = &path[0];
        let mut diagnostic = Diagnostic::error(format!("{first} loads itself"));
        for (index, (label, location)) in path.iter().enumerate() {
            let next = &path[(index + 1) % path.len()].0;
            let place = location.as_ref().map(|location| format!("{location}: ")).unwrap_or_default();
            diagnostic = diagnostic.note(format!("{place}{label} loads {next}"));
        }
        let diagnostic = diagnostic.hint("move what both need to a file that loads neither");
        self.locate(diagnostic, location.as_ref())
    }

    fn missing_library(&self, label: &Label) -> Diagnostic {
        let folder = label.package().path();
        let entries = self.tree(label.repository()).and_then(|tree| tree.list(folder).ok()).unwrap_or_default();
        let files: Vec<&str> =
            entries.iter().map(|entry| entry.name.as_str()).filter(|name| name.ends_with(".star")).collect();
        let diagnostic = Diagnostic::error(format!("there is no file {label}"));
        match nearest(label.name(), files.iter().copied()) {
            close if !close.is_empty() => {
                let labels: Vec<String> = close.iter().map(|name| format!("{}:{name}", label.package())).collect();
                diagnostic.did_you_mean(&labels)
            }
            _ if files.is_empty() => diagnostic.note(format!("{} has no .star files", label.package())),
            _ => diagnostic.note(format!("{} has {}", label.package(), files.join(", "))),
        }
    }
}

/// Says at the last error that there may be more.
fn too_many(mut wrong: Vec<Diagnostic>) -> Diagnostics {
    if wrong.len() >= MOST_ERRORS
        && let Some(last) = wrong.pop()
    {
        wrong.push(last.note("the `load` statements after this one were not looked at"));
    }
    Diagnostics(wrong)
}

/// The file that a load statement in `package` names.
fn resolve(written: &str, package: &PackageId) -> Result<Label, Diagnostic> {
    // `@rules//go/private/x.star` names a file by its path; a label has a colon before the name.
    let spelled = match written.rsplit_once('/') {
        Some((folder, name)) if written.contains("//") && !written.contains(':') && name.ends_with(".star") => {
            let folder = if folder.ends_with('/') { format!("{folder}/") } else { folder.to_owned() };
            format!("{folder}:{name}")
        }
        _ => written.to_owned(),
    };
    let label = Label::parse(&spelled, package)
        .map_err(|error| Diagnostic::error(error.to_string()).hint("load(\"//path/to:file.star\", \"name\")"))?;
    if !label.name().ends_with(".star") {
        return Err(Diagnostic::error(format!("`{written}` is not a .star file")));
    }
    let label = canonical(&label).map_err(|_| Diagnostic::error(format!("`{written}` is not a label of a file")))?;
    let private = label.package().path().split('/').any(|segment| segment == "private");
    if private && !label.repository().is_empty() && label.repository() != package.repository() {
        let public = label.package().path().split("/private").next().unwrap_or("");
        return Err(Diagnostic::error(format!("{label} is private to the repository `@{}`", label.repository()))
            .hint(format!("load what `@{}//{public}:defs.star` exports", label.repository())));
    }
    Ok(label)
}

/// The one label of a file: its folder as the package.
fn canonical(label: &Label) -> Result<Label, Diagnostics> {
    let Some((folder, name)) = label.name().rsplit_once('/') else { return Ok(label.clone()) };
    let package = PackageId::new(label.repository(), &join(label.package().path(), folder));
    let label = package.and_then(|package| package.label(name));
    label.map_err(|error| Diagnostic::error(error.to_string()).into())
}
