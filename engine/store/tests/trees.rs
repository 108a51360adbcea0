//! Trees come back as they were captured, and their folders are mended.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use model::{Digest, RelPath, Tree, TreeEntry};
use store::{Placement, Store, StoreError};
use support::{open, overwrite, path};

#[test]
fn captured_trees_come_back_equal() {
    let (folder, store) = open();
    let from = folder.path().join("from");
    fs::create_dir_all(from.join("a/empty")).unwrap();
    fs::write(from.join("a/file"), "file").unwrap();
    fs::write(from.join("run"), "run").unwrap();
    fs::set_permissions(from.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(from.join("a/empty"), fs::Permissions::from_mode(0o500)).unwrap();
    std::os::unix::fs::symlink("/outside", from.join("a/link")).unwrap();
    let (digest, tree) = store.capture_tree(&from).unwrap();
    let names: Vec<&str> = tree.entries.keys().map(RelPath::as_str).collect();
    assert_eq!(names, ["a/empty", "a/file", "a/link", "run"]);
    assert!(matches!(tree.entries[&path("run")], TreeEntry::File { executable: true, size: 3, .. }));
    assert_eq!(store.tree(&digest).unwrap(), tree);

    let made = store.tree_path(&digest).unwrap();
    assert_eq!(store.tree_path(&digest).unwrap(), made);
    assert_eq!(fs::metadata(made.join("run")).unwrap().mode() & 0o777, 0o555);
    assert_eq!(fs::read_link(made.join("a/link")).unwrap(), Path::new("/outside"));
    let to = folder.path().join("to");
    store.materialise_tree(&digest, &to).unwrap();
    assert_eq!(store.capture_tree(&to).unwrap().0, digest);
}

#[test]
fn a_changed_tree_folder_is_made_again() {
    let (folder, store) = open();
    let file = TreeEntry::File { digest: store.put_bytes(b"x").unwrap(), size: 1, executable: false };
    let tree = Tree { entries: BTreeMap::from([(path("d/x"), file)]) };
    let digest = store.put_tree(&tree).unwrap();
    for change in ["add", "remove", "mode", "mode of a folder", "edit"] {
        let made = store.tree_path(&digest).unwrap();
        match change {
            "add" => fs::write(made.join("d/y"), "y").unwrap(),
            "remove" => fs::remove_file(made.join("d/x")).unwrap(),
            "mode" => fs::set_permissions(made.join("d/x"), fs::Permissions::from_mode(0o755)).unwrap(),
            "mode of a folder" => fs::set_permissions(made.join("d"), fs::Permissions::from_mode(0o700)).unwrap(),
            _ => overwrite(&made.join("d/x"), b"X"),
        }
        let again = Store::open(&folder.path().join("store")).unwrap();
        if change == "edit" {
            assert!(again.tree_path(&digest).unwrap_err().is_missing(), "the blob is the same file");
            again.put_bytes(b"x").unwrap();
        }
        let made = again.tree_path(&digest).unwrap();
        assert_eq!(fs::read(made.join("d/x")).unwrap(), b"x");
        let mode = |name: &str| fs::metadata(made.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("d/x"), mode("d")), (0o444, 0o755), "{change}");
        assert!(!made.join("d/y").exists());
    }
    assert!(store.contains_tree(&digest).unwrap());
}

/// A file of a tree's folder is a further name of its content: what is found damaged by one is damaged by the other.
#[test]
fn the_folder_of_a_tree_goes_with_a_damaged_content() {
    for by_fsck in [true, false] {
        let (folder, store) = open();
        let content = store.put_bytes(b"content").unwrap();
        let file = TreeEntry::File { digest: content, size: 7, executable: false };
        let tree = store.put_tree(&Tree { entries: BTreeMap::from([(path("d/x"), file)]) }).unwrap();
        let file = store.tree_path(&tree).unwrap().join("d/x");
        let sealed = fs::metadata(&file).unwrap().modified().unwrap();
        overwrite(&file, b"CONTENT");
        fs::File::options().write(true).open(&file).unwrap().set_modified(sealed).unwrap();
        let next = Store::open(&folder.path().join("store")).unwrap();
        if by_fsck {
            let found = next.fsck(false, &|_, _| ()).unwrap();
            assert_eq!((found.corrupt, found.corrupt_trees), (vec![content], 1));
        } else {
            assert!(matches!(next.read(&content), Err(StoreError::Corrupt(_))));
        }
        next.put_bytes(b"content").unwrap();
        assert_eq!(fs::read(next.tree_path(&tree).unwrap().join("d/x")).unwrap(), b"content", "by fsck: {by_fsck}");
    }
}

