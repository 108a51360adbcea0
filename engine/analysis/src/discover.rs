//! Which configured targets there are and how they depend on each other: labels looked up, selects resolved, visibility
//! checked. No rule runs here.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use loading::{Loader, Node};
use model::{Artifact, Configuration, Data, Diagnostic, Diagnostics, Label, RuleSchema, Target, TargetKey};
use rayon::prelude::*;

use crate::analysis::Failures;
use crate::check::{check_testonly, check_visibility};
use crate::select::{Selector, core_rule};

/// A configured target before its rule ran.
pub(crate) struct Unit {
    pub(crate) key: TargetKey,
    pub(crate) kind: UnitKind,
    pub(crate) edges: Vec<Edge>,
    /// What its selects looked at.
    pub(crate) conditions: Vec<Label>,
}

/// What a unit is.
pub(crate) enum UnitKind {
    Source(Artifact),
    /// A predeclared output; its one edge leads to the target that makes it.
    Output,
    /// An alias; its one edge leads to the actual target.
    Alias(Arc<Target>),
    Rule {
        target: Arc<Target>,
        schema: Arc<RuleSchema>,
        /// Selects resolved.
        attributes: Arc<BTreeMap<Arc<str>, Data>>,
    },
}

/// Attributes with selects resolved, and the targets that the selects looked at.
type Resolved = (BTreeMap<Arc<str>, Data>, Vec<Label>);

/// A dependency.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) attribute: Arc<str>,
    /// As the attribute has it; an `@toolchains` label is not resolved here.
    pub(crate) label: Label,
    pub(crate) to: TargetKey,
}

/// All units reached so far, in a deterministic order.
pub(crate) struct Discovery<'a> {
    loader: &'a Loader,
    exec: Arc<Configuration>,
    pub(crate) units: Vec<Unit>,
    pub(crate) index: HashMap<TargetKey, usize>,
}

impl<'a> Discovery<'a> {
    pub(crate) fn new(loader: &'a Loader, exec: Arc<Configuration>) -> Self {
        Self { loader, exec, units: Vec::new(), index: HashMap::new() }
    }

    /// Adds targets and all they depend on; gives their keys as the graph has them. What fails has no unit.
    pub(crate) fn request(
        &mut self,
        targets: &[TargetKey],
        failures: &mut Failures,
    ) -> Result<Vec<TargetKey>, Diagnostics> {
        let mut requested = Vec::with_capacity(targets.len());
        let mut wrong = Vec::new();
        for key in targets {
            match self.key_of(&key.label, key.configuration.as_ref()) {
                Ok(key) => requested.push(key),
                Err(errors) => wrong.extend(errors.0),
            }
        }
        let mut frontier = requested.clone();
        while !frontier.is_empty() {
            frontier.retain(|key| !self.index.contains_key(key));
            let mut unique = std::collections::HashSet::new();
            frontier.retain(|key| unique.insert(key.clone()));
            let found: Vec<Result<Unit, Diagnostics>> = frontier.par_iter().map(|key| self.unit(key)).collect();
            let mut next = Vec::new();
            for result in found {
                match result {
                    Ok(unit) => {
                        next.extend(unit.edges.iter().map(|edge| edge.to.clone()));
                        self.index.insert(unit.key.clone(), self.units.len());
                        self.units.push(unit);
                    }
                    Err(errors) => wrong.extend(errors.0),
                }
            }
            frontier = next;
        }
        failures.add(wrong)?;
        Ok(requested)
    }

    pub(crate) fn key_of(
        &self,
        label: &Label,
        configuration: Option<&Arc<Configuration>>,
    ) -> Result<TargetKey, Diagnostics> {
        let label = self.loader.resolve(label)?;
        let configuration = match self.loader.node(&label)? {
            Node::SourceFile(_) => None,
            Node::Target(..) | Node::OutputFile { .. } => Some(configuration.unwrap_or(&self.exec).clone()),
        };
        Ok(TargetKey { label, configuration })
    }

