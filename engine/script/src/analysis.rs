//! Runs a rule's implementation: a target with its dependencies' providers becomes providers and actions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use model::{
    Action, ActionKind, Artifact, ArtifactRoot, Configuration, ConfiguredTarget, DEFAULT_INFO, Data, DefaultInfo,
    Depset, Diagnostic, Diagnostics, FunctionRef, Label, Platform, ProviderInstance, RelPath, RuleSchema, Target,
    TargetKey,
};
use starlark::environment::Module;

use crate::diagnose;
use crate::library::Library;
use crate::problem::{Problem, a};
use crate::session::{Mode, Rule, Session, evaluator};
use crate::source::Source;
use crate::values::{ActionState, ContextData, ContextValue, Output, instances};

/// What a rule's implementation works on.
pub struct RuleContext<'a> {
    /// The target.
    pub target: &'a Target,
    /// Its rule, as `Library::rule` gives it.
    pub schema: &'a RuleSchema,
    /// What it is built for.
    pub configuration: &'a Configuration,
    /// The platform that actions run on.
    pub exec_platform: &'a Platform,
    /// All attributes: selects resolved, labels absolute.
    pub attributes: &'a BTreeMap<Arc<str>, Data>,
    /// The dependencies by attribute and by the label that the attribute names.
    pub dependencies: &'a BTreeMap<(Arc<str>, Label), Arc<ConfiguredTarget>>,
}

/// What a rule's implementation made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysed {
    /// Its providers; `DefaultInfo` is always among them, complete, and first.
    pub providers: Vec<Arc<ProviderInstance>>,
    /// Its actions in the order they were registered.
    pub actions: Vec<Action>,
}

/// Runs the implementation of the rule that `library` defines as `rule_name`. Whether the dependencies may be ones
/// (visibility, providers, files) is for the caller to check before.
pub fn analyse(library: &Library, rule_name: &str, cx: &RuleContext<'_>) -> Result<Analysed, Diagnostics> {
    let Some(rule) = library.exported_rule(rule_name) else {
        return Err(Diagnostic::error(format!("{} defines no rule `{rule_name}`", library.label())).into());
    };
    let data = Arc::new(context(rule, cx)?);
    let providers = run(library, rule, &data).map_err(|error| Diagnostics::from(while_analysing(error, cx)))?;
    let mut errors = Vec::new();
    let state = std::mem::take(&mut *data.state());
    for output in state.outputs.values().filter(|output| output.writer.is_none()) {
        let name = output.artifact.short_path();
        let error = Diagnostic::error(format!("no action writes the output `{name}`"))
            .hint("write it with an action, or do not declare it");
        errors.push(match &output.declared {
            Some(span) => diagnose::at(error, span),
            None => at_implementation(library, rule, error),
        });
    }
    errors.extend(nested(&state).into_iter().map(|error| at_implementation(library, rule, error)));
    let mut state = state;
    match complete(providers, rule, &mut state) {
        Ok(providers) if errors.is_empty() => return Ok(Analysed { providers, actions: state.actions }),
        Ok(_) => {}
        Err(found) => {
            errors.extend(found.iter().map(|found| at_implementation(library, rule, diagnose::problem(found))));
        }
    }
    Err(Diagnostics(errors.into_iter().map(|error| while_analysing(error, cx)).collect()))
}

/// An error at the signature of the rule's implementation.
fn at_implementation(library: &Library, rule: &Rule, error: Diagnostic) -> Diagnostic {
    let FunctionRef { file, name } = &rule.implementation;
    let mut libraries = BTreeMap::new();
    library.collect(&mut libraries);
    match libraries.get(file).and_then(|library| library.place(name)) {
        Some(span) => diagnose::at(error, span),
        None => error.at(rule.schema.location.clone()),
    }
}

/// Outputs that lie inside of an output directory.
fn nested(state: &ActionState) -> Vec<Diagnostic> {
    let trees = state.outputs.values().filter(|output| output.artifact.is_tree());
    let inside = |tree: &RelPath| {
        let below =
            state.outputs.keys().filter(move |path| *path != tree && path.strip_prefix(tree.as_str()).is_some());
        below
            .map(|path| Diagnostic::error(format!("the output `{path}` lies inside of the output directory `{tree}`")))
            .collect()
    };
    trees.flat_map(|tree| -> Vec<Diagnostic> { inside(tree.artifact.path()) }).collect()
}

fn while_analysing(error: Diagnostic, cx: &RuleContext<'_>) -> Diagnostic {
    let rule = &cx.schema.id.name;
    match &cx.target.location {
        Some(location) => error.note(format!("while analysing {} ({rule}), declared at {location}", cx.target.label)),
        None => error.note(format!("while analysing {} ({rule})", cx.target.label)),
    }
}

