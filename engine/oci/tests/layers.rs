//! Layers and images without a registry: their bytes, their order, what is refused.

use std::io::Read;

use flate2::read::GzDecoder;
use model::{Platform, RelPath, Tree, TreeEntry};
use oci::{
    Direction, ImageParams, ImageRequest, Layer, LayerContent, LayerEntry, LayerParams, LayerRequest, Overrides, Owner,
    Sha256, image, layer, read_configuration, read_manifest,
};
use serde_json::json;
use store::Store;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn content(store: &Store, text: &str, executable: bool) -> LayerContent {
    let digest = store.put_bytes(text.as_bytes()).unwrap();
    LayerContent::File { digest, size: text.len() as u64, executable }
}

fn entry(target: &str, content: LayerContent) -> LayerEntry {
    LayerEntry { target: target.into(), content }
}

fn make(store: &Store, entries: Vec<LayerEntry>) -> Layer {
    layer(&LayerRequest { entries, owner: Owner::default() }, store).unwrap()
}

fn refused(store: &Store, entries: Vec<LayerEntry>) -> String {
    layer(&LayerRequest { entries, owner: Owner::default() }, store)
        .unwrap_err()
        .to_diagnostic(Direction::Pull)
        .to_string()
}

fn linux() -> Platform {
    Platform { os: "linux".into(), arch: "amd64".into() }
}

/// One line an entry: type, mode, owner, path, content or link.
fn list(store: &Store, layer: &Layer) -> Vec<String> {
    let mut archive = tar::Archive::new(GzDecoder::new(store.open_blob(&layer.blob).unwrap()));
    let mut lines = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(header.mtime().unwrap(), 0);
        assert_eq!(header.username().unwrap().unwrap_or(""), "");
        let (kind, mode) = (header.entry_type(), header.mode().unwrap());
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let link = entry.link_name_bytes().map(|link| format!(" -> {}", String::from_utf8_lossy(&link)));
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let kind = if kind.is_dir() {
            'd'
        } else if kind.is_symlink() {
            'l'
        } else {
            'f'
        };
        lines.push(format!(
            "{kind} {mode:o} {}:{} {path}{}{}",
            owner.0,
            owner.1,
            link.unwrap_or_default(),
            if text.is_empty() { String::new() } else { format!(" = {text}") }
        ));
    }
    lines
}

#[test]
fn a_layer_is_sorted_and_has_every_folder_once() {
    let (_folder, store) = store();
    let mut tree = Tree::default();
    let LayerContent::File { digest, size, .. } = content(&store, "lib", false) else { unreachable!() };
    tree.insert(RelPath::new("x/y.so").unwrap(), TreeEntry::File { digest, size, executable: false }).unwrap();
    tree.insert(RelPath::new("empty").unwrap(), TreeEntry::EmptyFolder).unwrap();
    let tree = store.put_tree(&tree).unwrap();
    let layer = layer(
        &LayerRequest {
            entries: vec![
                entry("/usr/lib", LayerContent::Tree(tree)),
                entry("app/bin/run", content(&store, "go", true)),
                entry("./app/bin-notes", content(&store, "n", false)),
                entry("/usr/bin/app", LayerContent::Symlink("../../app/bin/run".into())),
            ],
            owner: "65532:1000".parse().unwrap(),
        },
        &store,
    )
    .unwrap();
    assert_eq!(
        list(&store, &layer),
        [
            "d 755 65532:1000 app/",
            "d 755 65532:1000 app/bin/",
            "f 644 65532:1000 app/bin-notes = n",
            "f 755 65532:1000 app/bin/run = go",
            "d 755 65532:1000 usr/",
            "d 755 65532:1000 usr/bin/",
            "l 777 65532:1000 usr/bin/app -> ../../app/bin/run",
            "d 755 65532:1000 usr/lib/",
            "d 755 65532:1000 usr/lib/empty/",
            "d 755 65532:1000 usr/lib/x/",
            "f 644 65532:1000 usr/lib/x/y.so = lib",
        ]
    );
}

#[test]
fn equal_content_gives_equal_bytes_whatever_the_order() {
    let (_folder, one) = store();
    let (_other, two) = store();
    let a = |store: &Store| entry("a", content(store, "1", false));
    let b = |store: &Store| entry("b/c", content(store, "2", true));
    let first = make(&one, vec![a(&one), b(&one)]);
    let second = make(&two, vec![b(&two), a(&two)]);
    assert_eq!(first, second);
    let bytes = one.read(&first.blob).unwrap();
    assert_eq!(Sha256::of(&bytes), first.descriptor.digest);
    assert_eq!(bytes.len() as u64, first.descriptor.size);
    let mut plain = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
    assert_eq!(Sha256::of(&plain), first.descriptor.diff_id);
    // The very bytes: another library version that packs otherwise must raise the version of the action.
    let pinned = "sha256:46e3ef41b90e21c44144f1742b24a1b9f61809377b856f9e55d3cea0e8030e00";
    assert_eq!(first.descriptor.diff_id.as_str(), pinned);
    assert_eq!(
        first.descriptor.digest.as_str(),
        "sha256:aa545739a9d096407b32a7488b73a8d553b3f5c9a74862608e4c7b286624257c"
    );
}

