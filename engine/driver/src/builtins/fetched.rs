//! `fetch`: a verified archive from a package registry.

use std::sync::Arc;

use execution::{Builtin, BuiltinCall, Content, Made};
use fetch::{Endpoints, Fetched};

use super::{Outputs, path};

/// The built-in action.
pub(super) struct Fetch {
    pub(super) endpoints: Arc<Endpoints>,
}

impl Builtin for Fetch {
    fn version(&self) -> u32 {
        2
    }

    fn run(&self, call: &BuiltinCall<'_>) -> Outputs {
        let fetched = fetch::run(call.params, call.store, &self.endpoints, call.reporter);
        let content = match fetched.map_err(|error| error.explain())? {
            Fetched::File { digest, size } => Content::File { digest, size, executable: false },
            Fetched::Tree(digest) => Content::Tree(digest),
        };
        Ok(Made::Outputs(vec![(path(call, 0)?, content)]))
    }

    fn waits(&self) -> bool {
        true
    }
}
