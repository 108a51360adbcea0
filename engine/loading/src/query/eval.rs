//! Evaluates a query's expression tree over the target graph, which grows as far as the functions ask.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use model::{Configurable, Data, Diagnostic, Diagnostics, Label, Members, PackageId, Part, PatternKind, TargetPattern};
use petgraph::Direction;
use regex_lite::Regex;

use super::parse::{Argument, Expr, ExprKind, Operator, error_at};
use crate::graph::{TargetGraph, dependencies};
use crate::loader::Loader;
use crate::node::Node;
use crate::packages::BUILD_FILE;
use crate::patterns::Wildcards;

type Labels = Vec<Label>;

fn combine(mut left: Labels, operator: Operator, right: Labels) -> Labels {
    if operator == Operator::Union {
        left.extend(right);
        return sorted(left);
    }
    let right: HashSet<Label> = right.into_iter().collect();
    left.retain(|label| right.contains(label) == (operator == Operator::Intersect));
    left
}

/// One evaluation of a query.
pub(super) struct Evaluation<'a> {
    loader: &'a Loader,
    text: &'a str,
    package: &'a PackageId,
    graph: TargetGraph,
    variables: Vec<(String, Labels)>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(loader: &'a Loader, text: &'a str, package: &'a PackageId) -> Self {
        Self { loader, text, package, graph: TargetGraph::default(), variables: Vec::new() }
    }

    pub(super) fn run(&mut self, expr: &Expr) -> Result<Labels, Diagnostics> {
        match &expr.kind {
            ExprKind::Pattern(text) => self.pattern(text, expr.at),
            ExprKind::Variable(name) => self.variable(name, expr.at),
            ExprKind::Set(members) => {
                let sets: Result<Vec<Labels>, Diagnostics> = members.iter().map(|member| self.run(member)).collect();
                Ok(unique(sets?.into_iter().flatten().collect()))
            }
            ExprKind::Let { name, value, body } => {
                let value = self.run(value)?;
                self.variables.push((name.clone(), value));
                let result = self.run(body);
                self.variables.pop();
                result
            }
            ExprKind::Chain { first, rest } => {
                let mut left = self.run(first)?;
                for (operator, right) in rest {
                    left = combine(left, *operator, self.run(right)?);
                }
                Ok(left)
            }
            ExprKind::Call { function, arguments } => self.call(function, arguments),
        }
    }

    fn pattern(&self, text: &str, at: usize) -> Result<Labels, Diagnostics> {
        let pattern =
            TargetPattern::parse(text, self.package).map_err(|error| error_at(self.text, at, error.to_string()))?;
        let labels = self.loader.expand_with(&[pattern], Wildcards::All)?;
        let resolved: Result<Labels, Diagnostics> = labels.iter().map(|label| self.loader.resolve(label)).collect();
        resolved.map(sorted)
    }

    fn variable(&self, name: &str, at: usize) -> Result<Labels, Diagnostics> {
        match self.variables.iter().rev().find(|(bound, _)| bound == name) {
            Some((_, labels)) => Ok(labels.clone()),
            None => Err(error_at(self.text, at, format!("`${name}` is not defined"))
                .hint(format!("let {name} = ... in ..."))
                .into()),
        }
    }

    fn call(&mut self, function: &str, arguments: &[Argument]) -> Result<Labels, Diagnostics> {
        match (function, arguments) {
            ("deps", [Argument::Expr(x), rest @ ..]) => {
                let roots = self.run(x)?;
                self.deps(&roots, number(rest))
            }
            ("rdeps", [Argument::Expr(universe), Argument::Expr(x), rest @ ..]) => {
                let universe = self.run(universe)?;
                let within: HashSet<Label> = self.deps(&universe, None)?.into_iter().collect();
                let roots: Labels = self.run(x)?.into_iter().filter(|label| within.contains(label)).collect();
                let mut found = self.reach(&roots, Direction::Incoming, number(rest));
                found.retain(|label| within.contains(label));
                Ok(found)
            }
            ("allpaths", [Argument::Expr(from), Argument::Expr(to)]) => {
                let (from, to) = (self.run(from)?, self.run(to)?);
                let below: HashSet<Label> = self.deps(&from, None)?.into_iter().collect();
                let to: Labels = to.into_iter().filter(|label| below.contains(label)).collect();
                let mut found = self.reach(&to, Direction::Incoming, None);
                found.retain(|label| below.contains(label));
                Ok(found)
            }
            ("somepath", [Argument::Expr(from), Argument::Expr(to)]) => {
                let (from, to) = (self.run(from)?, self.run(to)?);
                self.graph.grow(self.loader, &from, None)?;
                Ok(self.some_path(&from, &to.into_iter().collect()))
            }
            ("some", [Argument::Expr(x), rest @ ..]) => {
                let mut labels = self.run(x)?;
                labels.truncate(number(rest).unwrap_or(1));
                Ok(labels)
            }
            ("tests", [Argument::Expr(x)]) => {
                let labels = self.run(x)?;
                self.loader.tests(&labels)
            }
            ("siblings", [Argument::Expr(x)]) => {
                let packages = self.packages(x)?;
                let members = packages
                    .into_iter()
                    .map(|id| TargetPattern { exclude: false, kind: PatternKind::Package(id, Members::Files) });
                self.loader.expand_with(&members.collect::<Vec<_>>(), Wildcards::All).map(sorted)
            }
            ("buildfiles", [Argument::Expr(x)]) => {
                let packages = self.packages(x)?;
                let mut files = self.loader.load_files(&packages)?;
                files.extend(packages.iter().filter_map(|id| id.label(BUILD_FILE).ok()));
                Ok(sorted(files))
            }
            ("loadfiles", [Argument::Expr(x)]) => {
                let packages = self.packages(x)?;
                self.loader.load_files(&packages).map(sorted)
            }
            ("visible", [Argument::Expr(from), Argument::Expr(x)]) => {
                let from = self.packages(from)?;
                let mut seen = Vec::new();
                for label in self.run(x)? {
                    let (owner, visibility) = self.loader.visibility(&label)?;
                    if from.iter().all(|package| visibility.allows(&owner, package)) {
                        seen.push(label);
                    }
                }
                Ok(seen)
            }
            ("same_pkg_direct_rdeps", [Argument::Expr(x)]) => {
                let wanted: HashSet<Label> = self.run(x)?.into_iter().collect();
                let packages: BTreeSet<PackageId> = wanted.iter().map(|label| label.package().clone()).collect();
                let mut found = Vec::new();
                for id in packages {
                    for target in self.loader.package(&id)?.targets.values() {
                        let named = dependencies(self.loader, &self.loader.node(&target.label)?)?;
                        if named.iter().any(|label| *label.package() == id && wanted.contains(label)) {
                            found.push(target.label.clone());
                        }
                    }
                }
                Ok(sorted(found))
            }
            ("labels", [Argument::Word { text, .. }, Argument::Expr(x)]) => self.labels(text, x),
            ("kind", [Argument::Word { at, text }, Argument::Expr(x)]) => {
                let regex = self.regex(text, *at)?;
                self.select(x, |label, node| regex.is_match(&kind(label, node)))
            }
            ("filter", [Argument::Word { at, text }, Argument::Expr(x)]) => {
                let regex = self.regex(text, *at)?;
                self.select(x, |label, _| regex.is_match(&label.to_string()))
            }
            ("attr", [Argument::Word { text: name, .. }, Argument::Word { at, text }, Argument::Expr(x)]) => {
                let regex = self.regex(text, *at)?;
                self.select(x, |_, node| attribute_texts(node, name).iter().any(|text| regex.is_match(text)))
            }
            _ => Err(Diagnostic::error(format!("`{function}` was called with wrong arguments")).into()),
        }
    }

    /// The packages of what an expression finds.
    fn packages(&mut self, x: &Expr) -> Result<Vec<PackageId>, Diagnostics> {
        let packages: BTreeSet<PackageId> = self.run(x)?.iter().map(|label| label.package().clone()).collect();
        Ok(packages.into_iter().collect())
    }

    fn regex(&self, text: &str, at: usize) -> Result<Regex, Diagnostics> {
        Regex::new(text).map_err(|error| error_at(self.text, at, format!("`{text}` is not a regex: {error}")).into())
    }

    fn select(&mut self, x: &Expr, keep: impl Fn(&Label, &Node) -> bool) -> Result<Labels, Diagnostics> {
        let mut kept = Vec::new();
        for label in self.run(x)? {
            if keep(&label, &self.loader.node(&label)?) {
                kept.push(label);
            }
        }
        Ok(kept)
    }

    fn labels(&mut self, attribute: &str, x: &Expr) -> Result<Labels, Diagnostics> {
        let mut found = Vec::new();
        for label in self.run(x)? {
            let Node::Target(target, schema) = self.loader.node(&label)? else { continue };
            let is_label = schema.attributes.get(attribute).is_some_and(|attribute| attribute.kind.is_label());
            let Some(value) = target.attributes.get(attribute) else { continue };
            for data in possible_values(value) {
                if is_label {
                    data.for_each_label(&mut |label| found.push(label.clone()));
                }
            }
            if !is_label {
                found.extend(target.outputs.iter().filter_map(|name| {
                    let named = possible_values(value).iter().any(|data| names(data, name, &target.label));
                    named.then(|| target.label.sibling(name).ok()).flatten()
                }));
            }
        }
        let resolved: Result<Labels, Diagnostics> = found.iter().map(|label| self.loader.resolve(label)).collect();
        resolved.map(sorted)
    }

    fn deps(&mut self, roots: &[Label], depth: Option<usize>) -> Result<Labels, Diagnostics> {
        self.graph.grow(self.loader, roots, depth)?;
        Ok(self.reach(roots, Direction::Outgoing, depth))
    }

    /// What is reached from the roots in at most `depth` steps, sorted.
    fn reach(&self, roots: &[Label], direction: Direction, depth: Option<usize>) -> Labels {
        let mut found: BTreeSet<Label> = roots.iter().cloned().collect();
        let mut frontier: Labels = roots.to_vec();
        let mut left = depth.unwrap_or(usize::MAX);
        while left > 0 && !frontier.is_empty() {
            let next = frontier.iter().flat_map(|label| self.graph.neighbours(label, direction));
            frontier = next.filter(|label| found.insert(label.clone())).collect();
            left -= 1;
        }
        found.into_iter().collect()
    }

    /// A shortest path, in order.
    fn some_path(&self, from: &[Label], to: &HashSet<Label>) -> Labels {
        let mut before: HashMap<Label, Option<Label>> = from.iter().map(|label| (label.clone(), None)).collect();
        let mut queue: VecDeque<Label> = from.iter().cloned().collect();
        while let Some(label) = queue.pop_front() {
            if to.contains(&label) {
                let mut path = vec![label];
                while let Some(Some(previous)) = path.last().and_then(|last| before.get(last)) {
                    path.push(previous.clone());
                }
                path.reverse();
                return path;
            }
            for next in self.graph.neighbours(&label, Direction::Outgoing) {
                before.entry(next.clone()).or_insert_with(|| {
                    queue.push_back(next);
                    Some(label.clone())
                });
            }
        }
        Vec::new()
    }
}

