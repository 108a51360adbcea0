//! Who runs processes: the sandbox, or a stand-in of the tests.

use std::sync::{Arc, OnceLock};

use model::{Cancel, Diagnostic, Event, Reporter, Severity};
use sandbox::{Command, Exit, Launcher, SandboxError, Support};

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
}

/// Runs commands in sandboxes; as plain processes where the machine has no namespaces, after saying so once.
pub struct SandboxRunner {
    launcher: Launcher,
    reporter: Arc<dyn Reporter>,
    supported: OnceLock<bool>,
}

impl SandboxRunner {
    /// A runner that asks the machine when it is first needed.
    pub fn new(launcher: Launcher, reporter: Arc<dyn Reporter>) -> Self {
        Self { launcher, reporter, supported: OnceLock::new() }
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
        *self.supported.get_or_init(|| match self.launcher.support() {
            Support::Available => true,
            Support::Missing(reason) => {
                let mut warning = Diagnostic::error("actions run without a sandbox: their results are not hermetic")
                    .note(reason)
                    .hint("allow user namespaces: in a container by its security options, on a machine by sysctl");
                warning.severity = Severity::Warning;
                self.reporter.report(Event::Diagnosed(warning));
                false
            }
        })
    }
    fn launcher(&self) -> Option<&Launcher> {
        self.is_hermetic().then_some(&self.launcher)
    }
}
