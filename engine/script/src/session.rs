//! What one evaluation knows: which file, which libraries, and what it collects.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{FunctionRef, Label, ProviderId, RuleSchema};
use starlark::any::ProvidesStaticType;
use starlark::environment::FrozenModule;
use starlark::eval::{Evaluator, FileLoader};
use starlark::values::Value;

use crate::build::BuildState;
use crate::library::Library;
use crate::problem::{Problem, fail};
use crate::source::Source;
use crate::workspace::WorkspaceState;

/// Function calls and loop turns that one file or one rule implementation may take.
const MAX_TICKS: u64 = 10_000_000;
/// Bytes of Starlark values that one evaluation may hold.
const MAX_HEAP: usize = 512 << 20;
/// Nested calls.
const MAX_DEPTH: usize = 200;

/// The state of one evaluation; native functions find it in the evaluator.
#[derive(ProvidesStaticType)]
pub(crate) struct Session<'a> {
    /// The file evaluated; while a rule is analysed, the one that defines it.
    pub file: Label,
    /// Its path for people.
    pub path: Arc<str>,
    /// All libraries reachable, by label.
    pub libraries: BTreeMap<Label, Library>,
    /// What is evaluated.
    pub mode: Mode<'a>,
}

/// The kinds of evaluation.
pub(crate) enum Mode<'a> {
    /// A .star file.
    Library(LibraryState),
    /// A BUILD.star file.
    Build(Box<BuildState<'a>>),
    /// A WORKSPACE.star file.
    Workspace(RefCell<WorkspaceState>),
    /// A rule's implementation.
    Analysis,
}

/// What evaluating a .star file collects.
#[derive(Default)]
pub(crate) struct LibraryState {
    /// The functions that the file defines at its top level.
    pub functions: BTreeSet<String>,
    /// The rules exported so far, by name.
    pub rules: RefCell<BTreeMap<Arc<str>, Rule>>,
}

/// An exported rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub schema: Arc<RuleSchema>,
    pub implementation: FunctionRef,
    /// The providers it promises to return.
    pub provides: Vec<ProviderId>,
}

impl<'a> Session<'a> {
    pub fn new(source: &Source, loaded: impl IntoIterator<Item = Library>, mode: Mode<'a>) -> Self {
        let mut libraries = BTreeMap::new();
        for library in loaded {
            library.collect(&mut libraries);
        }
        Self { file: source.label.clone(), path: Arc::clone(&source.path), libraries, mode }
    }

    /// The build state, or an error that says what may be called in BUILD.star only.
    pub fn build(&self, what: &str) -> starlark::Result<&BuildState<'a>> {
        match &self.mode {
            Mode::Build(state) => Ok(state),
            Mode::Analysis => fail(format!("{what} cannot be called by a rule's implementation")),
            _ => Err(Problem::new(format!("{what} can be called only while a BUILD.star is evaluated"))
                .hint("call it in a function (a macro) that a BUILD.star calls")
                .into()),
        }
    }

    /// The label of the file with this path.
    pub fn file_of(&self, path: &str) -> &Label {
        if path == &*self.path {
            return &self.file;
        }
        let library = self.libraries.values().find(|library| &**library.path() == path);
        library.map_or(&self.file, Library::label)
    }

    /// The reference to a function defined at the top level of a .star file; an error for any other.
    pub fn function_ref(&self, value: Value<'_>) -> Result<FunctionRef, String> {
        let Some(name) = value.function_name() else { return Err("expected a function".to_owned()) };
        if value.unpack_frozen().is_some() {
            let found = self.libraries.values().find(|library| library.defines(name, value));
            if let Some(library) = found {
                return Ok(FunctionRef { file: library.label().clone(), name: Arc::from(name) });
            }
        } else if let Mode::Library(state) = &self.mode
            && state.functions.contains(name)
        {
            return Ok(FunctionRef { file: self.file.clone(), name: Arc::from(name) });
        }
        let what = if name == "lambda" { "a lambda".to_owned() } else { format!("the function `{name}`") };
        Err(format!("{what} is not defined at the top level of a .star file, so it cannot be kept as data"))
    }
}

/// The session of an evaluator.
pub(crate) fn session<'s, 'a>(eval: &Evaluator<'_, 's, 'a>) -> starlark::Result<&'s Session<'a>> {
    match eval.extra.and_then(|extra| extra.downcast_ref::<Session<'a>>()) {
        Some(session) => Ok(session),
        None => fail("not available here"),
    }
}

/// The label of the file that contains the call being evaluated.
pub(crate) fn calling_file(eval: &Evaluator<'_, '_, '_>) -> starlark::Result<Label> {
    let session = session(eval)?;
    let location = eval.call_stack_top_location();
    Ok(location.map_or(&session.file, |span| session.file_of(span.filename())).clone())
}

/// Sets the limits of a run.
pub(crate) fn limit(eval: &mut Evaluator<'_, '_, '_>) {
    // Each fails only when it is set twice or to zero.
    let _ = eval.set_max_tick_count(MAX_TICKS);
    let _ = eval.set_max_heap_size(MAX_HEAP);
    let _ = eval.set_max_callstack_size(MAX_DEPTH);
}

/// Answers `load` from the libraries given.
pub(crate) struct Loads<'a>(pub &'a BTreeMap<String, Library>);

impl FileLoader for Loads<'_> {
    fn load(&self, path: &str) -> starlark::Result<FrozenModule> {
        match self.0.get(path) {
            Some(library) => Ok(library.module().clone()),
            None => fail(format!("`{path}` was not loaded")),
        }
    }
}
