//! A stand-in for a mirror of Debian packages, with packages of its own.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::sha256;
use crate::slow_server::{Files, SlowServer};
use crate::workspace::Workspace;

/// Packages in the pool.
const PACKAGES: usize = 3;
const SIZE: usize = 300_000;
/// Between the pieces of a download.
const PAUSE: Duration = Duration::from_millis(4);

/// The server and the digests of its packages.
pub struct Pool {
    server: SlowServer,
    digests: Vec<String>,
}

impl Pool {
    /// Makes the packages and serves them.
    pub fn start() -> Result<Self, String> {
        let packages = (0..PACKAGES).map(package).collect::<Result<Vec<Vec<u8>>, String>>()?;
        let digests = packages.iter().map(|package| sha256(package)).collect();
        let files: Files =
            packages.into_iter().enumerate().map(|(n, package)| (format!("/{}", path(n)), package)).collect();
        Ok(Self { server: SlowServer::start(files, PAUSE)?, digests })
    }

    /// Its address, as an endpoint.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// A workspace that needs all packages.
    pub fn write(&self, workspace: &Workspace) {
        let mut text = String::from("load(\"@rules//fetch:defs.star\", \"deb\")\n");
        for (n, digest) in self.digests.iter().enumerate() {
            let (path, digest) = (path(n), digest.trim_start_matches("sha256:"));
            _ = writeln!(
                text,
                "deb(name = \"d{n}\", package = \"d{n}\", version = \"1\", architecture = \"all\", path = \"{path}\", sha256 = \"{digest}\")"
            );
        }
        workspace.write("BUILD.star", text);
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
}

fn path(n: usize) -> String {
    format!("pool/d{n}.deb")
}

fn content(n: usize) -> Vec<u8> {
    (0..SIZE).map(|at| (at * (n + 3) / 7 % 251) as u8).collect()
}

/// A Debian package with one file: an `ar` archive that holds a tar archive.
fn package(n: usize) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let tar = pack(folder.path(), n).map_err(|error| format!("tar: {error}"))?;
    let member = |name: &str, content: &[u8]| {
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len());
        [header.as_bytes(), content, if content.len() % 2 == 1 { b"\n" } else { b"" }].concat()
    };
    Ok([b"!<arch>\n".to_vec(), member("debian-binary", b"2.0\n"), member("data.tar", &tar)].concat())
}

fn pack(folder: &Path, n: usize) -> std::io::Result<Vec<u8>> {
    std::fs::create_dir_all(folder.join("usr/share"))?;
    std::fs::write(folder.join(format!("usr/share/d{n}")), content(n))?;
    Ok(Command::new("tar").arg("-C").arg(folder).args(["-cf", "-", "./usr"]).output()?.stdout)
}
