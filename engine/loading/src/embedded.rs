//! The files of `rules/` as they were when the engine was built.

include!(concat!(env!("OUT_DIR"), "/rules.rs"));
