//! Packages that `build fetch` downloads while it is killed.

use std::time::Duration;

use crate::packages::{Mirror, Package};
use crate::workspace::Workspace;

/// How many there are.
const PACKAGES: usize = 3;
const SIZE: usize = 300_000;
/// Between the pieces of a download.
const PAUSE: Duration = Duration::from_millis(4);

/// Serves the packages.
pub fn start() -> Result<Mirror, String> {
    let package = |n: usize| {
        Package::new(&format!("d{n}"), |folder| {
            std::fs::create_dir_all(folder.join("usr/share"))?;
            std::fs::write(folder.join(format!("usr/share/d{n}")), content(n))
        })
    };
    Ok(Mirror::start((0..PACKAGES).map(package).collect::<Result<_, _>>()?, PAUSE))
}

/// Whether the outputs are what is in the packages.
pub fn check(workspace: &Workspace) -> Result<(), String> {
    for n in 0..PACKAGES {
        let file = workspace.root().join(format!("build-out/d{n}/usr/share/d{n}"));
        let is = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        if is != content(n) {
            return Err(format!("{} has {} bytes that are not those of the package", file.display(), is.len()));
        }
    }
    Ok(())
}

fn content(n: usize) -> Vec<u8> {
    (0..SIZE).map(|at| (at * (n + 3) / 7 % 251) as u8).collect()
}
