//! From target patterns to labels.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use model::{Configurable, Data, Diagnostic, Diagnostics, Label, PackageId, PatternKind, Target, TargetPattern};
use rayon::prelude::*;

use crate::loader::Loader;
use crate::node::Node;

/// Which targets the wildcards `...` and `:all` match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wildcards {
    /// All.
    All,
    /// All but those tagged `manual`: what `build` and `test` take.
    NotManual,
}

impl Loader {
    /// The labels that the patterns match, each once, in the order of the patterns; wildcards leave out `manual`
    /// targets.
    pub fn expand(&self, patterns: &[TargetPattern]) -> Result<Vec<Label>, Diagnostics> {
        self.expand_with(patterns, Wildcards::NotManual)
    }

    /// The labels that the patterns match. A pattern that names one target must name something.
    pub fn expand_with(&self, patterns: &[TargetPattern], wildcards: Wildcards) -> Result<Vec<Label>, Diagnostics> {
        let mut labels: Vec<Label> = Vec::new();
        let mut wrong = Vec::new();
        for pattern in patterns {
            match self.expand_one(&pattern.kind, wildcards) {
                Ok(matched) if pattern.exclude => {
                    let matched: HashSet<Label> = matched.into_iter().collect();
                    labels.retain(|label| !matched.contains(label));
                }
                Ok(matched) => labels.extend(matched),
                Err(errors) => wrong.extend(errors.0),
            }
        }
        if !wrong.is_empty() {
            return Err(distinct(wrong));
        }
        let mut seen = HashSet::new();
        labels.retain(|label| seen.insert(label.clone()));
        Ok(labels)
    }

    fn expand_one(&self, kind: &PatternKind, wildcards: Wildcards) -> Result<Vec<Label>, Diagnostics> {
        match kind {
            PatternKind::Target(label) => self.node(label).map(|_| vec![label.clone()]),
            PatternKind::Package(id) => self.targets_of(id, wildcards),
            PatternKind::Below(id) => {
                let packages = self.packages_below(id)?;
                if packages.is_empty() {
                    let slash = if id.path().is_empty() { "" } else { "/" };
                    let message = format!("no targets match `{id}{slash}...`: no folder there has a BUILD.star");
                    return Err(self.hint_packages(Diagnostic::error(message), id).into());
                }
                self.targets_of_all(&packages, wildcards)
            }
        }
    }

    fn hint_packages(&self, diagnostic: Diagnostic, id: &PackageId) -> Diagnostic {
        match self.build_file(id) {
            Ok(None) => match self.unknown_package(id).0.into_iter().next() {
                Some(unknown) => Diagnostic { hints: unknown.hints, ..diagnostic },
                None => diagnostic,
            },
            _ => diagnostic,
        }
    }

    fn targets_of_all(&self, packages: &[PackageId], wildcards: Wildcards) -> Result<Vec<Label>, Diagnostics> {
        let found: Vec<_> = packages.par_iter().map(|id| self.targets_of(id, wildcards)).collect();
        let mut labels = Vec::new();
        let mut wrong = Vec::new();
        for result in found {
            match result {
                Ok(found) => labels.extend(found),
                Err(errors) => wrong.extend(errors.0),
            }
        }
        if wrong.is_empty() { Ok(labels) } else { Err(distinct(wrong)) }
    }

    fn targets_of(&self, id: &PackageId, wildcards: Wildcards) -> Result<Vec<Label>, Diagnostics> {
        let package = self.package(id)?;
        let matched = |target: &&Arc<Target>| wildcards == Wildcards::All || !has_tag(target, "manual");
        Ok(package.targets.values().filter(matched).map(|target| target.label.clone()).collect())
    }

    /// The tests among the labels: tests themselves, and those of test suites, which are looked into. Sorted.
    pub fn tests(&self, labels: &[Label]) -> Result<Vec<Label>, Diagnostics> {
        let mut tests = BTreeSet::new();
        let mut seen = HashSet::new();
        for label in labels {
            self.collect_tests(label, &mut tests, &mut seen)?;
        }
        Ok(tests.into_iter().collect())
    }

    fn collect_tests(
        &self,
        label: &Label,
        tests: &mut BTreeSet<Label>,
        seen: &mut HashSet<Label>,
    ) -> Result<(), Diagnostics> {
        if !seen.insert(label.clone()) {
            return Ok(());
        }
        let Node::Target(target, schema) = self.node(label)? else { return Ok(()) };
        if schema.test {
            tests.insert(target.label.clone());
            return Ok(());
        }
        if !is_core(&target, "test_suite") {
            return Ok(());
        }
        let mut members = Vec::new();
        if let Some(attribute) = target.attributes.get("tests") {
            attribute.for_each_label(&mut |label| members.push(label.clone()));
        }
        if members.is_empty() {
            // As in Bazel: a suite that names no tests stands for all tests of its package.
            let all = self.targets_of(target.label.package(), Wildcards::NotManual)?;
            for label in all {
                if matches!(self.node(&label)?, Node::Target(_, schema) if schema.test) {
                    members.push(label);
                }
            }
        }
        let filter = tags(&target);
        for member in members {
            let mut found = BTreeSet::new();
            self.collect_tests(&member, &mut found, &mut seen.clone())?;
            for test in found {
                if let Node::Target(test_target, _) = self.node(&test)?
                    && selected_by(&filter, &test_target)
                {
                    tests.insert(test);
                }
            }
        }
        Ok(())
    }
}

/// Whether a suite's tags let a test in: `-x` forbids the tag, any other (but `manual`) demands it.
fn selected_by(filter: &[String], test: &Target) -> bool {
    filter.iter().filter(|tag| *tag != "manual").all(|tag| match tag.strip_prefix('-') {
        Some(forbidden) => !has_tag(test, forbidden),
        None => has_tag(test, tag.strip_prefix('+').unwrap_or(tag)),
    })
}

/// Whether the target is of one of the rules in `@rules//core` that the engine itself knows.
pub(crate) fn is_core(target: &Target, rule: &str) -> bool {
    let package = target.rule.file.package();
    let core = package.repository() == "rules" && matches!(package.path(), "core" | "core/private");
    core && &*target.rule.name == rule
}

pub(crate) fn tags(target: &Target) -> Vec<String> {
    let tags = target.attributes.get("tags").and_then(Configurable::plain).and_then(Data::as_list);
    tags.unwrap_or_default().iter().filter_map(Data::as_str).map(str::to_owned).collect()
}

fn has_tag(target: &Target, tag: &str) -> bool {
    tags(target).iter().any(|own| own == tag)
}

/// The same errors, each once: a broken .star file fails every package that loads it.
pub(crate) fn distinct(errors: Vec<Diagnostic>) -> Diagnostics {
    let mut distinct: Vec<Diagnostic> = Vec::new();
    for error in errors {
        if !distinct.contains(&error) {
            distinct.push(error);
        }
    }
    Diagnostics(distinct)
}
