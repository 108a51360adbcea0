//! Packages on disk: tars in Debian packages and image layers, zips as wheels and modules.

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::attacks::Carrier;
use super::tar;
use super::zip;

/// A package, or the layers of an image.
#[derive(Debug, Clone)]
pub struct Package {
    /// `deb`, `layer`, `wheel` or `module`.
    pub kind: &'static str,
    /// Its files.
    pub paths: Vec<PathBuf>,
}

impl Package {
    /// Writes a package into a folder.
    pub fn write(carrier: &Carrier, kind: &'static str, folder: &Path, name: &str) -> Self {
        let files = match carrier {
            Carrier::Tars(layers) if kind == "deb" => vec![debian("data.tar.gz", &gzip(&tar::archive(&layers[0])))],
            Carrier::Tars(layers) => layers.iter().map(|members| gzip(&tar::archive(members))).collect(),
            Carrier::Zip(archive) => vec![archive.bytes()],
            Carrier::Bomb(start) if kind == "deb" => vec![debian("data.tar.gz", &bomb(&start()))],
            Carrier::Bomb(start) => vec![bomb(&start())],
            Carrier::Large(archive) => vec![archive().bytes()],
        };
        Self::of(kind, &files, folder, name)
    }

    /// Writes a package from its bytes.
    pub fn of(kind: &'static str, files: &[Vec<u8>], folder: &Path, name: &str) -> Self {
        let write = |(index, bytes): (usize, &Vec<u8>)| {
            let path = folder.join(format!("{name}-{index}"));
            std::fs::write(&path, bytes).expect("a file of the try");
            path
        };
        Self { kind, paths: files.iter().enumerate().map(write).collect() }
    }

    /// How it is named to readers.
    pub fn json(&self) -> Value {
        json!({ "kind": self.kind, "paths": self.paths })
    }
}

/// A Debian package with this member for its data.
pub fn debian(name: &str, data: &[u8]) -> Vec<u8> {
    let control = gzip(&tar::archive(&[tar::file(
        "./control",
        "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m\nDescription: d\n",
    )]));
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz", &control), (name, data)] {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", content.len()).as_bytes());
        bytes.extend(content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Compressed with gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory does not fail")
}

/// A start, and then more zeros than anyone wants: many members of one gzip file.
fn bomb(start: &[u8]) -> Vec<u8> {
    let mut bytes = gzip(start);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    (0..64).for_each(|_| encoder.write_all(&[0; 1 << 20]).expect("memory does not fail"));
    let zeros = encoder.finish().expect("memory does not fail");
    (0..320).for_each(|_| bytes.extend(&zeros));
    bytes
}

/// A harmless archive of the same make: the same headers and fields, without links that others are written through and
/// without names that only the attack needs.
pub fn plain(carrier: &Carrier) -> Carrier {
    match carrier {
        Carrier::Tars(layers) => {
            let mut members = layers[0].clone();
            members.retain(|member| matches!(member.kind, b'0' | b'5'));
            for (index, member) in members.iter_mut().enumerate() {
                let fix = |name: &[u8]| {
                    String::from_utf8_lossy(name).replace("a/../", "a/").replace("./", "").replace("//", "")
                };
                member.name = format!("{}-{index}", fix(&member.name).trim_end_matches('/')).into_bytes();
                member.gnu.0 = member.gnu.0.as_deref().map(|name| fix(name).into_bytes());
            }
            members.push(tar::link("link", "inside"));
            Carrier::Tars(vec![members])
        }
        Carrier::Zip(archive) => {
            let mut archive = archive.clone();
            archive.members.retain(|member| member.mode >> 12 == 0o10);
            for (index, member) in archive.members.iter_mut().enumerate() {
                let name =
                    String::from_utf8_lossy(&member.name).replace("../", "up/").replace('\\', "/").replace("..", "up");
                member.name = format!("{name}-{index}").into_bytes();
            }
            Carrier::Zip(archive)
        }
        Carrier::Bomb(_) | Carrier::Large(_) => Carrier::Zip(zip::archive(&[])),
    }
}
