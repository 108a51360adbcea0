//! The machine loses its power: what had not reached the disk is found out before it is used, and nothing else is read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use model::{Digest, RelPath, Tree, TreeEntry};
use store::{Recovery, Store};

/// So long before the moment of the last sync a birth is doubted, in nanoseconds.
const MARGIN: u128 = 600_000_000_000;

fn content(n: u32) -> Vec<u8> {
    format!("content {n} ").repeat(50).into_bytes()
}

fn born(store: &Store, digest: &Digest) -> u128 {
    let time = fs::metadata(store.blob_path(digest, false).unwrap()).unwrap().created().unwrap();
    nanoseconds(time)
}

fn nanoseconds(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// Replaces the bytes of a blob as a crash does: the time it was sealed with stays.
fn lose(path: &Path, bytes: &[u8]) {
    let sealed = fs::metadata(path).unwrap().modified().unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(sealed).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

/// Stores contents until one has a later birth than all before it; returns their number and that birth.
fn later(store: &Store, from: u32) -> (u32, u128) {
    let first = born(store, &store.put_bytes(&content(from)).unwrap());
    (from + 1..)
        .map(|n| (n, born(store, &store.put_bytes(&content(n)).unwrap())))
        .find(|(_, birth)| *birth > first)
        .unwrap()
}

#[test]
fn what_did_not_reach_the_disk_is_removed_and_only_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (store, recovery) = Store::open_after_start(folder.path(), "first").unwrap();
    assert_eq!(recovery, Recovery::default());
    let old: Vec<Digest> = (0..20).map(|n| store.put_bytes(&content(n)).unwrap()).collect();
    let (next, moment) = later(&store, 20);
    let new: Vec<Digest> = (next + 1..next + 11).map(|n| store.put_bytes(&content(n)).unwrap()).collect();
    let synced = old.iter().filter(|digest| born(&store, digest) < moment).count();
    assert_eq!(synced, 20);
    let file = |n: u32| {
        let digest = store.put_bytes(&content(n)).unwrap();
        TreeEntry::File { digest, size: content(n).len() as u64, executable: false }
    };
    let entries = [("a", file(0)), ("b", file(next + 1))];
    let tree = Tree { entries: entries.map(|(name, entry)| (RelPath::new(name).unwrap(), entry)).into() };
    let tree = store.put_tree(&tree).unwrap();
    store.tree_path(&tree).unwrap();
    fs::write(store.root().join("epoch"), format!("first {}\n", moment + MARGIN)).unwrap();

    let blob = |digest: &Digest| store.blob_path(digest, false).unwrap();
    lose(&blob(&new[0]), &vec![0; content(next + 1).len()]);
    lose(&blob(&new[1]), b"");
    lose(&blob(&new[2]), &content(next + 3)[..100]);
    // A link that is removed after the crash does not hide when its file was made.
    fs::hard_link(blob(&new[3]), folder.path().join("shown")).unwrap();
    lose(&blob(&new[3]), &vec![0; content(next + 4).len()]);
    fs::remove_file(folder.path().join("shown")).unwrap();
    drop(store);

    let (store, recovery) = Store::open_after_start(folder.path(), "second").unwrap();
    // One content found the moment; ten came after it, and the manifest.
    assert_eq!(recovery, Recovery { read: 12, removed: 4 });
    assert!(old.iter().chain(&new[4..]).all(|digest| store.contains(digest)));
    assert!(new[..4].iter().all(|digest| !store.contains(digest)));
    assert!(store.tree_path(&tree).unwrap_err().is_missing(), "its folder held the zeroed file");
    store.put_bytes(&content(next + 1)).unwrap();
    assert_eq!(fs::read(store.tree_path(&tree).unwrap().join("b")).unwrap(), content(next + 1));
    drop(store);
    let (_, recovery) = Store::open_after_start(folder.path(), "second").unwrap();
    assert_eq!(recovery, Recovery::default(), "once is enough");
}

#[test]
fn without_a_readable_note_everything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_after_start(folder.path(), "first").unwrap();
    for n in 0..5 {
        store.put_bytes(&content(n)).unwrap();
    }
    for (boot, note) in [("second", &b""[..]), ("third", b"\0\0\0\0"), ("fourth", b"first")] {
        fs::write(store.root().join("epoch"), note).unwrap();
        let (_, recovery) = Store::open_after_start(folder.path(), boot).unwrap();
        assert_eq!(recovery, Recovery { read: 5, removed: 0 }, "{note:?}");
    }
}

#[test]
fn what_is_stored_long_after_the_last_sync_moves_the_moment_on() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open_after_start(folder.path(), "first").unwrap();
    let note = store.root().join("epoch");
    fs::write(&note, "first 1\n").unwrap();
    let before = nanoseconds(SystemTime::now());
    store.put_bytes(b"new").unwrap();
    // The sync is beside the command; nothing waits for it but this test, and not forever.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let moment = loop {
        assert!(std::time::Instant::now() < end, "the moment never moved on");
        let text = fs::read_to_string(&note).unwrap();
        match text.trim().split_once(' ') {
            Some(("first", "1")) | None => std::thread::yield_now(),
            Some((_, moment)) => break moment.parse::<u128>().unwrap(),
        }
    };
    assert!(moment >= before);
    store.put_bytes(b"newer").unwrap();
    assert!(fs::read_to_string(&note).unwrap().contains(&moment.to_string()), "once a process");
}
