//! What one evaluation knows: which file, which libraries, and what it collects.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Diagnostic, FunctionRef, Label, RuleSchema};
use starlark::any::ProvidesStaticType;
use starlark::codemap::FileSpan;
use starlark::environment::{FrozenModule, Module};
use starlark::eval::{Evaluator, FileLoader};
use starlark::values::Value;

use crate::build::BuildState;
use crate::diagnose;
use crate::library::Library;
use crate::problem::{Problem, fail};
use crate::running::Mark;
use crate::source::Source;
use crate::workspace::WorkspaceState;

/// Function calls and loop turns that one file or one rule implementation may take, in thousands.
const MAX_KILOTICKS: u32 = 10_000;
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
    /// Thousands of calls and loop turns so far.
    kiloticks: Cell<u32>,
    /// Why the evaluation was stopped, if it was.
    stopped: Cell<Option<&'static str>>,
    /// That it runs.
    mark: Mark,
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
    pub functions: BTreeMap<String, FileSpan>,
    /// The rules exported so far, by name.
    pub rules: RefCell<BTreeMap<Arc<str>, Rule>>,
}

/// An exported rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub schema: Arc<RuleSchema>,
    pub implementation: FunctionRef,
}

impl<'a> Session<'a> {
    pub fn new(source: &Source, loaded: impl IntoIterator<Item = Library>, mode: Mode<'a>) -> Self {
        let mut libraries = BTreeMap::new();
        for library in loaded {
            library.collect(&mut libraries);
        }
        Self {
            file: source.label.clone(),
            path: Arc::clone(&source.path),
            libraries,
            mode,
            kiloticks: Cell::new(0),
            stopped: Cell::new(None),
            mark: Mark::new(&source.path),
        }
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

    /// Called at every thousandth step: whether to stop. It says so once, inside of what runs too long, so that the
    /// error has that place; the evaluator asks again at the end, where there is no place left.
    fn exhausted(&self, heap: usize) -> bool {
        self.kiloticks.set(self.kiloticks.get().saturating_add(1));
        self.stopped.get().is_none() && self.refuses(heap).is_some()
    }

    /// Why it must not go on, if so; called at each statement, since one step may take as much as a thousand.
    pub fn refuses(&self, heap: usize) -> Option<&'static str> {
        let reason = if self.kiloticks.get() > MAX_KILOTICKS {
            Some("evaluation takes too many steps")
        } else if heap > MAX_HEAP {
            Some("evaluation takes too much memory")
        } else if self.mark.is_late() {
            Some("evaluation takes too long")
        } else {
            None
        };
        if reason.is_some() {
            self.stopped.set(reason);
        }
        reason
    }

    /// Whether a limit stopped the evaluation.
    pub fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
    }

    /// An error of this evaluation as a diagnostic.
    pub fn diagnose(&self, error: &starlark::Error) -> Diagnostic {
        let diagnostic = diagnose::error(error);
        let Some(reason) = self.stopped.get() else { return diagnostic };
        let hint = "shorten the loop here, or what calls it";
        let notes = if diagnostic.location.is_none() { vec![format!("in {}", self.path)] } else { diagnostic.notes };
        Diagnostic { message: reason.to_owned(), notes, hints: vec![hint.to_owned()], ..diagnostic }
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
            && state.functions.contains_key(name)
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

/// An evaluator of this session, with its limits.
pub(crate) fn evaluator<'v, 's, 'a: 's>(module: &'s Module<'v>, session: &'s Session<'a>) -> Evaluator<'v, 's, 'a> {
    let mut eval = Evaluator::new(module);
    eval.extra = Some(session);
    let heap = module.heap();
    eval.set_check_cancelled(Box::new(move || session.exhausted(heap.allocated_bytes())));
    // It fails only when it is set twice or to zero.
    let _ = eval.set_max_callstack_size(MAX_DEPTH);
    session.mark.follow(&mut eval);
    eval
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
