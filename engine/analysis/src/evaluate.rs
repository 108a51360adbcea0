//! Runs the rules of units, level by level, and collects providers and actions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loading::Loader;
use model::{
    Action, ActionKind, Artifact, ConfiguredTarget, DEFAULT_INFO, Data, DefaultInfo, Depset, Diagnostic, Diagnostics,
    Event, Reporter, RuleSchema, Target, TargetKey,
};
use rayon::prelude::*;
use script::RuleContext;

use crate::analysis::{Failures, Options, with_shell};
use crate::check::check_dependency;
use crate::discover::{Discovery, Unit, UnitKind};
use crate::expand::{Dependencies, expand};
use crate::order::{Levels, levels};
use crate::record::UnitRecord;

pub(crate) type Attributes = Arc<BTreeMap<Arc<str>, Data>>;

/// What evaluating one unit gave.
pub(crate) struct Evaluated {
    pub(crate) target: Arc<ConfiguredTarget>,
    pub(crate) actions: Vec<Action>,
    pub(crate) attributes: Option<Attributes>,
}

/// The rules that ran so far.
pub(crate) struct Evaluation<'a> {
    loader: &'a Loader,
    options: &'a Options,
    reporter: &'a dyn Reporter,
    pub(crate) done: HashMap<TargetKey, Evaluated>,
    /// The order in which units were evaluated.
    order: Vec<TargetKey>,
    analysed: AtomicUsize,
}

