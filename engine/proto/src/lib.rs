//! Protocol buffers: what is checked and said around protoc, which compiles `.proto` sources to descriptor sets, and
//! what a change of descriptors would break.
//!
//! Pure functions on bytes: the process is run by whoever calls. Generating code is the business of the language rules;
//! they read the descriptor sets.

mod breaking;
mod compile;
mod descriptor;
mod imports;
mod messages;
mod params;
mod sets;
mod source;

pub use breaking::breaking;
pub use compile::Compilation;
pub use params::{CompileParams, SetParam, SourceParam};
