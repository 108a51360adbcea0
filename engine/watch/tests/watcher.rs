//! What a watcher says of a workspace in which things happen, to its own process and to others.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::Cancel;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use watch::{Changes, Poller, Skip, Token, Watcher, ask};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(files: &[&str]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.root()).unwrap();
        files.iter().for_each(|path| place.write(path));
        place
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    fn socket(&self) -> PathBuf {
        // Longer than the address of a socket may be.
        let folder = self.folder.path().join("long".repeat(40));
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("socket")
    }

    fn write(&self, path: &str) {
        write(&self.root().join(path));
    }

    fn start(&self) -> Watcher {
        Watcher::start(&self.root(), skip(), &self.socket()).unwrap()
    }
}

fn write(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x").unwrap();
}

fn skip() -> Skip {
    Arc::new(|folder: &str| folder == "build-out")
}

/// The paths that changed, without what always counts as changed.
fn changed(changes: Changes) -> String {
    let Changes::Paths(paths) = changes else { return "unknown".to_owned() };
    let always = ["build-out", "build-out/"];
    paths.iter().map(String::as_str).filter(|path| !always.contains(path)).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_edit_made_before_the_question_is_in_the_answer() {
    let place = Place::new(&["a/f", "a/g", "b/h", "build-out/x"]);
    let watcher = place.start();
    let cases: [(&str, &dyn Fn(), &str); 9] = [
        ("nothing", &|| {}, ""),
        ("an edit", &|| place.write("a/f"), "a/f"),
        ("a mode", &|| set_mode(&place.root().join("b/h"), 0o755), "b/h"),
        ("a new file", &|| place.write("a/new"), "a a/new"),
        ("a removed file", &|| std::fs::remove_file(place.root().join("a/new")).unwrap(), "a a/new"),
        ("a rename", &|| rename(&place, "a/g", "b/g"), "a a/g b b/g"),
        ("an output", &|| place.write("build-out/y"), ""),
        ("a new folder with all it holds", &|| place.write("c/d/e/f"), "new"),
        ("a removed folder", &|| std::fs::remove_dir_all(place.root().join("b")).unwrap(), "removed"),
    ];
    for (what, change, expected) in cases {
        let token = watcher.token();
        change();
        let changes = watcher.changes(&token);
        match expected {
            "new" => assert!(["c", "c/d/e/f"].iter().all(|path| changes.contains(path)), "{changes:?}"),
            "removed" => assert!(["b", "b/g", "b/h", ""].iter().all(|path| changes.contains(path)), "{changes:?}"),
            _ => assert_eq!(changed(changes), expected, "{what}"),
        }
    }
}

fn rename(place: &Place, from: &str, to: &str) {
    std::fs::rename(place.root().join(from), place.root().join(to)).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn folders_made_at_any_depth_are_followed_at_once() {
    let place = Place::new(&["f"]);
    let watcher = place.start();
    for round in 0..50 {
        let token = watcher.token();
        let path = format!("n{round}/a/b/c/f");
        place.write(&path);
        assert!(watcher.changes(&token).contains(&path), "{path}, when it is made");
        let token = watcher.token();
        place.write(&path);
        assert_eq!(changed(watcher.changes(&token)), path, "{path}, when it is edited");
    }
}

#[test]
fn what_cannot_be_seen_is_always_in_the_answer() {
    let place = Place::new(&["a/f", "build-out/x"]);
    let outside = place.folder.path().join("outside");
    write(&outside.join("f"));
    symlink(&outside, place.root().join("link")).unwrap();
    let watcher = place.start();
    write(&outside.join("f"));
    let token = watcher.token();
    let changes = watcher.changes(&token);
    for (path, expected) in
        [("link", true), ("link/f", true), ("link/deep/f", true), ("build-out/x", true), ("a/f", false), ("a", false)]
    {
        assert_eq!(changes.contains(path), expected, "{path} in {changes:?}");
    }
    // Links that come and go later.
    symlink("f", place.root().join("a/l")).unwrap();
    std::fs::remove_file(place.root().join("link")).unwrap();
    let changes = watcher.changes(&watcher.token());
    assert!(changes.contains("a/l") && !changes.contains("link"), "{changes:?}");
    place.write("plain");
    rename(&place, "plain", "a/l");
    assert!(!watcher.changes(&watcher.token()).contains("a/l"));
}

/// By a name outside, a file can be edited without an event in its folder.
#[test]
fn a_file_that_got_another_name_is_always_in_the_answer() {
    let place = Place::new(&["a/f", "a/g", "a/h"]);
    let outside = |name: &str| place.folder.path().join(name);
    std::fs::hard_link(place.root().join("a/g"), outside("before")).unwrap();
    let watcher = place.start();
    place.write("a/new");
    rename(&place, "a/h", "a/moved");
    let token = watcher.token();
    assert_eq!(changed(watcher.changes(&token)), "a/g a/g/");
    for (file, name) in [("a/f", "f"), ("a/new", "new"), ("a/moved", "moved")] {
        std::fs::hard_link(place.root().join(file), outside(name)).unwrap();
    }
    std::fs::write(outside("f"), "edited").unwrap();
    let token = watcher.token();
    std::fs::write(outside("new"), "edited").unwrap();
    for changes in [watcher.changes(&token), watcher.changes(&watcher.token())] {
        assert!(["a/f", "a/g", "a/new", "a/moved"].iter().all(|path| changes.contains(path)), "{changes:?}");
    }
    // Another file at its place has one name.
    place.write("plain");
    rename(&place, "plain", "a/f");
    assert!(!watcher.changes(&watcher.token()).contains("a/f"));
}

#[test]
fn the_end_of_a_writer_is_a_change() {
    let place = Place::new(&["f"]);
    let watcher = place.start();
    let token = watcher.token();
    // That is how writes through a memory map show.
    let file = std::fs::OpenOptions::new().write(true).open(place.root().join("f")).unwrap();
    assert_eq!(changed(watcher.changes(&token)), "");
    drop(file);
    assert_eq!(changed(watcher.changes(&token)), "f");
}

#[test]
fn tokens_of_others_and_a_moved_top_are_unknown() {
    let place = Place::new(&["f"]);
    let watcher = place.start();
    let token = watcher.token();
    let stranger = Token { watcher: [0; 16], ..token };
    assert_eq!(watcher.changes(&stranger), Changes::Unknown);
    assert_eq!(watcher.changes(&Token { event: token.event + 1, ..token }), Changes::Unknown);
    std::fs::rename(place.root(), place.folder.path().join("elsewhere")).unwrap();
    assert_eq!(watcher.changes(&token), Changes::Unknown);
}

#[test]
fn other_processes_are_answered_while_it_lives() {
    let place = Place::new(&["f"]);
    let socket = place.socket();
    assert!(ask(&socket, None).is_none(), "no watcher yet");
    let watcher = place.start();
    let (token, changes) = ask(&socket, None).unwrap();
    assert_eq!((token, changes), (watcher.token(), Changes::Unknown));
    place.write("f");
    let (next, changes) = ask(&socket, Some(&token)).unwrap();
    assert_eq!(changed(changes), "f");
    assert_eq!(changed(ask(&socket, Some(&next)).unwrap().1), "");

    // A second watcher leaves the socket to the first, and works.
    let second = place.start();
    let own = second.token();
    place.write("g");
    assert_eq!(changed(second.changes(&own)), " g");
    assert_eq!(ask(&socket, None).unwrap().0.watcher, token.watcher);
    drop(second);
    assert_eq!(ask(&socket, None).unwrap().0.watcher, token.watcher);
    drop(watcher);
    assert!(ask(&socket, None).is_none() && !socket.exists());
}

#[test]
fn a_socket_left_behind_is_replaced_and_nonsense_harms_nobody() {
    let place = Place::new(&["f"]);
    let short = place.folder.path().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&short).unwrap());
    assert!(ask(&short, None).is_none(), "nobody listens");
    let watcher = Watcher::start(&place.root(), skip(), &short).unwrap();
    let mut client = std::os::unix::net::UnixStream::connect(&short).unwrap();
    std::io::Write::write_all(&mut client, b"\x09nonsense that is long enough for it").unwrap();
    drop(std::os::unix::net::UnixStream::connect(&short).unwrap());
    let answer = (0..100).find_map(|_| ask(&short, None));
    assert_eq!(answer.unwrap().0, watcher.token());
}

