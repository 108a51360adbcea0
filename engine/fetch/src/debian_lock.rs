//! debian.lock: packages by name, version, path in the pool and SHA-256, as JSON.
//!
//! ```json
//! {"packages": [{"name": "busybox-static", "version": "1:1.35.0-4", "architecture": "amd64",
//!                "filename": "pool/main/b/busybox/busybox-static_1.35.0-4_amd64.deb", "sha256": "..."}]}
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::FetchError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LockFile {
    packages: Vec<LockedDeb>,
}

/// A package of the lock.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LockedDeb {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// The path below the folder that holds `pool/`.
    pub filename: String,
    pub sha256: String,
}

/// Packages by name. A lock is for one architecture; a name comes once.
pub(crate) fn parse(file: &str, text: &str) -> Result<BTreeMap<String, LockedDeb>, FetchError> {
    let lock: LockFile =
        serde_json::from_str(text).map_err(|error| FetchError::lock(file, Some(error.line()), error.to_string()))?;
    let mut packages = BTreeMap::new();
    for package in lock.packages {
        crate::params::sha256(&package.sha256)
            .map_err(|error| FetchError::lock(file, None, format!("{}: {error}", package.name)))?;
        let name = package.name.clone();
        if packages.insert(name.clone(), package).is_some() {
            return Err(FetchError::lock(file, None, format!("`{name}` is locked twice")));
        }
    }
    Ok(packages)
}
