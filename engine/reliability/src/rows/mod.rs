//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[edits::ROW, actions::ROW, scheduling::ROW, keys::ROW];

mod actions;
mod edits;
mod keys;
mod scheduling;