#[test]
fn long_and_foreign_names_survive() {
    let (_folder, store) = store();
    let long = format!("{}/{}.py", "d".repeat(160), "f".repeat(120));
    let target = "t/".repeat(80);
    let layer = make(
        &store,
        vec![
            entry(&long, content(&store, "x", false)),
            entry("grüße.txt", content(&store, "y", false)),
            entry("link", LayerContent::Symlink(target.clone())),
        ],
    );
    let lines = list(&store, &layer);
    assert_eq!(lines[1], format!("f 644 0:0 {long} = x"));
    assert_eq!(lines[2], "f 644 0:0 grüße.txt = y");
    assert_eq!(lines[3], format!("l 777 0:0 link -> {target}"));
}

#[test]
fn collisions_and_bad_paths_are_refused() {
    let (_folder, store) = store();
    let one = content(&store, "1", false);
    let two = content(&store, "2", false);
    // The same twice is one entry.
    assert_eq!(list(&store, &make(&store, vec![entry("a", one.clone()), entry("/a", one.clone())])).len(), 1);
    let message = refused(&store, vec![entry("a", one.clone()), entry("/a", two.clone())]);
    assert_eq!(
        message,
        "error: the layer cannot be made: two entries for `a`\n  hint: give one of the two another target path"
    );
    assert!(
        refused(&store, vec![entry("a", one.clone()), entry("a/b", two)]).contains("`a` is both a file and a folder")
    );
    assert!(refused(&store, vec![entry("../a", one.clone())]).contains("it has a `..` segment"));
    assert!(refused(&store, vec![entry("/", one)]).contains("only a tree can be placed there"));
    for reserved in ["etc/.wh.secret", ".wh..wh..opq", "a/.wh.folder/x", ".wh."] {
        let message = refused(&store, vec![entry(reserved, content(&store, "1", false))]);
        assert!(message.contains(&format!("`{reserved}` cannot be the path")), "{message}");
        let link = refused(&store, vec![entry(reserved, LayerContent::Symlink("x".into()))]);
        assert!(link.contains("names that begin with `.wh.`"), "{link}");
        let mut tree = Tree::default();
        tree.insert(RelPath::new(reserved).unwrap(), TreeEntry::EmptyFolder).unwrap();
        let tree = LayerContent::Tree(store.put_tree(&tree).unwrap());
        assert!(refused(&store, vec![entry("opt", tree)]).contains(&format!("`opt/{reserved}` cannot be the path")));
    }
    assert_eq!(list(&store, &make(&store, vec![entry("x.wh.y", content(&store, "1", false))])).len(), 1);
    assert!("0:9999999".parse::<Owner>().is_err());
    assert!("root".parse::<Owner>().is_err());
}

