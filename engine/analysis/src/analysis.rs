//! One analysis: its options, its result, its phases.

use std::collections::BTreeMap;
use std::sync::Arc;

use loading::Loader;
use model::{
    Action, ActionKind, Artifact, Configuration, ConfiguredTarget, Data, Depset, Diagnostic, Diagnostics, Label,
    Platform, Reporter, TargetKey,
};

use crate::conflict::check_outputs;
use crate::discover::{Discovery, distinct};
use crate::evaluate::{Evaluation, Results};
use crate::record::UnitRecord;

/// How to analyse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where actions run; attributes with `cfg = "exec"` are built for it.
    pub exec_platform: Platform,
    /// Whether to go on with what is good, whatever fails beside it.
    pub keep_going: bool,
    /// The target whose only file is the tree with `/bin/sh`, for actions that need a shell: `@toolchains//:shell`.
    pub shell: Label,
}

/// The result of an analysis; equal for equal inputs, also in its order.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// All configured targets that were reached. An alias is listed under its own key with the actual target as its
    /// value.
    pub targets: BTreeMap<TargetKey, Arc<ConfiguredTarget>>,
    /// All actions of these, dependencies first.
    pub actions: Vec<Arc<Action>>,
    /// The attributes of the rule targets, selects resolved, `$(location)` expanded in `args` and `env`.
    pub attributes: BTreeMap<TargetKey, Arc<BTreeMap<Arc<str>, Data>>>,
    /// The requested targets in the order given: source files without configuration, `@toolchains` labels resolved.
    pub requested: Vec<TargetKey>,
    /// The tree of the shell, if an action needs it.
    pub shell: Option<Artifact>,
    /// How everything came about, dependencies first.
    pub units: Vec<UnitRecord>,
    /// What went wrong, when it was asked to go on with what is good.
    pub wrong: Vec<Diagnostic>,
}

impl Options {
    /// The configuration of tools. It has no settings of its own, so that tools are shared with a default build.
    pub fn exec_configuration(&self) -> Arc<Configuration> {
        Arc::new(Configuration::new(self.exec_platform.clone()))
    }
}

impl Analysis {
    /// The configured target that was requested as the `index`th.
    pub fn requested_target(&self, index: usize) -> Option<&Arc<ConfiguredTarget>> {
        self.targets.get(self.requested.get(index)?)
    }

    /// The resolved attributes of a target; through an alias, the actual target's. `None` for files.
    pub fn attributes_of(&self, key: &TargetKey) -> Option<&BTreeMap<Arc<str>, Data>> {
        let actual = self.targets.get(key).map_or(key, |target| &target.key);
        self.attributes.get(actual).map(|attributes| &**attributes)
    }
}

/// Analyses the targets and all they depend on.
pub fn analyse(
    loader: &Loader,
    targets: &[TargetKey],
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Analysis, Diagnostics> {
    // Rule functions nest as deep as their authors like; the default stack of a thread is made for less.
    let pool = rayon::ThreadPoolBuilder::new().stack_size(32 << 20).build();
    let pool = pool.map_err(|error| Diagnostic::error(format!("cannot start threads: {error}")))?;
    pool.install(|| run(loader, targets, options, reporter))
}

fn run(
    loader: &Loader,
    targets: &[TargetKey],
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Analysis, Diagnostics> {
    let mut discovery = Discovery::new(loader, options.exec_configuration());
    let mut evaluation = Evaluation::new(loader, options, reporter);
    let mut failures = Failures { keep_going: options.keep_going, wrong: Vec::new() };
    let mut requested = discovery.request(targets, &mut failures)?;
    evaluation.advance(&discovery, &mut failures)?;
    let mut shell_tree = None;
    if evaluation.needs_shell() {
        let key = TargetKey { label: options.shell.clone(), configuration: Some(options.exec_configuration()) };
        // Nothing goes on without a shell.
        let mut fatal = Failures { keep_going: false, wrong: Vec::new() };
        let shell = discovery.request(&[key], &mut fatal)?.remove(0);
        evaluation.advance(&discovery, &mut Failures { wrong: Vec::new(), ..failures })?;
        if !evaluation.done.contains_key(&shell) {
            evaluation.advance(&discovery, &mut fatal)?;
        }
        shell_tree = Some(evaluation.give_shell(&shell)?);
    }
    let Results { targets, attributes, actions, units } = evaluation.finish(&discovery)?;
    check_outputs(loader, &actions)?;
    requested.retain(|key| targets.contains_key(key));
    let wrong = distinct(failures.wrong).0;
    Ok(Analysis { targets, actions, attributes, requested, shell: shell_tree, units, wrong })
}

/// What failed so far, and whether that is the end.
pub(crate) struct Failures {
    keep_going: bool,
    wrong: Vec<Diagnostic>,
}

impl Failures {
    /// Takes errors; they are the end unless it is to go on.
    pub(crate) fn add(&mut self, errors: Vec<Diagnostic>) -> Result<(), Diagnostics> {
        if errors.is_empty() {
            return Ok(());
        }
        self.wrong.extend(errors);
        if self.keep_going { Ok(()) } else { Err(distinct(std::mem::take(&mut self.wrong))) }
    }
}

/// The action with the shell's tree as its root and among its inputs.
pub(crate) fn with_shell(mut action: Action, shell: &Artifact) -> Action {
    if let ActionKind::Spawn(spawn) = &mut action.kind
        && spawn.needs_shell
        && spawn.root.is_none()
    {
        spawn.root = Some(shell.clone());
        let direct = vec![Data::File(shell.clone())];
        action.inputs = Arc::new(Depset { order: action.inputs.order, direct, transitive: vec![action.inputs] });
    }
    action
}
