//! Blobs behave like a map; damage is found before use.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use model::{Digest, Tree, TreeEntry};
use proptest::prelude::*;
use store::{Placement, Store, StoreError};
use support::{open, overwrite, path};

#[test]
fn blobs_are_read_only_and_have_an_executable_twin() {
    let (_folder, store) = open();
    let digest = store.put_bytes(b"hello").unwrap();
    for (executable, mode) in [(false, 0o444), (true, 0o555)] {
        let blob = store.blob_path(&digest, executable).unwrap();
        assert_eq!(fs::metadata(&blob).unwrap().mode() & 0o777, mode);
        assert_eq!(fs::read(&blob).unwrap(), b"hello");
    }
    assert_eq!(store.size(&digest).unwrap(), 5);
    assert!(matches!(store.read(&Digest::of(b"other")), Err(StoreError::Missing(_))));
}

#[test]
fn put_file_takes_the_file_and_leaves_other_names_alone() {
    let (folder, store) = open();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    fs::write(&one, "text").unwrap();
    fs::hard_link(&one, &two).unwrap();
    let (digest, size) = store.put_file(&one).unwrap();
    assert_eq!((digest, size), (Digest::of(b"text"), 4));
    assert!(!one.exists());
    fs::write(&two, "changed").unwrap();
    assert_eq!(store.read(&digest).unwrap(), b"text");
    std::os::unix::fs::symlink("two", &one).unwrap();
    assert!(matches!(store.put_file(&one), Err(StoreError::NotAFile(_))));
}

#[test]
fn damaged_blobs_count_as_missing_and_can_be_put_again() {
    let (_folder, store) = open();
    for damage in [&b"hellO"[..], b"", b"longer than before"] {
        let digest = store.put_bytes(b"hello").unwrap();
        overwrite(&store.blob_path(&digest, false).unwrap(), damage);
        assert!(!store.contains(&digest));
        assert!(store.blob_path(&digest, false).unwrap_err().is_missing());
        store.put_bytes(b"hello").unwrap();
        assert_eq!(store.read(&digest).unwrap(), b"hello");
    }
}

#[test]
fn damage_that_keeps_the_time_is_found_by_reading_and_by_fsck() {
    let (_folder, store) = open();
    for find in ["read", "fsck", "verify"] {
        let digest = store.put_bytes(b"hello").unwrap();
        let blob = store.blob_path(&digest, false).unwrap();
        let time = fs::metadata(&blob).unwrap().modified().unwrap();
        overwrite(&blob, b"hellO");
        fs::File::options().write(true).open(&blob).unwrap().set_modified(time).unwrap();
        match find {
            "read" => assert!(matches!(store.read(&digest), Err(StoreError::Corrupt(_)))),
            "fsck" => assert_eq!(store.fsck(false, &|_, _| ()).unwrap().corrupt, [digest]),
            _ => assert!(!store.verify(&digest).unwrap()),
        }
        assert!(!store.contains(&digest));
    }
}

#[test]
fn what_a_crash_of_the_machine_cut_short_is_replaced() {
    let (folder, store) = open();
    let cut = |digest: &Digest| {
        let blob = store.blob_path(digest, false).unwrap();
        let time = fs::metadata(&blob).unwrap().modified().unwrap();
        overwrite(&blob, b"hel");
        fs::File::options().write(true).open(&blob).unwrap().set_modified(time).unwrap();
    };
    let digest = store.put_bytes(b"hello").unwrap();
    cut(&digest);
    store.put_bytes(b"hello").unwrap();
    assert_eq!(store.read(&digest).unwrap(), b"hello");
    cut(&digest);
    store.put_reader(&b"hello"[..]).unwrap();
    assert_eq!(store.read(&digest).unwrap(), b"hello");
    cut(&digest);
    fs::write(folder.path().join("new"), "hello").unwrap();
    store.put_file(&folder.path().join("new")).unwrap();
    assert_eq!(store.read(&digest).unwrap(), b"hello");
    let file = TreeEntry::File { digest, size: 5, executable: false };
    let tree = store.put_tree(&Tree { entries: BTreeMap::from([(path("x"), file)]) }).unwrap();
    cut(&digest);
    assert!(!store.contains_tree(&tree).unwrap());
}

#[test]
fn damage_is_noted_for_the_next_process_until_it_is_mended() {
    let (folder, store) = open();
    let file = TreeEntry::File { digest: store.put_bytes(b"hello").unwrap(), size: 5, executable: false };
    let tree = store.put_tree(&Tree { entries: BTreeMap::from([(path("x"), file)]) }).unwrap();
    store.tree_path(&tree).unwrap();
    let digest = Digest::of(b"hello");
    fs::remove_file(store.blob_path(&digest, false).unwrap()).unwrap();
    // The folder of the tree is proof enough, until somebody misses the file.
    assert!(store.contains_tree(&tree).unwrap() && !store.is_damaged());
    assert!(store.read(&digest).unwrap_err().is_missing());
    let next = Store::open(&folder.path().join("store")).unwrap();
    assert!(next.is_damaged() && !next.contains_tree(&tree).unwrap());
    next.put_bytes(b"hello").unwrap();
    assert!(next.contains_tree(&tree).unwrap());
    next.set_mended();
    assert!(!Store::open(&folder.path().join("store")).unwrap().is_damaged());
}

