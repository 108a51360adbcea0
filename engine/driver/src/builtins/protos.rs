//! `proto_descriptors`: .proto files to a descriptor set, by protoc.

use std::collections::BTreeMap;

use execution::{Builtin, BuiltinCall, Explained, Made, Refused};
use model::{Limits, Network, Resources, Spawn};

use super::{Outputs, bytes, parameters};

/// The built-in action.
pub(super) struct Descriptors;

impl Builtin for Descriptors {
    fn version(&self) -> u32 {
        2
    }

    fn run(&self, call: &BuiltinCall<'_>) -> Outputs {
        let params: proto::CompileParams = parameters(call)?;
        let prepared = params.prepare(&|path| bytes(call, path));
        let compilation = prepared.map_err(|found| Refused::mistakes("the sources cannot be compiled", &found))?;
        Ok(Made::By(Box::new(Explained {
            spawn: spawn(compilation.command()),
            on_failure: compilation.each().into_iter().map(spawn).collect(),
            explain: Box::new(move |log| compilation.explain(log)),
        })))
    }
}

/// The process of a command line, with nothing but the action's inputs.
fn spawn(argv: Vec<String>) -> Spawn {
    Spawn {
        executable_outputs: false,
        expansions: Vec::new(),
        argv,
        env: BTreeMap::new(),
        root: None,
        needs_shell: false,
        network: Network::Loopback,
        stdin: None,
        stdout: None,
        timeout: None,
        limits: Limits::default(),
        test: false,
        resources: Resources::default(),
        worker_tools: None,
    }
}
