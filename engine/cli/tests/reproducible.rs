//! The same bytes wherever it is built: by another user, elsewhere, in another time zone, from nothing.
//!
//! Nothing is shared between the two builds but the registries that they fetch from.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::Folder;

const IMAGES: [&str; 2] = ["services/controller", "services/model"];

/// The user and group that own nothing.
const NOBODY: u32 = 65534;

/// Another user's home and workspace.
struct Elsewhere {
    top: tempfile::TempDir,
    is_root: bool,
}

impl Elsewhere {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        std::fs::set_permissions(top.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let id = Command::new("id").arg("-u").output().unwrap();
        let elsewhere = Self { top, is_root: id.stdout.trim_ascii() == b"0" };
        std::fs::create_dir_all(elsewhere.workspace().parent().unwrap()).unwrap();
        copy(Folder::sample().path(), &elsewhere.workspace());
        std::fs::copy(env!("CARGO_BIN_EXE_build-engine"), elsewhere.program()).unwrap();
        // What this machine's user has configured of registries holds for the other one too.
        std::fs::create_dir_all(elsewhere.home().join(".config")).unwrap();
        let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
        let own = std::env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
        for client in ["build", "go", "pip"].into_iter().filter(|client| own.join(client).is_dir()) {
            copy(&own.join(client), &elsewhere.home().join(".config").join(client));
        }
        if elsewhere.is_root {
            let owner = format!("{NOBODY}:{NOBODY}");
            assert!(Command::new("chown").args(["-R", &owner]).arg(elsewhere.top.path()).status().unwrap().success());
        }
        elsewhere
    }

    fn home(&self) -> PathBuf {
        self.top.path().join("home")
    }

    fn program(&self) -> PathBuf {
        self.top.path().join("engine")
    }

    fn workspace(&self) -> PathBuf {
        self.top.path().join("a folder/deeper/and deeper/ws")
    }

    /// Runs the program as the other user.
    fn build(&self, arguments: &[&str]) {
        let identity = format!("--reuid={NOBODY}");
        let group = format!("--regid={NOBODY}");
        let switch = ["setpriv", &identity, &group, "--clear-groups"];
        let umask = ["sh", "-c", "umask 077; exec \"$0\" \"$@\""];
        let words: Vec<&str> = if self.is_root { switch.into_iter().chain(umask).collect() } else { umask.to_vec() };
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(self.program()).args(arguments).current_dir(self.workspace());
        command.env("HOME", self.home()).env("USER", "somebody").env("TZ", "Pacific/Auckland");
        command.env("LANG", "de_DE.UTF-8").env("LC_ALL", "de_DE.UTF-8").env("CI", "true").env("PWD", "/");
        for name in ["BUILD_STORE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-R").args([from, to]).status().unwrap().success(), "{}", from.display());
}

/// The outputs of every action in a store, by the action's key.
fn results(store: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let logs = std::fs::read_dir(store.join("results")).unwrap_or_else(|error| panic!("{}: {error}", store.display()));
    for log in logs.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()) {
        let mut rest = &log[..];
        // A header of 80 bytes, with the length of the value at 8 and the key at 24; the value, padded to eight.
        while rest.len() >= 80 {
            let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
            if let Ok(Value::Object(value)) = serde_json::from_slice(&rest[80..80 + length])
                && value.contains_key("exit_code")
            {
                let key = rest[24..56].iter().map(|byte| format!("{byte:02x}")).collect();
                found.insert(key, value["outputs"].clone());
            }
            rest = &rest[80 + length.next_multiple_of(8)..];
        }
    }
    found
}

fn only_entry(folder: &Path) -> PathBuf {
    let entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

#[test]
fn another_user_elsewhere_makes_the_same_images() {
    let here = Folder::sample();
    let targets: Vec<String> = IMAGES.iter().map(|package| format!("//{package}:image")).collect();
    let mut arguments = vec!["build"];
    arguments.extend(targets.iter().map(String::as_str));
    here.build(&arguments).expect(0);
    let store = here.build(&["info", "store"]).expect(0).stdout;

    let elsewhere = Elsewhere::new();
    arguments.extend(["-j", "1"]);
    elsewhere.build(&arguments);

    for package in IMAGES {
        let path = format!("build-out/{package}/image.digest");
        let there = std::fs::read_to_string(elsewhere.workspace().join(&path)).unwrap();
        assert!(there.starts_with("sha256:"), "{there}");
        assert_eq!(here.read(&path), there, "{package}");
    }

    // Not only the images: every step has the same key and made the same.
    let known = results(Path::new(store.trim()));
    let store = only_entry(&elsewhere.home().join(".cache/build"));
    let made = results(&store);
    assert!(made.len() > 100, "{} actions", made.len());
    for (key, outputs) in &made {
        assert_eq!(known.get(key), Some(outputs), "the action {key}");
    }
    elsewhere.build(&["clean", "--expunge"]);
    assert!(!store.exists(), "`clean --expunge` left the store");
}
