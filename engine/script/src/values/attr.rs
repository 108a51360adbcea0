//! `attr.*`: the schemas of attributes.

use std::fmt;
use std::sync::Arc;

use model::{AttributeKind, AttributeSchema, Configurable, Data, FileFilter, ProviderId};
use starlark::environment::GlobalsBuilder;
use starlark::eval::{Arguments, Evaluator};
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::{NoSerialize, StarlarkValue, UnpackValue, Value, starlark_value};

use super::{ProviderValue, SelectValue, to_data};
use crate::attribute;
use crate::problem::{Problem, a, fail};
use crate::session::{calling_file, session};

wrapper! {
    /// An attribute's schema.
    #[derive(NoSerialize)]
    AttributeValue(Arc<AttributeSchema>)
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<attribute: {}>", self.0.kind.describe())
    }
}

#[starlark_value(type = "attribute")]
impl<'v> StarlarkValue<'v> for AttributeValue {}

wrapper! {
    /// One of the functions `attr.*`.
    #[derive(NoSerialize)]
    AttributeFunction(AttributeKind)
}

impl fmt::Display for AttributeFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function attr.{}>", name_of(self.0))
    }
}

#[starlark_value(type = "function")]
impl<'v> StarlarkValue<'v> for AttributeFunction {
    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let name = name_of(self.0);
        if args.no_positional_args(eval.heap()).is_err() {
            return fail(format!("`attr.{name}` takes named arguments only"));
        }
        let mut schema = empty(self.0);
        let mut default = None;
        for (argument, value) in args.names_map()? {
            match argument.as_str() {
                "default" => default = Some(value).filter(|value| !value.is_none()),
                argument => set(&mut schema, argument, value).map_err(|problem| problem_in(name, problem))?,
            }
        }
        if let Some(value) = default {
            schema.default = default_value(&schema, value, eval).map_err(|problem| problem_in(name, problem))?;
        }
        Ok(eval.heap().alloc(AttributeValue(Arc::new(schema))))
    }
}

fn problem_in(name: &str, problem: Problem) -> starlark::Error {
    Problem { message: format!("attr.{name}: {}", problem.message), ..problem }.into()
}

const KINDS: [(&str, AttributeKind); 14] = [
    ("bool", AttributeKind::Bool),
    ("int", AttributeKind::Int),
    ("string", AttributeKind::String),
    ("string_list", AttributeKind::StringList),
    ("int_list", AttributeKind::IntList),
    ("string_dict", AttributeKind::StringDict),
    ("string_list_dict", AttributeKind::StringListDict),
    ("label", AttributeKind::Label),
    ("label_list", AttributeKind::LabelList),
    ("label_keyed_string_dict", AttributeKind::LabelKeyedStringDict),
    ("string_keyed_label_dict", AttributeKind::StringKeyedLabelDict),
    ("output", AttributeKind::Output),
    ("output_list", AttributeKind::OutputList),
    ("data", AttributeKind::Data),
];

fn name_of(kind: AttributeKind) -> &'static str {
    KINDS.iter().find(|(_, other)| *other == kind).map_or("", |(name, _)| name)
}

/// The module `attr`.
pub(crate) fn attr_module(builder: &mut GlobalsBuilder) {
    builder.namespace("attr", |builder| {
        for (name, kind) in KINDS {
            builder.set(name, AttributeFunction(kind));
        }
    });
}

fn empty(kind: AttributeKind) -> AttributeSchema {
    AttributeSchema {
        kind,
        mandatory: false,
        default: Configurable::Plain(attribute::zero(kind)),
        doc: Arc::from(""),
        files: FileFilter::default(),
        providers: Vec::new(),
        patterns: false,
        exec: false,
        executable: false,
        values: Vec::new(),
        allow_empty: true,
        allow_testonly: false,
    }
}

const COMMON: [&str; 3] = ["default", "mandatory", "doc"];
const LABEL: [&str; 6] = ["allow_files", "allow_single_file", "allow_testonly", "providers", "cfg", "executable"];