#[test]
fn a_touched_but_equal_blob_is_kept() {
    let (_folder, store) = open();
    let digest = store.put_bytes(b"hello").unwrap();
    overwrite(&store.blob_path(&digest, false).unwrap(), b"hello");
    let blob = store.blob_path(&digest, false).unwrap();
    assert_eq!(fs::metadata(blob).unwrap().mode() & 0o777, 0o444);
}

#[test]
fn many_files_are_put_in_place_by_links() {
    let (folder, store) = open();
    let to = |n: u8| folder.path().join("out").join((n % 3).to_string()).join(format!("d/{n}"));
    let file = |n: u8| Placement {
        digest: store.put_bytes(&[n]).unwrap(),
        size: 1,
        executable: n.is_multiple_of(2),
        to: to(n),
    };
    let files: Vec<_> = (0..60).map(file).collect();
    let restored = |linked, present| store::Restored { linked, present };
    assert_eq!(store.materialise_files(folder.path(), &files).unwrap(), restored(60, 0));
    for file in &files {
        let blob = fs::metadata(store.blob_path(&file.digest, file.executable).unwrap()).unwrap();
        assert_eq!(fs::metadata(&file.to).unwrap().ino(), blob.ino());
    }
    assert_eq!(store.materialise_files(folder.path(), &files).unwrap(), restored(0, 60));
    fs::remove_file(to(5)).unwrap();
    fs::remove_file(to(6)).unwrap();
    fs::write(to(6), "something else").unwrap();
    fs::remove_file(to(7)).unwrap();
    fs::create_dir_all(to(7).join("folder")).unwrap();
    fs::remove_dir_all(folder.path().join("out/2")).unwrap();
    assert_eq!(store.materialise_files(folder.path(), &files).unwrap(), restored(22, 38));
    assert!((0..60).all(|n| fs::read(to(n)).unwrap() == [n]));
    let absent =
        Placement { digest: Digest::of(b"absent"), size: 6, executable: false, to: folder.path().join("absent") };
    assert!(store.materialise_files(folder.path(), &[absent]).unwrap_err().is_missing());
}

/// As faults of a disk do it: the time stays.
#[test]
fn a_content_of_another_length_is_not_put_in_place() {
    let (folder, store) = open();
    let digest = store.put_bytes(b"content").unwrap();
    for executable in [false, true] {
        let blob = store.blob_path(&digest, executable).unwrap();
        let sealed = fs::metadata(&blob).unwrap().modified().unwrap();
        overwrite(&blob, b"content and more");
        fs::File::options().write(true).open(&blob).unwrap().set_modified(sealed).unwrap();
        let to = folder.path().join(format!("to{executable}"));
        // The other form is whole, or has just been made again.
        let file = Placement { digest, size: 7, executable, to: to.clone() };
        match store.materialise_files(folder.path(), &[file]) {
            Ok(_) => assert_eq!(fs::read(to).unwrap(), b"content"),
            Err(error) => assert!(error.is_missing()),
        }
        assert!(store.is_damaged());
        store.put_bytes(b"content").unwrap();
        assert_eq!(fs::read(store.sized_blob_path(&digest, executable, 7).unwrap()).unwrap(), b"content");
    }
}

#[test]
fn a_content_that_is_put_over_one_of_another_length_tells_of_damage() {
    let (folder, store) = open();
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, "content").unwrap();
        path
    };
    let (digest, _) = store.put_file(&file("one")).unwrap();
    let blob = store.blob_path(&digest, false).unwrap();
    let sealed = fs::metadata(&blob).unwrap().modified().unwrap();
    overwrite(&blob, b"cont");
    fs::File::options().write(true).open(&blob).unwrap().set_modified(sealed).unwrap();
    assert_eq!(store.damages(), 0);
    assert_eq!(store.put_file(&file("two")).unwrap().0, digest);
    assert_eq!(store.damages(), 1);
    assert_eq!(store.read(&digest).unwrap(), b"content");
}

/// Two who put a content at once put one file over the other: what is to be linked may have lost its name just now.
#[test]
fn a_content_is_linked_while_others_put_it_again() {
    let (folder, store) = open();
    let digest = store.put_bytes(b"content").unwrap();
    let entry = TreeEntry::File { digest, size: 7, executable: false };
    let tree = store.put_tree(&Tree { entries: [(path("a"), entry)].into() }).unwrap();
    let blob = store.blob_path(&digest, false).unwrap();
    let sealed = fs::metadata(&blob).unwrap().modified().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = folder.path().join("other");
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                fs::write(&other, b"content").unwrap();
                fs::File::options().write(true).open(&other).unwrap().set_modified(sealed).unwrap();
                fs::rename(&other, &blob).unwrap();
            }
        });
        let results: Vec<_> =
            (0..800).map(|n| store.materialise_tree(&tree, &folder.path().join(format!("tree{n}")))).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let failed = results.iter().filter(|result| result.is_err()).count();
        assert_eq!(failed, 0, "{:?}", results.iter().find(|result| result.is_err()));
    });
}

