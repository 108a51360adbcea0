//! The command line: commands, flags, their help. One definition feeds parsing, help and completions.
//!
//! Flags carry Bazel's names where they mean the same.

mod flags;

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use flags::{GlobalFlags, TestFlags, TestOutput, When};

use crate::exit_code;

/// Stands for the `-` of an excluding pattern while clap reads the arguments; it would take `-//x` for short flags.
const EXCLUDE: char = '\u{1}';

/// What `build` says of itself below its commands and flags.
const EXAMPLES: &str = "\
Examples:
  build build //...                      build everything
  build test services/... -//x:slow      test below a folder, but for one target
  build run services/app:client -- --help
  build run deploy:to-minikube           build, push and roll out, then test
  build query 'deps(//services/app)'     what it is made of

Labels: //package:name; package:name from the root; :name in this folder.
Patterns: //... everything, package/... below a folder, package:all one package, -PATTERN excludes.";

/// Builds, tests, runs and deploys the targets of a workspace.
#[derive(Debug, Parser)]
#[command(
    name = "build",
    bin_name = "build",
    version,
    about = "Builds, tests, runs and deploys the targets of a workspace",
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", exit_code::HELP),
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of all commands.
    #[command(flatten)]
    pub global: GlobalFlags,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build targets
    #[command(after_help = "\
Examples:
  build build //services/app:image
  build build //... -//experimental/...
  build build -c opt --platforms=linux/arm64 services/app")]
    Build(BuildArguments),
    /// Build tests and run them; what passed on the same content is not run again
    #[command(after_help = "\
Examples:
  build test //...
  build test services/app:app_test --test_filter=TestParse --test_output=all
  build test //... --nocache_test_results")]
    Test(TestArguments),
    /// Build a program and start it, or roll a deploy target out
    #[command(after_help = "\
Examples:
  build run services/app:client -- --name world
  build run deploy:to-local               the whole system on this machine
  build run deploy:to-minikube --plan     show what would change, change nothing
  build run deploy:to-staging")]
    Run(RunArguments),
    /// Build, test or run again whenever a file changes, until Ctrl-C
    #[command(after_help = "\
Examples:
  build watch //services/app
  build watch --test //services/...
  build watch --run services/app:server -- --port=8080

While it runs, other commands on the workspace learn from it what changed. Files behind symbolic links are not watched.")]
    Watch(WatchArguments),
    /// Ask about the target graph
    #[command(after_help = "\
Examples:
  build query //...
  build query 'deps(//services/app:image)' --output=label_kind
  build query 'rdeps(//..., //protos/app/v1)'
  build query 'somepath(//deploy:to-local, //protos/app/v1)'
  build query 'kind(\"go_.*\", //...) except attr(tags, manual, //...)'

Functions: deps, rdeps, allpaths, somepath, kind, attr, filter, tests, labels, set; union (+), intersect (^), except (-).")]
    Query(QueryArguments),
    /// Bring everything that targets need from outside into the store, so that builds work offline
    #[command(after_help = "\
Examples:
  build fetch                   for all targets
  build fetch //services/app")]
    Fetch(FetchArguments),
    /// Print what a deploy target would apply, as YAML, with the origin of each field
    #[command(after_help = "\
Examples:
  build show deploy:to-staging
  build show deploy:to-staging | less")]
    Show(ShowArguments),
    /// Remove outputs; the store keeps what was built
    #[command(after_help = "\
Examples:
  build clean              remove the outputs shown in the workspace
  build clean --expunge    remove the whole store too")]
    Clean(CleanArguments),
    /// Remove from the store what was not used for long; safe while other commands run
    #[command(after_help = "\
Examples:
  build gc                              keep the store below BUILD_STORE_MAX_SIZE (default 50G)
  build gc --max_size=20G               the least recently used results go first
  build gc --max_age=30d --dry_run      say what would go")]
    Gc(GcArguments),
    /// Check everything in the store; what is damaged is removed, and made again when it is needed
    #[command(after_help = "\