fn set(schema: &mut AttributeSchema, argument: &str, value: Value<'_>) -> Result<(), Problem> {
    let kind = schema.kind;
    let scalar = matches!(kind, AttributeKind::String | AttributeKind::Int);
    let container = !matches!(
        kind,
        AttributeKind::Bool
            | AttributeKind::Int
            | AttributeKind::String
            | AttributeKind::Label
            | AttributeKind::Output
            | AttributeKind::Data
    );
    match argument {
        "mandatory" => schema.mandatory = boolean(argument, value)?,
        "doc" => schema.doc = Arc::from(text(argument, value)?),
        "values" if scalar => schema.values = values(value, kind)?,
        "allow_empty" if container => schema.allow_empty = boolean(argument, value)?,
        "allow_files" if kind.is_label() => set_files(&mut schema.files, value, false)?,
        "allow_single_file" if kind.is_label() => set_files(&mut schema.files, value, true)?,
        "providers" if kind.is_label() => schema.providers = providers(value)?,
        "patterns" if kind == AttributeKind::LabelList => schema.patterns = boolean(argument, value)?,
        "allow_testonly" if kind.is_label() => schema.allow_testonly = boolean(argument, value)?,
        "executable" if kind.is_label() => schema.executable = boolean(argument, value)?,
        "cfg" if kind.is_label() => {
            schema.exec = match value.unpack_str() {
                Some("exec") => true,
                Some("target") => false,
                _ => return Err(Problem::new("`cfg` is `\"exec\"` or `\"target\"`")),
            };
        }
        other => {
            let mut known = COMMON.to_vec();
            known.extend(scalar.then_some("values"));
            known.extend(container.then_some("allow_empty"));
            known.extend((kind == AttributeKind::LabelList).then_some("patterns"));
            known.extend(LABEL.iter().filter(|_| kind.is_label()));
            return Err(Problem::new(format!("no argument is named `{other}`")).nearest(other, known));
        }
    }
    Ok(())
}

fn boolean(argument: &str, value: Value<'_>) -> Result<bool, Problem> {
    let wrong = || Problem::new(format!("`{argument}` takes True or False, but got {}", a(value.get_type())));
    value.unpack_bool().ok_or_else(wrong)
}

fn text<'v>(argument: &str, value: Value<'v>) -> Result<&'v str, Problem> {
    let wrong = || Problem::new(format!("`{argument}` takes a string, but got {}", a(value.get_type())));
    value.unpack_str().ok_or_else(wrong)
}

fn values(value: Value<'_>, kind: AttributeKind) -> Result<Vec<Data>, Problem> {
    let data = super::data::to_plain_data(value).map_err(Problem::new)?;
    let Data::List(list) = data else { return Err(Problem::new("`values` takes a list")) };
    let package = model::PackageId::root();
    list.iter().map(|data| attribute::coerce(kind, data, &package)).collect()
}

fn set_files(filter: &mut FileFilter, value: Value<'_>, single: bool) -> Result<(), Problem> {
    filter.single = single;
    if value.is_none() {
        return Ok(());
    }
    if let Some(allowed) = value.unpack_bool() {
        filter.allowed = allowed;
        filter.single = single && allowed;
        return Ok(());
    }
    match UnpackListOrTuple::<String>::unpack_value(value) {
        Ok(Some(list)) => {
            filter.allowed = true;
            filter.extensions = list.items.iter().map(|ending| Arc::from(ending.as_str())).collect();
            Ok(())
        }
        _ => Err(Problem::new("the files allowed are True, False, or a list of endings: `[\".go\"]`")),
    }
}

fn providers(value: Value<'_>) -> Result<Vec<Vec<ProviderId>>, Problem> {
    let wrong = || Problem::new("`providers` takes a list of providers, or a list of such lists");
    let list = |value| UnpackListOrTuple::<Value<'_>>::unpack_value(value).ok().flatten().map(|list| list.items);
    let items = list(value).ok_or_else(wrong)?;
    let id = |value: Value<'_>| -> Result<ProviderId, Problem> {
        let provider = ProviderValue::from_value(value).ok_or_else(wrong)?;
        provider.id().cloned().map_err(|_| Problem::new("`providers` holds a provider that has no name"))
    };
    if items.iter().all(|item| ProviderValue::from_value(*item).is_some()) {
        let all = items.into_iter().map(id).collect::<Result<Vec<_>, _>>()?;
        return Ok(if all.is_empty() { Vec::new() } else { vec![all] });
    }
    items.into_iter().map(|item| list(item).ok_or_else(wrong)?.into_iter().map(id).collect()).collect()
}

fn default_value<'v>(
    schema: &AttributeSchema,
    value: Value<'v>,
    eval: &Evaluator<'v, '_, '_>,
) -> Result<Configurable, Problem> {
    let here = |error: starlark::Error| Problem::new(error.without_diagnostic().to_string());
    let file = calling_file(eval).map_err(here)?;
    let coerce = |data: &Data| attribute::coerce(schema.kind, data, file.package());
    if let Some(select) = SelectValue::from_value(value) {
        return select.resolve(file.package(), &coerce);
    }
    let data = to_data(value, session(eval).map_err(here)?).map_err(Problem::new)?;
    let data =
        coerce(&data).map_err(|problem| Problem { message: format!("`default`: {}", problem.message), ..problem });
    data.map(Configurable::Plain)
}
