//! Attribute values: checked against their schema, labels made absolute.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{AttributeKind, AttributeSchema, Configurable, Data, FileFilter, Label, PackageId, TargetPattern};

use crate::problem::{Problem, a};

/// The value of an attribute of this kind that was not set and has no default.
pub(crate) fn zero(kind: AttributeKind) -> Data {
    match kind {
        AttributeKind::Bool => Data::Bool(false),
        AttributeKind::Int => Data::Int(0),
        AttributeKind::String => Data::text(""),
        AttributeKind::StringList | AttributeKind::IntList | AttributeKind::LabelList | AttributeKind::OutputList => {
            Data::empty_list()
        }
        AttributeKind::StringDict
        | AttributeKind::StringListDict
        | AttributeKind::LabelKeyedStringDict
        | AttributeKind::StringKeyedLabelDict => Data::Dict(Arc::from(Vec::new())),
        AttributeKind::Label | AttributeKind::Output | AttributeKind::Data => Data::None,
    }
}

/// The attributes that every rule has, and those of tests.
pub(crate) fn implicit(test: bool) -> BTreeMap<Arc<str>, AttributeSchema> {
    let mut attributes = BTreeMap::new();
    let add = |attributes: &mut BTreeMap<_, _>, name: &str, kind, doc: &str| {
        let schema = AttributeSchema {
            kind,
            mandatory: false,
            default: Configurable::Plain(zero(kind)),
            doc: Arc::from(doc),
            files: FileFilter::default(),
            providers: Vec::new(),
            patterns: false,
            exec: false,
            executable: false,
            values: Vec::new(),
            allow_empty: true,
            allow_testonly: false,
        };
        attributes.insert(Arc::from(name), schema);
    };
    add(&mut attributes, "visibility", AttributeKind::StringList, "Who may depend on the target.");
    add(&mut attributes, "tags", AttributeKind::StringList, "Words to select targets by.");
    add(&mut attributes, "testonly", AttributeKind::Bool, "Whether only tests may depend on the target.");
    if test {
        // As in Bazel: only tests and what is testonly may depend on a test.
        if let Some(testonly) = attributes.get_mut("testonly") {
            testonly.default = Configurable::Plain(Data::Bool(true));
        }
        add(
            &mut attributes,
            "size",
            AttributeKind::String,
            "How much the test needs: small, medium, large or enormous.",
        );
        add(
            &mut attributes,
            "timeout",
            AttributeKind::String,
            "How long the test may take: short, moderate, long or eternal.",
        );
        add(&mut attributes, "args", AttributeKind::StringList, "Arguments of the test.");
        add(&mut attributes, "env", AttributeKind::StringDict, "Environment of the test.");
        restrict(&mut attributes, "size", &["small", "medium", "large", "enormous"], "medium");
        restrict(&mut attributes, "timeout", &["", "short", "moderate", "long", "eternal"], "");
    }
    attributes
}

fn restrict(attributes: &mut BTreeMap<Arc<str>, AttributeSchema>, name: &str, values: &[&str], default: &str) {
    if let Some(schema) = attributes.get_mut(name) {
        schema.values = values.iter().map(|value| Data::text(value)).collect();
        schema.default = Configurable::Plain(Data::text(default));
    }
}

/// The value as the schema demands it. Target patterns stay texts, made absolute.
pub(crate) fn coerce_for(schema: &AttributeSchema, data: &Data, package: &PackageId) -> Result<Data, Problem> {
    let (true, Some(list)) = (schema.patterns, data.as_list()) else {
        return coerce(schema.kind, data, package);
    };
    let (patterns, labels): (Vec<&Data>, Vec<&Data>) = list.iter().partition(|data| is_pattern(data));
    let labels: Vec<Data> = labels.into_iter().cloned().collect();
    let mut coerced = coerce_list(AttributeKind::Label, &labels, package)?;
    for pattern in patterns.into_iter().filter_map(|data| data.as_str()) {
        TargetPattern::parse(pattern, package).map_err(|error| Problem::new(error.to_string()))?;
        coerced.push(Data::text(pattern));
    }
    Ok(Data::List(Arc::from(coerced)))
}

fn is_pattern(data: &Data) -> bool {
    data.as_str().is_some_and(|text| text.ends_with("...") || text.ends_with(":all") || text.ends_with(":*"))
}

