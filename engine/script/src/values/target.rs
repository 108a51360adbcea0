//! A dependency as a rule's implementation sees it.

use std::fmt;
use std::sync::Arc;

use model::{ConfiguredTarget, Data};
use starlark::collections::StarlarkHasher;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::starlark_module;
use starlark::values::{Heap, NoSerialize, StarlarkValue, Value, ValueLike, starlark_value};

use super::{DepsetValue, LabelValue, ProviderValue, from_data};
use crate::problem::{Problem, a, fail};

wrapper! {
    /// An analysed target.
    #[derive(NoSerialize)]
    TargetValue(Arc<ConfiguredTarget>)
}

impl fmt::Display for TargetValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<target {}>", self.0.label())
    }
}

starlark::methods_static!(TARGET_METHODS = target_methods);

#[starlark_value(type = "Target")]
impl<'v> StarlarkValue<'v> for TargetValue {
    fn get_methods() -> Option<&'static Methods> {
        Some(TARGET_METHODS.methods())
    }

    fn at(&self, index: Value<'v>, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let Some(provider) = ProviderValue::from_value(index) else {
            return fail(format!("a target is indexed by a provider, but got {}", a(index.get_type())));
        };
        let id = provider.id()?;
        match self.0.providers.get(id) {
            Some(instance) => Ok(from_data(&Data::Provider(Arc::clone(instance)), heap)),
            None => {
                let has: Vec<String> = self.0.providers.keys().map(|id| format!("`{id}`")).collect();
                Err(Problem::new(format!("{} ({}) has no provider `{id}`", self.0.label(), self.0.kind))
                    .note(format!("it has {}", has.join(", ")))
                    .into())
            }
        }
    }

    fn is_in(&self, other: Value<'v>) -> starlark::Result<bool> {
        match ProviderValue::from_value(other) {
            Some(provider) => Ok(self.0.providers.contains_key(provider.id()?)),
            None => fail(format!("`in` looks for a provider in a target, but got {}", a(other.get_type()))),
        }
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| other.0.key == self.0.key))
    }

    fn write_hash(&self, hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        std::hash::Hash::hash(&self.0.key.label, hasher);
        Ok(())
    }
}

#[starlark_module]
fn target_methods(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn label(this: &TargetValue) -> starlark::Result<LabelValue> {
        Ok(LabelValue(this.0.label().clone()))
    }

    #[starlark(attribute)]
    fn files(this: &TargetValue) -> starlark::Result<DepsetValue> {
        Ok(DepsetValue(this.0.default_info().files))
    }
}
