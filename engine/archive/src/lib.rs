//! Archives of strangers, read strictly: what two readers could understand differently is refused.
//!
//! Programs that read tar files disagree on what a header means that is damaged or says a thing twice, and that is how one
//! archive shows a scanner other files than an installer. Nothing here touches a file system: members are given one by one.

mod expansion;
mod header;
mod pax;
mod tar;

pub use expansion::{Expansion, Packed, Plain};
pub use tar::{Content, Kind, Member, Tar, TarError};
