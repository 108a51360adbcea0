//! A small package of each kind, made here: the files that a registry would send, and the digests that a lock would name.

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;

use crate::http_server::{Answer, HttpServer, Request};
use crate::workspace::Workspace;

/// What the packages hold; it differs by try, so that nothing is found in a store.
pub struct Packages {
    /// Each file that a registry has, by the path below its address.
    pub files: BTreeMap<String, Served>,
    /// What `demo.txt` of the packages, and of the image's only layer, holds.
    pub content: Vec<u8>,
    /// The text of a BUILD.star with the targets `go`, `pypi`, `debian`, `images` and `push`.
    pub build_file: String,
}

/// An honest server of packages.
pub struct PackageServer {
    server: HttpServer,
    build_file: String,
}

/// A file of a registry.
#[derive(Clone)]
pub struct Served {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its type.
    pub content_type: &'static str,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BYTES: &str = "application/octet-stream";

impl Packages {
    /// Packages whose file holds `content`.
    pub fn of(content: Vec<u8>) -> Self {
        Self::with_manifest(content, |_| {})
    }

    /// The same with an image whose manifest, which the lock pins, is not as it should be.
    pub fn with_manifest(content: Vec<u8>, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let mut files = BTreeMap::new();
        let mut serve = |path: String, bytes: Vec<u8>, content_type| {
            files.insert(path, Served { bytes, content_type });
        };
        let module = zip(&[("example.org/demo@v1.0.0/demo.txt", &content), ("example.org/demo@v1.0.0/go.mod", b"x")]);
        let h1 = h1(&[("example.org/demo@v1.0.0/demo.txt", &content), ("example.org/demo@v1.0.0/go.mod", b"x")]);
        serve("/go/example.org/demo/@v/v1.0.0.zip".to_owned(), module, "application/zip");

        let wheel = zip(&[("demo.txt", &content), ("demo-1.0.dist-info/METADATA", b"x")]);
        let wheel_sum = hex(&wheel);
        let index = json!({"meta": {"api-version": "1.0"}, "name": "demo", "files": [{
            "filename": "demo-1.0-py3-none-any.whl", "url": "../../files/demo-1.0-py3-none-any.whl",
            "hashes": {"sha256": wheel_sum},
        }]});
        serve("/pypi/demo/".to_owned(), bytes(&index), "application/vnd.pypi.simple.v1+json");
        serve("/files/demo-1.0-py3-none-any.whl".to_owned(), wheel, "application/zip");

        let deb = deb(&tar(&[("./demo.txt", &content)]));
        let deb_sum = hex(&deb);
        serve("/debian/pool/d/demo_1.0_all.deb".to_owned(), deb, "application/vnd.debian.binary-package");

        let layer = gzip(&tar(&[("demo.txt", &content)]));
        let diff = format!("sha256:{}", hex(&tar(&[("demo.txt", &content)])));
        let config = bytes(&json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff]}}));
        let descriptor = |media: &str, content: &[u8]| json!({"mediaType": media, "size": content.len(), "digest": format!("sha256:{}", hex(content))});
        let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer)]});
        change(&mut manifest);
        let manifest = bytes(&manifest);
        let image = hex(&manifest);
        for blob in [&layer, &config] {
            serve(format!("/v2/team/base/blobs/sha256:{}", hex(blob)), blob.clone(), BYTES);
        }
        serve(format!("/v2/team/base/manifests/sha256:{image}"), manifest, MANIFEST);

        let build_file = build_file(&h1, &wheel_sum, &deb_sum, &image);
        Self { files, content, build_file }
    }

    /// Answers a request for a file.
    pub fn serve(&self, request: &Request, answer: &mut Answer) {
        match self.files.get(&request.path) {
            Some(file) => answer.respond("200 OK", &[("Content-Type", file.content_type)], &file.bytes),
            None => answer.respond("404 Not Found", &[], b""),
        };
    }
}

impl PackageServer {
    /// Starts one with packages whose file holds `content`; nobody has to log in.
    pub fn start(content: Vec<u8>) -> Self {
        let packages = Packages::of(content);
        let build_file = packages.build_file.clone();
        let server = HttpServer::start(move |request, answer| match request.path.as_str() {
            "/v2/" => _ = answer.respond("200 OK", &[], b"{}"),
            _ => packages.serve(request, answer),
        });
        Self { server, build_file }
    }

    /// The workspace on a machine that gets its packages from here.
    pub fn configure(&self, workspace: Workspace) -> Workspace {
        let address = format!("http://{}", self.server.address());
        let endpoints =
            [("BUILD_GO_ENDPOINT", "/go"), ("BUILD_PYPI_ENDPOINT", "/pypi"), ("BUILD_DEBIAN_ENDPOINT", "/debian")];
        let workspace = workspace.with_env("BUILD_REGISTRY_IMAGES", &address).with_env("NO_PROXY", "127.0.0.1");
        endpoints.iter().fold(workspace, |all, (name, path)| all.with_env(name, &format!("{address}{path}")))
    }

    /// Declares the packages in a package of the workspace.
    pub fn declare(&self, workspace: &Workspace, folder: &str) {
        workspace.write(&format!("{folder}/BUILD.star"), &self.build_file);
    }
}

fn build_file(h1: &str, wheel: &str, deb: &str, image: &str) -> String {
    format!(
        r#"load("@rules//fetch:defs.star", "deb", "go_module", "wheel")

filegroup(name = "shell")
go_module(name = "go", module = "example.org/demo", version = "v1.0.0", h1 = "{h1}")
wheel(name = "pypi", package = "demo", version = "1.0", sha256 = ["{wheel}"])
deb(
    name = "debian",
    package = "demo",
    version = "1.0",
    architecture = "all",
    path = "pool/d/demo_1.0_all.deb",
    sha256 = "{deb}",
)
oci_pull(name = "images", repository = "team/base", digest = "sha256:{image}")
oci_push(name = "push", image = ":images", registry = "target", repository = "team/app", tags_to_set = ["latest"])
"#
    )
}

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash that go.sum has of a module's files.
fn h1(files: &[(&str, &[u8])]) -> String {
    let mut lines: Vec<String> = files.iter().map(|(name, bytes)| format!("{}  {name}\n", hex(bytes))).collect();
    lines.sort_by_key(|line| line.split_once("  ").map(|(_, name)| name.to_owned()));
    format!("h1:{}", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(lines.concat())))
}

/// A zip file.
pub fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default()).expect("a new entry");
        writer.write_all(bytes).expect("memory can be written");
    }
    writer.finish().expect("memory can be written").into_inner()
}

/// A tar file.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).expect("memory can be written");
    }
    builder.into_inner().expect("memory can be written")
}

/// A compressed form that `gzip -d` reads.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fn deb(data: &[u8]) -> Vec<u8> {
    let mut builder = ar::Builder::new(Vec::new());
    for (name, bytes) in [("debian-binary", b"2.0\n".as_slice()), ("control.tar", b""), ("data.tar", data)] {
        builder.append(&ar::Header::new(name.as_bytes().to_vec(), bytes.len() as u64), bytes).expect("memory");
    }
    builder.into_inner().expect("memory can be written")
}