/// The value as the kind demands it: labels parsed in `package`, everything else checked.
pub(crate) fn coerce(kind: AttributeKind, data: &Data, package: &PackageId) -> Result<Data, Problem> {
    let wrong = || {
        let problem = Problem::new(format!("expected {}, but got {}", kind.describe(), describe(data)));
        match data {
            Data::Str(text) if element(kind).is_some() => problem.hint(format!("write `[{text:?}]`")),
            _ => problem,
        }
    };
    if let Some(inner) = element(kind) {
        let list = data.as_list().ok_or_else(wrong)?;
        let list = coerce_list(inner, list, package)?;
        return Ok(Data::List(Arc::from(list)));
    }
    if let Some((key, value)) = entry(kind) {
        let pairs = data.as_dict().ok_or_else(wrong)?.iter().map(|(k, v)| {
            let found = coerce(key, k, package).map_err(|problem| prefix("a key", problem))?;
            let name = k.as_str().map_or_else(|| describe(k), |text| format!("{text:?}"));
            Ok((found, coerce(value, v, package).map_err(|problem| prefix(&format!("the value of {name}"), problem))?))
        });
        return pairs.collect::<Result<Vec<_>, Problem>>().map(|pairs| Data::Dict(Arc::from(pairs)));
    }
    match (kind, data) {
        (AttributeKind::Bool, Data::Bool(_))
        | (AttributeKind::Int, Data::Int(_))
        | (AttributeKind::String, Data::Str(_))
        | (AttributeKind::Label, Data::Label(_)) => Ok(data.clone()),
        (AttributeKind::Bool, Data::Int(number @ (0 | 1))) => Ok(Data::Bool(*number == 1)),
        (AttributeKind::Label, Data::Str(text)) => {
            Label::parse(text, package).map(Data::Label).map_err(|error| Problem::new(error.to_string()))
        }
        (AttributeKind::Output, Data::Str(text)) => output_name(text, package).map(|name| Data::text(&name)),
        (AttributeKind::Data, _) => {
            if is_plain(data) {
                Ok(data.clone())
            } else {
                Err(wrong())
            }
        }
        _ => Err(wrong()),
    }
}

fn coerce_list(inner: AttributeKind, list: &[Data], package: &PackageId) -> Result<Vec<Data>, Problem> {
    let mut seen = BTreeSet::new();
    let mut coerced = Vec::with_capacity(list.len());
    for (index, data) in list.iter().enumerate() {
        let data =
            coerce(inner, data, package).map_err(|problem| prefix(&format!("element {}", index + 1), problem))?;
        if let Data::Label(label) = &data
            && !seen.insert(label.clone())
        {
            return Err(Problem::new(format!("{label} is listed twice")));
        }
        coerced.push(data);
    }
    Ok(coerced)
}

fn prefix(what: &str, problem: Problem) -> Problem {
    Problem { message: format!("{what}: {}", problem.message), ..problem }
}

fn element(kind: AttributeKind) -> Option<AttributeKind> {
    match kind {
        AttributeKind::StringList => Some(AttributeKind::String),
        AttributeKind::IntList => Some(AttributeKind::Int),
        AttributeKind::LabelList => Some(AttributeKind::Label),
        AttributeKind::OutputList => Some(AttributeKind::Output),
        _ => None,
    }
}

fn entry(kind: AttributeKind) -> Option<(AttributeKind, AttributeKind)> {
    match kind {
        AttributeKind::StringDict => Some((AttributeKind::String, AttributeKind::String)),
        AttributeKind::StringListDict => Some((AttributeKind::String, AttributeKind::StringList)),
        AttributeKind::LabelKeyedStringDict => Some((AttributeKind::Label, AttributeKind::String)),
        AttributeKind::StringKeyedLabelDict => Some((AttributeKind::String, AttributeKind::Label)),
        _ => None,
    }
}

/// An output is named relative to its package; `:name` means the same.
fn output_name(text: &str, package: &PackageId) -> Result<String, Problem> {
    let label = Label::parse(text, package).map_err(|error| Problem::new(error.to_string()))?;
    if label.package() != package {
        return Err(Problem::new(format!("an output lies in its own package, but `{text}` is in {}", label.package())));
    }
    Ok(label.name().to_owned())
}

fn is_plain(data: &Data) -> bool {
    match data {
        Data::None | Data::Bool(_) | Data::Int(_) | Data::Str(_) | Data::Label(_) => true,
        Data::List(list) => list.iter().all(is_plain),
        Data::Dict(pairs) => pairs.iter().all(|(key, value)| is_plain(key) && is_plain(value)),
        Data::Struct(fields) => fields.values().all(is_plain),
        Data::Provider(instance) => instance.fields.values().all(is_plain),
        Data::File(_) | Data::Depset(_) | Data::Function(_) => false,
    }
}

/// A value for an error: `the string "x"`, `a list`.
pub(crate) fn describe(data: &Data) -> String {
    match data {
        Data::None => "None".to_owned(),
        Data::Bool(true) => "True".to_owned(),
        Data::Bool(false) => "False".to_owned(),
        Data::Int(number) => format!("the int {number}"),
        Data::Str(text) if text.chars().count() <= 60 => format!("the string {text:?}"),
        Data::Label(label) => format!("the label {label}"),
        other => a(other.type_name()),
    }
}

/// What the schema demands beyond the type.
pub(crate) fn check(schema: &AttributeSchema, data: &Data) -> Result<(), Problem> {
    if !schema.values.is_empty() && !schema.values.contains(data) {
        let allowed: Vec<String> = schema.values.iter().map(describe_plain).collect();
        let problem = Problem::new(format!("{} is not one of {}", describe_plain(data), allowed.join(", ")));
        let candidates = schema.values.iter().filter_map(Data::as_str);
        return Err(data.as_str().map_or(problem.clone(), |text| problem.nearest(text, candidates)));
    }
    let empty = match data {
        Data::List(list) => list.is_empty(),
        Data::Dict(pairs) => pairs.is_empty(),
        _ => false,
    };
    if empty && !schema.allow_empty { Err(Problem::new("it must not be empty")) } else { Ok(()) }
}

fn describe_plain(data: &Data) -> String {
    match data {
        Data::Str(text) => format!("{text:?}"),
        Data::Int(number) => number.to_string(),
        other => describe(other),
    }
}