#[test]
fn a_silent_listener_is_as_good_as_none() {
    let place = Place::new(&["f"]);
    let path = place.folder.path().join("silent");
    let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    // More than its backlog holds: none of them may hang.
    for _ in 0..4 {
        assert!(ask(&path, None).is_none());
    }
}

#[test]
fn waiting_ends_with_a_change_or_on_request() {
    let place = Place::new(&["a/f"]);
    let watcher = place.start();
    let cancel = Cancel::default();
    let token = watcher.token();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| watcher.wait(&token, Duration::from_millis(20), &cancel));
        place.write("a/f");
        place.write("a/g");
        assert!(waiting.join().unwrap().unwrap().contains("a/f"));
        let token = watcher.token();
        let waiting = scope.spawn({
            let (watcher, cancel) = (&watcher, &cancel);
            move || watcher.wait(&token, Duration::from_millis(20), cancel)
        });
        cancel.cancel();
        assert_eq!(waiting.join().unwrap(), None);
    });
}

#[test]
fn polling_finds_changes_without_a_watcher() {
    let place = Place::new(&["a/f", "build-out/x"]);
    let interval = Duration::from_millis(10);
    let mut poller = Poller::start(&place.root(), skip());
    for path in ["a/g", "b/c/f"] {
        place.write(path);
        assert!(poller.wait(interval, &Cancel::default()));
    }
    place.write("build-out/y");
    let cancel = Cancel::default();
    cancel.cancel();
    assert!(!poller.wait(interval, &cancel));
}