#[test]
fn scratch_of_the_living_stays_and_of_the_dead_goes() {
    let (folder, store) = open();
    let scratch = store.scratch().unwrap();
    let tmp = store.root().join("tmp");
    fs::create_dir_all(tmp.join("dead/x")).unwrap();
    fs::write(tmp.join("dead.lock"), "").unwrap();
    let second = Store::open(&folder.path().join("store")).unwrap();
    assert!(scratch.path().exists());
    assert!(!tmp.join("dead").exists());
    drop((second, scratch, store));
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Remove(u8),
    Damage(u8),
    Memo(u8, u8),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6u8).prop_map(Step::Put),
        1 => (0..6u8).prop_map(Step::Remove),
        1 => (0..6u8).prop_map(Step::Damage),
        2 => (0..6u8, any::<u8>()).prop_map(|(key, value)| Step::Memo(key, value)),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn behaves_like_maps(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let (mut blobs, mut memo) = (BTreeMap::new(), BTreeMap::new());
        let content = |n: u8| vec![n; usize::from(n) * 100];
        for step in steps {
            match step {
                Step::Put(n) => { blobs.insert(store.put_bytes(&content(n)).unwrap(), content(n)); }
                Step::Remove(n) | Step::Damage(n) => {
                    let digest = Digest::of(&content(n));
                    if blobs.remove(&digest).is_some() {
                        let files = [false, true].map(|executable| store.blob_path(&digest, executable).unwrap());
                        let damage = matches!(step, Step::Damage(_));
                        for file in &files {
                            if damage { overwrite(file, b"?") } else { fs::remove_file(file).unwrap() }
                        }
                    }
                }
                Step::Memo(key, value) => {
                    store.memo_put(&Digest::of(&[key]), &[value]).unwrap();
                    memo.insert(key, value);
                }
                Step::Reopen => store = Store::open(folder.path()).unwrap(),
            }
            for n in 0..6 {
                let digest = Digest::of(&content(n));
                prop_assert_eq!(store.contains(&digest), blobs.contains_key(&digest));
                prop_assert_eq!(store.read(&digest).ok(), blobs.get(&digest).cloned());
                prop_assert_eq!(store.memo_get(&Digest::of(&[n])).unwrap(), memo.get(&n).map(|value| vec![*value]));
            }
        }
    }
}

#[test]
fn attributes_of_a_file_are_not_taken_with_it() {
    let (folder, store) = open();
    let path = folder.path().join("made");
    fs::write(&path, "content").unwrap();
    // Capabilities are such attributes, but only root can give them.
    let set = "import os, sys; os.setxattr(sys.argv[1], 'user.note', b'x')";
    let status = std::process::Command::new("python3").args(["-c", set]).arg(&path).status().unwrap();
    let (digest, _) = store.put_file(&path).unwrap();
    let kept = fs::File::open(store.blob_path(&digest, false).unwrap()).unwrap();
    assert!(!host::fs::has_attributes(&kept), "could be set: {}", status.success());
    assert!(!path.exists());
}

#[test]
fn nobody_else_enters_scratch_folders() {
    let (_folder, store) = open();
    let all = store.scratch().unwrap().path().ancestors().nth(2).unwrap().to_owned();
    assert!(all.ends_with("tmp"), "{}", all.display());
    assert_eq!(fs::metadata(all).unwrap().permissions().mode() & 0o777, 0o700);
}

/// What somebody may do to a file in `build-out`, which is a further name of the store's.
#[test]
fn a_mode_that_somebody_changed_is_right_again_where_the_content_is_used() {
    for mode in [0o644, 0o555, 0o000, 0o4444, 0o777] {
        let (folder, store) = open();
        let digest = store.put_bytes(b"hello").unwrap();
        let shown = folder.path().join("shown");
        fs::hard_link(store.blob_path(&digest, false).unwrap(), &shown).unwrap();
        fs::set_permissions(&shown, fs::Permissions::from_mode(mode)).unwrap();
        let blob = store.blob_path(&digest, false).unwrap();
        assert_eq!(fs::metadata(&blob).unwrap().mode() & 0o7777, 0o444, "{mode:o}");
        assert_eq!(store.read(&digest).unwrap(), b"hello");
        assert!(!store.is_damaged());
        // The store has a file of its own now: what is written to the other one does no harm.
        fs::set_permissions(&shown, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&shown, "other").unwrap();
        assert!(store.contains(&digest));
        assert_eq!(store.read(&digest).unwrap(), b"hello");
    }
}

#[test]
fn a_file_that_is_no_file_any_more_is_missing_and_put_again() {
    let (_folder, store) = open();
    let digest = store.put_bytes(b"hello").unwrap();
    let blob = store.blob_path(&digest, false).unwrap();
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &blob).unwrap();
    assert!(!store.contains(&digest));
    store.put_bytes(b"hello").unwrap();
    assert_eq!(store.read(&digest).unwrap(), b"hello");
}