/// What [`Evaluation::finish`] gives.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) targets: BTreeMap<TargetKey, Arc<ConfiguredTarget>>,
    pub(crate) attributes: BTreeMap<TargetKey, Attributes>,
    pub(crate) actions: Vec<Arc<Action>>,
    pub(crate) units: Vec<UnitRecord>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(loader: &'a Loader, options: &'a Options, reporter: &'a dyn Reporter) -> Self {
        let (done, order, analysed) = Default::default();
        Self { loader, options, reporter, done, order, analysed }
    }

    /// Runs the rules of all units that were discovered and did not run yet. Units above a failed one are left out.
    pub(crate) fn advance(&mut self, discovery: &Discovery<'_>, failures: &mut Failures) -> Result<(), Diagnostics> {
        let Levels { levels, cycles } = levels(self.loader, discovery);
        failures.add(cycles)?;
        let mut wrong = Vec::new();
        for level in levels {
            let units: Vec<&Unit> = level
                .into_iter()
                .map(|unit| &discovery.units[unit])
                .filter(|unit| !self.done.contains_key(&unit.key))
                .filter(|unit| unit.edges.iter().all(|edge| self.done.contains_key(&edge.to)))
                .collect();
            let results: Vec<_> = units.par_iter().map(|unit| self.evaluate(unit)).collect();
            for (unit, result) in units.into_iter().zip(results) {
                match result {
                    Ok(evaluated) => {
                        self.order.push(unit.key.clone());
                        self.done.insert(unit.key.clone(), evaluated);
                    }
                    Err(errors) => wrong.extend(errors.0),
                }
            }
        }
        failures.add(wrong)
    }

    /// Whether an action waits for the shell's tree.
    pub(crate) fn needs_shell(&self) -> bool {
        self.done.values().flat_map(|evaluated| &evaluated.actions).any(waits_for_shell)
    }

    /// Gives the shell's tree to the actions that wait for it.
    pub(crate) fn give_shell(&mut self, shell: &TargetKey) -> Result<Artifact, Diagnostics> {
        let target = Arc::clone(&self.done[shell].target);
        let files = target.default_info().files.to_list();
        let tree = match files.as_slice() {
            [Data::File(tree)] if tree.is_tree() => tree.clone(),
            _ => {
                let message = format!("{} cannot be the shell: it must have exactly one tree", target.label());
                return Err(Diagnostic::error(message).into());
            }
        };
        let own = self.done[&target.key].actions.iter().find(|action| waits_for_shell(action));
        if let Some(action) = own {
            let message = format!("{} is the shell and needs itself ({})", target.label(), action.mnemonic);
            return Err(Diagnostic::error(message).into());
        }
        for evaluated in self.done.values_mut() {
            let actions = std::mem::take(&mut evaluated.actions);
            evaluated.actions = actions.into_iter().map(|action| with_shell(action, &tree)).collect();
        }
        Ok(tree)
    }

    pub(crate) fn finish(mut self, discovery: &Discovery<'_>) -> Result<Results, Diagnostics> {
        let mut results = Results::default();
        for key in &self.order {
            let Some(unit) = discovery.index.get(key).map(|index| &discovery.units[*index]) else { continue };
            let Some(evaluated) = self.done.remove(key) else { continue };
            let record = UnitRecord::new(self.loader, unit, evaluated)?;
            results.targets.insert(key.clone(), Arc::clone(&record.value));
            results.actions.extend(record.actions.iter().cloned());
            if let Some(attributes) = &record.attributes {
                results.attributes.insert(key.clone(), Arc::clone(attributes));
            }
            results.units.push(record);
        }
        Ok(results)
    }

    pub(crate) fn evaluate(&self, unit: &Unit) -> Result<Evaluated, Diagnostics> {
        match &unit.kind {
            UnitKind::Source(artifact) => Ok(forwarded(Arc::new(ConfiguredTarget::source(artifact)))),
            UnitKind::Output => self.output_file(unit),
            UnitKind::Alias(target) => match unit.edges.first() {
                Some(edge) => Ok(forwarded(Arc::clone(&self.done[&edge.to].target))),
                None => {
                    let diagnostic = Diagnostic::error(format!("the alias {} has no `actual`", target.label));
                    Err(self.loader.locate(diagnostic, target.location.as_ref()).into())
                }
            },
            UnitKind::Rule { target, schema, attributes } => self.rule(unit, target, schema, attributes),
        }
    }

    fn output_file(&self, unit: &Unit) -> Result<Evaluated, Diagnostics> {
        let generator = &self.done[&unit.edges[0].to];
        let Some(file) = find_output(&unit.key, &generator.actions) else {
            let message = format!("no action of {} makes its output {}", generator.target.label(), unit.key.label);
            return Err(Diagnostic::error(message).into());
        };
        let files = Arc::new(Depset::of(vec![Data::File(file)]));
        let info = DefaultInfo { files, ..DefaultInfo::default() };
        let providers = BTreeMap::from([(DEFAULT_INFO.clone(), Arc::new(info.to_provider()))]);
        let target = ConfiguredTarget { key: unit.key.clone(), kind: Arc::from("generated file"), providers };
        Ok(forwarded(Arc::new(target)))
    }

    fn rule(
        &self,
        unit: &Unit,
        target: &Arc<Target>,
        schema: &Arc<RuleSchema>,
        attributes: &Attributes,
    ) -> Result<Evaluated, Diagnostics> {
        let mut dependencies = Dependencies::new();
        let mut wrong = Vec::new();
        for edge in &unit.edges {
            let dependency = &self.done[&edge.to].target;
            if let Err(errors) = check_dependency(self.loader, target, schema, edge, dependency) {
                wrong.extend(errors.0);
            }
            dependencies.insert((Arc::clone(&edge.attribute), edge.label.clone()), Arc::clone(dependency));
        }
        if !wrong.is_empty() {
            return Err(Diagnostics(wrong));
        }
        let exec = self.options.exec_configuration();
        let configuration = unit.key.configuration.as_ref().unwrap_or(&exec);
        let context = RuleContext {
            target,
            schema,
            configuration,
            exec_platform: &self.options.exec_platform,
            attributes,
            dependencies: &dependencies,
        };
        let library = self.loader.library(&target.rule.file)?;
        let analysed = script::analyse(&library, &target.rule.name, &context)?;
        let providers = analysed.providers.into_iter().map(|provider| (provider.id.clone(), provider)).collect();
        let kind = Arc::clone(&target.rule.name);
        let mut configured = ConfiguredTarget { key: unit.key.clone(), kind, providers };
        self.complete(&mut configured, target, schema, &analysed.actions)?;
        let attributes = self.expand_runnable(target, schema, attributes, &dependencies)?;
        let count = self.analysed.fetch_add(1, Ordering::Relaxed) + 1;
        self.reporter.report(Event::TargetAnalysed { analysed: count });
        Ok(Evaluated { target: Arc::new(configured), actions: analysed.actions, attributes: Some(attributes) })
    }

    /// Fills in what a rule left out and checks what it promised.
    fn complete(
        &self,
        configured: &mut ConfiguredTarget,
        target: &Target,
        schema: &RuleSchema,
        actions: &[Action],
    ) -> Result<(), Diagnostics> {
        let mut wrong = Vec::new();
        let mut fail = |message: String| {
            wrong.push(self.loader.locate(Diagnostic::error(message), target.location.as_ref()));
        };
        let mut outputs = Vec::new();
        for name in &target.outputs {
            let label = target.label.sibling(name).map_err(|error| Diagnostic::error(error.to_string()))?;
            let key = TargetKey { label, configuration: configured.key.configuration.clone() };
            match find_output(&key, actions) {
                Some(file) => outputs.push(Data::File(file)),
                None => fail(format!("no action of {} makes its output `{name}`", target.label)),
            }
        }
        let info = configured.providers.entry(DEFAULT_INFO.clone()).or_insert_with(|| {
            // As in Bazel: without DefaultInfo, the predeclared outputs are what is built.
            let info = DefaultInfo { files: Arc::new(Depset::of(outputs)), ..DefaultInfo::default() };
            Arc::new(info.to_provider())
        });
        if (schema.executable || schema.test) && DefaultInfo::from_provider(info).executable.is_none() {
            fail(format!("the rule `{}` of {} is executable but gave no `executable`", target.rule.name, target.label));
        }
        if wrong.is_empty() { Ok(()) } else { Err(Diagnostics(wrong)) }
    }

    fn expand_runnable(
        &self,
        target: &Target,
        schema: &RuleSchema,
        attributes: &Attributes,
        dependencies: &Dependencies,
    ) -> Result<Attributes, Diagnostics> {
        if !schema.executable && !schema.test {
            return Ok(Arc::clone(attributes));
        }
        let mut attributes = BTreeMap::clone(attributes);
        for name in ["args", "env"] {
            let Some(data) = attributes.get_mut(name) else { continue };
            *data = expand(data, target, dependencies)
                .map_err(|error| self.loader.locate(error, target.location.as_ref()))?;
        }
        Ok(Arc::new(attributes))
    }
}

fn forwarded(target: Arc<ConfiguredTarget>) -> Evaluated {
    Evaluated { target, actions: Vec::new(), attributes: None }
}

pub(crate) fn waits_for_shell(action: &Action) -> bool {
    matches!(&action.kind, ActionKind::Spawn(spawn) if spawn.needs_shell && spawn.root.is_none())
}

/// The artifact that a predeclared output's label names, among the outputs of its target's actions.
fn find_output(key: &TargetKey, actions: &[Action]) -> Option<Artifact> {
    let folder = key.configuration.as_ref()?.folder();
    let path = format!("out/{folder}/{}", key.label.exec_path());
    actions.iter().flat_map(|action| &action.outputs).find(|output| output.path().as_str() == path).cloned()
}
