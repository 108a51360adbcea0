//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[undeclared::ROW, scheduling::ROW, escapes::ROW];

mod escapes;
mod scheduling;
mod undeclared;
