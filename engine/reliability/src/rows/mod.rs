//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[scheduling::ROW, crashes::ROW, system_errors::ROW, damage::ROW];

mod crashes;
mod damage;
mod scheduling;
mod system_errors;
