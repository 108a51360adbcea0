//! `rule()`: a rule is named when it is assigned to a top-level variable, and declares a target when it is called.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use model::{AttributeSchema, FunctionRef, Label, Location, ProviderId, RuleId, RuleSchema};
use starlark::environment::GlobalsBuilder;
use starlark::eval::{Arguments, Evaluator};
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::NoneOr;
use starlark::values::{NoSerialize, StarlarkValue, Value, starlark_value};

use super::{AttributeValue, ProviderValue};
use crate::problem::{Problem, a, fail};
use crate::session::{Mode, Rule, session};
use crate::{attribute, diagnose, rule_call};

/// What `rule()` was given.
#[derive(Debug)]
pub(crate) struct Declared {
    implementation: FunctionRef,
    provides: Vec<ProviderId>,
    attributes: BTreeMap<Arc<str>, AttributeSchema>,
    executable: bool,
    test: bool,
    doc: Arc<str>,
    location: Option<Location>,
    /// Set on export.
    schema: OnceLock<Arc<RuleSchema>>,
}

wrapper! {
    /// A rule.
    #[derive(NoSerialize)]
    RuleValue(Arc<Declared>)
}

impl RuleValue {
    /// The schema, once the rule has a name.
    pub fn schema(&self) -> Option<&Arc<RuleSchema>> {
        self.0.schema.get()
    }
}

impl fmt::Display for RuleValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.schema() {
            Some(schema) => write!(f, "<rule {}>", schema.id.name),
            None => f.write_str("<rule>"),
        }
    }
}

#[starlark_value(type = "rule")]
impl<'v> StarlarkValue<'v> for RuleValue {
    fn export_as(&self, name: &str, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<()> {
        let session = session(eval)?;
        let Mode::Library(state) = &session.mode else { return Ok(()) };
        if self.schema().is_some() {
            return Ok(());
        }
        let declared = &self.0;
        let schema = Arc::new(RuleSchema {
            id: RuleId { file: session.file.clone(), name: Arc::from(name) },
            attributes: declared.attributes.clone(),
            executable: declared.executable || declared.test,
            test: declared.test,
            provides: declared.provides.clone(),
            doc: Arc::clone(&declared.doc),
            location: declared.location.clone(),
        });
        let schema = Arc::clone(declared.schema.get_or_init(|| schema));
        let rule = Rule { schema, implementation: declared.implementation.clone() };
        state.rules.borrow_mut().insert(Arc::from(name), rule);
        Ok(())
    }

    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let Some(schema) = self.schema() else {
            return Err(Problem::new("this rule has no name")
                .hint("assign the result of rule() to a top-level variable: `my_rule = rule(...)`")
                .into());
        };
        rule_call::declare(schema, args, eval)?;
        Ok(Value::new_none())
    }
}

/// `rule(...)`.
#[starlark_module]
pub(crate) fn rule_globals(builder: &mut GlobalsBuilder) {
    fn rule<'v>(
        implementation: Value<'v>,
        #[starlark(require = named, default = NoneOr::None)] attrs: NoneOr<DictRef<'v>>,
        #[starlark(require = named, default = false)] executable: bool,
        #[starlark(require = named, default = false)] test: bool,
        #[starlark(require = named, default = "")] doc: &str,
        #[starlark(require = named, default = UnpackListOrTuple::default())] provides: UnpackListOrTuple<Value<'v>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<RuleValue> {
        let session = session(eval)?;
        if !matches!(session.mode, Mode::Library(_)) {
            return fail("rule() can be called only while a .star file is loaded");
        }
        let implementation = match session.function_ref(implementation) {
            Ok(function) => function,
            Err(reason) => return fail(format!("`implementation`: {reason}")),
        };
        Ok(RuleValue(Arc::new(Declared {
            implementation,
            provides: ids(&provides.items)?,
            attributes: attributes(attrs.into_option(), test, &session.file)?,
            executable,
            test,
            doc: Arc::from(doc),
            location: eval.call_stack_top_location().map(|span| diagnose::location(&span)),
            schema: OnceLock::new(),
        })))
    }
}

fn attributes(
    declared: Option<DictRef<'_>>,
    test: bool,
    file: &Label,
) -> starlark::Result<BTreeMap<Arc<str>, AttributeSchema>> {
    let mut attributes = attribute::implicit(test);
    for (name, value) in declared.iter().flat_map(|dict| dict.iter()) {
        let Some(name) = name.unpack_str() else { return fail("the keys of `attrs` are names") };
        let Some(schema) = AttributeValue::from_value(value) else {
            return Err(Problem::new(format!(
                "the attribute `{name}` must be an attr.*, but got {}",
                a(value.get_type())
            ))
            .hint("write `attr.string()`, `attr.label_list()`, ...")
            .into());
        };
        // `test_suite` is testonly unless it says otherwise, as in Bazel.
        let is_own = name == "testonly" && file.repository() == "rules";
        if name == "name" || (attributes.contains_key(name) && !is_own) {
            return fail(format!("every rule has the attribute `{name}`; it cannot be declared again"));
        }
        attributes.insert(Arc::from(name), (*schema.0).clone());
    }
    Ok(attributes)
}

fn ids(provides: &[Value<'_>]) -> starlark::Result<Vec<ProviderId>> {
    let id = |value: &Value<'_>| match ProviderValue::from_value(*value) {
        Some(provider) => provider.id().cloned(),
        None => fail(format!("`provides` takes a list of providers, but it holds {}", a(value.get_type()))),
    };
    provides.iter().map(id).collect()
}
