//! What the kernel's queue does when nobody reads it, and folders that move about.

use super::*;

fn none() -> Skip {
    Arc::new(|_: &str| false)
}

fn write(root: &Path, path: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x").unwrap();
}

#[test]
fn an_overflow_makes_everything_unknown_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    (0..2).for_each(|n| write(root, &n.to_string()));
    let mut folders = Folders::new(root, none()).unwrap();
    let most = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: usize = most.trim().parse().unwrap();
    // Equal events in a row are one in the queue, so the files take turns.
    for n in 0..=most {
        fs::set_mode(&root.join((n % 2).to_string()), 0o600 + u32::try_from(n / 2 % 2).unwrap()).unwrap();
    }
    assert_eq!(folders.since(0), Changes::Unknown);
    let now = folders.journal.event();
    assert_eq!(folders.since(now), Changes::Unknown);
}

#[test]
fn a_moved_folder_is_watched_at_its_new_place_whatever_is_read_when() {
    // The moves are read one by one, or all at once after the last.
    for at_once in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "a/deep/f");
        let mut folders = Folders::new(root, none()).unwrap();
        std::fs::create_dir(root.join("new")).unwrap();
        for (from, to) in [("a", "b"), ("b", "new/c"), ("new/c", "d"), ("d", "new/e"), ("new", "last")] {
            std::fs::rename(root.join(from), root.join(to)).unwrap();
            if !at_once {
                folders.catch_up();
            }
        }
        folders.catch_up();
        let now = folders.journal.event();
        write(root, "last/e/deep/f");
        let Changes::Paths(paths) = folders.since(now) else { panic!("unknown") };
        assert_eq!(paths, ["last/e/deep/f"]);
        let watched: Vec<&String> = folders.watches.keys().collect();
        assert_eq!(watched, ["", "last", "last/e", "last/e/deep", "last/e/deep/f"]);
        assert_eq!(folders.paths.len(), 5);
    }
}

#[test]
fn watches_end_with_their_folders() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "keep/f");
    let mut folders = Folders::new(root, none()).unwrap();
    for round in 0..3 {
        write(root, &format!("a{round}/b/c/f"));
        folders.catch_up();
        assert_eq!(folders.paths.len(), 7);
        std::fs::remove_dir_all(root.join(format!("a{round}"))).unwrap();
        folders.catch_up();
        assert_eq!((folders.paths.len(), folders.watches.len(), folders.uncovered.len()), (3, 3, 0));
    }
}
