//! Bad input: each message says what, where, what was expected, what to type next; each has its exit code.

mod support;

use support::Folder;

#[test]
fn outside_a_workspace() {
    let folder = Folder::of("");
    std::fs::remove_file(folder.path().join("WORKSPACE.star")).unwrap();
    folder.build(&["build", "//..."]).expect(2).says(&["WORKSPACE.star"]);
}

#[test]
fn an_unknown_target_lists_the_nearest() {
    let folder = Folder::of("== a/BUILD.star\nfilegroup(name = \"server\")\n");
    folder.build(&["build", "//a:sever"]).expect(1).says(&["`sever`", "//a:server", "build query"]);
}

#[test]
fn an_unknown_package_lists_the_nearest() {
    let folder = Folder::of("== services/BUILD.star\nfilegroup(name = \"x\")\n");
    folder.build(&["build", "//servces:x"]).expect(1).says(&["servces", "services"]);
}

#[test]
fn a_malformed_label() {
    let folder = Folder::of("");
    folder.build(&["build", "//a/../b:c"]).expect(2).says(&["`//a/../b:c` is not a label"]);
}

#[test]
fn a_syntax_error_shows_the_line() {
    let folder = Folder::of("== BUILD.star\nfilegroup(name = \"x\",\n  srcs = [\n");
    folder.build(&["build", "//..."]).expect(1).says(&["BUILD.star:"]);
    let folder = Folder::of("== BUILD.star\n\nfilegroup(name = \"x\" srcs = [])\n");
    folder.build(&["build", "//..."]).expect(1).says(&["BUILD.star:2:", "filegroup(name = \"x\" srcs = [])"]);
}

#[test]
fn wrong_and_unknown_attributes_are_all_listed() {
    let folder = Folder::of(
        "== BUILD.star\nfilegroup(name = \"x\", srcs = 3)\nfilegroup(name = \"y\", scrs = [])\ngenrule(name = \"z\", cmd = \"\")\n",
    );
    folder.build(&["build", "//..."]).expect(1).says(&[
        "BUILD.star:1:",
        "a list of labels",
        "BUILD.star:2:",
        "`srcs`",
        "BUILD.star:3:",
        "outs",
    ]);
}

#[test]
fn an_unknown_rule_names_the_nearest() {
    let folder = Folder::of("== BUILD.star\nfilegruop(name = \"x\")\n");
    folder.build(&["build", "//..."]).expect(1).says(&["BUILD.star:1:1", "filegruop", "filegroup"]);
}

#[test]
fn a_duplicate_target_names_the_first() {
    let folder = Folder::of("== BUILD.star\nfilegroup(name = \"x\")\nfilegroup(name = \"x\")\n");
    folder.build(&["build", "//..."]).expect(1).says(&["BUILD.star:2:", "BUILD.star:1:"]);
}

#[test]
fn a_cycle_shows_its_path() {
    let folder = Folder::of(
        "== BUILD.star\nfilegroup(name = \"a\", srcs = [\":b\"])\nfilegroup(name = \"b\", srcs = [\":a\"])\n",
    );
    folder.build(&["build", ":a"]).expect(1).says(&[
        "//:a depends on itself",
        "//:a depends on //:b",
        "//:b depends on //:a",
        "BUILD.star:2:31",
    ]);
}

#[test]
fn a_missing_file_names_the_attribute_and_the_nearest() {
    let folder = Folder::of("== BUILD.star\nfilegroup(name = \"a\", srcs = [\"maim.go\"])\n== main.go\n");
    folder.build(&["build", ":a"]).expect(1).says(&["maim.go", "srcs", "main.go", "BUILD.star:1:"]);
}

#[test]
fn two_rules_with_one_output() {
    let folder = Folder::of(
        r#"
== BUILD.star
genrule(name = "a", outs = ["same.txt"], cmd = "echo > $@")
genrule(name = "b", outs = ["same.txt"], cmd = "echo > $@")
"#,
    );
    folder.build(&["build", "//..."]).expect(1).says(&["same.txt", "//:a", "BUILD.star:2:", "BUILD.star:1:"]);
}

#[test]
fn an_invisible_target() {
    let folder = Folder::of(
        "== a/BUILD.star\nfilegroup(name = \"x\")\n== b/BUILD.star\nfilegroup(name = \"y\", srcs = [\"//a:x\"])\n",
    );
    folder.build(&["build", "//b:y"]).expect(1).says(&["//a:x", "//b:y", "visib", "//b:__pkg__"]);
}

#[test]
fn an_undeclared_input_is_named_with_the_attribute_to_add_it_to() {
    let folder = Folder::of(
        r#"
== BUILD.star
genrule(name = "a", srcs = ["in.txt"], outs = ["a.txt"], cmd = "cat in.txt secret.txt > $@")
== in.txt
in
== secret.txt
secret
"#,
    );
    folder.build(&["build", ":a"]).expect(1).says(&["secret.txt", "srcs"]);
}

