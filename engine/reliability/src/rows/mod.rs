//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[
    edits::ROW,
    actions::ROW,
    scheduling::ROW,
    keys::ROW,
    reproducible::ROW,
    crashes::ROW,
    system_errors::ROW,
    damage::ROW,
    clock::ROW,
];

mod actions;
mod clock;
mod crashes;
mod damage;
mod edits;
mod keys;
mod reproducible;
mod scheduling;
mod system_errors;