    pub(crate) fn unit(&self, key: &TargetKey) -> Result<Unit, Diagnostics> {
        let node = self.loader.node(&key.label)?;
        let unit = |kind, edges| Ok(Unit { key: key.clone(), kind, edges, conditions: Vec::new() });
        match node {
            Node::SourceFile(artifact) => unit(UnitKind::Source(artifact), Vec::new()),
            Node::OutputFile { generator, .. } => {
                let to = TargetKey { label: generator.clone(), configuration: key.configuration.clone() };
                unit(UnitKind::Output, vec![Edge { attribute: Arc::from("generator"), label: generator, to }])
            }
            Node::Target(target, schema) => {
                let configuration = key.configuration.as_ref().unwrap_or(&self.exec);
                let (attributes, conditions) = self.resolve_attributes(&target, &schema, configuration)?;
                let edges = self.edges(&target, &schema, &attributes, configuration)?;
                let kind = match core_rule(&target) {
                    Some("alias") => UnitKind::Alias(target),
                    _ => UnitKind::Rule { target, schema, attributes: Arc::new(attributes) },
                };
                Ok(Unit { key: key.clone(), kind, edges, conditions })
            }
        }
    }

    fn resolve_attributes(
        &self,
        target: &Target,
        schema: &RuleSchema,
        configuration: &Configuration,
    ) -> Result<Resolved, Diagnostics> {
        let selector = Selector { loader: self.loader, target, configuration, looked_at: RefCell::default() };
        let mut resolved = BTreeMap::new();
        let mut wrong = Vec::new();
        for (name, value) in &target.attributes {
            match selector.resolve(name, value, schema.attributes.get(name)) {
                Ok(data) => drop(resolved.insert(Arc::clone(name), data)),
                Err(errors) => wrong.extend(errors.0),
            }
        }
        if wrong.is_empty() { Ok((resolved, selector.looked_at.take())) } else { Err(Diagnostics(wrong)) }
    }

    fn edges(
        &self,
        target: &Arc<Target>,
        schema: &RuleSchema,
        attributes: &BTreeMap<Arc<str>, Data>,
        configuration: &Arc<Configuration>,
    ) -> Result<Vec<Edge>, Diagnostics> {
        let mut edges: Vec<Edge> = Vec::new();
        let mut wrong = Vec::new();
        self.prefetch(schema, attributes);
        for (name, value) in attributes {
            let Some(attribute) = schema.attributes.get(name).filter(|attribute| attribute.kind.is_label()) else {
                continue;
            };
            let configuration = if attribute.exec { &self.exec } else { configuration };
            let mut labels = Vec::new();
            let mut seen = HashSet::new();
            value.for_each_label(&mut |label| {
                if seen.insert(label.clone()) {
                    labels.push(label.clone());
                }
            });
            for label in labels {
                let checked = self
                    .key_of(&label, Some(configuration))
                    .map_err(|errors| self.loader.named_by(errors, Some(&target.label), &label))
                    .and_then(|to| check_visibility(self.loader, target, name, &label, &to.label).map(|()| to))
                    .and_then(|to| {
                        check_testonly(self.loader, target, (name, attribute), &label, &to.label).map(|()| to)
                    });
                match checked {
                    Ok(to) => edges.push(Edge { attribute: Arc::clone(name), label, to }),
                    Err(errors) => wrong.extend(errors.0),
                }
            }
        }
        if wrong.is_empty() { Ok(edges) } else { Err(Diagnostics(wrong)) }
    }
}

impl Discovery<'_> {
    fn prefetch(&self, schema: &RuleSchema, attributes: &BTreeMap<Arc<str>, Data>) {
        let is_label = |name: &Arc<str>| schema.attributes.get(name).is_some_and(|attribute| attribute.kind.is_label());
        let mut labels = Vec::new();
        for (_, value) in attributes.iter().filter(|(name, _)| is_label(name)) {
            value.for_each_label(&mut |label| labels.push(label.clone()));
        }
        self.loader.prefetch(labels.iter());
    }
}

/// The same errors, each once.
pub(crate) fn distinct(errors: Vec<Diagnostic>) -> Diagnostics {
    let mut distinct: Vec<Diagnostic> = Vec::new();
    for error in errors {
        if !distinct.contains(&error) {
            distinct.push(error);
        }
    }
    Diagnostics(distinct)
}
