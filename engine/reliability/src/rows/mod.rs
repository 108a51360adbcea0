//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[scheduling::ROW, edits::ROW];

mod edits;
mod scheduling;
