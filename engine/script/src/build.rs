//! BUILD.star files: evaluation gives a package, and as many errors at once as can be found.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Diagnostic, Diagnostics, Location, Package, PackageId, Target, Visibility};
use starlark::environment::Module;
use starlark::syntax::AstModule;

use crate::library::Library;
use crate::session::{Loads, Mode, Session, evaluator};
use crate::source::{BUILD_DIALECT, Source};
use crate::{check, globals};

/// What a BUILD.star asks about its folder; answered by the loader, which knows what it asked for.
pub trait PackageContext {
    /// The files of the package that match, relative to it, sorted; not those of packages below.
    fn glob(&self, include: &[String], exclude: &[String], exclude_directories: bool) -> Result<Vec<String>, String>;

    /// The packages below that match, relative to this one, sorted.
    fn subpackages(&self, include: &[String], exclude: &[String]) -> Result<Vec<String>, String>;
}

/// What evaluating a BUILD.star collects.
pub(crate) struct BuildState<'a> {
    pub package: PackageId,
    pub context: &'a dyn PackageContext,
    pub prelude: Option<Library>,
    pub source: Source,
    pub declared: RefCell<Declarations>,
}

/// The declarations of a package so far.
#[derive(Default)]
pub(crate) struct Declarations {
    pub targets: BTreeMap<Arc<str>, Arc<Target>>,
    pub outputs: BTreeMap<Arc<str>, Arc<Target>>,
    pub exported_files: BTreeMap<Arc<str>, Visibility>,
    pub default_visibility: Option<Visibility>,
    /// `testonly` of targets that do not say.
    pub default_testonly: bool,
    /// Where `package()` was called.
    pub package_call: Option<Location>,
    pub errors: Vec<Diagnostic>,
}

/// Evaluates a BUILD.star. The exports of `prelude` are globals of it. All errors found are returned.
pub fn eval_build(
    source: &Source,
    loaded: &BTreeMap<String, Library>,
    prelude: Option<&Library>,
    package: &PackageId,
    cx: &dyn PackageContext,
) -> Result<Package, Diagnostics> {
    let ast = source.parse(&BUILD_DIALECT)?;
    let run = Run { source, loaded, prelude, package, context: cx };
    let mut errors = check::build(&ast, &run.known_names());
    let Evaluated { declared, stops, exhausted } = run.whole(ast);
    if errors.is_empty() && stops.is_empty() && declared.errors.is_empty() {
        let Declarations { targets, exported_files, .. } = declared;
        return Ok(Package { id: package.clone(), targets, exported_files });
    }
    // Whatever stopped the evaluation hides what follows: go on after it, statement by statement.
    let again = if stops.is_empty() || exhausted { Vec::new() } else { run.by_statement() };
    if again.is_empty() {
        // An undefined name stops the whole file, and has been found already.
        errors.extend(stops.into_iter().filter(|_| exhausted || errors.is_empty()).collect::<Vec<_>>());
        errors.extend(declared.errors);
    }
    errors.extend(again);
    Err(sorted(errors))
}

/// By line, without repetition.
fn sorted(mut errors: Vec<Diagnostic>) -> Diagnostics {
    let place = |error: &Diagnostic| error.location.as_ref().map(|l| (l.line, l.column));
    errors.sort_by_key(place);
    errors.dedup_by(|a, b| a.location == b.location && a.message == b.message);
    Diagnostics(errors)
}

/// What an evaluation gave.
struct Evaluated {
    declared: Declarations,
    /// The errors that ended the file or one of its statements.
    stops: Vec<Diagnostic>,
    /// Whether a limit was reached.
    exhausted: bool,
}

/// One evaluation of a BUILD.star.
struct Run<'a> {
    source: &'a Source,
    loaded: &'a BTreeMap<String, Library>,
    prelude: Option<&'a Library>,
    package: &'a PackageId,
    context: &'a dyn PackageContext,
}

impl Run<'_> {
    fn known_names(&self) -> BTreeSet<String> {
        let mut names = globals::names(globals::build());
        names.extend(self.prelude.iter().flat_map(|prelude| prelude.exports()));
        names
    }

    fn session(&self) -> Session<'_> {
        let state = BuildState {
            package: self.package.clone(),
            context: self.context,
            prelude: self.prelude.cloned(),
            source: self.source.clone(),
            declared: RefCell::default(),
        };
        let libraries = self.loaded.values().chain(self.prelude).cloned();
        Session::new(self.source, libraries, Mode::Build(Box::new(state)))
    }

    fn whole(&self, ast: AstModule) -> Evaluated {
        self.evaluate(vec![ast], BTreeSet::new())
    }

    /// Evaluates each statement for its errors, passing over those that need what a failed one would have defined.
    fn by_statement(&self) -> Vec<Diagnostic> {
        let Ok(ast) = self.source.parse(&BUILD_DIALECT) else { return Vec::new() };
        let known = self.known_names();
        let (statements, undefined) = check::statements(&ast, self.source, &known);
        let Evaluated { declared, stops, .. } = self.evaluate(statements, undefined);
        stops.into_iter().chain(declared.errors).collect()
    }

    fn evaluate(&self, modules: Vec<AstModule>, mut undefined: BTreeSet<String>) -> Evaluated {
        let session = self.session();
        let loader = Loads(self.loaded);
        let mut stops = Vec::new();
        Module::with_temp_heap(|module| {
            if let Some(prelude) = self.prelude {
                module.import_public_symbols(prelude.module());
            }
            let mut eval = evaluator(&module, &session);
            eval.set_loader(&loader);
            for ast in modules {
                if session.is_stopped() {
                    break;
                }
                let names = check::Names::of(&ast);
                if names.uses.iter().any(|name| undefined.contains(name)) {
                    undefined.extend(names.assigns);
                } else if let Err(error) = eval.eval_module(ast, globals::build()) {
                    stops.push(session.diagnose(&error));
                    undefined.extend(names.assigns);
                }
            }
        });
        let exhausted = session.is_stopped();
        let Mode::Build(state) = session.mode else { unreachable!("the session was made for a BUILD.star") };
        Evaluated { declared: state.declared.into_inner(), stops, exhausted }
    }
}
