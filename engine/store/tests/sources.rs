//! Sources are hashed when they may have changed, and only then.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use model::Digest;
use store::{Store, StoreError};
use support::{age, open};

#[test]
fn sources_are_hashed_again_when_they_change_and_remembered_when_old() {
    let (folder, store) = open();
    past_the_first_few(&folder, &store);
    let source = folder.path().join("source");
    for text in ["one", "two", "six"] {
        fs::write(&source, text).unwrap();
        assert_eq!(store.source_digest(&source).unwrap(), (Digest::of(text.as_bytes()), 3, false), "racily clean");
        assert_eq!(store.read(&Digest::of(text.as_bytes())).unwrap(), text.as_bytes());
    }
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(store.source_digest(&source).unwrap().2);
    assert!(store.source_digest(&folder.path().join("absent")).is_err());
    assert!(matches!(store.source_digest(folder.path()), Err(StoreError::NotAFile(_))));
}

/// Asks for so many small files that the index is used for those that follow.
fn past_the_first_few(folder: &tempfile::TempDir, store: &Store) {
    let source = folder.path().join("one-of-few");
    fs::write(&source, "few").unwrap();
    for _ in 0..32 {
        store.source_digest(&source).unwrap();
    }
}

#[test]
fn the_index_survives_torn_records() {
    let (folder, store) = open();
    let sources: Vec<_> = (0..20).map(|n| folder.path().join(format!("s{n}"))).collect();
    for (n, source) in sources.iter().enumerate() {
        fs::write(source, n.to_string()).unwrap();
    }
    std::thread::sleep(Duration::from_millis(2100));
    past_the_first_few(&folder, &store);
    for source in &sources {
        store.source_digest(source).unwrap();
    }
    store.flush();
    let log = store.root().join("sources");
    let whole = fs::read(&log).unwrap();
    assert_eq!(whole.len(), 20 * 88, "all are old enough to be remembered");
    let mut torn = whole[..whole.len() - 30].to_vec();
    torn[100] ^= 1;
    fs::write(&log, torn).unwrap();
    let again = Store::open(&folder.path().join("store")).unwrap();
    past_the_first_few(&folder, &again);
    for (n, source) in sources.iter().enumerate() {
        assert_eq!(again.source_digest(source).unwrap().0, Digest::of(n.to_string().as_bytes()));
    }
    drop(again);
    assert_eq!(fs::read(&log).unwrap().len(), 21 * 88, "two were hashed again, the torn one cut off");
    age(&sources[3]);
    fs::write(&sources[3], "3").unwrap();
    assert_eq!(store.source_digest(&sources[3]).unwrap().0, Digest::of(b"3"));
}
