//! `proto_descriptors`: .proto files to a descriptor set.

use execution::{Builtin, BuiltinCall};

use super::{Outputs, bytes, output, parameters};

/// The built-in action.
pub(super) struct Descriptors;

impl Builtin for Descriptors {
    fn version(&self) -> u32 {
        1
    }

    fn run(&self, call: &BuiltinCall<'_>) -> Outputs {
        let params: proto::CompileParams = parameters(call)?;
        let set = params.run(&|path| bytes(call, path)).map_err(|error| error.to_string())?;
        Ok(vec![output(call, 0, &set)?])
    }
}
