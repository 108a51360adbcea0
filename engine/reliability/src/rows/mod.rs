//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[scheduling::ROW, edits::ROW, kills::ROW, sharing::ROW, collection::ROW];

mod collection;
mod edits;
mod kills;
mod scheduling;
mod sharing;
