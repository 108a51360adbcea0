//! From target patterns to labels.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError};

use model::{
    Configurable, Data, Diagnostic, Diagnostics, Label, Members, PackageId, PatternKind, Target, TargetPattern,
};
use observation::Question;
use rayon::prelude::*;

use crate::graph::dependencies;
use crate::loader::Loader;
use crate::node::Node;
use crate::packages::BUILD_FILE;

/// Which targets the wildcards `...` and `:all` match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wildcards {
    /// All.
    All,
    /// All but those tagged `manual`: what `build` and `test` take.
    NotManual,
}

/// What patterns match, and why not more.
#[derive(Debug, Default)]
pub struct Matched {
    /// The labels.
    pub labels: Vec<Label>,
    /// What is wrong with packages and patterns.
    pub wrong: Vec<Diagnostic>,
}

impl Matched {
    /// The labels, if nothing is wrong.
    pub fn whole(self) -> Result<Vec<Label>, Diagnostics> {
        if self.wrong.is_empty() { Ok(self.labels) } else { Err(Diagnostics(self.wrong)) }
    }
}

impl From<Result<Vec<Label>, Diagnostics>> for Matched {
    fn from(result: Result<Vec<Label>, Diagnostics>) -> Self {
        match result {
            Ok(labels) => Self { labels, wrong: Vec::new() },
            Err(errors) => Self { labels: Vec::new(), wrong: errors.0 },
        }
    }
}

impl Loader {
    /// The labels that the patterns match, each once, in the order of the patterns; wildcards leave out `manual`
    /// targets.
    pub fn expand(&self, patterns: &[TargetPattern]) -> Result<Vec<Label>, Diagnostics> {
        self.expand_with(patterns, Wildcards::NotManual)
    }

    /// The labels that the patterns match. A pattern that names one target must name something.
    pub fn expand_with(&self, patterns: &[TargetPattern], wildcards: Wildcards) -> Result<Vec<Label>, Diagnostics> {
        self.expand_what_can_be(patterns, wildcards).whole()
    }

    /// The labels that the patterns match as far as there is no error, for those who go on with what is good.
    pub fn expand_what_can_be(&self, patterns: &[TargetPattern], wildcards: Wildcards) -> Matched {
        let mut labels: Vec<Label> = Vec::new();
        let mut wrong = Vec::new();
        for pattern in patterns {
            let matched = self.expand_one(&pattern.kind, wildcards);
            wrong.extend(matched.wrong);
            if pattern.exclude {
                let matched: HashSet<Label> = matched.labels.into_iter().collect();
                labels.retain(|label| !matched.contains(label));
            } else {
                labels.extend(matched.labels);
            }
        }
        let mut seen = HashSet::new();
        labels.retain(|label| seen.insert(label.clone()));
        Matched { labels, wrong: distinct(wrong).0 }
    }

    /// The tests that the patterns match. What is taken away is so from suites as well, as in Bazel.
    pub fn expand_tests(&self, patterns: &[TargetPattern]) -> Matched {
        let mut tests: BTreeSet<Label> = BTreeSet::new();
        let mut wrong = Vec::new();
        for pattern in patterns {
            let matched = self.expand_one(&pattern.kind, Wildcards::NotManual);
            wrong.extend(matched.wrong);
            for label in matched.labels {
                match self.tests(&[label]) {
                    Ok(matched) if pattern.exclude => tests.retain(|test| !matched.contains(test)),
                    Ok(matched) => tests.extend(matched),
                    Err(errors) => wrong.extend(errors.0),
                }
            }
        }
        Matched { labels: tests.into_iter().collect(), wrong: distinct(wrong).0 }
    }

