//! Flags that several commands share, with their help.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Flags of all commands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flags of all commands")]
pub struct GlobalFlags {
    /// How to compile: for quick builds, for debuggers, or for production
    #[arg(short = 'c', long = "compilation_mode", value_name = "MODE", value_enum, global = true)]
    pub compilation_mode: Option<CompilationMode>,
    /// What to build for: os/arch, such as linux/arm64, or the label of a platform
    #[arg(long = "platforms", value_name = "OS/ARCH", global = true)]
    pub platforms: Option<String>,
    /// A setting that BUILD.star files can select on
    #[arg(long = "define", value_name = "NAME=VALUE", value_parser = assignment, global = true)]
    pub define: Vec<(String, String)>,
    /// How many actions run at once [default: number of processors]
    #[arg(short = 'j', long = "jobs", value_name = "N", value_parser = jobs, global = true)]
    pub jobs: Option<usize>,
    /// How much memory, in MB, actions that declare theirs take at once [default: 80% of what is available]
    #[arg(long = "local_memory", value_name = "MB", global = true)]
    pub local_memory: Option<u64>,
    /// Go on with what does not depend on a failure
    #[arg(short = 'k', long = "keep_going", global = true)]
    pub keep_going: bool,
    /// Run as if started in this folder
    #[arg(short = 'C', long = "directory", value_name = "FOLDER", global = true)]
    pub directory: Option<PathBuf>,
    /// Use a workspace of another user, or one whose `build-out` is a link [default: those in BUILD_TRUSTED_WORKSPACES]
    #[arg(long = "trust_workspace", global = true)]
    pub trust_workspace: bool,
    /// The folder of the store [default: build in the user's cache folder; or BUILD_STORE]
    #[arg(long = "store", value_name = "FOLDER", global = true)]
    pub store: Option<PathBuf>,
    /// Take an external repository from a folder
    #[arg(long = "override_repository", value_name = "NAME=FOLDER", value_parser = assignment, global = true)]
    pub override_repository: Vec<(String, String)>,
    /// Keep the folders of failed actions and say where they are
    #[arg(long = "sandbox_debug", global = true)]
    pub sandbox_debug: bool,
    /// Fail where no sandbox can be made, instead of running actions without one [or BUILD_REQUIRE_SANDBOX=1]
    #[arg(long = "require_sandbox", global = true)]
    pub require_sandbox: bool,
    /// The time limit of actions that declare none [default: 3600; or BUILD_ACTION_TIMEOUT]
    #[arg(long = "action_timeout", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), global = true)]
    pub action_timeout: Option<u64>,
    /// How many persistent workers one tool may have [default: number of jobs]
    #[arg(long = "worker_max_instances", value_name = "N", value_parser = jobs, global = true)]
    pub worker_max_instances: Option<usize>,
    /// Run each action as a process of its own, and none in a persistent worker
    #[arg(long = "noworkers", global = true)]
    pub noworkers: bool,
    /// Whether to colour messages
    #[arg(long = "color", value_name = "WHEN", value_enum, default_value_t = When::Auto, global = true)]
    pub color: When,
    /// Whether to redraw a status at the end of the terminal
    #[arg(long = "curses", value_name = "WHEN", value_enum, default_value_t = When::Auto, global = true)]
    pub curses: When,
    /// Show progress (the default)
    #[arg(long = "show_progress", overrides_with = "noshow_progress", global = true, hide = true)]
    pub show_progress: bool,
    /// Show results only, no progress
    #[arg(long = "noshow_progress", overrides_with = "show_progress", global = true)]
    pub noshow_progress: bool,
    /// Write every event as a line of JSON to this file
    #[arg(long = "event_file", value_name = "FILE", global = true)]
    pub event_file: Option<PathBuf>,
}

/// `-c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompilationMode {
    /// Quick to build.
    Fastbuild,
    /// For debuggers.
    Dbg,
    /// For production.
    Opt,
}

/// `auto`, `yes`, `no`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// As the terminal and the environment (NO_COLOR, CI) suggest.
    #[default]
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// How tests are run and shown.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Flags of tests")]
pub struct TestFlags {
    /// Which logs to print: of failed tests, of all, or none
    #[arg(long = "test_output", value_name = "WHICH", value_enum, default_value_t = TestOutput::Errors)]
    pub test_output: TestOutput,
    /// Which cases to run, by the language's own test runner
    #[arg(long = "test_filter", value_name = "PATTERN")]
    pub test_filter: Option<String>,
    /// An argument for the test programs
    #[arg(long = "test_arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub test_arg: Vec<String>,
    /// A variable for the test programs
    #[arg(long = "test_env", value_name = "NAME=VALUE", value_parser = assignment)]
    pub test_env: Vec<(String, String)>,
    /// A time limit in seconds instead of the tests' own
    #[arg(long = "test_timeout", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub test_timeout: Option<u64>,
    /// Do not run what passed on the same content (the default)
    #[arg(long = "cache_test_results", overrides_with = "nocache_test_results", hide = true)]
    pub cache_test_results: bool,
    /// Run tests even if they passed on the same content
    #[arg(long = "nocache_test_results", overrides_with = "cache_test_results")]
    pub nocache_test_results: bool,
}

/// `--test_output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TestOutput {
    /// Logs of tests that did not pass.
    #[default]
    Errors,
    /// All logs.
    All,
    /// No logs.
    Summary,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number from 1".into()),
        Ok(jobs) => Ok(jobs),
    }
}
