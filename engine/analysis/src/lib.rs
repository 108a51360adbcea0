//! From targets to configured targets: selects resolved, dependencies checked, rule functions run, actions collected.
//!
//! The way in is [`analyse`]. It finds all configured targets first, so that cycles and invisible targets are known
//! before any rule runs, then runs the rules level by level. What an action does is not known here.

mod analysis;
mod check;
mod conflict;
mod discover;
mod evaluate;
mod expand;
mod order;
mod record;
mod select;
mod update;

pub use analysis::{Analysis, Options, analyse};
pub use record::{Ledger, UnitRecord};
pub use update::{Changes, Requested, Updated, action, target, update};
