//! The memo table behaves like a map, whatever is done to its logs: damage costs the values it hits and no others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use model::Digest;
use proptest::prelude::*;
use store::Store;

fn key(n: u32) -> Digest {
    Digest::of(&n.to_le_bytes())
}

/// The log that a key is in: that of its first byte.
fn log(store: &Store, key: &Digest) -> PathBuf {
    store.root().join("results").join(format!("{:02x}.log", key.as_bytes()[0] % 64))
}

/// Keys of one log.
fn neighbours(count: usize) -> Vec<Digest> {
    (0..).map(key).filter(|key| key.as_bytes()[0] % 64 == 0).take(count).collect()
}

#[test]
fn damaged_values_count_as_absent_and_can_be_put_again() {
    let folder = tempfile::tempdir().unwrap();
    let key = key(0);
    for damage in ["short", "header", "value", "empty", "foreign"] {
        let store = Store::open(folder.path()).unwrap();
        store.memo_put(&key, b"value").unwrap();
        assert_eq!(store.memo_get(&key).unwrap().unwrap(), b"value");
        let log = log(&store, &key);
        let whole = fs::read(&log).unwrap();
        let mut bytes = whole.clone();
        match damage {
            "short" => bytes.truncate(whole.len() - 5),
            "header" => bytes[30] ^= 1,
            "value" => bytes[80] ^= 1,
            "empty" => bytes.clear(),
            _ => {
                bytes =
                    b"some other text which is longer than a header, and then some; so that it is read as one".to_vec()
            }
        }
        fs::write(&log, &bytes).unwrap();
        let next = Store::open(folder.path()).unwrap();
        assert_eq!(next.memo_get(&key).unwrap(), None, "{damage}");
        next.memo_put(&key, b"value").unwrap();
        assert_eq!(Store::open(folder.path()).unwrap().memo_get(&key).unwrap().unwrap(), b"value", "{damage}");
    }
}

#[test]
fn damage_hits_one_value_and_fsck_counts_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let keys = neighbours(5);
    keys.iter().for_each(|key| store.memo_put(key, b"0123456789").unwrap());
    let log = log(&store, &keys[0]);
    let whole = fs::read(&log).unwrap();
    let length = whole.len() / 5;
    for place in [40, 85] {
        let mut bytes = whole.clone();
        bytes[2 * length + place] ^= 1;
        fs::write(&log, &bytes).unwrap();
        let next = Store::open(folder.path()).unwrap();
        let found: Vec<bool> = keys.iter().map(|key| next.memo_get(key).unwrap().is_some()).collect();
        assert_eq!(found, [true, true, false, true, true]);
        assert_eq!(next.fsck(false, &|_, _| ()).unwrap().corrupt_memos, 1, "damage at {place}");
        assert_eq!(next.fsck(false, &|_, _| ()).unwrap().corrupt_memos, 0);
        assert_eq!(next.memo_get(&keys[4]).unwrap().unwrap(), b"0123456789");
    }
}

#[test]
fn a_torn_tail_is_cut_off_before_the_next_append() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let keys = neighbours(3);
    keys[..2].iter().for_each(|key| store.memo_put(key, b"0123456789").unwrap());
    let log = log(&store, &keys[0]);
    let whole = fs::read(&log).unwrap();
    for cut in whole.len() / 2 + 1..whole.len() {
        fs::write(&log, &whole[..cut]).unwrap();
        let next = Store::open(folder.path()).unwrap();
        next.memo_put(&keys[2], b"0123456789").unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), whole.len() as u64, "no hole is left");
        let found: Vec<bool> = keys.iter().map(|key| next.memo_get(key).unwrap().is_some()).collect();
        assert_eq!(found, [true, false, true]);
    }
}

#[test]
fn a_torn_tail_is_no_damage_but_a_changed_one_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let keys = neighbours(2);
    keys.iter().for_each(|key| store.memo_put(key, b"0123456789").unwrap());
    let log = log(&store, &keys[0]);
    let whole = fs::read(&log).unwrap();
    let (half, checked) = (whole.len() / 2, |bytes: &[u8]| {
        fs::write(&log, bytes).unwrap();
        let store = Store::open(folder.path()).unwrap();
        let damaged = store.fsck(false, &|_, _| ()).unwrap().corrupt_memos;
        (damaged, fs::metadata(&log).unwrap().len())
    });
    for cut in half..whole.len() {
        assert_eq!(checked(&whole[..cut]), (0, half as u64), "cut at {cut}");
    }
    for place in [0, 30, 79] {
        let mut bytes = whole.clone();
        bytes[half + place] ^= 1;
        assert_eq!(checked(&bytes), (1, half as u64), "damage at {place}");
    }
}

