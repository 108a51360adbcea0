//! A rule called in a BUILD.star, or by a macro: declares a target, or records why not and goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    AttributeKind, Configurable, Data, Diagnostic, Label, PackageId, RuleSchema, Target, Visibility, VisibleTo,
};
use starlark::codemap::FileSpan;
use starlark::eval::{Arguments, Evaluator};
use starlark::values::Value;

use crate::build::{BuildState, Declarations};
use crate::problem::{Problem, a};
use crate::session::session;
use crate::values::{SelectValue, to_data};
use crate::{attribute, check, diagnose};

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
            return select.resolve(package, &coerce).map_err(named);
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
    let mut packages = Vec::new();
    for entry in list.iter().filter_map(Data::as_str) {
        match entry {
            "//visibility:public" => return Ok(Visibility::Public),
            "//visibility:private" => {}
            _ => packages.push(parse_visible(entry, package)?),
        }
    }
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
