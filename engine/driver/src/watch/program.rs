//! The program or local system of `build watch --run`: started again when what it is made of is different.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use execution::Content;
use host::process::Group;
use model::{Artifact, Cancel, Digest, Event, RelPath, Reporter};

use super::Rounds;
use crate::build;
use crate::deploy::{self, DeployTarget, System};
use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;
use crate::plan::{Plan, Request};
use crate::run;
use crate::session::Session;

/// How long a program may take to end by itself; with the rest of a command's end it stays below a second.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often it is looked whether the program has ended or is to.
const LOOK: Duration = Duration::from_millis(20);

/// The program or local system that runs, if one does.
pub(super) struct Program {
    rounds: Arc<dyn Rounds>,
    cancel: Cancel,
    running: Option<Running>,
    /// What it was started from.
    contents: Vec<(RelPath, Content)>,
    system: Option<System>,
    /// Which system it is.
    identity: Option<Digest>,
}

/// Tells what a system says, which outlives the round that started it.
struct Messages(Arc<dyn Rounds>);

impl Reporter for Messages {
    fn report(&self, event: Event) {
        if let Event::Progress { phase, message } = event {
            self.0.say(&format!("{phase}  {message}"));
        }
    }
}

/// The thread that looks after a program; it ends it on Ctrl-C even while a round is under way.
struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Program {
    pub(super) fn new(rounds: Arc<dyn Rounds>, cancel: Cancel) -> Self {
        Self { rounds, cancel, running: None, contents: Vec::new(), system: None, identity: None }
    }

    /// Builds the program, and starts it again if it or its files are not what runs already.
    pub(super) async fn round(
        &mut self,
        session: &Session,
        patterns: &[String],
        arguments: &[String],
    ) -> Result<(), Error> {
        let [pattern] = patterns else {
            return Err(Error::new(ErrorKind::CommandLine, "`--run` takes the label of one program"));
        };
        let label = session.label(pattern)?;
        let plan = Plan::open(session, &Request::program(&label))?;
        let Some(target) = plan.requested(0) else {
            return Err(Error::new(ErrorKind::Internal, format!("{label} was not analysed")));
        };
        if let Some(deploy) = DeployTarget::of(&target)? {
            let started = self.system(session, &plan, &deploy).await;
            return plan.end(started);
        }
        if target.default_info().executable.is_none() {
            return Err(run::not_executable(&label, &target.kind));
        }
        let files = run::runtime(&target);
        let built = plan.execute(&[], &files).await;
        let built = plan.end(built)?;
        build::fail_if_failed(&built)?;
        let content = |file: &Artifact| Some((file.path().clone(), built.contents.get(file.path())?.clone()));
        let contents: Vec<_> = files.iter().filter_map(content).collect();
        if contents == self.contents {
            return Ok(());
        }
        // Its files are about to be replaced.
        self.stop();
        let request = RunRequest { arguments: arguments.to_vec(), ..RunRequest::default() };
        let (group, folder) = run::program(session, &label, &target, &built, &request)?.start()?;
        self.rounds.say(&format!("started {label}"));
        self.contents = contents;
        self.running = Some(self.look_after(group, folder, label.to_string()));
        Ok(())
    }

    /// Starts a local system, again if another one runs.
    async fn system(&mut self, session: &Session, plan: &Plan<'_>, target: &DeployTarget) -> Result<(), Error> {
        let reporter = Arc::new(Messages(Arc::clone(&self.rounds)));
        let (system, identity) = (&mut self.system, &mut self.identity);
        let stop = async || {
            if let Some(system) = system.take() {
                // What could not be ended is said by the system itself.
                let _ = system.shutdown().await;
            }
        };
        let known = *identity;
        let started = deploy::start(session, plan, target, identity, reporter, stop).await;
        match started {
            Ok(None) => Ok(()),
            Ok(started) => {
                self.system = started;
                self.rounds.say(&format!("{} runs", target.label()));
                Ok(())
            }
            Err(error) => {
                // If another one still runs, it is that one that is known.
                self.identity = known.filter(|_| self.system.is_some());
                Err(error)
            }
        }
    }

    /// Ends what runs, and gives it the time it may have.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        self.stop();
        self.identity = None;
        match self.system.take() {
            Some(system) => system.shutdown().await,
            None => Ok(()),
        }
    }

    /// Ends the program.
    pub(super) fn stop(&mut self) {
        self.contents.clear();
        if let Some(running) = self.running.take() {
            running.stop.store(true, Ordering::SeqCst);
            // It only fails if the thread panicked, which has been reported then.
            let _ = running.thread.join();
        }
    }

    fn look_after(&self, group: Group, folder: File, label: String) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, cancel, rounds) = (Arc::clone(&stop), self.cancel.clone(), Arc::clone(&self.rounds));
        let thread = std::thread::spawn(move || {
            // Held as long as the program runs in it.
            let _folder = folder;
            while !asked.load(Ordering::SeqCst) && !cancel.is_cancelled() {
                if group.has_ended() {
                    let code = group.stop(PATIENCE).map_or("a signal".to_owned(), |code| format!("exit code {code}"));
                    return rounds.say(&format!("{label} ended with {code}"));
                }
                std::thread::sleep(LOOK);
            }
            group.stop(PATIENCE);
        });
        Running { stop, thread }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.stop();
    }
}
