//! `build build` on real processes: what runs, what does not run again, what an action sees.

mod support;

use support::Folder;

const PIPELINE: &str = r#"
== BUILD.star
genrule(name = "upper", srcs = ["in.txt"], outs = ["upper.txt"], cmd = "tr a-z A-Z < $(location in.txt) > $@")
genrule(name = "count", srcs = [":upper"], outs = ["count.txt"], cmd = "wc -c < $(location :upper) > $@")
genrule(name = "other", outs = ["other.txt"], cmd = "echo other > $@")
== in.txt
hello
"#;

#[test]
fn a_pipeline_is_built_once_and_only_what_changed_is_built_again() {
    let folder = Folder::of(PIPELINE).with_fresh_store();
    let first = folder.build(&["build", "//..."]).expect(0);
    assert_eq!(folder.read("build-out/upper.txt"), "HELLO\n");
    assert_eq!(folder.read("build-out/count.txt").trim(), "6");
    assert!(first.count("Ran") >= 3);

    let again = folder.build(&["build", "//..."]).expect(0);
    assert_eq!(again.count("Ran"), 0);

    // Of the same length: `upper` runs and gives other bytes, `count` runs and gives the same.
    folder.write("in.txt", "world\n");
    let edited = folder.build(&["build", "//..."]).expect(0);
    assert_eq!(folder.read("build-out/upper.txt"), "WORLD\n");
    assert_eq!(edited.count("Ran"), 2);

    // A comment in BUILD.star changes no action.
    folder.write("BUILD.star", &format!("# A comment.\n{}", folder.read("BUILD.star")));
    assert_eq!(folder.build(&["build", "//..."]).expect(0).count("Ran"), 0);

    // What was built before is not built again.
    folder.write("in.txt", "hello\n");
    assert_eq!(folder.build(&["build", "//..."]).expect(0).count("Ran"), 0);
    assert_eq!(folder.read("build-out/upper.txt"), "HELLO\n");
}

#[test]
fn an_output_takes_the_place_of_whatever_was_shown_there() {
    let file = |path: &str| format!("genrule(name = \"a\", outs = [\"{path}\"], cmd = \"echo a > $@\")\n");
    let tree = "load(\":defs.star\", \"tree\")\ntree(name = \"a\")\n".to_owned();
    let folder = Folder::of(
        r#"
== defs.star
def _tree(ctx):
    out = ctx.actions.declare_directory("x")
    ctx.actions.run_shell(outputs = [out], command = "mkdir $1/deep; echo tree > $1/deep/z", arguments = [out.path])
    return [DefaultInfo(files = depset([out]))]

tree = rule(implementation = _tree, attrs = {})
"#,
    )
    .with_fresh_store();
    let shapes = [(file("x"), "x", "a\n"), (file("x/deep/y"), "x/deep/y", "a\n"), (tree, "x/deep/z", "tree\n")];
    for (first, second) in [(0, 1), (1, 0), (0, 2), (2, 1), (1, 2), (2, 0)] {
        for (text, path, content) in [&shapes[first], &shapes[second]] {
            folder.write("BUILD.star", text);
            folder.build(&["build", "//..."]).expect(0);
            assert_eq!(folder.read(&format!("build-out/{path}")), *content, "{first}, then {second}");
        }
        // Nothing was written into a tree of the store by way of its link.
        folder.build(&["fsck"]).expect(0);
    }
    // The folder itself is the user's, whatever it is.
    std::fs::remove_dir_all(folder.path().join("build-out")).unwrap();
    folder.write("build-out", "mine\n");
    folder.build(&["build", "//..."]).expect(36).says(&["cannot create folder", "build-out", "move it away"]);
    assert_eq!(folder.read("build-out"), "mine\n");
}

#[test]
fn two_folders_share_results() {
    let first = Folder::of(PIPELINE).with_fresh_store();
    first.build(&["build", "//..."]).expect(0);
    let store = first.path().with_extension("store");
    let second = Folder::of(PIPELINE).with_store(&store);
    assert_eq!(second.build(&["build", "//..."]).expect(0).count("Ran"), 0);
    assert_eq!(second.read("build-out/count.txt").trim(), "6");
}

