//! `runfiles`: what an executable needs beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::{Data, Depset, Order, ProviderInstance, RUNFILES};
use starlark::environment::{Methods, MethodsBuilder};
use starlark::starlark_module;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::{NoSerialize, StarlarkValue, starlark_value};

use super::DepsetValue;

wrapper! {
    /// Runfiles: one depset of files.
    #[derive(NoSerialize)]
    RunfilesValue(Arc<Depset>)
}

impl RunfilesValue {
    /// Runfiles out of data.
    pub fn from_instance(instance: &ProviderInstance) -> Self {
        Self(instance.get("files").and_then(Data::as_depset).cloned().unwrap_or_default())
    }

    /// Runfiles as data.
    pub fn to_data(&self) -> Data {
        let fields = BTreeMap::from([(Arc::from("files"), Data::Depset(Arc::clone(&self.0)))]);
        Data::Provider(Arc::new(ProviderInstance { id: RUNFILES.clone(), fields }))
    }

    fn merged<'a>(&'a self, others: impl IntoIterator<Item = &'a Self>) -> Self {
        let sets = std::iter::once(self).chain(others).map(|runfiles| Arc::clone(&runfiles.0));
        let mut transitive: Vec<_> = sets.filter(|set| !set.is_empty()).collect();
        if transitive.len() == 1 {
            return Self(transitive.remove(0));
        }
        Self(Arc::new(Depset { order: Order::Default, direct: Vec::new(), transitive }))
    }
}

impl fmt::Display for RunfilesValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<runfiles>")
    }
}

starlark::methods_static!(RUNFILES_METHODS = runfiles_methods);

#[starlark_value(type = "runfiles")]
impl<'v> StarlarkValue<'v> for RunfilesValue {
    fn get_methods() -> Option<&'static Methods> {
        Some(RUNFILES_METHODS.methods())
    }
}

#[starlark_module]
fn runfiles_methods(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn files(this: &RunfilesValue) -> starlark::Result<DepsetValue> {
        Ok(DepsetValue(Arc::clone(&this.0)))
    }

    fn merge<'v>(
        this: &'v RunfilesValue,
        #[starlark(require = pos)] other: &'v RunfilesValue,
    ) -> starlark::Result<RunfilesValue> {
        Ok(this.merged([other]))
    }

    fn merge_all<'v>(
        this: &'v RunfilesValue,
        #[starlark(require = pos)] others: UnpackListOrTuple<&'v RunfilesValue>,
    ) -> starlark::Result<RunfilesValue> {
        Ok(this.merged(others.items))
    }
}
