//! Many processes share a store, some are killed at any moment; what is there stays valid. Run with arguments, this
//! program is one of those processes.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use model::Digest;
use store::{Limits, Store};

const CONTENTS: usize = 40;
/// What each appender appends.
const KEYS: usize = 100;
const ROUNDS: usize = 25;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("worker") => worker(Path::new(&arguments[2]), arguments[3] == "forever"),
        Some("mender") => mender(Path::new(&arguments[2]), &arguments[3]),
        Some("appender") => appender(Path::new(&arguments[2]), arguments[3].parse().unwrap()),
        Some("collector") => collector(Path::new(&arguments[2])),
        _ => {
            let tests: [(&str, fn()); 4] = [
                (
                    "processes_share_one_store_and_killed_ones_do_no_harm",
                    processes_share_one_store_and_killed_ones_do_no_harm,
                ),
                ("a_changed_tree_is_mended_once", a_changed_tree_is_mended_once),
                ("all_appends_are_kept", all_appends_are_kept),
                ("collections_take_nothing_from_those_at_work", collections_take_nothing_from_those_at_work),
            ];
            for (name, test) in tests {
                test();
                println!("test {name} ... ok");
            }
        }
    }
}

fn content(n: usize) -> Vec<u8> {
    format!("content {n} ").repeat(n * 50).into_bytes()
}

fn worker(root: &Path, forever: bool) {
    let store = Store::open(root).unwrap();
    loop {
        for n in 0..CONTENTS {
            let digest = store.put_bytes(&content(n)).unwrap();
            store.put_reader(&content(n)[..]).unwrap();
            store.memo_put(&Digest::of(&n.to_le_bytes()), digest.as_bytes()).unwrap();
            let scratch = store.scratch().unwrap();
            std::fs::create_dir(scratch.path().join("d")).unwrap();
            std::fs::write(scratch.path().join("d/file"), content(n)).unwrap();
            std::fs::write(scratch.path().join(n.to_string()), n.to_string()).unwrap();
            let (tree, _) = store.capture_tree(scratch.path()).unwrap();
            assert!(store.tree_path(&tree).unwrap().join("d/file").exists());
            assert_eq!(store.read(&digest).unwrap(), content(n));
        }
        if !forever {
            return;
        }
    }
}

/// Asks for a tree and says which folder it is.
fn mender(root: &Path, tree: &str) {
    let store = Store::open(root).unwrap();
    // All at once.
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let folder = store.tree_path(&tree.parse().unwrap()).unwrap();
    println!("{}", std::fs::metadata(folder).unwrap().ino());
}

fn key(worker: usize, n: usize) -> Digest {
    Digest::of(format!("{worker} {n}").as_bytes())
}

/// Appends to all logs; each value again and again, so that logs are written anew meanwhile.
fn appender(root: &Path, worker: usize) {
    let store = Store::open(root).unwrap();
    for round in 0..ROUNDS {
        for n in 0..KEYS {
            store.memo_put(&key(worker, n), &[round as u8; 3000]).unwrap();
            assert_eq!(store.memo_get(&key(worker, n)).unwrap().unwrap(), [round as u8; 3000]);
        }
    }
}

fn collector(root: &Path) {
    for _ in 0..40 {
        Store::open(root).unwrap().gc(&Limits { size: Some(0), ..Limits::default() }).unwrap();
    }
}

fn start(root: &Path, how: &str) -> Child {
    start_as("worker", root, how)
}

fn start_as(role: &str, root: &Path, how: &str) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command
        .arg(role)
        .arg(root)
        .arg(how)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

fn a_changed_tree_is_mended_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let from = store.scratch().unwrap();
    for n in 0..300 {
        std::fs::write(from.path().join(n.to_string()), content(n % 7)).unwrap();
    }
    let (tree, _) = store.capture_tree(from.path()).unwrap();
    let path = store.tree_path(&tree).unwrap();
    for round in 0..15 {
        // Only a look at every file finds this out: the folder's own time is put back.
        let sealed = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::remove_file(path.join("299")).unwrap();
        std::fs::write(path.join("299"), "changed").unwrap();
        std::fs::File::open(&path).unwrap().set_modified(sealed).unwrap();
        let mut menders: Vec<Child> = (0..6).map(|_| start_as("mender", folder.path(), &tree.to_hex())).collect();
        menders.iter_mut().for_each(|mender| mender.stdin.as_mut().unwrap().write_all(b"\n").unwrap());
        let outputs = menders.into_iter().map(|mender| mender.wait_with_output().unwrap());
        let seen: BTreeSet<String> = outputs
            .map(|output| {
                assert!(output.status.success(), "round {round}");
                String::from_utf8(output.stdout).unwrap().trim().to_owned()
            })
            .collect();
        let now = std::fs::metadata(&path).unwrap().ino().to_string();
        assert_eq!(seen, BTreeSet::from([now]), "round {round}: a mended folder was moved away");
        assert_eq!(std::fs::read(path.join("299")).unwrap(), content(299 % 7));
    }
}

fn all_appends_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut children: Vec<Child> =
        (0..4).map(|worker| start_as("appender", folder.path(), &worker.to_string())).collect();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let store = Store::open(folder.path()).unwrap();
    for worker in 0..4 {
        for n in 0..KEYS {
            let value = store.memo_get(&key(worker, n)).unwrap();
            assert_eq!(value.unwrap(), [ROUNDS as u8 - 1; 3000], "{worker} {n}");
        }
    }
    let findings = store.fsck(false, &|_, _| ()).unwrap();
    assert_eq!((findings.memos, findings.corrupt_memos), (4 * KEYS, 0));
    let logs = std::fs::read_dir(store.root().join("results")).unwrap();
    let bytes: u64 = logs.map(|log| log.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < (4 * KEYS * ROUNDS * 3000) as u64, "{bytes} bytes: no log was written anew");
}

/// Workers assert that what they put is there, while collections that would keep nothing run beside them.
fn collections_take_nothing_from_those_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let mut children: Vec<Child> = (0..2).map(|_| start_as("collector", folder.path(), "")).collect();
    children.extend((0..6).map(|_| start(folder.path(), "once")));
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let store = Store::open(folder.path()).unwrap();
    store.gc(&Limits { size: Some(0), ..Limits::default() }).unwrap();
    let findings = store.fsck(false, &|_, _| ()).unwrap();
    assert!(findings.is_sound());
    assert_eq!((findings.blobs, findings.trees, findings.memos), (0, 0, 0), "alone, everything goes");
}

fn processes_share_one_store_and_killed_ones_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for round in 0..8u64 {
        let mut children: Vec<Child> = (0..3).map(|_| start(root, "once")).collect();
        let mut victim = start(root, "forever");
        std::thread::sleep(Duration::from_millis(7 * round));
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert!(children.iter_mut().all(|child| child.wait().unwrap().success()), "round {round}");
    }
    let store = Store::open(root).unwrap();
    let findings = store.fsck(false, &|_, _| ()).unwrap();
    assert_eq!((findings.corrupt.len(), findings.corrupt_trees, findings.corrupt_memos), (0, 0, 0));
    assert_eq!(findings.memos, CONTENTS);
    for n in 0..CONTENTS {
        let digest = store.memo_get(&Digest::of(&n.to_le_bytes())).unwrap().unwrap();
        assert_eq!(Digest::of(&store.read(&Digest::of(&content(n))).unwrap()).as_bytes()[..], digest);
    }
    let tmp = std::fs::read_dir(store.root().join("tmp")).unwrap().count();
    assert_eq!(tmp, 2, "only this process's own scratch folder and its lock");
}