#[test]
fn the_program_works_from_any_folder_of_the_workspace() {
    let folder = Folder::of("== a/b/BUILD.star\ngenrule(name = \"x\", outs = [\"x.txt\"], cmd = \"echo x > $@\")\n");
    for (directory, target) in [("", "a/b:x"), ("a/b", ":x"), ("a", "//a/b:x"), ("a/b", "//a/b:all"), ("a", "a/...")] {
        let output = folder.command(&["build", target]).current_dir(folder.path().join(directory)).output().unwrap();
        assert!(output.status.success(), "{target} in {directory}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_action_sees_declared_inputs_only() {
    let folder = Folder::of(
        r#"
== BUILD.star
genrule(name = "host", outs = ["host.txt"], cmd = "(ls / ; ls /etc; id -u; hostname; echo $$HOME; pwd; date +%Z) > $@")
"#,
    );
    folder.build(&["build", ":host"]).expect(0);
    let seen = folder.read("build-out/host.txt");
    for absent in ["home", "opt", "root", "var", "hostname", "shadow"] {
        assert!(!seen.lines().any(|line| line == absent), "{absent} is visible:\n{seen}");
    }
    for present in ["work", "sandbox", "UTC"] {
        assert!(seen.lines().any(|line| line.contains(present)), "{present} is not in:\n{seen}");
    }
}

#[test]
fn the_umask_of_the_user_is_not_seen_by_actions() {
    let list = "genrule(name = \"x\", srcs = [\"a/s\"], outs = [\"d/x.txt\"], cmd = \"ls -ld . out a a/s \\\"$$(dirname $@)\\\" | cut -c1-10 > $@\")";
    for umask in ["077", "000"] {
        let folder = Folder::of(&format!("== BUILD.star\n{list}\n== a/s\n")).with_fresh_store();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" build :x"), env!("CARGO_BIN_EXE_build-engine")]);
        command.current_dir(folder.path()).env("BUILD_STORE", folder.path().with_extension("store"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let modes = folder.read("build-out/d/x.txt");
        assert_eq!(modes, "drwxr-xr-x\ndrwxr-xr-x\n-r--r--r--\ndrwxr-xr-x\ndrwxr-xr-x\n", "umask {umask}");
    }
}

#[test]
fn select_follows_the_platform() {
    let folder = Folder::of(
        r#"
== BUILD.star
config_setting(name = "arm", arch = "arm64")
genrule(
    name = "x",
    outs = ["x.txt"],
    cmd = select({":arm": "echo arm > $@", "//conditions:default": "echo other > $@"}),
)
"#,
    );
    folder.build(&["build", ":x"]).expect(0);
    assert_eq!(folder.read("build-out/x.txt"), "other\n");
    folder.build(&["build", "--platforms=linux/arm64", ":x"]).expect(0);
    assert_eq!(folder.read("build-out/x.txt"), "arm\n");
}

#[test]
fn a_killed_build_leaves_nothing_to_clean() {
    let folder = Folder::of(
        r#"
== BUILD.star
genrule(name = "quick", outs = ["quick.txt"], cmd = "echo quick > $@")
genrule(name = "slow", srcs = [":quick"], outs = ["slow.txt"], cmd = "sleep 30; echo slow > $@")
"#,
    )
    .with_fresh_store();
    folder.build(&["build", ":quick"]).expect(0);
    let mut running = folder.start(&["build", ":slow"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    running.kill().unwrap();
    running.wait().unwrap();
    folder.replace("BUILD.star", "sleep 30; ", "");
    let next = folder.build(&["build", "//..."]).expect(0);
    assert_eq!(next.actions("Ran").len(), 1, "{:?}", next.actions("Ran"));
    assert_eq!(folder.read("build-out/slow.txt"), "slow\n");
}

#[test]
fn query_answers_as_labels_json_and_dot() {
    let folder = Folder::of(PIPELINE);
    let ask = |arguments: &[&str]| folder.build(&[&["query"], arguments].concat()).expect(0).stdout;
    assert_eq!(ask(&["deps(:count) intersect kind(genrule, //...)"]), "//:count\n//:upper\n");
    assert_eq!(ask(&["rdeps(//..., :in.txt, 1)"]), "//:in.txt\n//:upper\n");
    assert_eq!(ask(&["somepath(:count, :in.txt)"]), "//:count\n//:upper\n//:in.txt\n");
    assert_eq!(ask(&["//... except :other"]), "//:count\n//:upper\n");
    let json: serde_json::Value = serde_json::from_str(&ask(&["--output=json", ":count"])).unwrap();
    assert_eq!(json[0]["label"], "//:count");
    assert!(ask(&["--output=dot", "deps(:count)"]).contains("\"//:count\" -> \"//:upper\""));
    folder.build(&["query", "deps("]).expect(7);
}

#[test]
fn tests_are_cached_and_failures_show_their_log() {
    let folder = Folder::of(
        r#"
== BUILD.star
sh_test(name = "good", src = "good.sh")
sh_test(name = "bad", src = "bad.sh")
== good.sh
echo fine
== bad.sh
echo the reason
exit 3
"#,
    )
    .with_fresh_store();
    let first =
        folder.build(&["test", "//..."]).expect(3).says(&["//:good", "PASSED", "//:bad", "FAILED", "the reason"]);
    assert!(!first.stderr.contains("fine"), "the log of a passing test is shown:\n{}", first.stderr);
    let again = folder.build(&["test", ":good"]).expect(0).says(&["(cached) PASSED"]);
    assert_eq!(again.count("Ran"), 0);
    folder.build(&["test", "--nocache_test_results", ":good"]).expect(0);
    folder.build(&["test", "//nothing/..."]).expect(1);
    let empty = Folder::of("== BUILD.star\nfilegroup(name = \"f\")\n");
    empty.build(&["test", "//..."]).expect(4).says(&["no test matches"]);
}

#[test]
fn a_new_service_is_in_the_next_deploy() {
    let service = |name: &str| {
        format!(
            r#"== services/{name}/BUILD.star
oci_image(name = "image", entrypoint = ["/x"], files = {{"motd": "/etc/motd"}})
service(name = "{name}", image = ":image", grpc = 8080)
== services/{name}/motd
hello
"#
        )
    };
    let deploy = r#"== deploy/BUILD.star
environment(name = "here")
deploy(name = "to-here", environment = ":here", services = ["//services/..."])
"#;
    let folder = Folder::of(&format!("{deploy}{}", service("first")));
    let bundle = |folder: &Folder| {
        folder.build(&["build", "deploy:to-here"]).expect(0);
        let bundle: serde_json::Value =
            serde_json::from_str(&folder.read("build-out/deploy/to-here.bundle.json")).unwrap();
        bundle["release"]["services"].as_object().unwrap().keys().cloned().collect::<Vec<String>>()
    };
    assert_eq!(bundle(&folder), ["first"]);
    let second = Folder::of(&service("second"));
    for file in ["BUILD.star", "motd"] {
        let path = format!("services/second/{file}");
        folder.write(&path, &second.read(&path));
    }
    assert_eq!(bundle(&folder), ["first", "second"]);
    let query = folder.build(&["query", "labels(services, //deploy:to-here)"]).expect(0);
    assert_eq!(query.stdout, "//services/first:first\n//services/second:second\n");

    folder.replace("deploy/BUILD.star", "//services/...", "//deploy/...");
    folder
        .build(&["build", "deploy:to-here"])
        .expect(1)
        .says(&["deploy/BUILD.star:2:", "`//deploy/...` matches no target"]);
}

const LIMITED: &str = r#"
== rules.star
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.run_shell(outputs = [out], command = ctx.attr.cmd, arguments = [out.path], limits = {"memory": 64, "processes": 6, "cpu_time": 1, "wall_time": 60})
    return [DefaultInfo(files = depset([out]))]

limited = rule(implementation = _impl, attrs = {"cmd": attr.string()})
== BUILD.star
load(":rules.star", "limited")

limited(name = "small", cmd = "echo small > $1")
limited(name = "memory", cmd = "tail -c 1000000000 /dev/zero > $1")
limited(name = "processes", cmd = "for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo done > $1")
limited(name = "cpu_time", cmd = "while true; do :; done")
"#;

#[test]
fn an_action_over_its_limit_is_told_which_and_what_to_change() {
    let folder = Folder::of(LIMITED);
    assert_eq!(folder.build(&["build", ":small"]).code, 0);
    let told = [
        ("memory", "they may use 64 MB of memory together"),
        ("processes", "there may be 6 of them at once"),
        ("cpu_time", "they may use 1 s of processor time together"),
    ];
    for (name, message) in told {
        let run = folder.build(&["build", &format!(":{name}")]);
        assert!(run.code != 0 && run.stderr.contains(message), "{name}: {}", run.stderr);
        assert!(run.stderr.contains(&format!("raise `{name}` in `limits`")), "{name}: {}", run.stderr);
    }
}

#[test]
fn the_sandbox_of_a_failed_action_can_be_entered() {
    use std::io::Write as _;
    let folder = Folder::of(
        r#"
== in.txt
the input
== BUILD.star
genrule(name = "bad", srcs = ["in.txt"], outs = ["out.txt"], cmd = "echo half > half.txt; exit 3")
"#,
    );
    let run = folder.build(&["build", ":bad", "--sandbox_debug"]);
    assert_ne!(run.code, 0);
    let hint = run.stderr.lines().find_map(|line| line.split_once("build debug-sandbox ")).map(|(_, kept)| kept.trim());
    let kept = hint.unwrap_or_else(|| panic!("no hint: {}", run.stderr));
    let mut command = folder.command(&["debug-sandbox", kept]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut shell = command.spawn().expect("the program starts");
    let script =
        b"pwd; cat in.txt half.txt; echo $SOURCE_DATE_EPOCH; id -u; (echo x > in.txt) || echo refused; exit 4\n";
    shell.stdin.take().expect("it is piped").write_all(script).expect("the shell reads");
    let output = shell.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "/work\nthe input\nhalf\n946684800\n1000\nrefused\n");
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn a_user_without_privileges_gets_the_same_view_and_the_same_outputs() {
    let text = r#"
== in.txt
the input
== BUILD.star
genrule(
    name = "view",
    srcs = ["in.txt"],
    outs = ["view.txt"],
    cmd = "(id -u; id -g; hostname; pwd; umask; env | sort; ls -aln / /etc /dev . | cut -c1-10; cat $(SRCS); " +
          "(echo x > in.txt) 2>&1 || echo refused) > $@",
)
"#;
    let own = Folder::of(text).with_fresh_store();
    own.build(&["build", ":view"]).expect(0);

    let other = Folder::of(text);
    let home = tempfile::tempdir().expect("a folder");
    let program = home.path().join("build-engine");
    std::fs::copy(env!("CARGO_BIN_EXE_build-engine"), &program).expect("a copy that every user can reach");
    let is_root = std::fs::read_to_string("/proc/self/status").expect("/proc").contains("Uid:\t0\t");
    // Who has no privileges has none to drop: then both builds show the same thing.
    let privileges =
        if is_root { &["--reuid=65534", "--regid=65534", "--clear-groups", "--"][..] } else { &["--"][..] };
    for folder in [other.path(), home.path()] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    }
    let output = std::process::Command::new("setpriv")
        .args(privileges)
        .arg(&program)
        .args(["build", ":view", "--store"])
        .arg(home.path().join("store"))
        .current_dir(other.path())
        .env("HOME", home.path())
        .env_remove("BUILD_STORE")
        .env_remove("XDG_CACHE_HOME")
        .output()
        .expect("setpriv");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !messages.contains("without a sandbox"), "{messages}");
    let view = other.read("build-out/view.txt");
    assert_eq!(view, own.read("build-out/view.txt"));
    assert!(view.starts_with("1000\n1000\nsandbox\n/work\n0022\n") && view.ends_with("refused\n"), "{view}");
}

/// This program where the kernel makes no user namespaces.
fn without_namespaces(folder: &Folder, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new("unshare");
    let refuse = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" \"$@\"";
    command.args(["--user", "--map-root-user", "sh", "-c", refuse, env!("CARGO_BIN_EXE_build-engine")]).args(arguments);
    command.current_dir(folder.path()).env("BUILD_STORE", folder.path().with_extension("store"));
    command.output().expect("unshare")
}

#[test]
fn a_required_sandbox_is_no_other_and_the_setting_in_its_way_is_named() {
    let text = "== BUILD.star\ngenrule(name = \"x\", outs = [\"x.txt\"], cmd = \"hostname > $@\")\n";
    let folder = Folder::of(text).with_fresh_store();
    let told = |arguments: &[&str], code: i32| {
        let output = without_namespaces(&folder, arguments);
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{messages}");
        assert!(messages.contains("user.max_user_namespaces is 0"), "{messages}");
        assert!(messages.contains("sysctl -w user.max_user_namespaces=15000"), "{messages}");
        messages
    };
    let refused = "a sandbox is required (--require_sandbox, BUILD_REQUIRE_SANDBOX), and this machine makes none";
    assert!(told(&["build", ":x", "--require_sandbox"], 36).contains(refused));
    assert!(!folder.path().join("build-out/x.txt").exists());
    // What was made without one before is not shown either.
    assert!(told(&["build", ":x"], 0).contains("without a sandbox"));
    assert!(told(&["build", ":x", "--require_sandbox"], 36).contains(refused));
    folder.build(&["build", ":x", "--require_sandbox"]).expect(0);
    assert_eq!(folder.read("build-out/x.txt"), "sandbox\n");
}

#[test]
fn without_a_sandbox_nothing_is_left_in_the_folders_of_the_machine() {
    let text = r#"
== rules.star
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.run_shell(
        outputs = [out],
        command = "echo left > /tmp/left-$$ && cp /tmp/left-* $WHERE/$1 && cat /work/$1 > /dev/null && echo $TMPDIR > /work/own",
        arguments = [out.path],
        env = {"WHERE": "/work"},
    )
    return [DefaultInfo(files = depset([out]))]

r = rule(implementation = _impl)
== BUILD.star
load(":rules.star", "r")

r(name = "x")
"#;
    let folder = Folder::of(text).with_fresh_store();
    let left = || {
        std::fs::read_dir("/tmp")
            .expect("it is there")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("left-"))
            .count()
    };
    let before = (left(), std::path::Path::new("/work/own").exists());
    let output = without_namespaces(&folder, &["build", ":x"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(folder.read("build-out/x.txt"), "left\n");
    assert_eq!((left(), std::path::Path::new("/work/own").exists()), before);
}

#[test]
fn an_action_that_is_called_test_fails_with_its_log_and_a_genrule_has_a_time_limit() {
    let text = r#"
== rules.star
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.run_shell(outputs = [out], command = "echo this is why; exit 1", mnemonic = "Test")
    return [DefaultInfo(files = depset([out]))]

r = rule(implementation = _impl)
== BUILD.star
load(":rules.star", "r")

r(name = "x")

genrule(name = "slow", outs = ["s.txt"], cmd = "sleep 60 > $@")

genrule(name = "own", outs = ["o.txt"], cmd = "sleep 60 > $@", timeout = 1)
"#;
    let folder = Folder::of(text);
    folder.build(&["build", ":x"]).expect(1).says(&["FAILED: Test //:x", "this is why"]);
    folder
        .build(&["build", ":slow", "--action_timeout=1"])
        .expect(1)
        .says(&["took longer than 1 seconds", "--action_timeout=SECONDS"]);
    folder
        .build(&["build", ":own"])
        .expect(1)
        .says(&["took longer than 1 seconds", "raise its time limit where //:own is declared"]);
}

#[test]
fn what_was_made_without_a_sandbox_is_made_again_once_there_is_one() {
    let text = "== BUILD.star\ngenrule(name = \"x\", outs = [\"x.txt\"], cmd = \"hostname > $@\")\n";
    let folder = Folder::of(text).with_fresh_store();
    let own_host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for _ in 0..2 {
        let output = without_namespaces(&folder, &["build", ":x"]);
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{messages}");
        assert_eq!(folder.read("build-out/x.txt"), own_host);
    }
    let again = folder.build(&["build", ":x"]).expect(0);
    assert_eq!((again.count("Ran"), folder.read("build-out/x.txt").as_str()), (1, "sandbox\n"));
    assert_eq!(folder.build(&["build", ":x"]).expect(0).count("Ran"), 0);
}
