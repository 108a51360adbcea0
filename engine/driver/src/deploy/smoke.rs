//! Smoke tests: test targets that run on this machine against an environment, found through `<SERVICE>_ADDR`.

use std::collections::BTreeMap;
use std::sync::Arc;

use deploy::Smoke;
use model::{Artifact, ConfiguredTarget, Network, TestStatus};

use super::{DeployTarget, Prepared};
use crate::error::{Error, ErrorKind};
use crate::outputs;
use crate::plan::Plan;
use crate::session::Session;
use crate::test::{Runner, run_tests, runtime_inputs};

/// What the tests need, so that they are built before anything is rolled out.
pub(super) fn inputs(session: &Session, plan: &Plan<'_>, target: &DeployTarget) -> Result<Vec<Artifact>, Error> {
    let mut inputs = Vec::new();
    for test in tests(session, plan, target)? {
        let info = test.default_info();
        if let Some(executable) = &info.executable {
            inputs.extend(outputs::files(&runtime_inputs(&info, executable, None)));
        }
    }
    if let Some(shell) = plan.shell() {
        inputs.extend(outputs::files(&shell.default_info().files));
    }
    Ok(inputs)
}

fn tests(session: &Session, plan: &Plan<'_>, target: &DeployTarget) -> Result<Vec<Arc<ConfiguredTarget>>, Error> {
    let found = |label| {
        plan.target(&session.key(label)).ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("the smoke test {label} of {} was not analysed", target.label))
        })
    };
    target.smoke_tests.iter().map(found).collect()
}

/// Runs the tests with `env`; each is reported as it ends.
pub(super) async fn run(prepared: &Prepared<'_>, env: BTreeMap<String, String>) -> Result<Smoke, Error> {
    let Prepared { session, plan, target, .. } = *prepared;
    let tests = tests(session, plan, target)?;
    if tests.is_empty() {
        return Ok(Smoke::NotRun);
    }
    let runner = Runner::new(session, plan, env, Network::Host);
    let report = run_tests(session, plan, &tests, &runner).await?;
    let passed = report.count(TestStatus::Passed) == report.results.len();
    Ok(if passed { Smoke::Passed } else { Smoke::Failed })
}
