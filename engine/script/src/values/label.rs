//! `Label`.

use std::fmt;

use model::Label;
use serde::{Serialize, Serializer};
use starlark::collections::StarlarkHasher;
use starlark::environment::{GlobalsBuilder, Methods, MethodsBuilder};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::{StarlarkValue, Value, ValueLike, starlark_value};

use crate::problem::{Problem, a};
use crate::session::calling_file;

wrapper! {
    /// A label.
    LabelValue(Label)
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for LabelValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

starlark::methods_static!(LABEL_METHODS = label_methods);

#[starlark_value(type = "Label")]
impl<'v> StarlarkValue<'v> for LabelValue {
    fn get_methods() -> Option<&'static Methods> {
        Some(LABEL_METHODS.methods())
    }

    fn collect_repr(&self, collector: &mut String) {
        // Not `Label("...")`: `"%s" % label` of the starlark crate asks for the representation where Bazel takes the text.
        collector.push_str(&self.0.to_string());
    }

    fn collect_str(&self, collector: &mut String) {
        collector.push_str(&self.0.to_string());
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| other.0 == self.0))
    }

    fn write_hash(&self, hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        std::hash::Hash::hash(&self.0, hasher);
        Ok(())
    }
}

#[starlark_module]
fn label_methods(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn name<'v>(this: &'v LabelValue) -> starlark::Result<&'v str> {
        Ok(this.0.name())
    }

    #[starlark(attribute)]
    fn package<'v>(this: &'v LabelValue) -> starlark::Result<&'v str> {
        Ok(this.0.package().path())
    }

    #[starlark(attribute)]
    fn repo_name<'v>(this: &'v LabelValue) -> starlark::Result<&'v str> {
        Ok(this.0.repository())
    }

    #[starlark(attribute)]
    fn workspace_name<'v>(this: &'v LabelValue) -> starlark::Result<&'v str> {
        Ok(this.0.repository())
    }

    /// The folder of the label's repository in an action's tree; empty for the main one.
    #[starlark(attribute)]
    fn workspace_root(this: &LabelValue) -> starlark::Result<String> {
        let repository = this.0.repository();
        Ok(if repository.is_empty() { String::new() } else { format!("external/{repository}") })
    }

    fn same_package_label(this: &LabelValue, #[starlark(require = pos)] name: &str) -> starlark::Result<LabelValue> {
        this.0.sibling(name).map(LabelValue).map_err(|error| Problem::new(error.to_string()).into())
    }

    fn relative(this: &LabelValue, #[starlark(require = pos)] label: &str) -> starlark::Result<LabelValue> {
        parse(label, this.0.package())
    }
}

fn parse(text: &str, package: &model::PackageId) -> starlark::Result<LabelValue> {
    Label::parse(text, package).map(LabelValue).map_err(|error| Problem::new(error.to_string()).into())
}

/// `Label(...)`.
#[starlark_module]
pub(crate) fn label_globals(builder: &mut GlobalsBuilder) {
    /// The label that a text names in the file that contains the call.
    #[starlark(as_type = LabelValue)]
    fn Label<'v>(
        #[starlark(require = pos)] label: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<LabelValue> {
        if let Some(label) = LabelValue::from_value(label) {
            return Ok(LabelValue(label.0.clone()));
        }
        match label.unpack_str() {
            Some(text) => parse(text, calling_file(eval)?.package()),
            None => Err(Problem::new(format!("Label() takes a string, but got {}", a(label.get_type()))).into()),
        }
    }
}