#[test]
fn equal_values_and_repeated_uses_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let keys = neighbours(10);
    keys.iter().for_each(|key| store.memo_put(key, b"value").unwrap());
    let log = log(&store, &keys[0]);
    let length = fs::metadata(&log).unwrap().len();
    for _ in 0..3 {
        let next = Store::open(folder.path()).unwrap();
        keys.iter().for_each(|key| next.memo_put(key, b"value").unwrap());
        assert!(keys.iter().all(|key| next.memo_get(key).unwrap().is_some()));
    }
    assert_eq!(fs::metadata(&log).unwrap().len(), length);
}

#[test]
fn a_log_of_stale_values_is_written_anew_beside_readers() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let reader = Store::open(folder.path()).unwrap();
    let keys = neighbours(2);
    store.memo_put(&keys[0], b"stays").unwrap();
    let before = fs::metadata(log(&store, &keys[0])).unwrap().ino();
    for round in 0..400u32 {
        store.memo_put(&keys[1], &vec![round as u8; 2000]).unwrap();
        assert_eq!(reader.memo_get(&keys[0]).unwrap().unwrap(), b"stays");
    }
    let log = fs::metadata(log(&store, &keys[0])).unwrap();
    assert_ne!(log.ino(), before, "it was never written anew");
    assert!(log.len() < 600_000, "{} bytes for two values", log.len());
    reader.memo_put(&keys[0], b"changed").unwrap();
    assert_eq!(store.memo_get(&keys[1]).unwrap().unwrap(), vec![399u32 as u8; 2000]);
    assert_eq!(Store::open(folder.path()).unwrap().memo_get(&keys[0]).unwrap().unwrap(), b"changed");
}

#[derive(Debug, Clone)]
enum Step {
    Put(u32, u16),
    Remove(u32),
    Reopen,
    Tear(u8),
    Check,
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let step = prop_oneof![
        6 => (0..12u32, any::<u16>()).prop_map(|(key, value)| Step::Put(key, value)),
        2 => (0..12u32).prop_map(Step::Remove),
        1 => Just(Step::Reopen),
        1 => any::<u8>().prop_map(Step::Tear),
        1 => Just(Step::Check),
    ];
    proptest::collection::vec((any::<bool>(), step), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    /// Two processes (two open stores, each with an index of its own) and killed writers (bytes behind the last record).
    /// A store may go on with a value that another replaced; what it writes itself, and all that a new one reads, counts.
    #[test]
    fn two_processes_see_one_map(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut stores = [Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap()];
        let mut model: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for (second, step) in steps {
            let which = usize::from(second);
            match step {
                Step::Put(n, value) => {
                    let value = value.to_le_bytes().repeat(usize::from(value % 50));
                    stores[which].memo_put(&key(n), &value).unwrap();
                    prop_assert_eq!(&stores[which].memo_get(&key(n)).unwrap().unwrap(), &value);
                    model.insert(n, value);
                }
                Step::Remove(n) => {
                    stores[which].memo_remove(&key(n)).unwrap();
                    prop_assert_eq!(stores[which].memo_get(&key(n)).unwrap(), None);
                    model.remove(&n);
                }
                Step::Reopen => stores[which] = Store::open(folder.path()).unwrap(),
                Step::Tear(n) => {
                    let log = log(&stores[0], &key(u32::from(n % 12)));
                    let bytes = fs::read(&log).unwrap_or_default();
                    // A piece of a record, as a killed writer leaves it: a whole one would be one more put.
                    let torn = &bytes[..bytes.len().min(usize::from(n)).min(79)];
                    let mut file = fs::File::options().append(true).create(true).open(&log).unwrap();
                    std::io::Write::write_all(&mut file, torn).unwrap();
                }
                Step::Check => { stores[which].fsck(false, &|_, _| ()).unwrap(); }
            }
            let fresh = Store::open(folder.path()).unwrap();
            for n in 0..12 {
                prop_assert_eq!(fresh.memo_get(&key(n)).unwrap(), model.get(&n).cloned());
            }
        }
    }
}
