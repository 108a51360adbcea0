//! Debian packages made here, and a mirror that serves them: what tries fetch comes from this machine alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::http_server::HttpServer;
use crate::workspace::Workspace;

/// In how many pieces a package is sent.
const PIECES: usize = 12;
/// Programs that actions of rows need of the shell's package.
const PROGRAMS: [&str; 8] = ["cat", "echo", "head", "sh", "sleep", "tail", "true", "wc"];

/// A package: its name, and the archive.
pub struct Package {
    name: String,
    archive: Vec<u8>,
}

/// A running mirror.
pub struct Mirror {
    server: HttpServer,
    /// The declarations of the packages, by which workspaces refer to them.
    rules: Vec<String>,
}

impl Package {
    /// A package whose files are what `fill` puts into a folder.
    pub fn new(name: &str, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let tar = || -> std::io::Result<Vec<u8>> {
            fill(folder.path())?;
            Ok(Command::new("tar").arg("-C").arg(folder.path()).args(["-cf", "-", "."]).output()?.stdout)
        };
        let tar = tar().map_err(|error| format!("the package {name}: {error}"))?;
        // A Debian package is an `ar` archive that holds a tar archive.
        let member = |name: &str, content: &[u8]| {
            let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len());
            [header.as_bytes(), content, if content.len() % 2 == 1 { b"\n" } else { b"" }].concat()
        };
        let members = [member("debian-binary", b"2.0\n"), member("control.tar", b""), member("data.tar", &tar)];
        let archive = [b"!<arch>\n".as_slice(), &members.concat()].concat();
        Ok(Self { name: name.to_owned(), archive })
    }

    /// A shell: this machine's static busybox, which the package busybox-static brings.
    pub fn shell() -> Result<Self, String> {
        let folders = std::env::var("PATH").unwrap_or_default();
        let busybox = folders.split(':').map(|folder| Path::new(folder).join("busybox")).find(|path| path.exists());
        let busybox = busybox.ok_or("there is no busybox; `apt-get install busybox-static` brings it")?;
        Self::new("shell", |folder| {
            let bin = folder.join("bin");
            std::fs::create_dir(&bin)?;
            std::fs::copy(busybox, bin.join("busybox"))?;
            PROGRAMS.iter().try_for_each(|program| std::os::unix::fs::symlink("busybox", bin.join(program)))
        })
    }

    fn path(&self) -> String {
        format!("pool/{}.deb", self.name)
    }

    fn rule(&self) -> String {
        let (name, path, digest) = (&self.name, self.path(), sha256(&self.archive));
        let digest = digest.trim_start_matches("sha256:");
        format!(
            "deb(name = \"{name}\", package = \"{name}\", version = \"1\", architecture = \"all\", path = \"{path}\", sha256 = \"{digest}\")\n"
        )
    }
}

impl Mirror {
    /// Serves packages, with a pause before each piece of them.
    pub fn start(packages: Vec<Package>, pause: Duration) -> Self {
        let rules = packages.iter().map(Package::rule).collect();
        let files: BTreeMap<String, Vec<u8>> =
            packages.into_iter().map(|package| (format!("/{}", package.path()), package.archive)).collect();
        let server = HttpServer::start(move |request, answer| {
            let Some(body) = files.get(&request.path) else {
                answer.respond("404 Not Found", &[], b"");
                return;
            };
            // Whoever asked may be killed while it is answered.
            answer.send(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).as_bytes(),
            );
            let mut pieces = body.chunks(body.len().div_ceil(PIECES).max(1));
            pieces.all(|piece| answer.pause(pause) && answer.send(piece));
        });
        Self { server, rules }
    }

    /// Its address, as an endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Declares all packages in a package of the workspace.
    pub fn declare(&self, workspace: &Workspace, folder: &str) {
        let text = format!("load(\"@rules//fetch:defs.star\", \"deb\")\n{}", self.rules.concat());
        workspace.write(&Path::new(folder).join("BUILD.star").to_string_lossy(), text);
    }

    /// Makes the mirror's package `shell` the shell of a workspace, which is to be made with this endpoint.
    pub fn give_shell(&self, workspace: Workspace) -> Workspace {
        self.declare(&workspace, "packages");
        let text = "workspace(name = \"w\")\ntoolchain(name = \"shell\", target = \"//packages:shell\")\n";
        workspace.write("WORKSPACE.star", text);
        workspace.with_env("BUILD_DEBIAN_ENDPOINT", &self.endpoint())
    }
}

/// As registries and mirrors write it.
pub fn sha256(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}
