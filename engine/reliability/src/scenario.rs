//! The steps of the scenario: what comes before each, and the command in which the process ends.

use crate::leftovers;
use crate::reference::{Reference, WITH_PACKAGES};
use crate::workspace::Workspace;

/// A command and the situation that it is typed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A build in a new store.
    Cold,
    /// Packages of all kinds are fetched into a new store.
    Fetch,
    /// A build after an edit.
    Edit,
    /// A build of what was only touched: nothing is made, but the state is kept anew.
    Touch,
    /// A build whose outputs somebody removed.
    Show,
    /// Tests.
    Test,
    /// A query.
    Query,
    /// A collection of everything.
    Collect,
    /// A check of a store with damage of each kind.
    Check,
    /// The outputs are removed.
    Clean,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Cold,
        Self::Fetch,
        Self::Edit,
        Self::Touch,
        Self::Show,
        Self::Test,
        Self::Query,
        Self::Collect,
        Self::Check,
        Self::Clean,
    ];

    /// The command.
    pub fn command(self) -> &'static [&'static str] {
        match self {
            Self::Cold | Self::Edit | Self::Touch | Self::Show => &["build", "//..."],
            Self::Fetch => &["fetch", "//..."],
            Self::Test => &["test", "//..."],
            Self::Query => &["query", "deps(//...)"],
            Self::Collect => &["gc", "1"],
            Self::Check => &["fsck"],
            Self::Clean => &["clean"],
        }
    }

    /// Whether it is to show outputs.
    pub fn shows(self) -> bool {
        matches!(self, Self::Cold | Self::Edit | Self::Touch | Self::Show)
    }

    /// How it ends when nothing happens to it.
    pub fn code(self) -> i32 {
        i32::from(self == Self::Check)
    }

    /// Whether each try begins with nothing.
    pub fn needs_fresh(self) -> bool {
        matches!(self, Self::Cold | Self::Fetch)
    }

    /// The number that the workspace has when the step is done.
    pub fn number(self) -> u64 {
        match self {
            Self::Edit => 2,
            Self::Fetch => WITH_PACKAGES,
            _ => 1,
        }
    }

    /// Brings a workspace, new or used, to where the command is typed.
    pub fn prepare(self, reference: &Reference, workspace: &Workspace) -> Result<(), String> {
        if self.needs_fresh() {
            reference.write(workspace, self.number());
            return Ok(());
        }
        if !workspace.store().exists() {
            reference.write(workspace, 1);
        }
        reference.edit(workspace, 1);
        // By this program as a library: only what it kept itself is of use to it afterwards.
        let folder = workspace.root().parent().unwrap_or(workspace.root());
        crate::engine::run(workspace, folder, None, &["build", "//..."]).run.expect(0)?;
        match self {
            Self::Edit => reference.edit(workspace, 2),
            Self::Touch => reference.write(workspace, 1),
            Self::Show | Self::Collect => workspace.remove("build-out"),
            Self::Check => leftovers::damage(workspace)?,
            Self::Cold | Self::Fetch | Self::Test | Self::Query | Self::Clean => {}
        }
        Ok(())
    }
}
