//! What is done on a machine full of secrets: commands that succeed, fail, are interrupted, at registries in every mood.

use super::machine::{Machine, Mood};
use crate::workspace::Workspace;

/// One scenario.
pub struct Scenario {
    /// For people.
    pub name: &'static str,
    /// The command; `%x%` stands for the secret `x`.
    pub command: &'static [&'static str],
    /// How it ends: the fault of the scenario is one only if it does.
    pub code: i32,
    /// How the registries answer.
    pub mood: Mood,
    /// Variables that are set besides, `%home%` for the home folder.
    pub env: &'static [(&'static str, &'static str)],
    /// A command before it, which succeeds.
    pub before: Option<&'static [&'static str]>,
    /// When it is interrupted, in milliseconds.
    pub interrupt: Option<u64>,
}

const fn plain(name: &'static str, command: &'static [&'static str], code: i32) -> Scenario {
    Scenario { name, command, code, mood: Mood::Honest, env: &[], before: None, interrupt: None }
}

const fn moody(name: &'static str, command: &'static [&'static str], code: i32, mood: Mood) -> Scenario {
    Scenario { mood, ..plain(name, command, code) }
}

const fn with_env(
    name: &'static str,
    command: &'static [&'static str],
    code: i32,
    env: &'static [(&'static str, &'static str)],
) -> Scenario {
    Scenario { env, ..plain(name, command, code) }
}

const fn after(before: &'static [&'static str], scenario: Scenario) -> Scenario {
    Scenario { before: Some(before), ..scenario }
}

const BUILD: &[&str] = &["build", "//:spy"];
const PUSH: &[&str] = &["run", "//:push"];

/// All scenarios.
pub const ALL: [Scenario; 52] = [
    plain("an action that tells all it sees", BUILD, 0),
    after(BUILD, plain("the same again", BUILD, 0)),
    plain("an action that tells all and fails", &["build", "//:failing_spy"], 1),
    plain("the same with its folder kept", &["build", "--sandbox_debug", "//:failing_spy"], 1),
    plain("everything, as far as possible", &["build", "-k", "//..."], 1),
    plain("a test that passes", &["test", "//:test"], 0),
    plain("a test whose log is shown", &["test", "--test_output=all", "//:test"], 0),
    plain("a test that fails", &["test", "//:failing_test"], 3),
    plain("a test that is too slow", &["test", "--test_timeout=1", "//:slow_test"], 3),
    plain("a variable for tests", &["test", "--test_env", "TOKEN=%test_env%", "//:quiet_test"], 0),
    plain("a variable for a test that fails", &["test", "--test_env", "TOKEN=%test_env%", "//:quiet_failing_test"], 3),
    plain(
        "an uncached test with a variable",
        &["test", "--nocache_test_results", "--test_env=TOKEN=%test_env%", "//:quiet_test"],
        0,
    ),
    plain("a program with an argument", &["run", "//:program", "--", "--password=%run_argument%"], 0),
    plain("a program that fails", &["run", "//:program", "--", "--fail", "%run_argument%"], 9),
    plain("a query", &["query", "deps(//:spy)"], 0),
    plain("a query as JSON", &["query", "--output=json", "//..."], 0),
    plain("a query that is wrong", &["query", "deps("], 7),
    plain("what the program knows of itself", &["info"], 0),
    plain("a deployment, shown", &["show", "//:to-c"], 0),
    plain("its plan, in a cluster that has the secret", &["run", "//:to-c", "--plan"], 0),
    plain("the plan for a password", &["run", "//:to-p", "--plan"], 0),
    plain("a deployment with a key that is none", &["run", "//:to-k"], 36),
    with_env("a kubeconfig that is broken", &["run", "//:to-c"], 36, &[("KUBECONFIG", "%home%/broken/kubeconfig")]),
    plain("fetched from Go", &["fetch", "//:go"], 0),
    plain("fetched from PyPI", &["fetch", "//:pypi"], 0),
    plain("fetched from Debian", &["fetch", "//:debian"], 0),
    plain("pulled", &["fetch", "//:images"], 0),
    moody("refused by Go", &["fetch", "//:go"], 1, Mood::Refusing(401)),
    moody("refused by PyPI", &["fetch", "//:pypi"], 1, Mood::Refusing(403)),
    moody("Debian in trouble", &["fetch", "//:debian"], 1, Mood::Refusing(500)),
    moody("refused by the registry", &["fetch", "//:images"], 1, Mood::Refusing(401)),
    moody("a registry in trouble that repeats the password", &["fetch", "//:images"], 1, Mood::Refusing(500)),
    moody("a registry that refuses and repeats it", &["fetch", "//:images"], 1, Mood::Refusing(400)),
    moody("pulled with a token", &["fetch", "//:images"], 0, Mood::Granting),
    after(&["build", "//:images"], moody("pushed with a token", PUSH, 0, Mood::Granting)),
    with_env(
        "a token that is nobody's",
        &["fetch", "//:images"],
        1,
        &[("BUILD_REGISTRY_IMAGES", "token.example:5000")],
    ),
    moody("another content from Go", &["fetch", "//:go"], 1, Mood::Wrong),
    moody("another content from PyPI", &["fetch", "//:pypi"], 1, Mood::Wrong),
    moody("another content from the registry", &["fetch", "//:images"], 1, Mood::Wrong),
    moody("redirected by Debian", &["fetch", "//:debian"], 1, Mood::Redirecting),
    moody("redirected by the registry", &["fetch", "//:images"], 1, Mood::Redirecting),
    after(&["build", "//:images"], plain("pushed", PUSH, 0)),
    after(&["build", "//:images"], moody("a push that is denied", PUSH, 36, Mood::Refusing(403))),
    after(&["build", "//:images"], moody("a push to a registry in trouble", PUSH, 36, Mood::Refusing(500))),
    after(&["build", "//:images"], moody("a push that is refused with an echo", PUSH, 36, Mood::Refusing(400))),
    with_env(
        "an endpoint that is none",
        &["fetch", "//:go"],
        36,
        &[("BUILD_GO_ENDPOINT", "http://me:%endpoint_go%@[x")],
    ),
    with_env("a configuration that is broken", &["fetch", "//:go"], 36, &[("XDG_CONFIG_HOME", "%home%/broken")]),
    with_env("docker's configuration broken", &["fetch", "//:images"], 1, &[("DOCKER_CONFIG", "%home%/broken")]),
    with_env("a credential helper", &["fetch", "//:images"], 1, &[("BUILD_REGISTRY_IMAGES", "vault.example")]),
    Scenario { interrupt: Some(700), ..plain("interrupted", &["build", "//:slow"], 8) },
    after(BUILD, plain("the store checked", &["fsck"], 0)),
    after(BUILD, plain("the store emptied", &["gc", "--max_size=0"], 0)),
];

