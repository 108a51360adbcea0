//! From a bundle and its images to services that run.

use std::collections::BTreeMap;
use std::sync::Arc;

use deploy::{Bundle, Local, LocalError, LocalRequest, SecretKey, local_services, unpack};
use flate2::Compression;
use flate2::write::GzEncoder;
use model::{Cancel, Platform, Tree, TreeEntry};
use oci::{ImageRequest, Layer, LayerContent, LayerDescriptor, LayerEntry, LayerRequest, Overrides, Owner, Sha256};
use serde_json::json;
use store::Store;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::fixture::{FILES, Messages, ask, options};

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn image(layers: Vec<Layer>, overrides: Overrides, store: &Store) -> Tree {
    let platform = Platform { os: "linux".into(), arch: "amd64".into() };
    oci::image(&ImageRequest { base: None, layers, overrides, platform }, store).unwrap().tree
}

/// A layer with the probe.
fn probe_layer(store: &Store) -> Layer {
    let entry = |(target, source): (&String, &std::path::PathBuf)| {
        let bytes = std::fs::read(source).unwrap();
        let (digest, size) = (store.put_bytes(&bytes).unwrap(), bytes.len() as u64);
        LayerEntry { target: target.clone(), content: LayerContent::File { digest, size, executable: true } }
    };
    let entries = FILES.iter().map(entry).collect();
    oci::layer(&LayerRequest { entries, owner: Owner::default() }, store).unwrap()
}

/// A layer as other tools make it. `path -> target` is a link, `path => target` a hard link, `path/` a folder, else a
/// file that holds its own path and the layer's name.
fn raw_layer(name: &str, entries: &[&str], store: &Store) -> Layer {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        if let Some((path, target)) = entry.split_once(" -> ") {
            header.set_entry_type(EntryType::Symlink);
            archive.append_link(&mut header, path, target).unwrap();
        } else if let Some((path, target)) = entry.split_once(" => ") {
            header.set_entry_type(EntryType::Link);
            archive.append_link(&mut header, path, target).unwrap();
        } else if entry.ends_with('/') {
            header.set_entry_type(EntryType::Directory);
            archive.append_data(&mut header, entry, &b""[..]).unwrap();
        } else {
            let text = format!("{name}:{entry}");
            header.set_size(text.len() as u64);
            archive.append_data(&mut header, entry, text.as_bytes()).unwrap();
        }
    }
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    let digest = Sha256::of(&bytes);
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
    let descriptor = LayerDescriptor { diff_id: digest.clone(), digest, size: bytes.len() as u64, media_type };
    Layer { blob: store.put_bytes(&bytes).unwrap(), descriptor }
}

