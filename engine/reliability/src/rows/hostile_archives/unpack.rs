//! Unpacking in a process of its own, by the engine's own functions: `part unpack STORE` takes archives as lines of JSON and
//! says what came of each.

use std::fs::File;
use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;

use fetch::PackageKind;
use model::{Platform, Tree, TreeEntry};
use oci::{ImageRequest, Layer, LayerDescriptor, Overrides, Sha256};
use serde_json::{Value, json};
use store::Store;

/// The part.
pub fn part(arguments: &[String]) -> ExitCode {
    let Ok(store) = Store::open(Path::new(&arguments[0])) else { return ExitCode::from(2) };
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line.expect("lines of text")).expect("lines of JSON");
        println!("{}", unpack(&asked, &store).unwrap_or_else(|refused| json!({ "refused": refused })));
    }
    ExitCode::SUCCESS
}

fn unpack(asked: &Value, store: &Store) -> Result<Value, String> {
    let paths: Vec<&str> = asked["paths"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let kind = match asked["kind"].as_str() {
        Some("deb") => PackageKind::Debian,
        Some("wheel") => PackageKind::Wheel,
        Some("module") => PackageKind::GoModule("m", "v1"),
        _ => return layers(&paths, store).map(|tree| listing(&tree, store)),
    };
    let file = File::open(paths[0]).expect("the archive of the try");
    fetch::unpack(kind, file, store).map(|tree| listing(&tree, store)).map_err(|error| error.to_string())
}

/// An image of these layers, as the local system unpacks it.
fn layers(paths: &[&str], store: &Store) -> Result<Tree, String> {
    let layer = |path: &&str| {
        let bytes = std::fs::read(path).expect("the layer of the try");
        let digest = Sha256::of(&bytes);
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
        let size = bytes.len() as u64;
        let blob = store.put_bytes(&bytes).expect("the store takes it");
        Layer { blob, descriptor: LayerDescriptor { diff_id: digest.clone(), digest, size, media_type } }
    };
    let platform = Platform { os: "linux".into(), arch: "amd64".into() };
    let layers = paths.iter().map(layer).collect();
    let request = ImageRequest { base: None, layers, overrides: Overrides::default(), platform };
    let image = oci::image(&request, store).map_err(|error| error.to_string())?;
    let digest = deploy::unpack("service", &image.tree, store).map_err(|error| chain(&error))?;
    store.tree(&digest).map_err(|error| error.to_string())
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn listing(tree: &Tree, store: &Store) -> Value {
    let entry = |entry: &TreeEntry| match entry {
        TreeEntry::File { digest, executable, .. } => {
            let bytes = store.read(digest).expect("what was unpacked is in the store");
            json!(["file", executable, Sha256::of(&bytes).hex()])
        }
        TreeEntry::Symlink { target } => json!(["link", target]),
        TreeEntry::EmptyFolder => json!(["folder"]),
    };
    let entries: serde_json::Map<String, Value> =
        tree.entries.iter().map(|(path, content)| (path.to_string(), entry(content))).collect();
    json!({ "entries": entries })
}
