//! `select`, and sums of selects and plain values.

use std::fmt;
use std::sync::Arc;

use model::{Configurable, Data, Label, PackageId, Part, Select};
use starlark::environment::GlobalsBuilder;
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::{Heap, NoSerialize, StarlarkValue, Value, starlark_value};

use super::{LabelValue, to_data};
use crate::problem::{Problem, a, fail};
use crate::session::session;

/// The condition that holds when no other does.
const DEFAULT: &str = "//conditions:default";

/// A summand; conditions are resolved when the attribute's package is known.
#[derive(Debug, Clone)]
pub(crate) enum RawPart {
    Plain(Data),
    Select { branches: Vec<(Data, Data)>, default: Option<Data>, no_match_error: Option<String> },
}

wrapper! {
    /// A value that depends on the configuration.
    #[derive(NoSerialize)]
    SelectValue(Arc<Vec<RawPart>>)
}

impl fmt::Display for SelectValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("select(...)")
    }
}

#[starlark_value(type = "select")]
impl<'v> StarlarkValue<'v> for SelectValue {
    fn add(&self, rhs: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(plain_part(rhs).map(|parts| heap.alloc(Self(Arc::new([self.0.as_slice(), &parts].concat())))))
    }

    fn radd(&self, lhs: Value<'v>, heap: Heap<'v>) -> Option<starlark::Result<Value<'v>>> {
        Some(plain_part(lhs).map(|parts| heap.alloc(Self(Arc::new([parts.as_slice(), &self.0].concat())))))
    }

    fn bit_or(&self, rhs: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        plain_part(rhs).map(|parts| heap.alloc(Self(Arc::new([self.0.as_slice(), &parts].concat()))))
    }
}

/// What may be added to a select: another select, or plain data (which holds no functions, hence no session).
fn plain_part(value: Value<'_>) -> starlark::Result<Vec<RawPart>> {
    if let Some(select) = SelectValue::from_value(value) {
        return Ok(select.0.to_vec());
    }
    match super::data::to_plain_data(value) {
        Ok(data) => Ok(vec![RawPart::Plain(data)]),
        Err(reason) => fail(format!("cannot be added to a select: {reason}")),
    }
}

impl SelectValue {
    /// The value with its conditions resolved in `package`; `coerce` checks and converts each part.
    pub fn resolve(
        &self,
        package: &PackageId,
        coerce: &dyn Fn(&Data) -> Result<Data, Problem>,
    ) -> Result<Configurable, Problem> {
        let parts = self.0.iter().map(|part| match part {
            RawPart::Plain(data) => coerce(data).map(Part::Plain),
            RawPart::Select { branches, default, no_match_error } => {
                let branches = branches.iter().map(|(condition, data)| Ok((label(condition, package)?, coerce(data)?)));
                Ok(Part::Select(Select {
                    branches: branches.collect::<Result<_, Problem>>()?,
                    default: default.as_ref().map(coerce).transpose()?,
                    no_match_error: no_match_error.clone(),
                }))
            }
        });
        Ok(Configurable::Sum(parts.collect::<Result<_, _>>()?))
    }
}

fn label(condition: &Data, package: &PackageId) -> Result<Label, Problem> {
    match condition {
        Data::Label(label) => Ok(label.clone()),
        Data::Str(text) => Label::parse(text, package)
            .map_err(|error| Problem::new(format!("a condition of select must be a label: {error}"))),
        other => Err(Problem::new(format!("a condition of select must be a label, but got {}", a(other.type_name())))),
    }
}

/// `select(...)`.
#[starlark_module]
pub(crate) fn select_globals(builder: &mut GlobalsBuilder) {
    fn select<'v>(
        #[starlark(require = pos)] x: DictRef<'v>,
        #[starlark(default = "")] no_match_error: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<SelectValue> {
        let session = session(eval)?;
        let mut branches = Vec::new();
        let mut default = None;
        for (key, value) in x.iter() {
            let data = match to_data(value, session) {
                Ok(data) => data,
                Err(reason) => return fail(format!("a value of select must be data: {reason}")),
            };
            match (key.unpack_str(), LabelValue::from_value(key)) {
                (Some(DEFAULT), _) => default = Some(data),
                (Some(text), _) => branches.push((Data::text(text), data)),
                (None, Some(label)) => branches.push((Data::Label(label.0.clone()), data)),
                (None, None) => {
                    return fail(format!("a condition of select must be a label, but got {}", a(key.get_type())));
                }
            }
        }
        if branches.is_empty() && default.is_none() {
            return Err(Problem::new("select needs at least one condition")
                .hint(format!("`\"{DEFAULT}\": ...` holds when nothing else does"))
                .into());
        }
        let no_match_error = Some(no_match_error.to_owned()).filter(|text| !text.is_empty());
        Ok(SelectValue(Arc::new(vec![RawPart::Select { branches, default, no_match_error }])))
    }
}