/// The unpacked tree, one line an entry.
fn unpacked(layers: &[&[&str]]) -> String {
    let (_folder, store) = store();
    let layers = layers.iter().enumerate().map(|(index, entries)| raw_layer(&index.to_string(), entries, &store));
    let image = image(layers.collect(), Overrides::default(), &store);
    let digest = unpack("test", &image, &store).unwrap();
    assert_eq!(unpack("test", &image, &store).unwrap(), digest);
    let line = |(path, entry): (&model::RelPath, &TreeEntry)| match entry {
        TreeEntry::File { digest, .. } => {
            format!("{path}: {}", String::from_utf8(store.read(digest).unwrap()).unwrap())
        }
        TreeEntry::Symlink { target } => format!("{path} -> {target}"),
        TreeEntry::EmptyFolder => format!("{path}/"),
    };
    store.tree(&digest).unwrap().entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn layers_lie_one_over_the_other() {
    let text = unpacked(&[&["./", "./a/", "./a/x", "a/y", "b", "c/"], &["a/x", "d => a/y", "e -> /b", "c/"]]);
    assert_eq!(text, "a/x: 1:a/x\na/y: 0:a/y\nb: 0:b\nc/\nd: 0:a/y\ne -> /b");
}

#[test]
fn whiteouts_remove_what_is_below_only() {
    let text = unpacked(&[&["a/x", "a/y", "b/x", "b-c", "d/e/f"], &["a/.wh.x", "b/new", "b/.wh..wh..opq", ".wh.d"]]);
    assert_eq!(text, "a/y: 0:a/y\nb-c: 0:b-c\nb/new: 1:b/new");
    assert_eq!(unpacked(&[&["a/x"], &["a/.wh.x"]]), "a/");
}

#[test]
fn files_and_folders_replace_each_other_and_links_are_followed() {
    assert_eq!(unpacked(&[&["a/x/y", "b"], &["a", "b/x"]]), "a: 1:a\nb/x: 1:b/x");
    let merged = unpacked(&[&["usr/lib/x", "lib -> usr/lib", "loop -> loop"], &["lib/y"]]);
    assert_eq!(merged, "lib -> usr/lib\nloop -> loop\nusr/lib/x: 0:usr/lib/x\nusr/lib/y: 1:lib/y");
}

/// Two services in one image: `front` calls `back`, which tells a variable.
fn bundle() -> Bundle {
    let service = |name: &str, args: [&str; 3]| {
        json!({
            "label": format!("//{name}:{name}"),
            "image": {"label": "//:image", "repository": "x", "digest": "sha256:123"},
            "ports": {"http": 8443}, "args": args,
            "env": {"LEVEL": {"var": "level", "type": "string", "default": null}},
        })
    };
    let mut bundle = json!({
        "format": 1, "target": "//:to-local",
        "environment": {"label": "//:local", "name": "local", "kind": "local", "values": {"level": "debug"}},
        "release": {"services": {
            "front": service("front", ["relay", "8443", "back:8443"]),
            "back": service("back", ["variable", "8443", "LEVEL"]),
        }},
    });
    bundle["release"]["services"]["front"]["calls"] = json!(["back"]);
    Bundle::from_bytes(&serde_json::to_vec(&bundle).unwrap()).unwrap()
}

#[tokio::test]
async fn a_bundle_runs_from_its_images() {
    let (_folder, store) = store();
    let overrides = Overrides {
        entrypoint: Some(vec!["/app/probe".to_owned()]),
        cmd: Some(vec!["replaced by args".to_owned()]),
        ..Overrides::default()
    };
    let image = image(vec![probe_layer(&store)], overrides, &store);
    let bundle = bundle();
    let mut request = LocalRequest {
        bundle: &bundle,
        images: ["front", "back"].map(|name| (name.to_owned(), image.clone())).into(),
        store: &store,
        state: None,
        secrets: BTreeMap::new(),
    };
    let services = local_services(&request).unwrap();
    assert_eq!(services[1].env["BACK_ADDR"], "back:8443");
    let local = Local::start(services, options(), Arc::new(Messages::default()), &Cancel::default()).await.unwrap();
    assert_eq!(ask(&local, "front").await, "relayed debug");
    local.shutdown().await.unwrap();

    request.images.remove("back");
    assert!(matches!(local_services(&request), Err(LocalError::NoImage(name)) if name == "back"));
}

#[test]
fn secrets_must_be_given() {
    let (_folder, store) = store();
    let image = image(Vec::new(), Overrides::default(), &store);
    let mut bundle = bundle();
    bundle.release.services.remove("front");
    let key = SecretKey { name: "db".to_owned(), key: "password".to_owned() };
    let back = bundle.release.services.get_mut("back").unwrap();
    back.secrets.insert("PASSWORD".to_owned(), key.clone());
    let images = BTreeMap::from([("back".to_owned(), image)]);
    let mut request = LocalRequest { bundle: &bundle, images, store: &store, state: None, secrets: BTreeMap::new() };
    let error = local_services(&request).unwrap_err().to_string();
    assert_eq!(error, "back needs the secret db/password, which this machine gives as BUILD_SECRET_DB_PASSWORD");
    request.secrets.insert(key, "hidden".to_owned());
    assert_eq!(local_services(&request).unwrap()[0].env["PASSWORD"], "hidden");
}

#[test]
fn what_a_cluster_would_give_is_given_or_told() {
    let (_folder, store) = store();
    let overrides = Overrides { user: Some("1000".to_owned()), ..Overrides::default() };
    let image = image(Vec::new(), overrides, &store);
    let mut bundle = bundle();
    let back = bundle.release.services.get_mut("back").unwrap();
    (back.replicas, back.internet) = (3, true);
    back.resources.memory_limit = "64Mi".to_owned();
    back.resources.cpu_limit = "500m".to_owned();
    bundle.release.services.get_mut("front").unwrap().replicas = 0;
    let request = LocalRequest {
        bundle: &bundle,
        images: ["front", "back"].map(|name| (name.to_owned(), image.clone())).into(),
        store: &store,
        state: None,
        secrets: BTreeMap::new(),
    };
    let [back] = &local_services(&request).unwrap()[..] else { panic!("front is not to run") };
    assert_eq!(back.memory_limit, Some(64 << 20));
    assert_eq!(
        back.remarks,
        [
            "runs once here, and 3 times in a cluster",
            "reaches no address outside the system here, and the internet in a cluster",
            "has no limit of CPU here, and 500m in a cluster",
            "runs as user 65532, here as in a cluster; its image names `1000`",
        ]
    );
    let mut bundle = bundle.clone();
    bundle.release.services.get_mut("back").unwrap().resources.memory_limit = "much".to_owned();
    let error = local_services(&LocalRequest { bundle: &bundle, ..request }).unwrap_err().to_string();
    assert_eq!(error, "the memory_limit `much` of back is no quantity of bytes");
}
