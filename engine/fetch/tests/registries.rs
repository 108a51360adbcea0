//! One real package of each ecosystem, from the endpoints that this machine is configured to use.

use std::collections::BTreeMap;
use std::sync::Arc;

use fetch::{Endpoints, Fetched, Repositories, run};
use model::{Data, Label, NoReporter, PackageId, RelPath, RepositoryDecl, Tree, TreeEntry};
use serde_json::json;
use store::Store;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn fetched(params: &serde_json::Value, store: &Store) -> Tree {
    let endpoints = Endpoints::from_machine().unwrap();
    let tree = match run(params, store, &endpoints, &NoReporter) {
        Ok(Fetched::Tree(digest)) => digest,
        other => panic!("{other:?}"),
    };
    let again = run(params, store, &Endpoints::empty(), &NoReporter);
    assert_eq!(again.unwrap(), Fetched::Tree(tree), "what the store has needs no endpoint");
    store.tree(&tree).unwrap()
}

fn entry<'a>(tree: &'a Tree, path: &str) -> &'a TreeEntry {
    tree.entries.get(&RelPath::new(path).unwrap()).unwrap_or_else(|| panic!("no {path} in {:?}", tree.entries.keys()))
}

#[test]
fn a_go_module() {
    let (_folder, store) = store();
    let params = json!({
        "ecosystem": "go",
        "package": "github.com/BurntSushi/toml",
        "version": "v1.5.0",
        "h1": "h1:W5quZX/G/csjUnuI8SUYlsHs9M38FC7znL0lIO+DvMg=",
    });
    let tree = fetched(&params, &store);
    assert!(matches!(entry(&tree, "go.mod"), TreeEntry::File { executable: false, .. }));

    let mut wrong = params.clone();
    wrong["h1"] = json!("h1:AAAA");
    let error = run(&wrong, &store, &Endpoints::from_machine().unwrap(), &NoReporter).unwrap_err().to_string();
    assert!(error.starts_with("github.com/BurntSushi/toml@v1.5.0 from "), "{error}");
    assert!(error.contains("expected h1:AAAA, got h1:W5quZX/G/csjUnuI8SUYlsHs9M38FC7znL0lIO+DvMg="), "{error}");
}

#[test]
fn a_wheel() {
    let (_folder, store) = store();
    let params = json!({
        "ecosystem": "pypi",
        "package": "typing-extensions",
        "version": "4.16.0",
        "sha256": ["481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8"],
        "python": "3.11",
        "platform": "linux/amd64",
    });
    entry(&fetched(&params, &store), "typing_extensions.py");
}

/// The package of the default shell: when Debian replaces it, the default toolchains are out of date and this says so.
#[test]
fn a_debian_package() {
    let (_folder, store) = store();
    let lock = include_str!("../../../rules/toolchains/debian.star");
    let package: serde_json::Value =
        serde_json::from_str(&lock[lock.find('{').unwrap()..=lock.find('}').unwrap()].replace(",\n    }", "\n    }"))
            .unwrap();
    assert_eq!(package["name"], "busybox-static");
    let deb = json!({
        "ecosystem": "debian",
        "package": package["name"],
        "version": package["version"],
        "architecture": package["architecture"],
        "path": package["filename"],
        "sha256": package["sha256"],
    });
    let params = json!({
        "ecosystem": "merge",
        "parts": [deb],
        "exclude": ["usr"],
        "links": {"bin/sh": "busybox", "usr/bin/env": "/bin/busybox"},
    });
    let tree = fetched(&params, &store);
    assert!(matches!(entry(&tree, "bin/busybox"), TreeEntry::File { executable: true, .. }));
    assert_eq!(entry(&tree, "usr/bin/env"), &TreeEntry::Symlink { target: "../../bin/busybox".to_owned() });
    assert_eq!(tree.entries.len(), 3);
}

#[test]
fn packages_of_a_go_module() {
    let (_folder, store) = store();
    let decl = RepositoryDecl {
        name: Arc::from("go"),
        kind: Arc::from("go_modules"),
        attributes: ["mod", "sum"]
            .map(|name| (Arc::from(name), Data::Label(Label::absolute(&format!("//:go.{name}")).unwrap())))
            .into(),
        location: None,
    };
    let files = BTreeMap::from([
        ("go.mod", "module x\ngo 1.26\nrequire github.com/BurntSushi/toml v1.5.0\nrequire a.b/c v1.0.0\n"),
        (
            "go.sum",
            "github.com/BurntSushi/toml v1.5.0 h1:W5quZX/G/csjUnuI8SUYlsHs9M38FC7znL0lIO+DvMg=\n\
             github.com/BurntSushi/toml v1.5.0/go.mod h1:ukJfTF/6rtPPRCnwkur4qwRxa8vTRFBF0uk2lLoLwho=\n",
        ),
    ]);
    let read = |label: &Label| files.get(label.name()).map(|text| (*text).to_owned()).ok_or("missing".to_owned());
    let endpoints = Arc::new(Endpoints::from_machine().unwrap());
    let repositories = Repositories::new(&[decl], &read, store, endpoints, Arc::new(NoReporter)).unwrap();
    let text = |path: &str| repositories.build_file(&PackageId::new("go", path).unwrap());
    assert!(text("").unwrap().unwrap().contains("name = \"modules/github.com/BurntSushi/toml@v1.5.0\""));
    let library = text("github.com/BurntSushi/toml").unwrap().unwrap();
    assert!(library.contains("deps = [\"@go//github.com/BurntSushi/toml/internal\"]"), "{library}");
    assert!(library.contains("go_version = \"1.18\"") && library.contains("\"decode.go\""), "{library}");
    let program = text("github.com/BurntSushi/toml/cmd/tomlv").unwrap().unwrap();
    assert!(program.contains("go_external_binary(\n    name = \"tomlv\""), "{program}");
    assert_eq!(text("github.com/BurntSushi/toml/nothing").unwrap(), None);
    let error = text("other.org/x").unwrap_err();
    assert_eq!(error.to_string(), "@go//other.org/x: no module that go.mod requires holds this import path");
    assert!(error.hints()[0].contains("go get other.org/x"));
    let error = text("a.b/c").unwrap_err().to_string();
    assert!(error.starts_with("go.sum: no hash for `a.b/c v1.0.0`"), "{error}");
}
