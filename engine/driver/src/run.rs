//! `build run`: builds a target and starts it, or hands a deploy target to the rollout.

use execution::Outcome;
use model::{Artifact, ConfiguredTarget, Label};

use crate::build;
use crate::deploy::{self, DeployTarget};
use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;
use crate::outputs;
use crate::plan::{Plan, Request};
use crate::run_folder;
use crate::session::Session;
use crate::test::runtime_inputs;

/// What `build run` came to.
#[derive(Debug)]
pub enum Ran {
    /// It is done: a rollout, a push. Text for standard output, such as the plan that was asked for.
    Done(String),
    /// The program is ready; the command's process is to become it.
    Program(Box<Program>),
}

/// A program with its files in a folder of its own.
#[derive(Debug)]
pub struct Program {
    label: Label,
    command: std::process::Command,
    /// Shared by all who run in the folder, so that no other command removes it.
    folder: std::fs::File,
}

impl Program {
    /// Becomes the program: signals reach it, its exit code is the command's, and nothing is left beside it. Comes back
    /// only with the reason why it cannot be started.
    pub fn replace_process(mut self: Box<Self>) -> Error {
        let error = host::process::replace(&mut self.command, &self.folder);
        cannot_start(&self.label, &error)
    }

    /// Starts it as a group of processes beside this one. The folder is to be held as long as it runs.
    pub(crate) fn start(mut self) -> Result<(host::process::Group, std::fs::File), Error> {
        match host::process::Group::start(&mut self.command) {
            Ok(group) => Ok((group, self.folder)),
            Err(error) => Err(cannot_start(&self.label, &error)),
        }
    }
}

/// Builds and runs.
pub async fn run(session: &Session, request: &RunRequest) -> Result<Ran, Error> {
    let label = session.label(&request.target)?;
    let plan = Plan::open(session, &Request::program(&label))?;
    let ran = run_planned(session, &plan, &label, request).await;
    plan.end(ran)
}

async fn run_planned(session: &Session, plan: &Plan<'_>, label: &Label, request: &RunRequest) -> Result<Ran, Error> {
    let Some(target) = plan.requested(0) else {
        return Err(Error::new(ErrorKind::Internal, format!("{label} was not analysed")));
    };
    if let Some(info) = DeployTarget::of(&target)? {
        return deploy::run(session, plan, &info, request).await;
    }
    if let Some(info) = crate::push::info(&target)? {
        return crate::push::run(session, plan, info).await;
    }
    let built = plan.execute(&[], &runtime(&target)).await?;
    build::fail_if_failed(&built)?;
    // The command ends with the program.
    plan.save()?;
    program(session, label, &target, &built, request).map(|program| Ran::Program(Box::new(program)))
}

pub(crate) fn runtime(target: &ConfiguredTarget) -> Vec<Artifact> {
    let info = target.default_info();
    let Some(executable) = &info.executable else { return Vec::new() };
    outputs::files(&runtime_inputs(&info, executable, None))
}

/// Places a program with its files, ready to be started in their folder as a test would be.
pub(crate) fn program(
    session: &Session,
    label: &Label,
    target: &ConfiguredTarget,
    built: &Outcome,
    request: &RunRequest,
) -> Result<Program, Error> {
    let Some(executable) = target.default_info().executable else {
        return Err(not_executable(label, &target.kind));
    };
    let (path, folder) = run_folder::place(session, label, &runtime(target), &built.contents)?;
    let mut command = host::process::interactive(&path.join(executable.path()), &request.arguments);
    if !request.in_working_directory {
        command.current_dir(&path);
    }
    // An absolute path stays right wherever the program starts.
    command.env("RUNFILES_DIR", &path).env("BUILD_WORKSPACE_DIRECTORY", &session.root);
    command.env("BUILD_WORKING_DIRECTORY", &session.directory);
    Ok(Program { label: label.clone(), command, folder })
}

/// The error about a target that is to be run and is no program.
pub(crate) fn not_executable(label: &Label, kind: &str) -> Error {
    let message = format!("{label} is not executable: its rule `{kind}` makes nothing that can be run");
    Error::new(ErrorKind::Build, message)
        .hint(format!("`build build {label}` builds it; `build query 'kind(.*_binary, //...)'` lists programs"))
}

fn cannot_start(label: &Label, error: &std::io::Error) -> Error {
    let failed = Error::new(ErrorKind::Environment, format!("cannot start {label}: {error}"));
    host::remedy::of_system(error).into_iter().fold(failed, Error::hint)
}
