//! `build watch`: an edit is followed by its outcome, a failure ends nothing, Ctrl-C leaves nothing.

mod support;

use std::path::PathBuf;
use std::process::{Child, Stdio};

use support::Folder;
use support::waiting::{processes_with, signal, wait_until};

const WORKSPACE: &str = r#"
== BUILD.star
genrule(name = "all", srcs = glob(["*.txt"]), outs = ["all.out"], cmd = "cat $(SRCS) > $@")
sh_test(name = "good", src = "good.sh", data = ["a.txt"])
sh_binary(name = "server", src = "server.sh", data = ["a.txt"])
== a.txt
good
== good.sh
grep -q good a.txt
== server.sh
echo "serving $1 $(cat a.txt)"
sleep 600 &
trap "" TERM
while true; do sleep 1; done
"#;

/// A `build watch` that runs; it is killed with the test.
struct Watching {
    child: Child,
    folder: Folder,
    log: PathBuf,
}

impl Watching {
    fn start(folder: Folder, arguments: &[&str]) -> Self {
        let log = folder.path().with_extension("log");
        let out = std::fs::File::create(&log).unwrap();
        let mut command = folder.command(&[&["watch"], arguments].concat());
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        Self { child: command.spawn().unwrap(), folder, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log holds a text so many times.
    #[track_caller]
    fn says(&self, text: &str, times: usize) {
        wait_until(&format!("{times} x {text:?}"), || self.log().matches(text).count() >= times);
    }

    /// Waits until an output holds a text.
    #[track_caller]
    fn shows(&self, text: &str) {
        let path = self.folder.path().join("build-out/all.out");
        wait_until(text, || std::fs::read_to_string(&path).is_ok_and(|shown| shown == text));
    }

    /// Sockets of watchers.
    fn sockets(&self) -> usize {
        let folder = self.folder.path().with_extension("store").join("v1/watchers");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".socket")).count()
    }

    #[track_caller]
    fn interrupt(&mut self) {
        signal(&self.child, "-INT");
        assert_eq!(self.child.wait().unwrap().code(), Some(8), "{}", self.log());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It has usually ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}

#[test]
fn edits_failures_and_new_files_are_followed() {
    let mut watching = Watching::start(Folder::of(WORKSPACE).with_fresh_store(), &[":all"]);
    watching.shows("good\n");
    watching.folder.write("a.txt", "better\n");
    watching.shows("better\n");
    watching.folder.write("b.txt", "new\n");
    watching.shows("better\nnew\n");

    let build = watching.folder.read("BUILD.star");
    watching.folder.write("BUILD.star", &format!("{build}\nwrong(\n"));
    wait_until("the error", || watching.log().contains("error: unexpected"));
    watching.folder.write("BUILD.star", &build.replace("cat", "echo again; false; cat"));
    wait_until("the failure", || watching.log().contains("FAILED"));
    watching.folder.write("BUILD.star", &build);
    watching.folder.write("b.txt", "newer\n");
    watching.shows("better\nnewer\n");

    // What is ignored is read anew.
    watching.folder.write("WORKSPACE.star", "workspace(name = \"test\", ignore = [\"c\"])\n");
    watching.folder.write("c/d.txt", "ignored\n");
    watching.folder.write("c.txt", "last\n");
    watching.shows("better\nnewer\nlast\n");
    assert_eq!(watching.sockets(), 1);
    watching.interrupt();
    assert_eq!(watching.sockets(), 0);
}

#[test]
fn tests_run_again_when_what_they_read_is_different() {
    let mut watching = Watching::start(Folder::of(WORKSPACE).with_fresh_store(), &["--test", "//..."]);
    watching.says("result: 1 test passed", 1);
    watching.folder.write("a.txt", "bad\n");
    watching.says("result: 0 tests passed, 1 failed", 1);
    watching.folder.write("a.txt", "good\n");
    watching.says("result: 1 test passed", 2);
    watching.folder.write("a.txt", "very good\n");
    watching.says("result: 1 test passed", 3);
    watching.interrupt();
}

#[test]
fn a_program_is_started_again_and_ends_with_all_its_processes() {
    let mut watching = Watching::start(Folder::of(WORKSPACE).with_fresh_store(), &["--run", ":server", "--", "now"]);
    let folder = watching.folder.path().display().to_string();
    watching.says("serving now good", 1);
    watching.folder.write("a.txt", "better\n");
    watching.says("serving now better", 1);
    // A process that the shell is just starting looks like the shell for a moment.
    wait_until("the end of the first one", || processes_with(&format!("{folder}/build-out/run")).len() == 1);
    watching.interrupt();
    assert_eq!(processes_with(&format!("{folder}/build-out/run")), Vec::<String>::new());
}

#[test]
fn without_watches_all_files_are_looked_at() {
    let watching = {
        let folder = Folder::of(WORKSPACE).with_fresh_store();
        (0..20).for_each(|n| folder.write(&format!("many/{n}/f"), ""));
        let log = folder.path().with_extension("log");
        let out = std::fs::File::create(&log).unwrap();
        // A user namespace has a limit of its own.
        let script = "echo 5 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
        let program = folder.command(&["watch", ":all"]);
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]).arg(program.get_program());
        command.args(program.get_args()).current_dir(folder.path());
        let variables = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.envs(variables).stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        Watching { child: command.spawn().unwrap(), folder, log }
    };
    watching.shows("good\n");
    assert!(watching.log().contains("fs.inotify.max_user_watches"), "{}", watching.log());
    watching.folder.write("a.txt", "better\n");
    watching.shows("better\n");
}

/// What the kernel does not tell of in the folder where it shows: an edit by another name of a file, a folder mounted over
/// another one.
#[test]
fn edits_that_no_folder_tells_of_are_seen_beside_a_watcher() {
    let text = "== BUILD.star\ngenrule(name = \"all\", srcs = [\"p/f\", \"q/f\"], outs = [\"all.out\"], \
        cmd = \"cat $(SRCS) > $@\")\n== p/f\n1\n== q/f\n1\n== .other/f\n9\n";
    let folder = Folder::of(text).with_fresh_store();
    let script = r#"
        build() { "$program" build :all > log 2>&1 || cat log; tr '\n' ' ' < build-out/all.out; }
        sleep 2.1; build
        "$program" watch :all > watch.log 2>&1 & watcher=$!
        until ls "$BUILD_STORE"/v1/watchers/*.socket > /dev/null 2>&1; do sleep 0.1; done
        build; build
        ln p/f .other/link; echo 2 > .other/link; build
        mount --bind .other q; build
        umount q; build
        kill $watcher; wait $watcher
        build
    "#;
    // Who has no privileges mounts in a user namespace.
    let is_root = std::fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t");
    let program = folder.command(&["build"]);
    let mut command = std::process::Command::new("unshare");
    command.args(if is_root { &["--mount"][..] } else { &["--mount", "--map-root-user"][..] });
    command.args(["sh", "-c", script]).env("program", program.get_program()).current_dir(folder.path());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(shown, "1 1 1 1 1 1 2 1 2 9 2 1 2 1 ", "{}", String::from_utf8_lossy(&output.stderr));
}
