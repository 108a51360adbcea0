//! A hash-locked requirements file, as pip takes it with `--require-hashes`.
//!
//! What depends on what is read from the `# via` comments that lock writers leave; pip itself does not need them.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::FetchError;
use crate::params;
use crate::pypi::normalised;

/// A package of the lock.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LockedWheel {
    pub version: String,
    pub sha256: Vec<String>,
    /// Normalised names of the packages it needs.
    pub deps: BTreeSet<String>,
}

/// Packages by normalised name.
pub(crate) fn parse(file: &str, text: &str) -> Result<BTreeMap<String, LockedWheel>, FetchError> {
    let mut packages: BTreeMap<String, LockedWheel> = BTreeMap::new();
    let mut needed_by: Vec<(String, String)> = Vec::new();
    let mut current: Option<String> = None;
    let mut in_via = false;
    for (index, line) in text.lines().enumerate() {
        let fail = |reason: &str| FetchError::lock(file, Some(index + 1), reason);
        let line = line.trim().trim_end_matches('\\').trim();
        if let Some(comment) = line.strip_prefix('#') {
            let comment = comment.trim();
            let via = comment.strip_prefix("via");
            in_via = via.is_some() || (in_via && current.is_some());
            let names = if in_via { via.unwrap_or(comment) } else { "" };
            if let Some(package) = &current {
                needed_by.extend(names.split(',').filter_map(|name| Some((package.clone(), requirer(name)?))));
            }
            continue;
        }
        in_via = false;
        if line.is_empty() {
            continue;
        }
        for word in line.split_whitespace() {
            if let Some(hash) = word.strip_prefix("--hash=") {
                let package = current.as_ref().and_then(|name| packages.get_mut(name));
                let package = package.ok_or_else(|| fail("a hash without a package before it"))?;
                let sum = hash.strip_prefix("sha256:").ok_or_else(|| fail("only sha256 hashes are supported"))?;
                package.sha256.push(params::sha256(sum).map_err(|error| fail(&error.to_string()))?);
            } else if let Some((name, version)) = word.split_once("==") {
                let name = name.split('[').next().unwrap_or(name);
                let name = normalised(name).map_err(|error| fail(&error.to_string()))?;
                let wheel = LockedWheel { version: version.to_owned(), ..LockedWheel::default() };
                if packages.insert(name.clone(), wheel).is_some() {
                    return Err(fail("this package is locked twice; one lockfile holds one version"));
                }
                current = Some(name);
            } else if word.starts_with(';') {
                return Err(fail("environment markers are not supported; lock for one interpreter"));
            } else {
                return Err(fail("expected `<package>==<version> --hash=sha256:<digest>`"));
            }
        }
    }
    finish(file, packages, needed_by)
}

fn finish(
    file: &str,
    mut packages: BTreeMap<String, LockedWheel>,
    needed_by: Vec<(String, String)>,
) -> Result<BTreeMap<String, LockedWheel>, FetchError> {
    for (name, package) in &packages {
        if package.sha256.is_empty() {
            let reason =
                format!("`{name}` has no hash; lock it with `pip-compile --generate-hashes` or ci/lock/pypi.py");
            return Err(FetchError::lock(file, None, reason));
        }
    }
    for (package, requirer) in needed_by {
        if let Some(requirer) = packages.get_mut(&requirer) {
            requirer.deps.insert(package);
        }
    }
    Ok(packages)
}

/// A package that a `via` comment names; `None` for a requirements file and for the empty rest of a line.
fn requirer(name: &str) -> Option<String> {
    let name = name.trim();
    let name = name.split('[').next().unwrap_or(name);
    if name.is_empty() || name.starts_with("-r") || name.contains([' ', '(', '/']) {
        return None;
    }
    normalised(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    #[test]
    fn versions_hashes_and_dependencies() {
        let text = format!(
            "# made by x\n# via nobody\ngrpcio==1.2 \\\n    --hash=sha256:{} \\\n    --hash=sha256:{}\n    # via\n    #   -r requirements.in\n    \
            #   grpcio-tools\nGrpcio_Tools==1.2 --hash=sha256:{}\n    # via -r requirements.in\n",
            sum('a'),
            sum('B'),
            sum('c')
        );
        let packages = parse("r.lock", &text).unwrap();
        assert_eq!(packages["grpcio"].sha256, [sum('a'), sum('b')]);
        assert_eq!(packages["grpcio"].deps.len(), 0);
        assert_eq!(packages["grpcio-tools"].deps.iter().collect::<Vec<_>>(), ["grpcio"]);
    }

    #[test]
    fn what_a_lock_must_not_hold() {
        let error = |text: &str| parse("r.lock", text).unwrap_err().to_string();
        assert!(error("a==1\n").starts_with("r.lock: `a` has no hash"));
        assert!(error("a>=1\n").starts_with("r.lock:1: expected `<package>==<version>"));
        assert!(error("a==1 --hash=md5:x\n").starts_with("r.lock:1: only sha256"));
        assert!(error("--hash=sha256:x\n").starts_with("r.lock:1: a hash without a package"));
    }
}
