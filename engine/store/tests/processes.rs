//! Many processes share a store, some are killed at any moment; what is there stays valid. Run with arguments, this
//! program is one of those processes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use model::Digest;
use store::Store;

const CONTENTS: usize = 40;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("worker") => worker(Path::new(&arguments[2]), arguments[3] == "forever"),
        _ => {
            processes_share_one_store_and_killed_ones_do_no_harm();
            println!("test processes_share_one_store_and_killed_ones_do_no_harm ... ok");
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

fn start(root: &Path, how: &str) -> Child {
    let this = std::env::current_exe().unwrap();
    Command::new(this).arg("worker").arg(root).arg(how).stderr(Stdio::inherit()).spawn().unwrap()
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
