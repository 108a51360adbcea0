//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[scheduling::ROW, reproducible::ROW, crashes::ROW, system_errors::ROW];

mod crashes;
mod reproducible;
mod scheduling;
mod system_errors;
