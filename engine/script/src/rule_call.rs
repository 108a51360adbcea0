//! A rule called in a BUILD.star, or by a macro: declares a target, or records why not and goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    AttributeKind, Configurable, Data, Diagnostic, Label, PackageId, Part, RuleSchema, Target, Visibility, VisibleTo,
};
use starlark::codemap::FileSpan;
use starlark::eval::{Arguments, Evaluator};
use starlark::values::Value;

use crate::build::{BuildState, Declarations};
use crate::problem::{Problem, a};
use crate::session::session;
use crate::values::{SelectValue, to_data};
use crate::{attribute, check, diagnose, globals};

/// A call of a rule.
struct Call<'s> {
    schema: &'s Arc<RuleSchema>,
    state: &'s BuildState<'s>,
    /// Where the BUILD.star calls.
    span: Option<FileSpan>,
    /// Which macro calls the rule, and where.
    via: Option<String>,
    problems: Vec<Problem>,
}

/// Declares a target. Faults of the call are recorded in the state; only a call that may not be made here is an error.
pub(crate) fn declare<'v>(
    schema: &Arc<RuleSchema>,
    args: &Arguments<'v, '_>,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<()> {
    let rule = &schema.id.name;
    let session = session(eval)?;
    let state = session.build(&format!("the rule `{rule}`"))?;
    let frames = eval.call_stack().frames;
    let span = frames.iter().find_map(|frame| frame.location.clone());
    let inner = frames.iter().rev().find_map(|frame| frame.location.clone());
    let inner = inner.filter(|inner| Some(inner) != span.as_ref());
    let via = inner.map(|inner| format!("`{rule}` is called at {}", diagnose::location(&inner)));
    let mut call = Call { schema, state, span, via, problems: Vec::new() };
    if args.no_positional_args(eval.heap()).is_err() {
        let problem = Problem::new(format!("`{rule}` takes named arguments only"))
            .hint(format!("write `{rule}(name = ...)`"))
            .in_argument("name");
        call.problems.push(problem);
    }
    let mut given = BTreeMap::new();
    for (name, value) in args.names_map()? {
        if let Some(value) = call.value(name.as_str(), value, session) {
            given.insert(Arc::from(name.as_str()), value);
        }
    }
    call.finish(given);
    Ok(())
}

