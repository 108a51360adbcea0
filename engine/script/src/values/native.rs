//! `native`: what BUILD.star has as globals, for macros.

use std::fmt;

use starlark::eval::{Arguments, Evaluator};
use starlark::values::{Heap, NoSerialize, StarlarkValue, Value, ValueLike, starlark_value};

use crate::globals;
use crate::problem::Problem;
use crate::session::session;

wrapper! {
    /// The struct `native`.
    #[derive(NoSerialize)]
    NativeValue(())
}

impl fmt::Display for NativeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<native>")
    }
}

#[starlark_value(type = "native")]
impl<'v> StarlarkValue<'v> for NativeValue {
    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        // A rule is looked up in the prelude when it is called: the prelude is not known when a .star file is loaded.
        globals::package_function(attribute).or_else(|| Some(heap.alloc(NativeRule(attribute.to_owned()))))
    }
}

wrapper! {
    /// `native.<rule>`: a rule of the prelude.
    #[derive(NoSerialize)]
    NativeRule(String)
}

impl fmt::Display for NativeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<native.{}>", self.0)
    }
}

#[starlark_value(type = "rule")]
impl<'v> StarlarkValue<'v> for NativeRule {
    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let name = &self.0;
        let state = session(eval)?.build(&format!("native.{name}"))?;
        let rule = state.prelude.as_ref().and_then(|prelude| prelude.get(name));
        let Some(rule) = rule.filter(|_| !name.starts_with('_')) else {
            let mut known = state.prelude.as_ref().map(|prelude| prelude.exports()).unwrap_or_default();
            known.extend(globals::PACKAGE_FUNCTIONS.iter().map(|name| (*name).to_owned()));
            let known = known.iter().map(String::as_str);
            return Err(Problem::new(format!("native has no `{name}`")).nearest(name, known).into());
        };
        let rule = eval.heap().access_owned_frozen_value(&rule);
        ValueLike::invoke(rule, args, eval)
    }
}
