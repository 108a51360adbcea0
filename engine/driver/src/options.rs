//! The settings of a command, as plain data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What the global flags say. `Options::default()` is what an empty command line means.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the command was typed; `None` for the process's working folder.
    pub directory: Option<PathBuf>,
    /// `--trust_workspace`: believe a workspace of another user, and write outputs through a link.
    pub trust_workspace: bool,
    /// `--store`: the folder of the store; `None` for the user's cache folder.
    pub store: Option<PathBuf>,
    /// `--jobs`: how many processors actions use at once; `None` for the number of processors.
    pub jobs: Option<usize>,
    /// `--local_memory`: how many MB actions may declare in sum; `None` for four fifths of what is available.
    pub local_memory: Option<u64>,
    /// `--keep_going`: go on with what does not depend on a failure.
    pub keep_going: bool,
    /// `-c`: `fastbuild`, `dbg` or `opt`; `None` for `fastbuild`.
    pub compilation_mode: Option<String>,
    /// `--platforms`: `os/arch` or the label of a `platform` target; `None` for this machine's.
    pub platform: Option<String>,
    /// `--define name=value`.
    pub defines: BTreeMap<String, String>,
    /// `--override_repository name=folder`.
    pub override_repositories: BTreeMap<String, PathBuf>,
    /// `--sandbox_debug`: keep the folders of failed actions and say where they are.
    pub sandbox_debug: bool,
    /// `--worker_max_instances`: how many persistent workers a tool may have; `None` for as many as jobs, 0 for none.
    pub worker_max_instances: Option<usize>,
    /// `--require_sandbox`, BUILD_REQUIRE_SANDBOX: fail where no sandbox can be made, instead of running actions without.
    pub require_sandbox: bool,
    /// `--action_timeout`, BUILD_ACTION_TIMEOUT: the time limit, in seconds, of actions that declare none; `None` for an hour.
    pub action_timeout: Option<u64>,
    /// How tests are run.
    pub test: TestOptions,
}

/// What the flags of `build test` say.
#[derive(Debug, Clone)]
pub struct TestOptions {
    /// `--test_filter`: passed to the test runner as `TESTBRIDGE_TEST_ONLY`.
    pub filter: Option<String>,
    /// `--test_arg`: appended to the test's arguments.
    pub arguments: Vec<String>,
    /// `--nocache_test_results`: run even what passed before.
    pub cached: bool,
    /// `--test_timeout`: overrides the target's own limit.
    pub timeout: Option<Duration>,
    /// `--test_env name=value`.
    pub env: BTreeMap<String, String>,
}

impl Default for TestOptions {
    fn default() -> Self {
        Self { filter: None, arguments: Vec::new(), cached: true, timeout: None, env: BTreeMap::new() }
    }
}

/// What `build run` is asked to do.
#[derive(Debug, Clone, Default)]
pub struct RunRequest {
    /// The target as typed.
    pub target: String,
    /// Arguments after `--`.
    pub arguments: Vec<String>,
    /// `--run_in_cwd`: start where the command was typed, and not in the folder with the program's files.
    pub in_working_directory: bool,
    /// `--plan`: for a deploy target, show what would change and change nothing.
    pub plan: bool,
    /// `--branch`: for environments with a namespace for each branch; `None` for the one checked out.
    pub branch: Option<String>,
    /// `--take_over`: take fields and objects over that others set.
    pub take_over: bool,
    /// `--logs`: for a local deploy target, print the services' logs.
    pub logs: bool,
    /// `--exit_when_ready`: for a local deploy target, end after the smoke tests instead of waiting for Ctrl-C.
    pub exit_when_ready: bool,
    /// `--norestart`: for a local deploy target, end with the first service that ends by itself.
    pub norestart: bool,
}
