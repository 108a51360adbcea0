//! Debian packages, wheels and Go modules into trees: whatever comes is refused, or is a tree whose paths and links stay
//! inside of it. The first byte says which.

#![no_main]

use std::fs::File;
use std::io::{Seek, Write};
use std::sync::LazyLock;

use fetch::{PackageKind, unpack};
use libfuzzer_sys::fuzz_target;
use model::TreeEntry;
use store::Store;

static STORE: LazyLock<(tempfile::TempDir, Store)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::open(folder.path()).expect("a store");
    (folder, store)
});

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first() else { return };
    let kind = match first % 3 {
        0 => PackageKind::Debian,
        1 => PackageKind::Wheel,
        _ => PackageKind::GoModule("m", "v1"),
    };
    let mut file: File = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("a file takes bytes");
    let Ok(tree) = unpack(kind, file, &STORE.1) else { return };
    tree.check().expect("no file in a folder's place");
    for (path, entry) in &tree.entries {
        let mut depth = path.as_str().split('/').count() as i64 - 1;
        assert!(!path.as_str().is_empty() && path.as_str().split('/').all(|segment| !matches!(segment, "" | "." | "..")));
        if let TreeEntry::Symlink { target } = entry {
            assert!(!target.starts_with('/'), "{path} -> {target}");
            for segment in target.split('/') {
                depth += match segment {
                    "" | "." => 0,
                    ".." => -1,
                    _ => 1,
                };
                assert!(depth >= 0, "{path} -> {target}");
            }
        }
    }
});
