//! The exit codes of `build`: Bazel's where they mean the same. They are part of the interface; scripts rely on them.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// All that was asked for was done.
    Success = 0,
    /// A BUILD.star or a source is wrong, or an action failed; or the store was damaged.
    BuildFailed = 1,
    /// The command line cannot be understood.
    CommandLine = 2,
    /// Everything was built, but a test failed or timed out.
    TestsFailed = 3,
    /// `build test` found no test.
    NoTests = 4,
    /// A rollout failed or was refused.
    RolloutFailed = 5,
    /// A query cannot be parsed or answered.
    QueryFailed = 7,
    /// The user stopped the command.
    Interrupted = 8,
    /// The machine, the network, a registry or a cluster does not answer, or denies access.
    Environment = 36,
    /// A defect of `build` itself.
    Internal = 37,
}

/// The table for `build help`.
pub const HELP: &str = "\
Exit codes:
   0  success
   1  the build failed, or `build fsck` found damage
   2  the command line cannot be understood
   3  built, but a test failed
   4  no test was found
   5  the rollout failed or was refused
   7  the query failed
   8  interrupted
  36  the machine, the network, a registry or a cluster does not answer, or denies access
  37  a defect of `build` itself
A program started by `build run` passes its own exit code on.";

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

impl From<driver::ErrorKind> for ExitCode {
    fn from(kind: driver::ErrorKind) -> Self {
        use driver::ErrorKind;
        match kind {
            ErrorKind::CommandLine => Self::CommandLine,
            ErrorKind::Build => Self::BuildFailed,
            ErrorKind::Test => Self::TestsFailed,
            ErrorKind::NoTests => Self::NoTests,
            ErrorKind::Query => Self::QueryFailed,
            ErrorKind::Rollout => Self::RolloutFailed,
            ErrorKind::Environment => Self::Environment,
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Internal => Self::Internal,
        }
    }
}