Examples:
  build fsck               read every content
  build fsck --quick       look at sizes and times only

Exits with 0 if the store was sound, with 1 if something was removed.")]
    Fsck(FsckArguments),
    /// Print facts about the workspace and the machine
    #[command(after_help = "\
Examples:
  build info               all of them
  build info workspace     one, without its name")]
    Info(InfoArguments),
    /// Print the version
    Version,
    /// Print a shell's completion script
    #[command(after_help = "\
Examples:
  build completions bash > ~/.local/share/bash-completion/completions/build
  build completions zsh > ~/.zfunc/_build
  build completions fish > ~/.config/fish/completions/build.fish")]
    Completions(CompletionsArguments),
    /// Start a shell in the sandbox of a failed action that --sandbox_debug kept
    #[command(name = "debug-sandbox", hide = true)]
    DebugSandbox(DebugSandboxArguments),
}

/// `build build`.
#[derive(Debug, Args)]
pub struct BuildArguments {
    /// Labels or patterns; -PATTERN excludes
    #[arg(required = true, value_name = "PATTERN", value_parser = pattern)]
    pub patterns: Vec<String>,
    /// Print the paths of outputs if at most N targets were built
    #[arg(long = "show_result", value_name = "N", default_value_t = 10)]
    pub show_result: usize,
    /// Load and analyse only; run nothing
    #[arg(long = "nobuild")]
    pub nobuild: bool,
}

/// `build test`.
#[derive(Debug, Args)]
pub struct TestArguments {
    /// Labels or patterns; -PATTERN excludes
    #[arg(required = true, value_name = "PATTERN", value_parser = pattern)]
    pub patterns: Vec<String>,
    /// Flags of tests.
    #[command(flatten)]
    pub test: TestFlags,
}

/// `build run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The label of a program or a deploy target
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
    /// Programs: start where the command was typed, and not in the folder with the program's files
    #[arg(long = "run_in_cwd")]
    pub run_in_cwd: bool,
    /// Deploy targets: show what would change, change nothing
    #[arg(long = "plan")]
    pub plan: bool,
    /// Deploy targets: the branch, for environments that have a namespace for each; the one checked out by default
    #[arg(long = "branch", value_name = "NAME")]
    pub branch: Option<String>,
    /// Deploy targets: take fields and objects over that others set
    #[arg(long = "take_over")]
    pub take_over: bool,
    /// Local deploy targets: print the services' logs
    #[arg(long = "logs")]
    pub logs: bool,
    /// Local deploy targets: end after the smoke tests instead of waiting for Ctrl-C
    #[arg(long = "exit_when_ready")]
    pub exit_when_ready: bool,
    /// Local deploy targets: fail when a service ends by itself instead of starting it again, as in CI
    #[arg(long = "norestart")]
    pub norestart: bool,
    /// Flags of smoke tests.
    #[command(flatten)]
    pub test: TestFlags,
}

/// `build watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// Labels or patterns; -PATTERN excludes
    #[arg(required = true, value_name = "PATTERN", value_parser = pattern)]
    pub patterns: Vec<String>,
    /// Run tests
    #[arg(long = "test", conflicts_with = "run")]
    pub tests: bool,
    /// Run a program; end it and start it again when it is built anew
    #[arg(long = "run")]
    pub run: bool,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGUMENT", requires = "run")]
    pub arguments: Vec<String>,
    /// Flags of tests.
    #[command(flatten)]
    pub test: TestFlags,
}

/// `build query`.
#[derive(Debug, Args)]
pub struct QueryArguments {
    /// The question; several words are one expression
    #[arg(required = true, value_name = "EXPRESSION", value_parser = pattern)]
    pub expression: Vec<String>,
    /// How to print the targets
    #[arg(long = "output", value_name = "FORMAT", value_enum, default_value_t = QueryOutput::Label)]
    pub output: QueryOutput,
}

