//! From lockfiles to verified trees: endpoints of the machine, downloads, archives, and the generated packages of
//! external repositories.
//!
//! Lockfiles say *what* (names, versions, digests), the machine says *where from*. Nothing is kept that does not
//! have the digest its lockfile gives, and what the store has is never asked for again.

mod address;
mod archive;
mod clients;
mod deb;
mod debian;
mod debian_lock;
mod endpoints;
mod error;
mod go_mod;
mod go_module;
mod go_package;
mod go_repository;
mod go_source;
mod markers;
mod params;
mod pip_lock;
mod pip_repository;
mod pypi;
mod repositories;
mod requirement;
mod run;
mod starlark;
mod transport;
mod unpack;
mod versions;
mod wheel_tags;
mod zip_archive;
mod zip_directory;

pub use self::archive::ArchiveError;
pub use endpoints::{Ecosystem, Endpoints, Network, Registry, Scheme};
pub use error::FetchError;
pub use repositories::Repositories;
pub use run::{Fetched, ecosystems, run};
pub use unpack::{PackageKind, unpack};
