//! A store that holds what nearly every try would else fetch from outside: the shell of actions.
//!
//! It is a template that is filled once for a run of this program, so that thousands of tries ask a registry once, and a
//! registry that is down for a moment fails no try.

use std::path::Path;
use std::sync::OnceLock;

use crate::program::Program;
use crate::template::Template;

static SEED: OnceLock<Template> = OnceLock::new();

/// Makes `store`, which must not exist, with a copy of the seed.
pub fn copy_to(store: &Path, program: &Program) {
    let seed = SEED.get_or_init(|| Template::new(program).unwrap_or_else(|error| panic!("{error}")));
    seed.copy_to_store(store).unwrap_or_else(|error| panic!("{error}"));
}

/// Removes the seed; statics are not dropped by themselves.
pub fn remove() {
    if let Some(seed) = SEED.get() {
        seed.remove();
    }
}
