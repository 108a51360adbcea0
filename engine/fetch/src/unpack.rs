//! Unpacks a package that is at hand, as fetching does with one that it has downloaded and verified.

use std::fs::File;

use model::Tree;
use store::Store;

use crate::archive::{ArchiveError, Limits};
use crate::{deb, go_module, pypi};

/// How a package is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageKind<'a> {
    /// A Debian package.
    Debian,
    /// A Python wheel.
    Wheel,
    /// The zip file of a Go module: its name and version.
    GoModule(&'a str, &'a str),
}

/// The tree of a package. Nothing is written but contents of the store.
pub fn unpack(kind: PackageKind<'_>, file: File, store: &Store) -> Result<Tree, ArchiveError> {
    let limits = Limits::default();
    match kind {
        PackageKind::Debian => deb::unpack(file, store, &[], limits),
        PackageKind::Wheel => pypi::unpack(file, store, &[], limits),
        PackageKind::GoModule(name, version) => go_module::unpack((name, version), file, store, &[], limits),
    }
}
