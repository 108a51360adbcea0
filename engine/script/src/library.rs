//! .star files: evaluated once, frozen, shared by threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Diagnostics, Digest, KeyBuilder, Label, RuleSchema};
use starlark::codemap::FileSpan;
use starlark::environment::{FrozenModule, Module};
use starlark::values::{FrozenHeapName, OwnedFrozenValue, Value};

use crate::session::{LibraryState, Loads, Mode, Rule, Session, evaluator};
use crate::source::{LIBRARY_DIALECT, Source};
use crate::{check, diagnose, globals};

/// An evaluated .star file. Cheap to clone.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

struct Inner {
    label: Label,
    path: Arc<str>,
    digest: Digest,
    module: FrozenModule,
    rules: BTreeMap<Arc<str>, Rule>,
    /// Where its functions are defined.
    functions: BTreeMap<String, FileSpan>,
    /// The libraries it loads.
    loaded: Vec<Library>,
}

impl Library {
    /// The label of the file.
    pub fn label(&self) -> &Label {
        &self.0.label
    }

    /// The file's path for people.
    pub fn path(&self) -> &Arc<str> {
        &self.0.path
    }

    /// The content of the file and of all it loads.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The rule that the file defines under `name` (also a name with a leading underscore).
    pub fn rule(&self, name: &str) -> Option<Arc<RuleSchema>> {
        self.0.rules.get(name).map(|rule| Arc::clone(&rule.schema))
    }

    /// The public names of the file, sorted.
    pub fn exports(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.module.names().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    }

    pub(crate) fn module(&self) -> &FrozenModule {
        &self.0.module
    }

    pub(crate) fn exported_rule(&self, name: &str) -> Option<&Rule> {
        self.0.rules.get(name)
    }

    /// Where a top-level function is defined.
    pub(crate) fn place(&self, function: &str) -> Option<&FileSpan> {
        self.0.functions.get(function)
    }

    /// The value of a top-level name, public or not.
    pub(crate) fn get(&self, name: &str) -> Option<OwnedFrozenValue> {
        self.0.module.get_any_visibility(name).ok().map(|(value, _)| value)
    }

    /// Whether `name` is a function of this file and is `value`.
    pub(crate) fn defines(&self, name: &str, value: Value<'_>) -> bool {
        self.get(name).is_some_and(|own| own.value().ptr_eq(value))
            && !self.0.loaded.iter().any(|loaded| loaded.get(name).is_some_and(|other| other.value().ptr_eq(value)))
    }

    /// The labels of the file and of all it loads.
    pub fn closure(&self) -> Vec<Label> {
        let mut libraries = BTreeMap::new();
        self.collect(&mut libraries);
        libraries.into_keys().collect()
    }

    /// Adds this library and all it loads.
    pub(crate) fn collect(&self, into: &mut BTreeMap<Label, Self>) {
        if into.insert(self.label().clone(), self.clone()).is_none() {
            self.0.loaded.iter().for_each(|library| library.collect(into));
        }
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Library({})", self.label())
    }
}

/// Evaluates a .star file. `loaded` holds the libraries by the text of the `load` statements that name them.
pub fn eval_library(source: &Source, loaded: &BTreeMap<String, Library>) -> Result<Library, Diagnostics> {
    let ast = source.parse(&LIBRARY_DIALECT)?;
    check::library(&ast)?;
    let state = LibraryState { functions: check::functions(&ast), ..LibraryState::default() };
    let session = Session::new(source, loaded.values().cloned(), Mode::Library(state));
    let loader = Loads(loaded);
    let frozen = Module::with_temp_heap(|module| {
        {
            let mut eval = evaluator(&module, &session);
            eval.set_loader(&loader);
            eval.eval_module(ast, globals::library()).map_err(|error| session.diagnose(&error))?;
        }
        let name = FrozenHeapName::User(Box::new(source.path.to_string()));
        module.freeze_named(name).map_err(|error| diagnose::error(&error.into()))
    })?;
    let Mode::Library(state) = session.mode else { unreachable!("the session was made for a library") };
    Ok(Library(Arc::new(Inner {
        label: source.label.clone(),
        path: Arc::clone(&source.path),
        digest: digest(source, loaded),
        module: frozen,
        rules: state.rules.into_inner(),
        functions: state.functions,
        loaded: loaded.values().cloned().collect(),
    })))
}

fn digest(source: &Source, loaded: &BTreeMap<String, Library>) -> Digest {
    let mut key = KeyBuilder::new("library", 1);
    key.text(&source.label.to_string()).text(&source.text);
    key.sequence(loaded.len());
    for (name, library) in loaded {
        key.text(name).digest(&library.digest());
    }
    key.finish()
}
