//! Scratch space that cannot be removed stays known. A process of its own, since a hook decides about all its calls.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use host::faults::{self, Answer, Call, Hook, Operation};
use store::Store;

/// While it is set, files of this name cannot be removed.
struct Stubborn(Arc<AtomicBool>);

impl Hook for Stubborn {
    fn before(&self, call: &Call<'_>) -> Answer {
        let is_it = call.operation == Operation::Remove && call.path.ends_with("stubborn");
        if is_it && self.0.load(Ordering::SeqCst) { Answer::Fail { errno: 5, written: 0 } } else { Answer::GoOn }
    }

    fn after(&self, _: &Call<'_>) {}
}

#[test]
fn what_cannot_be_removed_now_goes_later() {
    let folder = tempfile::tempdir().unwrap();
    let refuses = Arc::new(AtomicBool::new(true));
    assert!(faults::install(Box::new(Stubborn(Arc::clone(&refuses)))));
    let store = Store::open(folder.path()).unwrap();
    let tmp = store.root().join("tmp");
    let scratch = store.scratch().unwrap();
    fs::write(scratch.path().join("stubborn"), "").unwrap();
    drop((scratch, store));
    drop(Store::open(folder.path()).unwrap());
    assert_ne!(fs::read_dir(&tmp).unwrap().count(), 0);
    refuses.store(false, Ordering::SeqCst);
    drop(Store::open(folder.path()).unwrap());
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
}
