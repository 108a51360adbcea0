//! A function that came back out of data: it is looked up when it is called.

use std::fmt;

use model::FunctionRef;
use starlark::eval::{Arguments, Evaluator};
use starlark::values::{NoSerialize, StarlarkValue, Value, ValueLike, starlark_value};

use crate::problem::Problem;
use crate::session::session;

wrapper! {
    /// A reference to a top-level function.
    #[derive(NoSerialize)]
    FunctionValue(FunctionRef)
}

impl fmt::Display for FunctionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function {} from {}>", self.0.name, self.0.file)
    }
}

#[starlark_value(type = "function")]
impl<'v> StarlarkValue<'v> for FunctionValue {
    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| other.0 == self.0))
    }

    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let session = session(eval)?;
        if self.0.file == session.file
            && let Some(function) = eval.module().get(&self.0.name)
        {
            return ValueLike::invoke(function, args, eval);
        }
        let library = session.libraries.get(&self.0.file);
        let Some(function) = library.and_then(|library| library.get(&self.0.name)) else {
            return Err(Problem::new(format!("the function `{}` of {} is not loaded", self.0.name, self.0.file))
                .hint(format!("add `load(\"{}\", ...)` to the file that defines the rule", self.0.file))
                .into());
        };
        let function = eval.heap().access_owned_frozen_value(&function);
        ValueLike::invoke(function, args, eval)
    }
}