#[test]
fn a_failing_action_shows_its_log_once_and_whole() {
    let folder = Folder::of(
        "== BUILD.star\ngenrule(name = \"a\", outs = [\"a.txt\"], cmd = \"echo one; echo two >&2; exit 7\")\n",
    );
    let run = folder.build(&["build", ":a"]).expect(1).says(&["//:a", "one", "two", "7"]);
    assert_eq!(run.stderr.lines().filter(|line| line.trim() == "one").count(), 1, "{}", run.stderr);
}

#[test]
fn an_output_that_is_not_made() {
    let folder = Folder::of("== BUILD.star\ngenrule(name = \"a\", outs = [\"a.txt\"], cmd = \"echo > wrong.txt\")\n");
    folder.build(&["build", ":a"]).expect(1).says(&["a.txt", "//:a"]);
}

#[test]
fn a_runaway_package_is_stopped_with_its_line() {
    let folder = Folder::of(
        "== BUILD.star\nx = [a for a in range(100000) for b in range(100000) for c in range(100000) if False]\n",
    );
    folder.build(&["build", "//..."]).expect(1).says(&["BUILD.star:1:"]);
}

#[test]
fn private_rules_cannot_be_loaded() {
    let folder = Folder::of("== BUILD.star\nload(\"@rules//core:private/genrule.star\", \"genrule\")\n");
    folder.build(&["build", "//..."]).expect(1).says(&["private", "BUILD.star:1:"]);
}

#[test]
fn no_endpoint_for_an_ecosystem() {
    // Nothing of the machine's package clients is visible: no home, no configuration, an empty PATH, no apt sources.
    let folder = Folder::of(
        r#"
== WORKSPACE.star
workspace(name = "test")
pip_lock(name = "pypi", lock = "//:requirements.lock")
== BUILD.star
exports_files(["requirements.lock"])
filegroup(name = "x", srcs = ["@pypi//six"])
== requirements.lock
six==1.16.0 --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254
"#,
    )
    .with_fresh_store()
    .with_env("PATH", "/nonexistent")
    .with_env("HOME", "/nonexistent")
    .with_env("PIP_CONFIG_FILE", "/dev/null");
    folder.build(&["build", ":x"]).expect(1).says(&["pypi", "BUILD_PYPI_ENDPOINT"]);
}

#[test]
fn a_download_with_a_wrong_digest() {
    let folder = Folder::of(
        r#"
== WORKSPACE.star
workspace(name = "test")
pip_lock(name = "pypi", lock = "//:requirements.lock")
== BUILD.star
exports_files(["requirements.lock"])
filegroup(name = "x", srcs = ["@pypi//six"])
== requirements.lock
six==1.16.0 --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000
"#,
    )
    .with_fresh_store();
    folder.build(&["build", ":x"]).expect(1).says(&["six", "sha256"]);
}

#[test]
fn an_unreachable_registry() {
    let folder = Folder::of(
        r#"
== BUILD.star
oci_image(name = "image", entrypoint = ["/x"], files = {"motd": "/etc/motd"})
oci_push(name = "push", image = ":image", registry = "nowhere", repository = "test")
== motd
hello
"#,
    )
    .with_env("BUILD_REGISTRY_NOWHERE", "127.0.0.1:1");
    folder.build(&["run", ":push"]).expect(36).says(&["127.0.0.1:1"]);
    let folder = Folder::of(
        "== BUILD.star\noci_image(name = \"image\", entrypoint = [\"/x\"], files = {\"motd\": \"/etc/motd\"})\noci_push(name = \"push\", image = \":image\", registry = \"nowhere\", repository = \"test\")\n== motd\n",
    );
    folder.build(&["run", ":push"]).expect(36).says(&["nowhere", "BUILD_REGISTRY_NOWHERE"]);
}

#[test]
fn a_target_that_cannot_be_run() {
    let folder = Folder::of("== BUILD.star\nfilegroup(name = \"x\")\n");
    folder.build(&["run", ":x"]).expect(1).says(&["//:x is not executable"]);
}

const SERVICE: &str = r#"
== BUILD.star
oci_image(name = "image", entrypoint = ["/x"], files = {"motd": "/etc/motd"})
service(name = "x", image = ":image", grpc = 8080, env = {"LEVEL": var("level")})
environment(name = "here", VALUES)
environment(name = "far", cluster = "far-away", values = {"level": "info"})
deploy(name = "to-here", environment = ":here", services = [":x"])
deploy(name = "to-far", environment = ":far", services = [":x"])
== motd
hello
"#;

#[test]
fn variables_of_an_environment_are_checked() {
    let with = |values: &str| Folder::of(&SERVICE.replace("VALUES", values));
    with("values = {}").build(&["build", ":to-here"]).expect(1).says(&["variable `level`", "//:here", "no value"]);
    with("values = {\"levl\": \"info\"}").build(&["build", ":to-here"]).expect(1).says(&[
        "value `levl` of //:here",
        "is used by no variable",
        "did you mean `level`?",
    ]);
    with("values = {\"level\": 3}").build(&["build", ":to-here"]).expect(1).says(&["type string", "level"]);
    with("values = {\"level\": \"info\", \"other\": 1}")
        .build(&["build", ":to-here"])
        .expect(1)
        .says(&["value `other` of //:here", "is used by no variable"]);
}