impl Call<'_> {
    /// The value of an argument as its attribute takes it; `None` if it is unset or at fault.
    fn value(&mut self, name: &str, value: Value<'_>, session: &crate::session::Session<'_>) -> Option<Configurable> {
        if value.is_none() && name != "name" && self.schema.attributes.contains_key(name) {
            return None;
        }
        match self.converted(name, value, session) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problems.push(problem.in_argument(name));
                None
            }
        }
    }

    fn converted(
        &self,
        name: &str,
        value: Value<'_>,
        session: &crate::session::Session<'_>,
    ) -> Result<Configurable, Problem> {
        let rule = &self.schema.id.name;
        let package = &self.state.package;
        if name == "name" {
            return match value.unpack_str() {
                Some(text) => Ok(Configurable::Plain(Data::text(text))),
                None => {
                    Err(Problem::new(format!("`name` of `{rule}`: expected a string, but got {}", a(value.get_type()))))
                }
            };
        }
        let Some(schema) = self.schema.attributes.get(name) else {
            let known = self.schema.attributes.keys().map(|name| &**name).chain(["name"]);
            return Err(Problem::new(format!("`{rule}` has no attribute `{name}`")).nearest(name, known));
        };
        let named =
            |problem: Problem| Problem { message: format!("`{name}` of `{rule}`: {}", problem.message), ..problem };
        let coerce = |data: &Data| attribute::coerce_for(schema, data, package);
        if let Some(select) = SelectValue::from_value(value) {
            if matches!(schema.kind, AttributeKind::Output | AttributeKind::OutputList) || name == "visibility" {
                return Err(named(Problem::new("it cannot depend on the configuration")));
            }
            let value = select.resolve(package, &coerce).map_err(named)?;
            check_repetition(&value).map_err(named)?;
            return Ok(value);
        }
        let data = to_data(value, session).map_err(|reason| named(Problem::new(reason)))?;
        let data = coerce(&data).map_err(named)?;
        attribute::check(schema, &data).map_err(named)?;
        Ok(Configurable::Plain(data))
    }

    fn finish(mut self, given: BTreeMap<Arc<str>, Configurable>) {
        for (name, schema) in &self.schema.attributes {
            let faulty = |problem: &Problem| problem.argument.as_deref() == Some(&**name);
            if schema.mandatory && !given.contains_key(name) && !self.problems.iter().any(faulty) {
                let rule = &self.schema.id.name;
                let kind = schema.kind.describe();
                self.problems
                    .push(Problem::new(format!("`{rule}` needs the attribute `{name}`")).hint(format!("it is {kind}")));
            }
        }
        let mut declared = self.state.declared.borrow_mut();
        if let Some(target) = self.target(given, &declared) {
            self.insert(target, &mut declared);
        }
        let errors: Vec<Diagnostic> = self.problems.iter().map(|problem| self.diagnostic(problem)).collect();
        declared.errors.extend(errors);
    }

    fn target(&mut self, mut given: BTreeMap<Arc<str>, Configurable>, declared: &Declarations) -> Option<Target> {
        let name = given.remove("name");
        let Some(name) = name.as_ref().and_then(Configurable::plain).and_then(Data::as_str) else {
            if !self.problems.iter().any(|problem| problem.argument.as_deref() == Some("name")) {
                self.problems.push(Problem::new(format!("`{}` needs a `name`", self.schema.id.name)));
            }
            return None;
        };
        let label = match self.state.package.label(name) {
            Ok(label) => label,
            Err(error) => {
                self.problems.push(Problem::new(error.to_string()).in_argument("name"));
                return None;
            }
        };
        let visibility = match given.get("visibility").and_then(Configurable::plain).and_then(Data::as_list) {
            None => declared.default_visibility.clone().unwrap_or(Visibility::Private),
            Some(list) => match parse_visibility(list, &self.state.package) {
                Ok(visibility) => visibility,
                Err(problem) => {
                    self.problems.push(problem.in_argument("visibility"));
                    return None;
                }
            },
        };
        let explicit = given.keys().cloned().collect();
        let outputs = outputs(self.schema, &given);
        let mut attributes = given;
        if declared.default_testonly {
            attributes.entry(Arc::from("testonly")).or_insert(Configurable::Plain(Data::Bool(true)));
        }
        for (name, schema) in &self.schema.attributes {
            attributes.entry(Arc::clone(name)).or_insert_with(|| schema.default.clone());
        }
        let location = self.span.as_ref().map(diagnose::location);
        Some(Target { label, rule: self.schema.id.clone(), attributes, explicit, visibility, location, outputs })
    }

    fn insert(&mut self, target: Target, declared: &mut Declarations) {
        let target = Arc::new(target);
        let name: Arc<str> = Arc::from(target.label.name());
        let at = |other: &Target| match &other.location {
            Some(location) => format!("the other is declared at {location}"),
            None => "the other is declared in the same file".to_owned(),
        };
        if let Some(other) = declared.targets.get(&name) {
            let problem = Problem::new(format!("the package has two targets named `{name}`")).note(at(other));
            self.problems.push(problem.in_argument("name"));
            return;
        }
        if let Some(other) = declared.outputs.get(&name) {
            let message = format!("`{name}` is already the name of an output of {}", other.label);
            self.problems.push(Problem::new(message).note(at(other)).in_argument("name"));
        }
        self.check_files(&target, declared);
        for output in &target.outputs {
            let of = declared.outputs.get(output).or_else(|| declared.targets.get(output));
            if let Some(other) = of {
                let message = format!("the output `{output}` has the name of {}, or of an output of it", other.label);
                self.problems.push(Problem::new(message).note(at(other)));
            } else {
                declared.outputs.insert(Arc::clone(output), Arc::clone(&target));
            }
        }
        declared.targets.insert(name, target);
    }

    /// What the package has under the names of a target and its outputs: no source file, no output around another one.
    fn check_files(&mut self, target: &Target, declared: &Declarations) {
        let names = std::iter::once(target.label.name()).chain(target.outputs.iter().map(|name| &**name));
        for name in names.filter(|name| declared.exported_files.contains_key(*name)) {
            self.problems.push(globals::not_exported(name, target));
        }
        let outputs = |name: &str| target.outputs.iter().any(|output| **output == *name);
        for (attribute, value) in &target.attributes {
            value.for_each_label(&mut |label| {
                if label.package() == target.label.package() && outputs(label.name()) {
                    let message = format!("`{}` is both a source and an output of {}", label.name(), target.label);
                    let problem = Problem::new(message).note(format!("`{attribute}` names it"));
                    self.problems.push(problem.hint("give the output another name").in_argument(attribute));
                }
            });
        }
        for output in &target.outputs {
            let mut folders = output.match_indices('/').map(|(at, _)| &output[..at]);
            let outer = folders.find(|folder| outputs(folder) || declared.outputs.contains_key(*folder));
            let prefix = format!("{output}/");
            let inner = declared.outputs.keys().find(|other| other.starts_with(&prefix));
            let Some((outer, inner)) =
                outer.map(|outer| (outer, &**output)).or(inner.map(|inner| (&**output, &**inner)))
            else {
                continue;
            };
            let folder = target.label.package().path();
            let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            let message = format!("the output `{folder}{inner}` lies inside of the output `{folder}{outer}`");
            let problem = Problem::new(message);
            self.problems.push(problem.hint("rename one of them: a file cannot be a folder as well"));
        }
    }

    /// The problem where the BUILD.star has it: at the argument, if the rule is called there directly.
    fn diagnostic(&self, problem: &Problem) -> Diagnostic {
        let mut diagnostic = diagnose::problem(problem);
        diagnostic.notes.extend(self.via.clone());
        let Some(span) = &self.span else { return diagnostic };
        let argument = problem.argument.as_deref().filter(|_| self.via.is_none());
        let found = argument.and_then(|name| check::argument(&self.state.source, span, name));
        diagnose::at(diagnostic, found.as_ref().unwrap_or(span))
    }
}

