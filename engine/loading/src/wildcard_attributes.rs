//! Patterns in attributes (`services = ["//services/..."]`): replaced by the targets they stand for when a target is looked up,
//! so that everything after it sees labels only.

use std::sync::{Arc, PoisonError};

use model::{
    AttributeSchema, Configurable, Data, Diagnostic, Diagnostics, Label, PackageId, Part, RuleSchema, Target,
    TargetPattern,
};

use crate::loader::Loader;
use crate::patterns::Wildcards;

impl Loader {
    /// The target with its patterns expanded; the same target if it has none.
    pub(crate) fn without_patterns(
        &self,
        target: &Arc<Target>,
        schema: &RuleSchema,
    ) -> Result<Arc<Target>, Diagnostics> {
        let with_patterns: Vec<&Arc<str>> = target
            .attributes
            .iter()
            .filter(|(name, value)| schema.attributes.get(*name).is_some_and(|a| a.patterns) && has_pattern(value))
            .map(|(name, _)| name)
            .collect();
        if with_patterns.is_empty() {
            return Ok(Arc::clone(target));
        }
        let known = self.expanded.lock().unwrap_or_else(PoisonError::into_inner).get(&target.label).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut expanded = Target::clone(target);
        for name in with_patterns {
            let value = self.expand_attribute(target, name, &schema.attributes[name])?;
            expanded.attributes.insert(Arc::clone(name), value);
        }
        let expanded = Arc::new(expanded);
        let mut memo = self.expanded.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(memo.entry(target.label.clone()).or_insert(expanded)))
    }

    fn expand_attribute(
        &self,
        target: &Target,
        name: &str,
        schema: &AttributeSchema,
    ) -> Result<Configurable, Diagnostics> {
        let expand = |data: &Data| self.expand_list(target, name, schema, data);
        match &target.attributes[name] {
            Configurable::Plain(data) => expand(data).map(Configurable::Plain),
            Configurable::Sum(parts) => {
                let parts = parts.iter().map(|part| match part {
                    Part::Plain(data) => expand(data).map(Part::Plain),
                    Part::Select(select) => {
                        let mut select = select.clone();
                        for (_, data) in &mut select.branches {
                            *data = expand(data)?;
                        }
                        select.default = select.default.as_ref().map(expand).transpose()?;
                        Ok(Part::Select(select))
                    }
                });
                parts.collect::<Result<_, Diagnostics>>().map(Configurable::Sum)
            }
        }
    }

    /// The labels of a list in their order, and after them what its patterns add, sorted.
    fn expand_list(
        &self,
        target: &Target,
        name: &str,
        schema: &AttributeSchema,
        data: &Data,
    ) -> Result<Data, Diagnostics> {
        let list = data.as_list().unwrap_or_default();
        let mut labels: Vec<Label> = list.iter().filter_map(|data| data.as_label().cloned()).collect();
        for text in list.iter().filter_map(Data::as_str) {
            let mut matched = self.matching(target.label.package(), text, schema)?;
            if matched.is_empty() {
                let message = format!("`{name}` of {}: `{text}` matches no target of the kind it takes", target.label);
                let hint = format!("`build query {text}` lists what is there");
                return Err(self.locate(Diagnostic::error(message).hint(hint), target.location.as_ref()).into());
            }
            matched.retain(|label| *label != target.label && !labels.contains(label));
            matched.sort();
            labels.extend(matched);
        }
        Ok(Data::List(labels.into_iter().map(Data::Label).collect()))
    }

    fn matching(&self, package: &PackageId, text: &str, schema: &AttributeSchema) -> Result<Vec<Label>, Diagnostics> {
        let pattern = TargetPattern::parse(text, package).map_err(|error| Diagnostic::error(error.to_string()))?;
        let mut matched = Vec::new();
        for label in self.expand_with(&[pattern], Wildcards::NotManual)? {
            let package = self.package(label.package())?;
            let Some(target) = package.targets.get(label.name()) else { continue };
            let rule = self.schema(&target.rule)?;
            let provides = |demanded: &Vec<model::ProviderId>| demanded.iter().all(|id| rule.provides.contains(id));
            if schema.providers.is_empty() || schema.providers.iter().any(provides) {
                matched.push(label);
            }
        }
        Ok(matched)
    }
}

fn has_pattern(value: &Configurable) -> bool {
    let in_list = |data: &Data| data.as_list().unwrap_or_default().iter().any(|data| data.as_str().is_some());
    match value {
        Configurable::Plain(data) => in_list(data),
        Configurable::Sum(parts) => parts.iter().any(|part| match part {
            Part::Plain(data) => in_list(data),
            Part::Select(select) => {
                select.branches.iter().any(|(_, data)| in_list(data)) || select.default.as_ref().is_some_and(in_list)
            }
        }),
    }
}