#[test]
fn a_missing_context() {
    let folder = Folder::of(&SERVICE.replace("VALUES", "values = {\"level\": \"info\"}"));
    let kubeconfig = folder.path().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncontexts:\n- {name: near, context: {cluster: c, user: u}}\nclusters:\n- {name: c, cluster: {server: \"https://127.0.0.1:1\"}}\nusers:\n- {name: u, user: {}}\n";
    std::fs::write(&kubeconfig, text).unwrap();
    let folder = folder.with_env("KUBECONFIG", kubeconfig.to_str().unwrap());
    folder.build(&["run", "--plan", ":to-far"]).expect(36).says(&["far-away", "near"]);
}

#[test]
fn an_unreachable_cluster() {
    let folder = Folder::of(&SERVICE.replace("VALUES", "values = {\"level\": \"info\"}"))
        .with_env("BUILD_REGISTRY_FAR", "127.0.0.1:1");
    let kubeconfig = folder.path().join("kubeconfig");
    let text = "apiVersion: v1\nkind: Config\ncontexts:\n- {name: far-away, context: {cluster: c, user: u}}\nclusters:\n- {name: c, cluster: {server: \"http://127.0.0.1:1\"}}\nusers:\n- {name: u, user: {}}\n";
    std::fs::write(&kubeconfig, text).unwrap();
    let folder = folder.with_env("KUBECONFIG", kubeconfig.to_str().unwrap());
    folder.build(&["run", "--plan", ":to-far"]).expect(36).says(&["far-away"]);
}

#[test]
fn an_expression_that_nests_without_end_is_refused() {
    let folder = Folder::of(&format!("== BUILD.star\nx = {}\n", "[".repeat(100_000)));
    folder.build(&["build", "//..."]).expect(1).says(&["BUILD.star:1:204", "nest more than 200 deep"]);
    let folder = Folder::of(&format!("== BUILD.star\nx = {}1\n", "1 + ".repeat(100_000)));
    folder.build(&["build", "//..."]).expect(1).says(&["BUILD.star:1:", "more than 1000 operators"]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_text() {
    let folder = Folder::of("== BUILD.star\n\u{feff}filegroup(name = \"x\")\n");
    folder.build(&["build", ":x"]).expect(0);
}

/// Labels without `//` count from the top, wherever they are typed.
#[test]
fn a_label_that_seems_to_count_from_here_is_said_to_count_from_the_top() {
    let folder = Folder::of("== services/ledger/BUILD.star\nfilegroup(name = \"server\")\n== other/BUILD.star\n");
    let here = folder.path().join("services");
    for (pattern, meant) in [
        ("ledger:server", "`//services/ledger:server`"),
        ("ledger", "`//services/ledger`"),
        ("ledger/...", "`//services/ledger/...`"),
    ] {
        for command in ["build", "test"] {
            let output = folder.command(&[command, pattern]).current_dir(&here).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains(meant) && said.contains("from where labels without `//` count"), "{said}");
        }
    }
    let output = folder.command(&["build", "//services/ledger:server"]).current_dir(&here).output().unwrap();
    assert!(output.status.success());
    // A folder of that name at the top is what is meant.
    let output = folder.command(&["build", "other/..."]).current_dir(&here).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("count"));
}

#[test]
fn a_home_that_does_not_exist_is_named() {
    let folder = Folder::of("== BUILD.star\nfilegroup(name = \"x\")\n");
    let mut command = folder.command(&["build", ":x"]);
    command.env_remove("BUILD_STORE").env_remove("XDG_CACHE_HOME").env("HOME", "/nonexistent");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(36), "{said}");
    assert!(said.contains("HOME is /nonexistent") && said.contains("--store FOLDER"), "{said}");
    assert!(!std::path::Path::new("/nonexistent").exists());
}

/// What helps a store is of no use there.
#[test]
fn a_workspace_that_cannot_be_written_to_says_what_still_works() {
    let folder = Folder::of("== BUILD.star\ngenrule(name = \"x\", outs = [\"o\"], cmd = \"echo x > $@\")\n");
    let is_root = std::fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t");
    let script = "mount --bind . . && mount -o remount,ro,bind . && cd . && exec \"$@\"";
    let run = |arguments: &[&str]| {
        let program = folder.command(arguments);
        let mut command = std::process::Command::new("unshare");
        command.args(if is_root { &["--mount"][..] } else { &["--mount", "--map-root-user"][..] });
        command.args(["sh", "-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg("-C").arg(folder.path()).current_dir(folder.path()).output().unwrap()
    };
    let output = run(&["build", ":x"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(36), "{said}");
    assert!(said.contains("make the workspace writable") && !said.contains("--store"), "{said}");
    assert!(run(&["query", "//..."]).status.success());
}