/// All that actions can see: the environment, processes, and every file.
const SPY: &str = "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null; find / -xdev -type f -not -path '/proc/*' -not -path '/sys/*' \
    -size -64k -exec cat {} + 2>/dev/null";

impl Scenario {
    /// Writes the files.
    pub fn write(workspace: &Workspace, machine: &Machine) {
        let spy = SPY.replace('\\', "\\\\").replace('"', "\\\"");
        let packages = machine.packages.build_file.replace("filegroup(name = \"shell\")\n", "");
        let (load, rest) = packages.split_once('\n').unwrap_or_default();
        workspace.write(
            "BUILD.star",
            format!(
                r#"{load}
{rest}
genrule(name = "spy", outs = ["seen.txt"], cmd = "({spy}) > $@ || true")
genrule(name = "failing_spy", outs = ["never.txt"], cmd = "({spy}) || true; echo told; exit 1")
genrule(name = "slow", outs = ["slow.txt"], cmd = "env; sleep 20; env > $@")
sh_test(name = "test", src = "spy.sh")
sh_test(name = "failing_test", src = "failing.sh")
sh_test(name = "slow_test", src = "slow.sh")
sh_test(name = "quiet_test", src = "quiet.sh")
sh_test(name = "quiet_failing_test", src = "quiet_failing.sh")
sh_binary(name = "program", src = "program.sh")
oci_image(name = "image", base = ":images", files = {{"program.sh": "/"}}, entrypoint = ["/program.sh"])
service(name = "front", image = ":image", http = 8080, secrets = {{"DB": secret("db/password")}})
environment(name = "c", cluster = "c", namespace = "n", registry = "target")
environment(name = "k", cluster = "k", namespace = "n", registry = "target")
environment(name = "p", cluster = "p", namespace = "n", registry = "target")
[deploy(name = "to-" + cluster, environment = ":" + cluster, services = [":front"]) for cluster in ["c", "k", "p"]]
"#
            ),
        );
        workspace.write("spy.sh", format!("{SPY}\nexit 0\n"));
        workspace.write("failing.sh", format!("{SPY}\nexit 1\n"));
        workspace.write("slow.sh", "env\nsleep 60\n");
        workspace.write("quiet.sh", "test -n \"$HOME\"\n");
        workspace.write("quiet_failing.sh", "echo no; exit 1\n");
        workspace.write("program.sh", "case \"$1\" in --fail) exit 9;; esac\n");
    }
}
