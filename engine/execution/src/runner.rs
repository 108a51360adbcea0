//! Who runs processes: the sandbox, or a stand-in of the tests.

use std::sync::{Arc, OnceLock};

use model::{Cancel, Diagnostic, Event, Reporter, Severity};
use sandbox::{Command, Exit, Launcher, Obstacle, SandboxError, Support};

/// Runs a command to its end. Blocking.
pub trait Runner: Send + Sync {
    /// Runs it; every process of it is dead on return.
    fn run(&self, command: &Command, cancel: &Cancel) -> Result<Exit, SandboxError>;

    /// Whether a process sees nothing but what the command names.
    fn is_hermetic(&self) -> bool;

    /// What starts sandboxes, if processes can be had that stay from one command to the next.
    fn launcher(&self) -> Option<&Launcher> {
        None
    }

    /// Why a process that failed may have failed for want of a sandbox.
    fn obstacle(&self) -> Option<&Obstacle> {
        None
    }
}

/// Runs commands in sandboxes; as plain processes where the machine has no namespaces, after saying so once.
pub struct SandboxRunner {
    launcher: Launcher,
    reporter: Arc<dyn Reporter>,
    support: OnceLock<Support>,
}

impl SandboxRunner {
    /// A runner that asks the machine when it is first needed.
    pub fn new(launcher: Launcher, reporter: Arc<dyn Reporter>) -> Self {
        Self { launcher, reporter, support: OnceLock::new() }
    }
}

impl Runner for SandboxRunner {
    fn run(&self, command: &Command, cancel: &Cancel) -> Result<Exit, SandboxError> {
        if self.is_hermetic() {
            sandbox::run(&self.launcher, command, cancel)
        } else {
            sandbox::run_unsandboxed(command, cancel)
        }
    }

    fn is_hermetic(&self) -> bool {
        let support = self.support.get_or_init(|| {
            let support = self.launcher.support();
            if let Support::Missing(obstacle) = &support {
                let mut warning = Diagnostic::error("actions run without a sandbox: their results are not hermetic")
                    .note(obstacle.reason.as_str())
                    .hint(obstacle.hint.as_str());
                warning.severity = Severity::Warning;
                self.reporter.report(Event::Diagnosed(warning));
            }
            support
        });
        *support == Support::Available
    }

    fn obstacle(&self) -> Option<&Obstacle> {
        match self.support.get() {
            Some(Support::Missing(obstacle)) => Some(obstacle),
            _ => None,
        }
    }

    fn launcher(&self) -> Option<&Launcher> {
        self.is_hermetic().then_some(&self.launcher)
    }
}
