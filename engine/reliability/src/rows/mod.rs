//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[edits::ROW, actions::ROW, scheduling::ROW, keys::ROW, clock::ROW];

mod actions;
mod clock;
mod edits;
mod keys;
mod scheduling;
