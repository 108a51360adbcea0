//! All rows, in the order of the table.

use crate::row::Row;

/// The rows by number.
pub const ALL: &[Row] = &[
    edits::ROW,
    actions::ROW,
    undeclared::ROW,
    scheduling::ROW,
    keys::ROW,
    reproducible::ROW,
    races::ROW,
    kills::ROW,
    crashes::ROW,
    system_errors::ROW,
    damage::ROW,
    sharing::ROW,
    collection::ROW,
    clock::ROW,
    escapes::ROW,
    hostile_archives::ROW,
    hostile_servers::ROW,
    hostile_scripts::ROW,
    secrets::ROW,
    offline::ROW,
];

pub mod actions;
pub mod clock;
pub mod collection;
pub mod crashes;
pub mod damage;
pub mod edits;
pub mod escapes;
pub mod hostile_archives;
pub mod hostile_scripts;
pub mod hostile_servers;
pub mod keys;
pub mod kills;
pub mod offline;
pub mod races;
pub mod reproducible;
pub mod scheduling;
pub mod secrets;
pub mod sharing;
pub mod system_errors;
pub mod undeclared;