/// `--output` of a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum QueryOutput {
    /// One label a line.
    #[default]
    Label,
    /// The rule before each label.
    LabelKind,
    /// Targets with their attributes.
    Json,
    /// A graph for graphviz.
    Dot,
}

/// `build fetch`.
#[derive(Debug, Args)]
pub struct FetchArguments {
    /// Labels or patterns; -PATTERN excludes
    #[arg(value_name = "PATTERN", default_value = "//...", value_parser = pattern)]
    pub patterns: Vec<String>,
}

/// `build show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// The label of a deploy target
    #[arg(value_name = "TARGET")]
    pub target: String,
}

/// `build clean`.
#[derive(Debug, Args)]
pub struct CleanArguments {
    /// Remove the store too, which all workspaces of this user share
    #[arg(long = "expunge")]
    pub expunge: bool,
}

/// `build gc`.
#[derive(Debug, Args)]
pub struct GcArguments {
    /// Keep at most so much: 20G, 500M
    #[arg(long = "max_size", value_name = "SIZE", value_parser = size)]
    pub max_size: Option<u64>,
    /// Keep nothing that was not used for so long: 30d, 12h
    #[arg(long = "max_age", value_name = "AGE", value_parser = age)]
    pub max_age: Option<Duration>,
    /// Only say what would be removed
    #[arg(long = "dry_run")]
    pub dry_run: bool,
}

/// `build fsck`.
#[derive(Debug, Args)]
pub struct FsckArguments {
    /// Look at sizes and times only, and read what they make suspicious
    #[arg(long = "quick")]
    pub quick: bool,
}

/// `build debug-sandbox`.
#[derive(Debug, Args)]
pub struct DebugSandboxArguments {
    /// The folder that the failed build named
    pub folder: std::path::PathBuf,
}

/// `build info`.
#[derive(Debug, Args)]
pub struct InfoArguments {
    /// Print only this fact
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// `build completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// For which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

impl Command {
    /// How the tests of the command are run and shown.
    pub fn test_flags(&self) -> TestFlags {
        match self {
            Self::Test(arguments) => arguments.test.clone(),
            Self::Run(arguments) => arguments.test.clone(),
            Self::Watch(arguments) => arguments.test.clone(),
            _ => TestFlags::default(),
        }
    }

    /// Whether Ctrl-C ends the command within a second whatever it does. Not where a rollout, a system or the user's own
    /// program has to come to its end in order.
    pub fn ends_at_once(&self) -> bool {
        !matches!(self, Self::Run(_) | Self::Watch(WatchArguments { run: true, .. }))
    }
}

/// Parses the arguments of the process. A failure carries its text and its exit code (0 for help).
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<CommandLine, clap::Error> {
    let mut after_separator = false;
    let arguments = arguments.into_iter().map(|argument| {
        after_separator |= argument == "--";
        match argument.strip_prefix('-') {
            Some(rest) if !after_separator && is_label_start(rest) => format!("{EXCLUDE}{rest}"),
            _ => argument,
        }
    });
    CommandLine::try_parse_from(arguments)
}

/// Whether what follows a `-` can only be a label: no flag begins like this.
fn is_label_start(text: &str) -> bool {
    text.starts_with("//") || text.starts_with('@') || text.starts_with(':')
}

fn size(text: &str) -> Result<u64, String> {
    driver::parse_size(text).ok_or_else(|| "expected a size such as 20G or 500M".to_owned())
}

fn age(text: &str) -> Result<Duration, String> {
    driver::parse_age(text).ok_or_else(|| "expected a time such as 30d or 12h".to_owned())
}

fn pattern(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.strip_prefix(EXCLUDE).map_or_else(|| text.to_owned(), |rest| format!("-{rest}")))
}

#[cfg(test)]
mod tests;
