//! A watcher never misses what looking at everything finds: random work in a workspace, with questions in between.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use watch::{Changes, Watcher, ask};

/// Few names, so that operations meet.
const NAMES: [&str; 4] = ["a", "b", "c", "skipped"];

#[derive(Debug, Clone)]
enum Step {
    Write(PathBuf),
    Folder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    Link(PathBuf, PathBuf),
    /// Swaps two folders by way of a third, from outside of the workspace.
    MoveOutAndIn(PathBuf, PathBuf),
    Ask,
}

fn path() -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(prop::sample::select(&NAMES[..]), 1..5).prop_map(|names| names.into_iter().collect())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => path().prop_map(Step::Write),
        3 => path().prop_map(Step::Folder),
        3 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => path().prop_map(Step::Remove),
        1 => (path(), path()).prop_map(|(target, link)| Step::Link(target, link)),
        1 => (path(), path()).prop_map(|(from, to)| Step::MoveOutAndIn(from, to)),
        2 => Just(Step::Ask),
    ]
}

/// Carries a step out; most fail now and then, which is as good.
fn carry_out(step: &Step, root: &Path, outside: &Path, serial: usize) {
    let at = |path: &PathBuf| root.join(path);
    let _ = match step {
        Step::Write(path) => std::fs::write(at(path), serial.to_string()),
        Step::Folder(path) => std::fs::create_dir_all(at(path)),
        Step::Rename(from, to) => std::fs::rename(at(from), at(to)),
        Step::Remove(path) => std::fs::remove_dir_all(at(path)).or_else(|_| std::fs::remove_file(at(path))),
        Step::Link(target, link) => symlink(at(target), at(link)),
        Step::MoveOutAndIn(from, to) => std::fs::rename(at(from), outside.join("moved"))
            .and_then(|()| std::fs::write(outside.join("moved/c"), serial.to_string()))
            .and_then(|()| std::fs::rename(outside.join("moved"), at(to))),
        Step::Ask => Ok(()),
    };
    let _ = std::fs::remove_dir_all(outside.join("moved"));
}

/// What looking finds: of every path, links followed, what tells one state from another.
fn look(root: &Path) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let mut open = vec![(String::new(), 0)];
    while let Some((path, depth)) = open.pop() {
        let Ok(stat) = std::fs::metadata(root.join(&path)) else { continue };
        let state = if stat.is_dir() {
            let entries = std::fs::read_dir(root.join(&path)).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            let join = |name: &String| if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            // Links may lead in circles.
            open.extend(names.iter().filter(|_| depth < 5).map(|name| (join(name), depth + 1)));
            names.retain(|name| name != "skipped");
            names.join(" ")
        } else {
            let text = std::fs::read_to_string(root.join(&path)).unwrap();
            format!("{} {} {text}", stat.ino(), stat.mode())
        };
        seen.insert(path, state);
    }
    seen
}

fn missed(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>, changes: &Changes) -> Vec<String> {
    let paths = before.keys().chain(now.keys());
    let different = paths.filter(|path| before.get(*path) != now.get(*path));
    different.filter(|path| !changes.contains(path)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_missed(before in prop::collection::vec(step(), 0..20), steps in prop::collection::vec(step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        [&root, &outside].into_iter().for_each(|path| std::fs::create_dir(path).unwrap());
        before.iter().enumerate().for_each(|(serial, step)| carry_out(step, &root, &outside, serial));
        let socket = folder.path().join("socket");
        let skip = Arc::new(|path: &str| path.rsplit('/').next() == Some("skipped"));
        let watcher = Watcher::start(&root, skip, &socket).unwrap();
        let first = watcher.token();
        let start = look(&root);
        let (mut token, mut last) = (first, start.clone());
        for (serial, step) in steps.iter().enumerate() {
            carry_out(step, &root, &outside, 1000 + serial);
            if matches!(step, Step::Ask) {
                let now = look(&root);
                let (next, changes) = ask(&socket, Some(&token)).unwrap_or_else(|| {
                    let changes = watcher.changes(&token);
                    (watcher.token(), changes)
                });
                prop_assert_eq!(missed(&last, &now, &changes), Vec::<String>::new());
                (token, last) = (next, now);
            }
        }
        let changes = watcher.changes(&first);
        prop_assert!(changes != Changes::Unknown);
        prop_assert_eq!(missed(&start, &look(&root), &changes), Vec::<String>::new());
    }
}
