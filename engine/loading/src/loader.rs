//! The loader: packages and .star files by label, each evaluated once a process.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use model::{
    Artifact, Diagnostic, Diagnostics, Event, Label, Location, Package, PackageId, Reporter, RuleId, RuleSchema, Target,
};
use observation::{Observer, Question};
use script::{Library, Reexports, Source};

use crate::embedded;
use crate::external::External;
use crate::glob::{Globber, join};
use crate::libraries::LibraryFile;
use crate::memo::Memo;
use crate::packages::{BUILD_FILE, PackageFilter};
use crate::source_tree::SourceTree;
use crate::workspace::Workspace;

/// The file in `@rules` whose exports every BUILD.star sees.
const PRELUDE: &str = "prelude.star";

/// Loads packages and .star files. Shared by reference between threads.
pub struct Loader {
    workspace: Workspace,
    external: Option<Arc<dyn External>>,
    reporter: Arc<dyn Reporter>,
    trees: BTreeMap<String, SourceTree>,
    pub(crate) files: Memo<Label, Arc<LibraryFile>>,
    pub(crate) libraries: Memo<Label, Library>,
    /// What the prelude exports, when it does nothing else.
    reexports: OnceLock<Option<Reexports>>,
    /// Parts of the prelude by their texts.
    preludes: Memo<Arc<str>, Library>,
    /// `None` for a folder that is no package; what to say about it is found outside the memo, since that may use
    /// threads, which might then wait for this very package.
    packages: Memo<PackageId, Option<Arc<LoadedPackage>>>,
    texts: Mutex<HashMap<Arc<str>, Arc<str>>>,
    loaded: AtomicUsize,
    /// Targets whose attributes had patterns, with the labels these stand for.
    pub(crate) expanded: Mutex<HashMap<Label, Arc<Target>>>,
    observer: Arc<Observer>,
    /// What is known of packages from an earlier command.
    known: Option<Arc<dyn KnownPackages>>,
    /// Folders in which packages were looked for.
    pub(crate) searched: Mutex<BTreeSet<String>>,
}

/// What was asked of the file system: questions and the paths they are about.
pub type Reads = Vec<(Question, String)>;

/// Packages that an earlier command evaluated and for which nothing has changed since.
pub trait KnownPackages: Send + Sync {
    /// The package; `None` when it must be evaluated.
    fn package(&self, id: &PackageId) -> Option<Package>;
}

/// A package with an index of its predeclared outputs.
pub(crate) struct LoadedPackage {
    pub(crate) package: Arc<Package>,
    /// What its evaluation asked of the file system; `None` when it was known.
    pub(crate) reads: Option<Reads>,
    /// Output name -> name of the target that makes it.
    pub(crate) outputs: BTreeMap<Arc<str>, Arc<str>>,
}

/// The content of a source artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceContent {
    /// A file on disk.
    Path(PathBuf),
    /// A file of the embedded rules.
    Bytes(&'static [u8]),
}

impl Loader {
    /// A loader for a workspace. `overrides` (`--override_repository`) gives repositories, `rules` among them, as
    /// folders.
    pub fn new(
        workspace: Workspace,
        external: Option<Arc<dyn External>>,
        reporter: Arc<dyn Reporter>,
        overrides: &BTreeMap<String, PathBuf>,
    ) -> Self {
        let observer = Arc::new(Observer::new(workspace.root()));
        let disk = |path: &Path| SourceTree::Disk(path.to_owned(), Arc::clone(&observer));
        let mut trees =
            BTreeMap::from([(String::new(), disk(workspace.root())), ("rules".to_owned(), SourceTree::Embedded)]);
        trees.extend(overrides.iter().map(|(name, path)| (name.clone(), disk(path))));
        Self {
            workspace,
            external,
            reporter,
            trees,
            files: Memo::new(),
            libraries: Memo::new(),
            reexports: OnceLock::new(),
            preludes: Memo::new(),
            packages: Memo::new(),
            texts: Mutex::default(),
            loaded: AtomicUsize::new(0),
            expanded: Mutex::default(),
            observer,
            known: None,
            searched: Mutex::default(),
        }
    }

    /// The same loader with packages that need not be evaluated.
    pub fn with_known(mut self, known: Arc<dyn KnownPackages>) -> Self {
        self.known = Some(known);
        self
    }

