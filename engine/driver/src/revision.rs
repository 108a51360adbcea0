//! What the workspace's version control says: revision, branch, local changes. Only a rollout asks; no key depends on it.

use std::path::Path;

/// The state of a git checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revision {
    /// The commit.
    pub(crate) commit: String,
    /// The branch, if one is checked out.
    pub(crate) branch: Option<String>,
    /// Paths that differ from the commit.
    pub(crate) changed: Vec<String>,
}

impl Revision {
    /// Asks git; `None` outside a checkout or without a commit.
    pub(crate) fn of(root: &Path) -> Option<Self> {
        let root = root.to_str()?;
        let git = |arguments: &[&str]| {
            let all: Vec<&str> = ["-C", root].iter().chain(arguments).copied().collect();
            host::process::output_of("git", &all)
        };
        let commit = git(&["rev-parse", "--verify", "HEAD"])?.trim().to_owned();
        let branch = git(&["symbolic-ref", "--short", "--quiet", "HEAD"]).map(|branch| branch.trim().to_owned());
        let status = git(&["status", "--porcelain", "--untracked-files=normal"])?;
        let changed = status.lines().filter_map(|line| line.get(3..).map(str::to_owned)).collect();
        Some(Self { commit, branch, changed })
    }
}
