//! `bundle`: the definition of services and the digests of their images to one document.

use std::collections::BTreeMap;

use execution::{Builtin, BuiltinCall, Made};

use super::{Outputs, bytes, chain, output};

/// The built-in action.
pub(super) struct Bundle;

impl Builtin for Bundle {
    fn version(&self) -> u32 {
        deploy::BUNDLE_BUILTIN_VERSION
    }

    fn run(&self, call: &BuiltinCall<'_>) -> Outputs {
        let mut inputs = BTreeMap::new();
        for path in call.inputs.keys() {
            inputs.insert(path.to_string(), bytes(call, path.as_str())?);
        }
        let bundle = deploy::bundle(call.params, &inputs).map_err(|error| chain(&error))?;
        Ok(Made::Outputs(vec![output(call, 0, &bundle)?]))
    }
}
