//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[scheduling::ROW, hostile_archives::ROW, hostile_scripts::ROW];

pub mod hostile_archives;
mod hostile_scripts;
mod scheduling;
