//! Protocol buffers: `.proto` sources to descriptor sets, and what a change of them would break.
//!
//! Pure functions on bytes. Generating code is the business of the language rules; they read the descriptor sets made here.

mod breaking;
mod compile;
mod diagnose;
mod params;
mod resolver;

pub use breaking::breaking;
pub use compile::{DependencySet, SourceFile, compile};
pub use params::{CompileParams, SetParam, SourceParam};
