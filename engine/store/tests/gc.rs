//! Garbage goes, what is in use stays, and every result that is still there has its contents.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use model::{Digest, RelPath, Tree, TreeEntry};
use proptest::prelude::*;
use store::{Limits, Store};

const BLOCK: u64 = 4096;

fn content(n: u8) -> Vec<u8> {
    vec![n; usize::from(n) * 1000]
}

fn key(n: u8) -> Digest {
    Digest::of(&[n, n])
}

/// A result as actions have them: contents named in a text.
fn put_result(store: &Store, n: u8, contents: &[u8]) {
    let digests: Vec<String> = contents.iter().map(|n| store.put_bytes(&content(*n)).unwrap().to_hex()).collect();
    store.memo_put(&key(n), serde_json::to_string(&digests).unwrap().as_bytes()).unwrap();
}

fn size(bytes: u64) -> Limits {
    Limits { size: Some(bytes), ..Limits::default() }
}

fn disk(store: &Store) -> u64 {
    let mut sum = 0;
    for shard in fs::read_dir(store.root().join("blobs")).unwrap() {
        for blob in fs::read_dir(shard.unwrap().path()).unwrap() {
            sum += blob.unwrap().metadata().unwrap().len().max(1).next_multiple_of(BLOCK);
        }
    }
    sum
}

fn tree(store: &Store, contents: &[u8]) -> Digest {
    let entry = |n: &u8| {
        let digest = store.put_bytes(&content(*n)).unwrap();
        let size = content(*n).len() as u64;
        (RelPath::new(&format!("d/{n}")).unwrap(), TreeEntry::File { digest, size, executable: false })
    };
    store.put_tree(&Tree { entries: contents.iter().map(entry).collect() }).unwrap()
}

#[test]
fn a_result_keeps_its_contents_and_the_files_of_its_trees() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let kept = tree(&store, &[1, 2]);
    store.memo_put(&key(0), kept.as_bytes()).unwrap();
    store.tree_path(&kept).unwrap();
    // Two months ago, as far as the store can tell, nobody had these.
    let collected = store.gc(&Limits { age: Some(Duration::from_secs(5_000_000)), ..Limits::default() }).unwrap();
    assert!(collected.is_empty(), "{collected:?}");
    let all = disk(&store);
    assert_eq!(collected.kept, all);
    assert!(store.gc(&size(all)).unwrap().is_empty());
    assert!(store.contains_tree(&kept).unwrap() && store.contains(&Digest::of(&content(2))));

    let dry = store.gc(&Limits { dry_run: true, ..size(all - 1) }).unwrap();
    assert_eq!((dry.results, dry.blobs, dry.trees, dry.bytes), (1, 3, 1, all));
    assert!(store.contains_tree(&kept).unwrap(), "it was only asked");
    assert_eq!(store.gc(&size(all - 1)).unwrap(), dry);
    assert_eq!((disk(&store), store.memo_get(&key(0)).unwrap()), (0, None));
    let next = Store::open(folder.path()).unwrap();
    assert!(!next.contains_tree(&kept).unwrap() && next.memo_get(&key(0)).unwrap().is_none());
}

#[test]
fn what_others_know_to_be_in_use_stays_longer() {
    for kept in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        put_result(&store, 1, &[4]);
        put_result(&store, 2, &[3]);
        let used = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1;
        let in_use = BTreeMap::from([(1, 4), (2, 3)]);
        let in_use = [(Digest::of(&content(in_use[&kept])), used)].into();
        let collected = store.gc_but(&size(BLOCK), &in_use).unwrap();
        assert_eq!((collected.results, collected.kept), (1, BLOCK));
        assert!(store.memo_get(&key(kept)).unwrap().is_some(), "{kept}");
    }
}

#[test]
fn a_tree_whose_files_were_lost_as_contents_takes_room_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let kept = tree(&store, &[9]);
    store.memo_put(&key(0), kept.as_bytes()).unwrap();
    store.tree_path(&kept).unwrap();
    let once = disk(&store);
    assert!(store.gc(&size(once)).unwrap().is_empty());
    // The folder still links to the old file when the content is put again.
    fs::remove_file(store.blob_path(&Digest::of(&content(9)), false).unwrap()).unwrap();
    store.put_bytes(&content(9)).unwrap();
    let twice = once + 3 * BLOCK;
    assert_eq!(store.gc(&size(twice)).unwrap().kept, twice);
    let collected = store.gc(&size(twice - 1)).unwrap();
    assert_eq!((collected.bytes, collected.trees, collected.kept), (twice, 1, 0));
    assert_eq!(disk(&store), 0);
}

#[test]
fn beside_another_process_nothing_goes_that_it_may_use() {
    let folder = tempfile::tempdir().unwrap();
    let other = Store::open(folder.path()).unwrap();
    put_result(&other, 1, &[1, 2]);
    let source = folder.path().join("source");
    fs::write(&source, "source").unwrap();
    other.source_digest(&source).unwrap();
    let store = Store::open(folder.path()).unwrap();
    let beside = store.gc(&size(0)).unwrap();
    assert!(beside.is_empty() && beside.beside_others, "{beside:?}");
    drop(other);
    let alone = store.gc(&size(0)).unwrap();
    assert_eq!((alone.results, alone.blobs, alone.beside_others), (1, 3, false));
}