/// As in Bazel: no label stands in two parts of a sum, though perhaps no configuration takes both, nor twice in a branch.
fn check_repetition(value: &Configurable) -> Result<(), Problem> {
    let Configurable::Sum(parts) = value else { return Ok(()) };
    let mut seen: BTreeMap<Label, usize> = BTreeMap::new();
    let mut twice = None;
    for (number, part) in parts.iter().enumerate() {
        let mut look = |data: &Data| {
            for label in data.as_list().unwrap_or_default().iter().filter_map(Data::as_label) {
                let first = *seen.entry(label.clone()).or_insert(number);
                if first != number {
                    twice.get_or_insert_with(|| label.clone());
                }
            }
        };
        match part {
            Part::Plain(data) => look(data),
            Part::Select(select) => {
                select.branches.iter().for_each(|(_, data)| look(data));
                select.default.iter().for_each(&mut look);
            }
        }
    }
    match twice {
        Some(label) => Err(Problem::new(format!("{label} is listed twice, in two parts that are added"))),
        None => Ok(()),
    }
}

fn outputs(schema: &RuleSchema, given: &BTreeMap<Arc<str>, Configurable>) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    for (name, attribute) in &schema.attributes {
        if !matches!(attribute.kind, AttributeKind::Output | AttributeKind::OutputList) {
            continue;
        }
        match given.get(name).and_then(Configurable::plain) {
            Some(Data::Str(output)) => names.push(Arc::clone(output)),
            Some(Data::List(list)) => names.extend(list.iter().filter_map(Data::as_str).map(Arc::from)),
            _ => {}
        }
    }
    names
}

/// Parses a list of visibilities.
pub(crate) fn parse_visibility(list: &[Data], package: &PackageId) -> Result<Visibility, Problem> {
    let entries: Vec<&str> = list.iter().filter_map(Data::as_str).collect();
    let whole = ["//visibility:public", "//visibility:private"];
    match (entries.iter().find(|entry| whole.contains(entry)), entries.len()) {
        (Some(&"//visibility:public"), 1) => return Ok(Visibility::Public),
        (Some(_), 1) => return Ok(Visibility::Private),
        (Some(entry), _) => {
            let problem = Problem::new(format!("`{entry}` cannot stand beside other visibilities"));
            return Err(problem.hint(format!("write it alone, or leave it out: `[{entry:?}]`")));
        }
        (None, _) => {}
    }
    let packages: Vec<VisibleTo> =
        entries.into_iter().map(|entry| parse_visible(entry, package)).collect::<Result<_, _>>()?;
    Ok(if packages.is_empty() { Visibility::Private } else { Visibility::Packages(packages) })
}

fn parse_visible(entry: &str, package: &PackageId) -> Result<VisibleTo, Problem> {
    let hint = "write `//visibility:public`, `//visibility:private`, `//pkg:__pkg__` or `//pkg:__subpackages__`";
    let label = Label::parse(entry, package);
    let label = label.map_err(|error| Problem::new(format!("bad visibility: {error}")).hint(hint))?;
    match label.name() {
        "__pkg__" => Ok(VisibleTo { package: label, subpackages: false }),
        "__subpackages__" => {
            let package = label.sibling("__pkg__").map_err(|error| Problem::new(error.to_string()))?;
            Ok(VisibleTo { package, subpackages: true })
        }
        _ => Err(Problem::new(format!("`{entry}` is not a visibility")).hint(hint)),
    }
}
