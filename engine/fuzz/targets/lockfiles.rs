//! Lockfiles: go.mod with go.sum, requirements.lock, the lock of Debian packages. The first byte says which.

#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use fetch::{Endpoints, Repositories};
use libfuzzer_sys::fuzz_target;
use model::{Data, Label, NoReporter, PackageId, RepositoryDecl};
use store::Store;

static STORE: LazyLock<(tempfile::TempDir, Store)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("a store");
    (folder, store)
});

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    let (kind, names): (&str, &[&str]) = match first % 3 {
        0 => ("go_modules", &["mod", "sum"]),
        1 => ("pip_lock", &["lock"]),
        _ => ("debian_lock", &["lock"]),
    };
    let label = |name: &str| Label::absolute(&format!("//:{name}")).expect("a label");
    let attributes = names.iter().map(|name| (Arc::from(*name), Data::Label(label(name))));
    let decl = RepositoryDecl {
        name: Arc::from("r"),
        kind: Arc::from(kind),
        attributes: attributes.collect::<BTreeMap<_, _>>(),
        location: None,
    };
    // Two files in one input: go.mod, a line of dashes, go.sum.
    let (first, second) = text.split_once("\n----\n").unwrap_or((&text, ""));
    let read = |label: &Label| Ok(if label.name() == "sum" { second } else { first }.to_owned());
    let endpoints = Arc::new(Endpoints::empty());
    let made = Repositories::new(&[decl], &read, STORE.1.clone(), endpoints, Arc::new(NoReporter));
    if let Ok(repositories) = made {
        for package in repositories.packages("r").into_iter().flatten().take(20) {
            let Ok(id) = PackageId::new("r", &package) else { panic!("{package:?} is no package") };
            let _ = repositories.build_file(&id);
        }
    }
});