    fn expand_one(&self, kind: &PatternKind, wildcards: Wildcards) -> Matched {
        match kind {
            PatternKind::Target(label) => self.node(label).map(|_| vec![self.own(label)]).into(),
            PatternKind::Path(path) => {
                let label = self.at_path(path).and_then(|label| self.node(&label).map(|_| vec![label]));
                label.into()
            }
            PatternKind::Package(id, members) => self.members_of(&self.own_package(id), wildcards, *members).into(),
            PatternKind::Below(id, members) => {
                let id = &self.own_package(id);
                let packages = match self.packages_below(id) {
                    Ok(packages) => packages,
                    Err(errors) => return Err(errors).into(),
                };
                if packages.is_empty() {
                    let slash = if id.path().is_empty() { "" } else { "/" };
                    let message = format!("no targets match `{id}{slash}...`: no folder there has a BUILD.star");
                    return Err(self.hint_packages(Diagnostic::error(message), id).into()).into();
                }
                self.members_of_all(&packages, wildcards, *members)
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

    /// The label that a path stands for: the package with a target of its name, or a target of the nearest package above.
    pub fn at_path(&self, path: &Label) -> Result<Label, Diagnostics> {
        let whole = path.package();
        // Should there be a package one day, the pattern means that.
        if let Some(tree) = self.tree(whole.repository()) {
            let _ = tree.folders(whole.path());
            let question = tree.question(Question::Folders, whole.path());
            let mut searched = self.searched.lock().unwrap_or_else(PoisonError::into_inner);
            searched.extend(question.map(|(_, folder)| folder));
        }
        if self.build_file(whole)?.is_some() {
            return Ok(path.clone());
        }
        let mut folder = whole.path();
        while !folder.is_empty() {
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
            let package = PackageId::new(whole.repository(), folder).map_err(|e| Diagnostic::error(e.to_string()))?;
            if self.build_file(&package)?.is_some() {
                let below = whole.path()[folder.len()..].trim_start_matches('/');
                let label = package.label(below).map_err(|error| Diagnostic::error(error.to_string()))?;
                // A slip in the name of a package is more likely than one in that of a target of the root.
                return if self.node(&label).is_ok() { Ok(label) } else { Err(self.unknown_package(whole)) };
            }
        }
        Err(self.unknown_package(whole))
    }

    fn members_of_all(&self, packages: &[PackageId], wildcards: Wildcards, members: Members) -> Matched {
        let found: Vec<_> = packages.par_iter().map(|id| self.members_of(id, wildcards, members)).collect();
        let mut matched = Matched::default();
        for result in found {
            match result {
                Ok(found) => matched.labels.extend(found),
                Err(errors) => matched.wrong.extend(errors.0),
            }
        }
        matched
    }

    fn members_of(&self, id: &PackageId, wildcards: Wildcards, members: Members) -> Result<Vec<Label>, Diagnostics> {
        let mut labels = self.targets_of(id, wildcards)?;
        if members == Members::Targets {
            return Ok(labels);
        }
        let package = self.package(id)?;
        let mut files: BTreeSet<Label> = BTreeSet::new();
        files.extend(id.label(BUILD_FILE).ok().filter(|label| self.node(label).is_ok()));
        files.extend(package.exported_files.keys().filter_map(|name| id.label(name).ok()));
        for target in package.targets.values() {
            files.extend(target.outputs.iter().filter_map(|name| target.label.sibling(name).ok()));
            let named = dependencies(self, &self.node(&target.label)?)?;
            files.extend(named.into_iter().filter(|label| label.package() == id));
        }
        files.retain(|label| !package.targets.contains_key(label.name()) && self.node(label).is_ok());
        labels.extend(files);
        Ok(labels)
    }

    fn targets_of(&self, id: &PackageId, wildcards: Wildcards) -> Result<Vec<Label>, Diagnostics> {
        let package = self.package(id)?;
        let matched = |target: &&Arc<Target>| wildcards == Wildcards::All || !has_tag(target, "manual");
        Ok(package.targets.values().filter(matched).map(|target| target.label.clone()).collect())
    }

    /// The tests among the labels: tests themselves, and those of test suites, which are looked into. Sorted.
    pub fn tests(&self, labels: &[Label]) -> Result<Vec<Label>, Diagnostics> {
        let mut suites = HashMap::new();
        let mut tests = BTreeSet::new();
        for label in labels {
            tests.extend(self.tests_of(label, &mut suites)?.iter().cloned());
        }
        Ok(tests.into_iter().collect())
    }

    /// The tests of a label. Suites may name each other a million ways: each is looked into once. One that names itself has
    /// its tests all the same.
    fn tests_of(
        &self,
        label: &Label,
        suites: &mut HashMap<Label, Arc<BTreeSet<Label>>>,
    ) -> Result<Arc<BTreeSet<Label>>, Diagnostics> {
        let mut open = vec![self.resolve(label)?];
        while let Some(label) = open.last().cloned() {
            if suites.get(&label).is_some_and(|known| !known.is_empty()) {
                open.pop();
                continue;
            }
            let Node::Target(target, schema) = self.node(&label)? else {
                suites.insert(label, Arc::default());
                open.pop();
                continue;
            };
            let members = if is_core(&target, "test_suite") { self.members_of_suite(&target)? } else { Vec::new() };
            let unknown: Vec<Label> = members.iter().filter(|member| !suites.contains_key(*member)).cloned().collect();
            if !unknown.is_empty() {
                // Until its members are known it has none, which ends circles.
                suites.insert(label, Arc::default());
                open.extend(unknown);
                continue;
            }
            let filter = tags(&target);
            let mut tests = BTreeSet::from_iter(schema.test.then(|| target.label.clone()));
            for test in members.iter().flat_map(|member| suites[member].iter()) {
                if let Node::Target(test_target, _) = self.node(test)?
                    && selected_by(&filter, &test_target)
                {
                    tests.insert(test.clone());
                }
            }
            suites.insert(label, Arc::new(tests));
            open.pop();
        }
        Ok(Arc::clone(&suites[&self.resolve(label)?]))
    }

    /// What a suite names; as in Bazel, one that names nothing stands for all tests of its package.
    pub(crate) fn members_of_suite(&self, suite: &Target) -> Result<Vec<Label>, Diagnostics> {
        let mut members = Vec::new();
        if let Some(attribute) = suite.attributes.get("tests") {
            attribute.for_each_label(&mut |label| members.push(label.clone()));
        }
        if members.is_empty() {
            let package = self.package(suite.label.package())?;
            for target in package.targets.values().filter(|target| !has_tag(target, "manual")) {
                if self.schema(&target.rule)?.test {
                    members.push(target.label.clone());
                }
            }
        }
        members.iter().map(|label| self.resolve(label)).collect()
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
