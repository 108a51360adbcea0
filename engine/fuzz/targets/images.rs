//! What registries and their clients' settings say: manifests, lists of manifests, configurations of images, credentials.
//! The first byte says which.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use model::{RelPath, Tree, TreeEntry};
use oci::{Auth, Sha256, read_configuration, read_manifest};
use store::Store;

static STORE: LazyLock<(tempfile::TempDir, Store)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(&folder.path().join("store")).expect("a store");
    (folder, store)
});

fn add(tree: &mut Tree, path: &str, bytes: &[u8]) {
    let digest = STORE.1.put_bytes(bytes).expect("the store takes it");
    let file = TreeEntry::File { digest, size: bytes.len() as u64, executable: false };
    let _ = tree.insert(RelPath::new(path).expect("a path"), file);
}

fn index(manifest: &[u8]) -> String {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let digest = Sha256::of(manifest);
    format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}]}}"#, manifest.len())
}

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let mut tree = Tree::default();
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Sha256::of(bytes).hex());
    match first % 4 {
        0 => add(&mut tree, "index.json", bytes),
        1 => {
            add(&mut tree, "index.json", index(bytes).as_bytes());
            add(&mut tree, &blob(bytes), bytes);
        }
        2 => {
            let digest = Sha256::of(bytes);
            let manifest = format!(
                r#"{{"schemaVersion":2,"config":{{"mediaType":"c","digest":"{digest}","size":{}}},"layers":[]}}"#,
                bytes.len()
            );
            add(&mut tree, "index.json", index(manifest.as_bytes()).as_bytes());
            add(&mut tree, &blob(manifest.as_bytes()), manifest.as_bytes());
            add(&mut tree, &blob(bytes), bytes);
        }
        _ => {
            let path = STORE.0.path().join("config.json");
            std::fs::write(&path, bytes).expect("a file");
            let _ = Auth::from_file(&path, "registry:5000", "team/app");
            return;
        }
    }
    let _ = read_manifest(&tree, &STORE.1);
    let _ = read_configuration(&tree, &STORE.1);
});