    /// Who looks at files for this loader.
    pub fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    /// The packages that this loader evaluated itself, each with what that asked of the file system.
    pub fn evaluated(&self) -> Vec<(Arc<Package>, Reads)> {
        let all = self.packages.all().into_iter().flatten();
        all.filter_map(|loaded| Some((Arc::clone(&loaded.package), loaded.reads.clone()?))).collect()
    }

    /// What the search for packages asked of the file system.
    pub fn searched(&self) -> Reads {
        let searched = self.searched.lock().unwrap_or_else(PoisonError::into_inner);
        searched.iter().map(|folder| (Question::Folders, folder.clone())).collect()
    }

    /// The workspace.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The package, evaluated now if it was not yet.
    pub fn package(&self, id: &PackageId) -> Result<Arc<Package>, Diagnostics> {
        self.loaded_package(id).map(|loaded| Arc::clone(&loaded.package))
    }

    /// The schema of a rule that a target names.
    pub fn schema(&self, rule: &RuleId) -> Result<Arc<RuleSchema>, Diagnostics> {
        let library = self.library(&rule.file)?;
        library.rule(&rule.name).ok_or_else(|| {
            Diagnostic::error(format!("the rule `{}` is not exported by {}", rule.name, rule.file)).into()
        })
    }

    /// Where the content of a source artifact is. It need not exist.
    pub fn source(&self, artifact: &Artifact) -> Result<SourceContent, Diagnostics> {
        let label = artifact.owner();
        let path = join(label.package().path(), label.name());
        match self.tree(label.repository()) {
            Some(SourceTree::Disk(root, _)) => Ok(SourceContent::Path(root.join(path))),
            Some(SourceTree::Embedded) => embedded::read(&path)
                .map(SourceContent::Bytes)
                .ok_or_else(|| Diagnostic::error(format!("there is no file {label}")).into()),
            None => Err(Diagnostic::error(format!("{label} is not a source file: its repository has none")).into()),
        }
    }