#[test]
fn an_image_follows_the_specification() {
    let (_folder, store) = store();
    let base = make(&store, vec![entry("etc/os", content(&store, "base", false))]);
    let overrides = Overrides {
        env: [("PATH".to_owned(), "/bin".to_owned()), ("A".to_owned(), "1".to_owned())].into(),
        cmd: Some(vec!["old".into()]),
        user: Some("0".into()),
        exposed_ports: vec!["80/tcp".into()],
        ..Overrides::default()
    };
    let base = image(&ImageRequest { base: None, layers: vec![base], overrides, platform: linux() }, &store).unwrap();
    let app = make(&store, vec![entry("app/run", content(&store, "app", true))]);
    let overrides = Overrides {
        entrypoint: Some(vec!["/app/run".into()]),
        env: [("PATH".to_owned(), "/app:/bin".to_owned())].into(),
        user: Some("65532:65532".into()),
        workdir: Some("/app".into()),
        labels: [("version".to_owned(), "7".to_owned())].into(),
        ..Overrides::default()
    };
    let request = ImageRequest { base: Some(base.tree), layers: vec![app], overrides, platform: linux() };
    let made = image(&request, &store).unwrap();
    assert_eq!(made, image(&request, &store).unwrap());

    let (manifest, bytes) = read_manifest(&made.tree, &store).unwrap();
    assert_eq!(Sha256::of(&bytes), made.digest);
    assert_eq!(manifest.layers.len(), 2);
    let config = read_configuration(&made.tree, &store).unwrap();
    let shown = serde_json::to_value(&config).unwrap();
    assert_eq!(
        shown["config"],
        json!({
            "User": "65532:65532", "ExposedPorts": {"80/tcp": {}}, "Env": ["A=1", "PATH=/app:/bin"],
            "Entrypoint": ["/app/run"], "WorkingDir": "/app", "Labels": {"version": "7"},
        })
    );
    assert_eq!((shown["os"].as_str(), shown["architecture"].as_str()), (Some("linux"), Some("amd64")));
    assert_eq!(shown["rootfs"]["type"], "layers");
    assert_eq!(shown["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    assert!(shown.get("created").is_none());
    for path in ["oci-layout", "index.json"] {
        assert!(made.tree.entries.contains_key(&RelPath::new(path).unwrap()));
    }
    assert_eq!(made.tree.entries.len(), 2 + 2 + 1 + 1);
}

#[test]
fn what_a_base_names_stays_unless_the_image_says_otherwise() {
    let (_folder, store) = store();
    let of = |base: Option<&Tree>, overrides: Overrides| {
        let request = ImageRequest { base: base.cloned(), layers: Vec::new(), overrides, platform: linux() };
        image(&request, &store).unwrap().tree
    };
    let config = |image: &Tree| read_configuration(image, &store).unwrap().config;
    let defaults = || Overrides {
        default_user: Some("65532:65532".into()),
        default_workdir: Some("/app".into()),
        ..Overrides::default()
    };
    let base =
        of(None, Overrides { user: Some("postgres:101".into()), workdir: Some("/srv".into()), ..Overrides::default() });
    let inherited = config(&of(Some(&base), defaults()));
    assert_eq!((inherited.user.as_str(), inherited.working_dir.as_str()), ("postgres:101", "/srv"));
    let own = Overrides { user: Some("7".into()), workdir: Some("/own".into()), ..defaults() };
    let replaced = config(&of(Some(&base), own));
    assert_eq!((replaced.user.as_str(), replaced.working_dir.as_str()), ("7", "/own"));
    // The root folder is what images of trees have, and no choice of anybody.
    let bare = of(None, Overrides { workdir: Some("/".into()), ..Overrides::default() });
    for base in [None, Some(&bare)] {
        let config = config(&of(base, defaults()));
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("65532:65532", "/app"));
    }
}

#[test]
fn a_base_for_another_platform_is_refused() {
    let (_folder, store) = store();
    let request = |base, arch: &str| ImageRequest {
        base,
        layers: Vec::new(),
        overrides: Overrides::default(),
        platform: Platform { os: "linux".into(), arch: arch.into() },
    };
    let base = image(&request(None, "amd64"), &store).unwrap();
    let error = image(&request(Some(base.tree), "arm64"), &store).unwrap_err();
    assert_eq!(error.to_string(), "the base image is for linux/amd64, the image is built for linux/arm64");
}

#[test]
fn the_actions_take_their_parameters_as_rules_write_them() {
    let (_folder, store) = store();
    let binary = content(&store, "bin", false);
    let inputs = |path: &str| (path == "out/bin").then(|| binary.clone());
    let params: LayerParams = serde_json::from_value(json!({
        "entries": [{"source": "out/bin", "target": "/app/bin", "executable": true}],
        "links": [{"path": "/bin/app", "target": "/app/bin"}],
        "owner": "0:0",
    }))
    .unwrap();
    let made = params.run(&inputs, &store).unwrap();
    assert!(list(&store, &made).contains(&"f 755 0:0 app/bin = bin".to_owned()));

    let descriptor = serde_json::to_vec(&made.descriptor).unwrap();
    let descriptor = content(&store, std::str::from_utf8(&descriptor).unwrap(), false);
    let blob = LayerContent::File { digest: made.blob, size: made.descriptor.size, executable: false };
    let inputs = |path: &str| match path {
        "out/layer.tar.gz" => Some(blob.clone()),
        "out/layer.json" => Some(descriptor.clone()),
        _ => None,
    };
    let params = |layer: &str| -> ImageParams {
        serde_json::from_value(json!({
            "base": null,
            "layers": [{"blob": layer, "descriptor": "out/layer.json"}],
            "config": {"entrypoint": ["/app/bin"], "cmd": null, "env": {"A": "b"}, "exposed_ports": [8443, "53/udp"]},
            "platform": {"os": "linux", "arch": "amd64"},
        }))
        .unwrap()
    };
    let made = params("out/layer.tar.gz").run(&inputs, &store).unwrap();
    let config = read_configuration(&made.tree, &store).unwrap();
    assert_eq!(config.config.exposed_ports.unwrap().into_keys().collect::<Vec<_>>(), ["53/udp", "8443/tcp"]);
    // Without a base there is a layer below that every program may count on.
    let (manifest, _) = read_manifest(&made.tree, &store).unwrap();
    let path = RelPath::new(&format!("blobs/sha256/{}", manifest.layers[0].digest.hex())).unwrap();
    let Some(TreeEntry::File { digest: blob, .. }) = made.tree.entries.get(&path) else { panic!("{path}") };
    let mut lowest = make(&store, Vec::new());
    lowest.blob = *blob;
    let lines = list(&store, &lowest);
    assert_eq!(lines.last().map(String::as_str), Some("d 1777 0:0 tmp/"));
    assert!(lines.iter().any(|line| line.starts_with("f 644 0:0 etc/passwd = root:x:0:0:")), "{lines:?}");
    let missing = params("out/other").run(&inputs, &store).unwrap_err();
    assert_eq!(missing.to_string(), "`out/other` is not among the action's inputs");
    let wrong = serde_json::from_value::<LayerParams>(json!({"entrys": []})).unwrap_err();
    assert!(wrong.to_string().contains("unknown field `entrys`"));
}
