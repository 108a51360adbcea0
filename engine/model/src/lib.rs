//! The nouns of the engine: labels, paths, digests, data, targets, actions, events.
//!
//! Pure values without I/O. Every other crate speaks in these types, so a change here is a change of architecture.

mod action;
mod artifact;
mod cancel;
mod configuration;
mod configured;
mod data;
mod depset;
mod diagnostic;
mod digest;
mod event;
mod expansion;
mod label;
mod links;
mod nearest;
mod path;
mod pattern;
mod rule;
mod target;
mod tree;

pub use action::{Action, ActionKind, Limits, Network, Resources, Spawn, flag_file};
pub use artifact::{Artifact, ArtifactRoot};
pub use cancel::Cancel;
pub use configuration::{Configuration, Platform};
pub use configured::{ConfiguredTarget, DEFAULT_INFO, DefaultInfo, RUNFILES, TargetKey};
pub use data::{Configurable, Data, FunctionRef, Part, ProviderId, ProviderInstance, Select};
pub use depset::{Depset, Order};
pub use diagnostic::{Diagnostic, DiagnosticPart, Diagnostics, Location, Severity, printable};
pub use digest::{Digest, DigestError, KeyBuilder};
pub use event::{ActionOutcome, Event, NoReporter, Reporter, TestStatus};
pub use expansion::{ArgumentValue, Expansion, Layout};
pub use label::{Label, LabelError, PackageId};
pub use links::Absolute;
pub use nearest::nearest;
pub use path::{PathError, RelPath};
pub use pattern::{Members, PatternKind, TargetPattern};
pub use rule::{AttributeKind, AttributeSchema, FileFilter, RuleId, RuleSchema};
pub use target::{Package, RepositoryDecl, Target, Visibility, VisibleTo, WorkspaceDecl};
pub use tree::{Tree, TreeEntry, TreeError};
