//! The state of a request, kept for the next command: what was seen of the workspace, which packages and configured
//! targets came of it, which actions these have, and what the actions made.
//!
//! A request is a set of targets with their settings; each has a file of its own, so that requests live side by side
//! and none can spoil another. The file is a set of flat tables with dense ids (`store::TableFile`), mapped and read in
//! place: an unchanged workspace needs a look at two of them, an edit the rows that it concerns. What is *done* with the
//! rows is the business of analysis and driver; this crate knows how they are encoded.

mod codec;
mod graph;
mod package;
mod rows;
mod state;
mod target_row;
mod values;

pub use codec::{Reader, Writer};
pub use graph::{ActionGraph, Stale};
pub use package::{decode_package, encode_package, target_stamp};
pub use rows::{Kept, PackageRow, RequestRow, ShownRow, Validity};
pub use state::{State, Table};
pub use target_row::{ActionRow, TargetHead, TargetRow};
pub use values::{
    decode_action, decode_attributes, decode_providers, depset, depset_id, encode_action, encode_attributes,
    encode_providers,
};
