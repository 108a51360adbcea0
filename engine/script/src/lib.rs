//! The Starlark dialect: evaluates WORKSPACE.star, BUILD.star and .star files, and runs rule implementations.
//!
//! The only crate that knows the starlark crate; its API speaks in `model`'s types. Evaluation is a pure function of the
//! texts given: no I/O (globs are answered by the caller), no clock, no order of hash tables. Every failure is a
//! diagnostic with its place.

#![allow(
    unsafe_code,
    reason = "the starlark crate's derive of `ProvidesStaticType` expands to an unsafe impl; we write none"
)]

#[macro_use]
mod values;
mod analysis;
mod attribute;
mod build;
mod check;
mod diagnose;
mod globals;
mod json;
mod library;
mod nesting;
mod parameters;
mod problem;
mod reexport;
mod rule_call;
mod running;
mod session;
mod shift;
mod source;
mod workspace;

pub use analysis::{Analysed, RuleContext, analyse};
pub use build::{PackageContext, eval_build};
pub use library::{Library, eval_library};
pub use reexport::Reexports;
pub use running::{Running, running, running_here};
pub use source::{Source, loads};
pub use workspace::eval_workspace;