fn context(rule: &Rule, cx: &RuleContext<'_>) -> Result<ContextData, Diagnostics> {
    let configuration = Arc::new(cx.configuration.clone());
    let bin_dir = RelPath::new(&format!("out/{}", configuration.folder()));
    let bin_dir = bin_dir.map_err(|error| Diagnostic::error(error.to_string()))?;
    let owner = TargetKey { label: cx.target.label.clone(), configuration: Some(Arc::clone(&configuration)) };
    let context = ContextData {
        owner,
        configuration,
        exec_platform: cx.exec_platform.clone(),
        schema: Arc::clone(&rule.schema),
        attributes: cx.attributes.clone(),
        dependencies: cx.dependencies.clone(),
        bin_dir,
        state: Mutex::default(),
    };
    for name in &cx.target.outputs {
        let artifact = context.output(name, false).map_err(|problem| diagnose::problem(&problem))?;
        let output = Output { artifact: artifact.clone(), declared: None, writer: None };
        context.state().outputs.insert(artifact.path().clone(), output);
    }
    Ok(context)
}

fn run(library: &Library, rule: &Rule, data: &Arc<ContextData>) -> Result<Vec<Arc<ProviderInstance>>, Diagnostic> {
    let source = Source { label: library.label().clone(), path: Arc::clone(library.path()), text: Arc::from("") };
    let session = Session::new(&source, [library.clone()], Mode::Analysis);
    let function = session.libraries.get(&rule.implementation.file);
    let Some(function) = function.and_then(|library| library.get(&rule.implementation.name)) else {
        let name = &rule.implementation.name;
        return Err(Diagnostic::error(format!("{} defines no function `{name}`", rule.implementation.file)));
    };
    Module::with_temp_heap(|module| {
        let mut eval = evaluator(&module, &session);
        let function = eval.heap().access_owned_frozen_value(&function);
        let context = eval.heap().alloc(ContextValue(Arc::clone(data)));
        let result = eval.eval_function(function, &[context], &[]).map_err(|error| session.diagnose(&error))?;
        instances(result).map_err(|found| at_implementation(library, rule, diagnose::problem(&found)))
    })
}

/// Completes `DefaultInfo` and checks what was promised.
fn complete(
    providers: Vec<Arc<ProviderInstance>>,
    rule: &Rule,
    state: &mut ActionState,
) -> Result<Vec<Arc<ProviderInstance>>, Vec<Problem>> {
    let mut problems = Vec::new();
    let name = &rule.schema.id.name;
    let mut by_id = BTreeMap::new();
    for provider in &providers {
        if by_id.insert(provider.id.clone(), provider).is_some() {
            problems.push(Problem::new(format!("`{name}` returned `{}` twice", provider.id)));
        }
    }
    for promised in &rule.schema.provides {
        if *promised != *DEFAULT_INFO && !by_id.contains_key(promised) {
            problems.push(Problem::new(format!("`{name}` promised `{promised}`, but did not return it")));
        }
    }
    let given = by_id.get(&*DEFAULT_INFO);
    let mut info = given.map(|given| DefaultInfo::from_provider(given)).unwrap_or_default();
    if given.is_none_or(|given| given.get("files").is_none()) {
        info.files = Arc::new(default_files(state, info.executable.as_ref()));
    }
    if let Some(executable) = &info.executable {
        info.script |= make_executable(executable, state);
    }
    if rule.schema.executable && info.executable.is_none() {
        let problem = Problem::new(format!("`{name}` is executable, but returned no executable"));
        problems.push(problem.hint("return `DefaultInfo(executable = ...)`"));
    }
    for (field, set) in [("files", &info.files), ("runfiles", &info.runfiles)] {
        if let Some(other) = set.direct.iter().find(|data| data.as_file().is_none()) {
            problems.push(Problem::new(format!("`{field}` of DefaultInfo holds {}", a(other.type_name()))));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let others = providers.iter().filter(|provider| provider.id != *DEFAULT_INFO).cloned();
    Ok(std::iter::once(Arc::new(info.to_provider())).chain(others).collect())
}

/// What a rule returns as its executable can be executed, however it was made. Returns whether it may be a script.
fn make_executable(file: &Artifact, state: &mut ActionState) -> bool {
    let Some(action) = state.actions.iter_mut().find(|action| action.outputs.contains(file)) else {
        return file.root() == ArtifactRoot::Source;
    };
    match &mut action.kind {
        ActionKind::Spawn(spawn) => {
            spawn.executable_outputs = true;
            spawn.needs_shell
        }
        ActionKind::Write { content, executable, .. } => {
            *executable = true;
            content.starts_with("#!")
        }
        ActionKind::Copy { .. } | ActionKind::Tree { .. } | ActionKind::Builtin { .. } => true,
    }
}

/// The outputs that the BUILD.star names, or else the executable.
fn default_files(state: &ActionState, executable: Option<&Artifact>) -> Depset {
    let named = state.outputs.values().filter(|output| output.declared.is_none());
    let mut files: Vec<Data> = named.map(|output| Data::File(output.artifact.clone())).collect();
    if files.is_empty() {
        files.extend(executable.map(|file| Data::File(file.clone())));
    }
    Depset::of(files)
}
