//! `build run`: builds a target and starts it, or hands a deploy target to the rollout.

use execution::Outcome;
use model::{Artifact, ConfiguredTarget, Label};

use crate::build;
use crate::deploy::{self, DeployTarget};
use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;
use crate::outputs;
use crate::plan::{Plan, Request};
use crate::session::Session;
use crate::test::runtime_inputs;

/// How `build run` ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// The exit code of the program; 0 after a rollout.
    pub code: i32,
    /// Data for standard output: the plan, where that was asked for.
    pub text: String,
}

impl Ran {
    pub(crate) fn saying(text: String) -> Self {
        Self { code: 0, text }
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
    // The program may run for long, and the command may end with it.
    plan.save()?;
    let code = start(session, label, &target, &built, &request.arguments)?;
    Ok(Ran { code, ..Ran::default() })
}

pub(crate) fn runtime(target: &ConfiguredTarget) -> Vec<Artifact> {
    let info = target.default_info();
    let Some(executable) = &info.executable else { return Vec::new() };
    outputs::files(&runtime_inputs(&info, executable, None))
}

/// Starts the program on this machine, in the user's working folder, with its files in a folder of their own.
fn start(
    session: &Session,
    label: &Label,
    target: &ConfiguredTarget,
    built: &Outcome,
    arguments: &[String],
) -> Result<i32, Error> {
    let mut command = command(session, label, target, built, arguments)?;
    let status = command.status().map_err(|error| cannot_start(label, &error))?;
    Ok(exit_code(status))
}

/// Places the program with its files; the command that starts it.
pub(crate) fn command(
    session: &Session,
    label: &Label,
    target: &ConfiguredTarget,
    built: &Outcome,
    arguments: &[String],
) -> Result<std::process::Command, Error> {
    let Some(executable) = target.default_info().executable else {
        let message = format!("{label} is not executable: its rule `{}` makes nothing that can be run", target.kind);
        let error = Error::new(ErrorKind::Build, message);
        return Err(error
            .hint(format!("`build build {label}` builds it; `build query 'kind(.*_binary, //...)'` lists programs")));
    };
    let below = session.outputs()?;
    let folder = below.join("run").join(label.exec_path());
    outputs::runtime_folder(&session.store, &below, &folder, &runtime(target), &built.contents)?;
    let mut command = host::process::interactive(&folder.join(executable.path()), arguments);
    command.env("RUNFILES_DIR", &folder).env("BUILD_WORKSPACE_DIRECTORY", &session.root);
    Ok(command)
}

pub(crate) fn cannot_start(label: &Label, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Environment, format!("cannot start {label}: {error}"))
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
