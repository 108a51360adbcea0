//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[scheduling::ROW, hostile_servers::ROW, secrets::ROW, offline::ROW];

pub mod hostile_servers;
mod offline;
mod scheduling;
mod secrets;
