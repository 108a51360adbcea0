//! WORKSPACE.star.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::{Data, Diagnostic, Diagnostics, Label, Location, PackageId, RepositoryDecl, WorkspaceDecl};
use starlark::environment::{GlobalsBuilder, Module};
use starlark::eval::{Arguments, Evaluator};
use starlark::starlark_module;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::NoneType;
use starlark::values::{NoSerialize, StarlarkValue, Value, starlark_value};

use crate::problem::{Problem, a, fail};
use crate::session::{Mode, Session, evaluator, session};
use crate::source::{Source, WORKSPACE_DIALECT};
use crate::values::LabelValue;
use crate::{diagnose, globals};

/// What evaluating a WORKSPACE.star collects.
#[derive(Default)]
pub(crate) struct WorkspaceState {
    declared: WorkspaceDecl,
    named: Option<Location>,
}

/// The functions that declare external repositories, with the lockfiles each needs.
const REPOSITORIES: [(&str, &[&str]); 3] =
    [("go_modules", &["mod", "sum"]), ("pip_lock", &["lock"]), ("debian_lock", &["lock"])];

/// Evaluates a WORKSPACE.star.
pub fn eval_workspace(source: &Source) -> Result<WorkspaceDecl, Diagnostics> {
    let ast = source.parse(&WORKSPACE_DIALECT)?;
    let session = Session::new(source, [], Mode::Workspace(RefCell::default()));
    Module::with_temp_heap(|module| {
        let mut eval = evaluator(&module, &session);
        eval.eval_module(ast, globals::workspace()).map(|_| ()).map_err(|error| session.diagnose(&error))
    })?;
    let Mode::Workspace(state) = session.mode else { unreachable!("the session was made for a WORKSPACE.star") };
    let state = state.into_inner();
    if state.named.is_none() {
        let error = Diagnostic::error(format!("{} does not name the workspace", source.path));
        return Err(error.hint("add `workspace(name = \"...\")` as its first line").into());
    }
    Ok(state.declared)
}

fn state<'s>(eval: &Evaluator<'_, 's, '_>) -> starlark::Result<&'s RefCell<WorkspaceState>> {
    match &session(eval)?.mode {
        Mode::Workspace(state) => Ok(state),
        _ => fail("this can be called in WORKSPACE.star only"),
    }
}

fn here(eval: &Evaluator<'_, '_, '_>) -> Option<Location> {
    eval.call_stack_top_location().map(|span| diagnose::location(&span))
}

fn label(value: Value<'_>, argument: &str) -> starlark::Result<Label> {
    if let Some(label) = LabelValue::from_value(value) {
        return Ok(label.0.clone());
    }
    let Some(text) = value.unpack_str() else {
        return fail(format!("`{argument}` takes a label, but got {}", a(value.get_type())));
    };
    Label::parse(text, &PackageId::root()).map_err(|error| Problem::new(format!("`{argument}`: {error}")).into())
}

wrapper! {
    /// A function that declares an external repository; the index is into `REPOSITORIES`.
    #[derive(NoSerialize)]
    RepositoryFunction(usize)
}

impl fmt::Display for RepositoryFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function {}>", REPOSITORIES[self.0].0)
    }
}

#[starlark_value(type = "function")]
impl<'v> StarlarkValue<'v> for RepositoryFunction {
    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let (kind, lockfiles) = REPOSITORIES[self.0];
        if args.no_positional_args(eval.heap()).is_err() {
            return fail(format!("`{kind}` takes named arguments only"));
        }
        let mut name = None;
        let mut attributes = BTreeMap::new();
        for (argument, value) in args.names_map()? {
            match argument.as_str() {
                "name" => name = value.unpack_str().map(Arc::<str>::from),
                argument if lockfiles.contains(&argument) => {
                    attributes.insert(Arc::from(argument), Data::Label(label(value, argument)?));
                }
                "release" if kind == "go_modules" => {
                    let Some(release) = value.unpack_str() else { return fail("`release` takes a string: \"1.26\"") };
                    attributes.insert(Arc::from("release"), Data::Str(Arc::from(release)));
                }
                argument => {
                    let known = lockfiles.iter().copied().chain(["name"]);
                    let problem = Problem::new(format!("`{kind}` has no argument `{argument}`"));
                    return Err(problem.nearest(argument, known).into());
                }
            }
        }
        let Some(name) = name else { return fail(format!("`{kind}` needs a `name`, a string")) };
        if let Some(missing) = lockfiles.iter().find(|lockfile| !attributes.contains_key(**lockfile)) {
            return fail(format!("`{kind}` needs `{missing}`, the label of a lockfile"));
        }
        declare(RepositoryDecl { name, kind: Arc::from(kind), attributes, location: here(eval) }, eval)?;
        Ok(Value::new_none())
    }
}

fn declare(repository: RepositoryDecl, eval: &Evaluator<'_, '_, '_>) -> starlark::Result<()> {
    let name = &repository.name;
    if name.is_empty() || PackageId::new(name, "").is_err() {
        return fail(format!("`{name}` is not a repository's name: use letters, digits, `_`, `-` and `.`"));
    }
    if matches!(&**name, "rules" | "toolchains" | "builtin") {
        return fail(format!("`{name}` is the name of a repository of the engine"));
    }
    let mut state = state(eval)?.borrow_mut();
    if let Some(other) = state.declared.repositories.iter().find(|other| other.name == *name) {
        let problem = Problem::new(format!("two repositories are named `{name}`"));
        let note = other.location.as_ref().map(|location| format!("the other is declared at {location}"));
        return Err(note.into_iter().fold(problem, Problem::note).into());
    }
    state.declared.repositories.push(repository);
    Ok(())
}

/// The functions of WORKSPACE.star.
pub(crate) fn workspace_globals(builder: &mut GlobalsBuilder) {
    for (index, (name, _)) in REPOSITORIES.iter().enumerate() {
        builder.set(name, RepositoryFunction(index));
    }
    declarations(builder);
}

#[starlark_module]
fn declarations(builder: &mut GlobalsBuilder) {
    /// Names the workspace.
    fn workspace<'v>(
        #[starlark(require = named)] name: &str,
        #[starlark(require = named, default = UnpackListOrTuple::default())] ignore: UnpackListOrTuple<String>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let mut state = state(eval)?.borrow_mut();
        if let Some(earlier) = &state.named {
            return Err(Problem::new("workspace() is called twice")
                .note(format!("it is first called at {earlier}"))
                .into());
        }
        for folder in &ignore.items {
            if let Err(error) = model::RelPath::new(folder.trim_end_matches('/')) {
                return fail(format!("`ignore`: {error}"));
            }
        }
        state.named = here(eval);
        state.declared.name = Arc::from(name);
        state.declared.ignore = ignore.items.iter().map(|folder| Arc::from(folder.trim_end_matches('/'))).collect();
        Ok(NoneType)
    }

    /// Says which target `@toolchains//:name` stands for.
    fn toolchain<'v>(
        #[starlark(require = named)] name: &str,
        #[starlark(require = named)] target: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let target = label(target, "target")?;
        if state(eval)?.borrow_mut().declared.toolchains.insert(Arc::from(name), target).is_some() {
            return fail(format!("the toolchain `{name}` is declared twice"));
        }
        Ok(NoneType)
    }
}
