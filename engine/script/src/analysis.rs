//! Runs a rule's implementation: a target with its dependencies' providers becomes providers and actions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use model::{
    Action, Artifact, AttributeSchema, Configuration, ConfiguredTarget, DEFAULT_INFO, Data, DefaultInfo, Depset,
    Diagnostic, Diagnostics, Label, Platform, ProviderInstance, RelPath, RuleSchema, Target, TargetKey,
};
use starlark::environment::Module;
use starlark::eval::Evaluator;

use crate::diagnose;
use crate::library::Library;
use crate::problem::Problem;
use crate::session::{Mode, Rule, Session, limit};
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

/// Runs the implementation of the rule that `library` defines as `rule_name`.
pub fn analyse(library: &Library, rule_name: &str, cx: &RuleContext<'_>) -> Result<Analysed, Diagnostics> {
    let Some(rule) = library.exported_rule(rule_name) else {
        return Err(Diagnostic::error(format!("{} defines no rule `{rule_name}`", library.label())).into());
    };
    check_dependencies(cx)?;
    let data = Arc::new(context(rule, cx)?);
    let providers = run(library, rule, &data).map_err(|error| Diagnostics::from(while_analysing(error, cx)))?;
    let mut errors = Vec::new();
    let state = std::mem::take(&mut *data.state());
    for output in state.outputs.values().filter(|output| output.writer.is_none()) {
        let name = output.artifact.short_path();
        let error = Diagnostic::error(format!("no action writes the output `{name}`"));
        let location = output.location.clone().or_else(|| rule.schema.location.clone());
        errors.push(error.at(location).hint("write it with an action, or do not declare it"));
    }
    match complete(providers, rule, &state) {
        Ok(providers) if errors.is_empty() => return Ok(Analysed { providers, actions: state.actions }),
        Ok(_) => {}
        Err(found) => {
            errors.extend(found.iter().map(|found| diagnose::problem(found).at(rule.schema.location.clone())));
        }
    }
    Err(Diagnostics(errors.into_iter().map(|error| while_analysing(error, cx)).collect()))
}

fn while_analysing(error: Diagnostic, cx: &RuleContext<'_>) -> Diagnostic {
    let rule = &cx.schema.id.name;
    match &cx.target.location {
        Some(location) => {
            error.note(format!("while analysing {} ({rule}), declared at {location}", cx.target.label))
        }
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
        let output = Output { artifact: artifact.clone(), location: None, writer: None };
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
        let mut eval = Evaluator::new(&module);
        limit(&mut eval);
        eval.extra = Some(&session);
        let function = eval.heap().access_owned_frozen_value(&function);
        let context = eval.heap().alloc(ContextValue(Arc::clone(data)));
        let result = eval.eval_function(function, &[context], &[]).map_err(|error| diagnose::error(&error))?;
        instances(result).map_err(|found| diagnose::problem(&found).at(rule.schema.location.clone()))
    })
}

