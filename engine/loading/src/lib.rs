//! From files to targets: the workspace, packages, .star files, globs, labels, target patterns and queries.
//!
//! The way in is [`Loader`]: it evaluates each BUILD.star and each .star file at most once, from any number of threads.
//! What a rule does is not known here; `analysis` asks for it.

mod embedded;
mod external;
mod glob;
mod graph;
mod libraries;
mod loader;
mod memo;
mod missing;
mod node;
mod packages;
mod patterns;
mod place;
mod query;
mod source_tree;
mod taken;
mod wildcard_attributes;
mod workspace;

pub use external::External;
pub use graph::{TargetGraph, cycle_diagnostic};
pub use loader::{KnownPackages, Loader, Reads, SourceContent};
pub use node::Node;
pub use packages::MARKS;
pub use patterns::{Matched, Wildcards};
pub use query::{QueryFormat, QueryResult, query};
pub use workspace::{WORKSPACE_FILE, Workspace, package_at};