#[test]
fn what_a_process_finds_instead_of_storing_it_again_stays() {
    let folder = tempfile::tempdir().unwrap();
    let earlier = Store::open(folder.path()).unwrap();
    (1..6).for_each(|n| assert!(earlier.put_bytes(&content(n)).is_ok()));
    drop(earlier);
    // A collection goes by whole seconds, and takes one that has begun for the next.
    std::thread::sleep(Duration::from_millis(2500));
    let other = Store::open(folder.path()).unwrap();
    other.put_bytes(&content(1)).unwrap();
    other.put_reader(&content(2)[..]).unwrap();
    let file = folder.path().join("file");
    fs::write(&file, content(3)).unwrap();
    other.put_file(&file).unwrap();
    let collected = Store::open(folder.path()).unwrap().gc(&size(0)).unwrap();
    assert_eq!(collected.blobs, 2, "those that nobody asked for");
    assert!((1..4).all(|n| other.contains(&Digest::of(&content(n)))));
}

#[test]
fn leftovers_of_killed_writers_and_failed_actions_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for left in ["debug/1-1/file", "memo/00/old", ".tmp-x", "results/.tmp-y", "requests/w/.tmp-z"] {
        let path = store.root().join(left);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "left").unwrap();
    }
    store.gc(&size(1 << 30)).unwrap();
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(store.root()), ["blobs", "epoch", "gate", "requests", "results", "tmp", "trees"]);
    assert!(names(&store.root().join("requests/w")).is_empty());
    assert!(names(&store.root().join("results")).iter().all(|name| name.ends_with(".log")));
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Vec<u8>),
    Blob(u8),
    Tree(Vec<u8>),
    Gc(u64),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let contents = || proptest::collection::vec(1..10u8, 0..4);
    let step = prop_oneof![
        6 => (0..8u8, contents()).prop_map(|(n, contents)| Step::Put(n, contents)),
        1 => (1..10u8).prop_map(Step::Blob),
        2 => contents().prop_map(Step::Tree),
        3 => (0..12u64).prop_map(Step::Gc),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_limit_holds_and_results_are_whole(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let mut results: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(n, contents) => {
                    put_result(&store, n, &contents);
                    results.insert(n, contents);
                }
                Step::Blob(n) => assert!(store.put_bytes(&content(n)).is_ok()),
                Step::Tree(contents) => drop(store.tree_path(&tree(&store, &contents)).unwrap()),
                Step::Reopen => {
                    drop(store);
                    store = Store::open(folder.path()).unwrap();
                }
                Step::Gc(blocks) => {
                    let before = (disk(&store), results.len());
                    let collected = store.gc(&size(blocks * BLOCK)).unwrap();
                    prop_assert!(collected.kept <= blocks * BLOCK);
                    prop_assert_eq!(disk(&store), collected.kept);
                    prop_assert_eq!(before.0 - collected.kept, collected.bytes);
                    results.retain(|n, _| store.memo_get(&key(*n)).unwrap().is_some());
                    prop_assert_eq!(before.1 - results.len(), collected.results);
                }
            }
            for (n, contents) in &results {
                prop_assert!(store.memo_get(&key(*n)).unwrap().is_some());
                for n in contents {
                    prop_assert_eq!(store.read(&Digest::of(&content(*n))).unwrap(), content(*n));
                }
            }
            prop_assert!(!store.is_damaged());
        }
        prop_assert!(store.fsck(false, &|_, _| ()).unwrap().is_sound());
    }
}

/// Who makes the folder of a tree finds one of another in the way, which a collection takes away before it is looked at.
#[test]
fn a_tree_is_made_while_others_make_it_and_a_collection_takes_it_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let file = TreeEntry::File { digest: store.put_bytes(b"x").unwrap(), size: 1, executable: false };
    let tree = store.put_tree(&Tree { entries: BTreeMap::from([(RelPath::new("a").unwrap(), file)]) }).unwrap();
    let made = store.tree_path(&tree).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let make = || (0..4000).map(|_| store.tree_path(&tree)).find_map(Result::err);
        let makers = [scope.spawn(make), scope.spawn(make), scope.spawn(make)];
        let collection = scope.spawn(|| {
            let mut taken = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let aside = folder.path().join(format!("aside{taken}"));
                taken += u32::from(fs::rename(&made, aside).is_ok());
            }
            taken
        });
        let errors: Vec<String> =
            makers.into_iter().filter_map(|maker| maker.join().unwrap()).map(|error| error.to_string()).collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(errors.is_empty(), "{errors:?}");
        assert!(collection.join().unwrap() > 0, "nothing was taken away");
    });
}