/// Completes `DefaultInfo` and checks what was promised.
fn complete(
    providers: Vec<Arc<ProviderInstance>>,
    rule: &Rule,
    state: &ActionState,
) -> Result<Vec<Arc<ProviderInstance>>, Vec<Problem>> {
    let mut problems = Vec::new();
    let name = &rule.schema.id.name;
    let mut by_id = BTreeMap::new();
    for provider in &providers {
        if by_id.insert(provider.id.clone(), provider).is_some() {
            problems.push(Problem::new(format!("`{name}` returned `{}` twice", provider.id)));
        }
    }
    for promised in &rule.provides {
        if *promised != *DEFAULT_INFO && !by_id.contains_key(promised) {
            problems.push(Problem::new(format!("`{name}` promised `{promised}`, but did not return it")));
        }
    }
    let given = by_id.get(&*DEFAULT_INFO);
    let mut info = given.map(|given| DefaultInfo::from_provider(given)).unwrap_or_default();
    if given.is_none_or(|given| given.get("files").is_none()) {
        info.files = Arc::new(default_files(state, info.executable.as_ref()));
    }
    if rule.schema.executable && info.executable.is_none() {
        let problem = Problem::new(format!("`{name}` is executable, but returned no executable"));
        problems.push(problem.hint("return `DefaultInfo(executable = ...)`"));
    }
    for (field, set) in [("files", &info.files), ("runfiles", &info.runfiles)] {
        if let Some(other) = set.direct.iter().find(|data| data.as_file().is_none()) {
            problems.push(Problem::new(format!("`{field}` of DefaultInfo holds a {}", other.type_name())));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let others = providers.iter().filter(|provider| provider.id != *DEFAULT_INFO).cloned();
    Ok(std::iter::once(Arc::new(info.to_provider())).chain(others).collect())
}

/// The outputs that the BUILD.star names, or else the executable.
fn default_files(state: &ActionState, executable: Option<&Artifact>) -> Depset {
    let named = state.outputs.values().filter(|output| output.location.is_none());
    let mut files: Vec<Data> = named.map(|output| Data::File(output.artifact.clone())).collect();
    if files.is_empty() {
        files.extend(executable.map(|file| Data::File(file.clone())));
    }
    Depset::of(files)
}

/// Whether each dependency is what its attribute asks for.
fn check_dependencies(cx: &RuleContext<'_>) -> Result<(), Diagnostics> {
    let mut errors = Vec::new();
    for (name, schema) in cx.schema.attributes.iter().filter(|(_, schema)| schema.kind.is_label()) {
        let Some(data) = cx.attributes.get(name) else { continue };
        data.for_each_label(&mut |label| {
            let found = match cx.dependencies.get(&(Arc::clone(name), label.clone())) {
                Some(dependency) => check_dependency(schema, dependency),
                None => Err(Problem::new("it was not analysed")),
            };
            if let Err(problem) = found {
                let rule = &cx.schema.id.name;
                let message = format!("`{name}` of {} ({rule}): {label}: {}", cx.target.label, problem.message);
                let problem = Problem { message, ..problem };
                errors.push(diagnose::problem(&problem).at(cx.target.location.clone()));
            }
        });
    }
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors)) }
}

fn check_dependency(schema: &AttributeSchema, dependency: &ConfiguredTarget) -> Result<(), Problem> {
    let info = dependency.default_info();
    if dependency.key.configuration.is_none() {
        if schema.files.allowed {
            check_ending(schema, dependency)?;
        } else if !schema.executable {
            return Err(Problem::new("it is a file, but the attribute takes targets only"));
        }
    } else if !schema.providers.is_empty() {
        let has = |all: &Vec<_>| all.iter().all(|id| dependency.providers.contains_key(id));
        let files = schema.files.allowed && !info.files.is_empty();
        if !schema.providers.iter().any(has) && !files {
            let wanted = schema.providers.iter().map(|all| {
                all.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" and ")
            });
            let wanted: Vec<String> = wanted.collect();
            return Err(Problem::new(format!("it is a {} without {}", dependency.kind, wanted.join(", or "))));
        }
    }
    if schema.executable && dependency.key.configuration.is_some() && info.executable.is_none() {
        return Err(Problem::new(format!("it is a {}, which is not executable", dependency.kind)));
    }
    if schema.files.single {
        let count = info.files.to_list().len();
        if count != 1 {
            return Err(Problem::new(format!("it has {count} files, but the attribute takes exactly one")));
        }
    }
    Ok(())
}

fn check_ending(schema: &AttributeSchema, dependency: &ConfiguredTarget) -> Result<(), Problem> {
    let endings = &schema.files.extensions;
    let name = dependency.label().name();
    if endings.is_empty() || endings.iter().any(|ending| name.ends_with(&**ending)) {
        return Ok(());
    }
    let endings: Vec<String> = endings.iter().map(|ending| format!("`{ending}`")).collect();
    Err(Problem::new(format!("its name does not end in {}", endings.join(" or "))))
}