#[test]
fn many_threads_mend_a_changed_tree_folder() {
    let (_folder, store) = open();
    let file = TreeEntry::File { digest: store.put_bytes(b"hello").unwrap(), size: 5, executable: false };
    let tree = store.put_tree(&Tree { entries: BTreeMap::from([(path("a/x"), file)]) }).unwrap();
    for _ in 0..20 {
        // Damage elsewhere makes the store forget that it has checked the folder.
        let other = store.put_bytes(b"other").unwrap();
        fs::write(store.tree_path(&tree).unwrap().join("a/added"), "").unwrap();
        overwrite(&store.blob_path(&other, false).unwrap(), b"?");
        assert!(!store.contains(&other));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(!store.tree_path(&tree).unwrap().join("a/added").exists()));
            }
        });
    }
}

#[test]
fn a_tree_that_somebody_else_mends_is_not_moved_away() {
    let (folder, store) = open();
    let file = TreeEntry::File { digest: store.put_bytes(b"hello").unwrap(), size: 5, executable: false };
    let tree = store.put_tree(&Tree { entries: BTreeMap::from([(path("a/x"), file)]) }).unwrap();
    let made = store.tree_path(&tree).unwrap();
    fs::write(made.join("a/added"), "").unwrap();
    let other = Store::open(&folder.path().join("store")).unwrap();
    // Another process is at it, and has the lock.
    let lock = fs::File::create(store.root().join("mend.lock")).unwrap();
    lock.lock().unwrap();
    let inode = format!(":{} ", lock.metadata().unwrap().ino());
    let mended = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| other.tree_path(&tree).unwrap());
        let waits =
            || fs::read_to_string("/proc/locks").unwrap().lines().any(|l| l.contains("->") && l.contains(&inode));
        while !waits() {
            assert!(!waiting.is_finished(), "it did not wait");
            std::thread::yield_now();
        }
        fs::rename(&made, folder.path().join("changed")).unwrap();
        store.materialise_tree(&tree, &made).unwrap();
        let mended = fs::metadata(&made).unwrap().ino();
        lock.unlock().unwrap();
        waiting.join().unwrap();
        mended
    });
    assert_eq!(fs::metadata(&made).unwrap().ino(), mended);
}

#[test]
fn what_is_in_the_way_goes_and_nothing_is_written_through_links() {
    let (folder, store) = open();
    let out = folder.path().join("out");
    let hello = TreeEntry::File { digest: store.put_bytes(b"hello").unwrap(), size: 5, executable: false };
    let tree = store.put_tree(&Tree { entries: BTreeMap::from([(path("deep/a"), hello)]) }).unwrap();
    let made = store.tree_path(&tree).unwrap();
    let new = store.put_bytes(b"new").unwrap();
    let file = |to: &str| {
        let file = Placement { digest: new, size: 3, executable: false, to: out.join(to) };
        store.materialise_files(&out, &[file]).unwrap();
        assert_eq!(fs::read(out.join(to)).unwrap(), b"new", "{to}");
    };
    let shown = |to: &str| {
        store.show_trees(&out, [(&tree, out.join(to).as_path())]).unwrap();
        assert_eq!(fs::read(out.join(to).join("deep/a")).unwrap(), b"hello", "{to}");
    };
    // A file, what is below its path, a tree at its path or below: each in the place of each.
    for before in ["x", "x/deep", "x/deep/a", "x/deep/a/b"] {
        for after in ["x", "x/deep", "x/deep/a", "x/deep/a/b"] {
            let places: [&dyn Fn(&str); 2] = [&file, &shown];
            for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                places[first](before);
                places[second](after);
                let inside = host::fs::read_dir(&made.join("deep")).unwrap();
                assert!(inside.iter().map(|entry| entry.name.as_str()).eq(["a"]), "{before} and then {after}");
            }
        }
    }
    // The folder itself may be a link of the user's, and is never removed.
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir_all(&out).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &out).unwrap();
    file("x/y");
    assert_eq!(fs::read(elsewhere.join("x/y")).unwrap(), b"new");
    fs::remove_file(&out).unwrap();
    fs::write(&out, "mine").unwrap();
    let placement = Placement { digest: new, size: 3, executable: false, to: out.join("x/y") };
    assert!(store.materialise_files(&out, &[placement]).is_err());
    assert_eq!(fs::read(&out).unwrap(), b"mine");
}

#[test]
fn a_tree_whose_file_is_missing_is_not_contained() {
    let (_folder, store) = open();
    let file = TreeEntry::File { digest: Digest::of(b"absent"), size: 6, executable: false };
    let digest = store.put_tree(&Tree { entries: BTreeMap::from([(path("x"), file)]) }).unwrap();
    assert!(!store.contains_tree(&digest).unwrap());
    assert!(matches!(store.tree_path(&digest), Err(StoreError::Missing(_))));
}