    /// The content of a source artifact, read now.
    pub fn source_bytes(&self, artifact: &Artifact) -> Result<Cow<'static, [u8]>, Diagnostics> {
        match self.source(artifact)? {
            SourceContent::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            SourceContent::Path(path) => host::fs::read(&path).map(Cow::Owned).map_err(crate::workspace::file_error),
        }
    }

    /// The same diagnostic at a place, with the text of the line when the file was evaluated before.
    pub fn locate(&self, diagnostic: Diagnostic, location: Option<&Location>) -> Diagnostic {
        let Some(location) = location else { return diagnostic };
        let text = self.text_of(&location.file);
        let line = text.as_deref().and_then(|text| text.lines().nth((location.line as usize).saturating_sub(1)));
        let diagnostic = diagnostic.at(Some(location.clone()));
        match line {
            Some(line) => diagnostic.line(line),
            None => diagnostic,
        }
    }

    /// The text of a file that was evaluated before.
    pub(crate) fn text_of(&self, file: &Arc<str>) -> Option<Arc<str>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned()
    }

    pub(crate) fn tree(&self, repository: &str) -> Option<&SourceTree> {
        self.trees.get(repository)
    }

    pub(crate) fn filter(&self, repository: &str) -> PackageFilter<'_> {
        let main = repository.is_empty();
        PackageFilter { ignored: if main { &self.workspace.decl().ignore } else { &[] }, main }
    }

    /// The names of all repositories but the main one.
    pub fn repositories(&self) -> Vec<String> {
        let mut names: Vec<String> = self.trees.keys().filter(|name| !name.is_empty()).cloned().collect();
        names.extend(self.external.iter().flat_map(|external| external.names()));
        names.push("toolchains".to_owned());
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn external_packages(&self, repository: &str) -> Result<Vec<String>, Diagnostics> {
        match self.external_with(repository) {
            Some(external) => external.packages(repository),
            None => Err(self.unknown_repository(repository).into()),
        }
    }

    fn external_with(&self, repository: &str) -> Option<&Arc<dyn External>> {
        self.external.as_ref().filter(|external| external.names().iter().any(|name| name == repository))
    }

    pub(crate) fn loaded_package(&self, id: &PackageId) -> Result<Arc<LoadedPackage>, Diagnostics> {
        let loaded = self.packages.get_or(id, || {
            if let Some(package) = self.known.as_ref().and_then(|known| known.package(id)) {
                let outputs = index_outputs(&package);
                return Ok(Some(Arc::new(LoadedPackage { outputs, package: Arc::new(package), reads: None })));
            }
            let Some(text) = self.build_file(id)? else { return Ok(None) };
            let (package, reads) = self.evaluate_package(id, text)?;
            let loaded = self.loaded.fetch_add(1, Ordering::Relaxed) + 1;
            self.reporter.report(Event::PackageLoaded { loaded });
            let outputs = index_outputs(&package);
            Ok(Some(Arc::new(LoadedPackage { outputs, package: Arc::new(package), reads: Some(reads) })))
        })?;
        loaded.ok_or_else(|| self.unknown_package(id))
    }

    /// Says that the packages of these labels will be asked for, so that what they are made from is downloaded side by
    /// side.
    pub fn prefetch<'a>(&self, labels: impl Iterator<Item = &'a Label>) {
        let Some(external) = &self.external else { return };
        let far = |label: &Label| !label.repository().is_empty() && self.tree(label.repository()).is_none();
        let known = |package: &PackageId| {
            self.packages.ready(package).is_some()
                || self.known.as_ref().is_some_and(|known| known.package(package).is_some())
        };
        let mut packages: Vec<PackageId> =
            labels.filter(|label| far(label)).map(|label| label.package().clone()).collect();
        packages.sort();
        packages.dedup();
        packages.retain(|package| !known(package));
        if !packages.is_empty() {
            external.prefetch(&packages);
        }
    }

    /// The package and what its evaluation asked of the file system, which is all that it depends on.
    fn evaluate_package(&self, id: &PackageId, text: String) -> Result<(Package, Reads), Diagnostics> {
        if let Some(diagnostic) = self.package_in_taken_place(id) {
            return Err(diagnostic.into());
        }
        let label = id.label(BUILD_FILE).map_err(|error| Diagnostic::error(error.to_string()))?;
        let source = self.remember(label, text);
        let loaded = self.load_all(&source)?;
        let prelude = self.prelude_for(&source, &loaded)?;
        // An external package has no files of its own: its globs see an empty folder.
        let tree = self.tree(id.repository()).unwrap_or(&SourceTree::Embedded);
        let missing = PackageId::new("", ".none").unwrap_or_else(|_| PackageId::root());
        let package = if self.tree(id.repository()).is_some() { id } else { &missing };
        let globber = Globber { tree, package, filter: self.filter(id.repository()), listed: RefCell::default() };
        let evaluated = script::eval_build(&source, &loaded, prelude.as_ref(), id, &globber);
        // What is said of an error may name anything of the prelude.
        let (evaluated, prelude) = match evaluated {
            Ok(package) => (package, prelude),
            Err(_) => {
                let prelude = self.prelude()?;
                (script::eval_build(&source, &loaded, prelude.as_ref(), id, &globber)?, prelude)
            }
        };
        let mut reads: Reads =
            globber.listed.take().iter().filter_map(|folder| tree.question(Question::Listing, folder)).collect();
        let build_file = self.tree(id.repository()).map(|tree| (tree, join(id.path(), BUILD_FILE)));
        reads.extend(build_file.and_then(|(tree, path)| tree.question(Question::Content, &path)));
        reads.extend(loaded.values().chain(&prelude).flat_map(|library| self.library_reads(library)));
        reads.extend(self.check_subpackages(&evaluated)?);
        let evaluated = self.with_own_labels(evaluated);
        reads.sort();
        reads.dedup();
        Ok((evaluated, reads))
    }

    /// Checks that no target and no output lies in a package below; gives what was asked of the file system for that.
    fn check_subpackages(&self, package: &Package) -> Result<Reads, Diagnostics> {
        let Some(tree) = self.tree(package.id.repository()) else { return Ok(Vec::new()) };
        let (mut reads, mut wrong) = (Vec::new(), Vec::new());
        let mut looked: BTreeMap<&str, bool> = BTreeMap::new();
        for target in package.targets.values() {
            for name in std::iter::once(target.label.name()).chain(target.outputs.iter().map(|name| &**name)) {
                let folders: Vec<&str> = name.match_indices('/').map(|(at, _)| &name[..at]).collect();
                let inner = folders.into_iter().rev().find(|folder| {
                    *looked.entry(folder).or_insert_with(|| {
                        let path = join(&join(package.id.path(), folder), BUILD_FILE);
                        reads.extend(tree.question(Question::Kind, &path));
                        tree.kind(&path) == Some(host::fs::FileKind::File)
                    })
                });
                if let Some(folder) = inner {
                    let (below, rest) = (join(package.id.path(), folder), &name[folder.len() + 1..]);
                    let message = format!("`{name}` cannot be a name in {}: `{below}` is a package", package.id);
                    let hint = format!("declare it there, as //{below}:{rest}, or name it without the folder");
                    wrong.push(self.locate(Diagnostic::error(message).hint(hint), target.location.as_ref()));
                }
            }
        }
        if wrong.is_empty() { Ok(reads) } else { Err(Diagnostics(wrong)) }
    }

    /// The package with all labels in one form: `@name//a:b` is `//a:b` in the workspace of this name.
    fn with_own_labels(&self, mut package: Package) -> Package {
        let name = Arc::clone(&self.workspace.decl().name);
        if name.is_empty() || !self.is_own_name(&name) {
            return package;
        }
        let renamed = |label: &Label| (*label.repository() == *name).then(|| self.own(label));
        for target in package.targets.values_mut() {
            if let Some(with_own) = target.with_labels(&renamed) {
                *target = Arc::new(with_own);
            }
        }
        package.exported_files.values_mut().for_each(|visibility| visibility.rename(&renamed));
        package
    }

    /// What evaluating a .star file and all it loads asked of the file system.
    pub fn library_reads(&self, library: &Library) -> Reads {
        let files = library.closure().into_iter();
        let question = |file: Label| {
            let tree = self.tree(file.repository())?;
            tree.question(Question::Content, &join(file.package().path(), file.name()))
        };
        files.filter_map(question).collect()
    }

    /// The text of a package's BUILD.star; `None` when there is no such package.
    pub(crate) fn build_file(&self, id: &PackageId) -> Result<Option<String>, Diagnostics> {
        match self.tree(id.repository()) {
            Some(_) if self.filter(id.repository()).skips(id.path()) => Ok(None),
            Some(tree) => tree.read(&join(id.path(), BUILD_FILE)),
            None => match self.external_with(id.repository()) {
                Some(external) => external.build_file(id),
                None => Err(self.unknown_repository(id.repository()).into()),
            },
        }
    }

    /// The library whose exports every BUILD.star sees.
    fn prelude(&self) -> Result<Option<Library>, Diagnostics> {
        let has_prelude = self.tree("rules").is_some_and(|tree| tree.kind(PRELUDE).is_some());
        if !has_prelude {
            return Ok(None);
        }
        let label = Label::absolute("@rules//:prelude.star").map_err(|error| Diagnostic::error(error.to_string()))?;
        self.library(&label).map(Some)
    }

    /// As much of the prelude as a BUILD.star names. Evaluating all of it takes longer than most packages.
    fn prelude_for(&self, source: &Source, loaded: &BTreeMap<String, Library>) -> Result<Option<Library>, Diagnostics> {
        let reexports = self.reexports.get_or_init(|| {
            let text = self.tree("rules")?.read(PRELUDE).ok()??;
            let label = PackageId::new("rules", "").ok()?.label(PRELUDE).ok()?;
            Reexports::of(&self.remember(label, text))
        });
        // Macros name rules as `native.x`.
        let whole = loaded.values().any(|library| library.closure().iter().any(|file| self.names_native(file)));
        let Some(reexports) = reexports.as_ref().filter(|_| !whole && !source.text.contains("native")) else {
            return self.prelude();
        };
        let part = reexports.part_for(&source.text);
        self.preludes
            .get_or(&part.text, || {
                let loaded = self.load_all(&part)?;
                script::eval_library(&part, &loaded)
            })
            .map(Some)
    }

    /// A source to evaluate; its text is kept for the lines that later errors quote.
    pub(crate) fn remember(&self, label: Label, text: String) -> Source {
        let path = match label.repository() {
            "" => label.exec_path(),
            repository => format!("@{repository}//{}", join(label.package().path(), label.name())),
        };
        let (path, text): (Arc<str>, Arc<str>) = (Arc::from(path), Arc::from(text));
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(&path), Arc::clone(&text));
        Source { label, path, text }
    }
}

/// Output name -> target; that no two are equal was checked by the evaluation.
fn index_outputs(package: &Package) -> BTreeMap<Arc<str>, Arc<str>> {
    let outputs = |(name, target): (&Arc<str>, &Arc<model::Target>)| {
        let name = Arc::clone(name);
        target.outputs.iter().map(move |output| (Arc::clone(output), Arc::clone(&name))).collect::<Vec<_>>()
    };
    package.targets.iter().flat_map(outputs).collect()
}