fn number(arguments: &[Argument]) -> Option<usize> {
    arguments.iter().find_map(|argument| match argument {
        Argument::Number(number) => Some(*number),
        _ => None,
    })
}

fn sorted(mut labels: Labels) -> Labels {
    labels.sort();
    labels.dedup();
    labels
}

fn unique(mut labels: Labels) -> Labels {
    let mut seen = HashSet::new();
    labels.retain(|label| seen.insert(label.clone()));
    labels
}

/// What `kind()` looks at: `go_library rule //a:b`, `source file //a:c`; as in Bazel without the label.
pub(super) fn kind(_label: &Label, node: &Node) -> String {
    match node {
        Node::Target(target, _) => format!("{} rule", target.rule.name),
        Node::SourceFile(_) => "source file".to_owned(),
        Node::OutputFile { .. } => "generated file".to_owned(),
    }
}

/// The values that an attribute may have, over all branches of its selects.
pub(super) fn possible_values(value: &Configurable) -> Vec<&Data> {
    match value {
        Configurable::Plain(data) => vec![data],
        Configurable::Sum(parts) => parts
            .iter()
            .flat_map(|part| match part {
                Part::Plain(data) => vec![data],
                Part::Select(select) => {
                    select.branches.iter().map(|(_, data)| data).chain(select.default.as_ref()).collect()
                }
            })
            .collect(),
    }
}

fn attribute_texts(node: &Node, name: &str) -> Vec<String> {
    let Node::Target(target, _) = node else { return Vec::new() };
    if name == "name" {
        return vec![target.label.name().to_owned()];
    }
    target.attributes.get(name).map(|value| possible_values(value).into_iter().map(text).collect()).unwrap_or_default()
}

/// Data as `attr()` sees it: Bazel writes booleans as 1 and 0 and lists in brackets.
fn text(data: &Data) -> String {
    match data {
        Data::None => String::new(),
        Data::Bool(value) => u8::from(*value).to_string(),
        Data::Int(value) => value.to_string(),
        Data::Str(value) => value.to_string(),
        Data::Label(label) => label.to_string(),
        Data::List(list) => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(", ")),
        Data::Dict(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}={}", text(key), text(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => format!("<{}>", other.type_name()),
    }
}

fn names(data: &Data, name: &str, target: &Label) -> bool {
    match data {
        Data::Str(text) => &**text == name,
        Data::Label(label) => label.package() == target.package() && label.name() == name,
        Data::List(list) => list.iter().any(|data| names(data, name, target)),
        _ => false,
    }
}
