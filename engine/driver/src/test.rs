//! `build test`: builds tests and runs each as an action, so that what passed on the same content is not run again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use execution::{FailureKind, Outcome};
use model::{
    Action, ActionKind, Artifact, ConfiguredTarget, Data, DefaultInfo, Depset, Event, Label, Limits, Network,
    Resources, Spawn, TestStatus,
};

use crate::error::{Error, ErrorKind};
use crate::plan::{Plan, Request};
use crate::session::Session;

/// The results of a test command.
#[derive(Debug, Default)]
pub struct TestReport {
    /// Each test and how it ended, by label.
    pub results: Vec<TestResult>,
}

/// How one test ended.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// The test.
    pub label: Label,
    /// How it ended.
    pub status: TestStatus,
    /// Whether it ran now or its result was in the store.
    pub cached: bool,
    /// Its log.
    pub log: Arc<str>,
    /// Wall time of the run.
    pub duration: Duration,
}

impl TestReport {
    /// How many tests ended in `status`.
    pub fn count(&self, status: TestStatus) -> usize {
        self.results.iter().filter(|result| result.status == status).count()
    }
}

/// Runs all tests that the patterns match.
pub async fn test(session: &Session, patterns: &[String]) -> Result<TestReport, Error> {
    let plan = Plan::open(session, &Request::tests(patterns))?;
    let count = plan.count();
    if count == 0 {
        let error = Error::new(ErrorKind::NoTests, "no test matches");
        return Err(error.hint("`build query 'tests(//...)'` lists all tests"));
    }
    let targets: Vec<Arc<ConfiguredTarget>> = (0..count).filter_map(|index| plan.requested(index)).collect();
    let runner = Runner::new(session, &plan, BTreeMap::new(), Network::Loopback);
    let report = run_tests(session, &plan, &targets, &runner).await;
    plan.end(report)
}

/// Runs the tests named and reports each.
pub(crate) async fn run_tests(
    session: &Session,
    plan: &Plan<'_>,
    tests: &[Arc<ConfiguredTarget>],
    runner: &Runner<'_>,
) -> Result<TestReport, Error> {
    let mut actions = Vec::new();
    let mut logs = Vec::new();
    for test in tests {
        let (action, log) = runner.action(test)?;
        actions.push(Arc::new(action));
        logs.push(log);
    }
    let outcome = plan.execute(&actions, &logs).await?;
    let mut report = TestReport::default();
    for (test, log) in tests.iter().zip(&logs) {
        let result = result_of(session, &outcome, test.label(), log)?;
        session.reporter.report(Event::TestFinished {
            label: result.label.clone(),
            status: result.status,
            cached: result.cached,
            log: Arc::clone(&result.log),
            duration: result.duration,
        });
        report.results.push(result);
    }
    Ok(report)
}

/// Makes the actions that run tests.
pub(crate) struct Runner<'a> {
    session: &'a Session,
    plan: &'a Plan<'a>,
    shell: Option<Artifact>,
    env: BTreeMap<String, String>,
    network: Network,
}

impl<'a> Runner<'a> {
    /// Tests with `env` added to their environment.
    pub(crate) fn new(
        session: &'a Session,
        plan: &'a Plan<'a>,
        env: BTreeMap<String, String>,
        network: Network,
    ) -> Self {
        // Launchers of scripts need a shell; a test that is a program of its own does not mind it.
        let shell = plan.shell();
        let shell = shell.and_then(|shell| crate::outputs::files(&shell.default_info().files).into_iter().next());
        Self { session, plan, shell, env, network }
    }

    /// The action that runs a test, and the artifact of its log.
    fn action(&self, target: &ConfiguredTarget) -> Result<(Action, Artifact), Error> {
        let label = target.label();
        let info = target.default_info();
        let Some(executable) = info.executable.clone() else {
            let message = format!("the test {label} has no executable");
            return Err(Error::new(ErrorKind::Build, message));
        };
        let attributes = &self.plan.attributes_of(&target.key).unwrap_or_default();
        let log = self.log(label);
        let inputs = runtime_inputs(&info, &executable, self.shell.as_ref());
        let spawn = Spawn {
            argv: self.arguments(attributes, &executable),
            env: self.environment(attributes, label),
            root: self.shell.clone(),
            needs_shell: false,
            network: self.network,
            stdin: None,
            stdout: Some(log.clone()),
            timeout: Some(self.timeout(attributes)),
            limits: Limits::default(),
            test: true,
            resources: Resources::default(),
            worker_tools: None,
        };
        let action = Action {
            owner: target.key.clone(),
            mnemonic: Arc::from("Test"),
            progress: Arc::from(format!("Testing {label}")),
            inputs: Arc::new(inputs),
            outputs: vec![log.clone()],
            kind: ActionKind::Spawn(spawn),
        };
        Ok((action, log))
    }

    fn log(&self, label: &Label) -> Artifact {
        let folder = self.session.configuration.folder();
        let path = format!("out/{folder}/testlogs/{}/test.log", label.exec_path());
        let path = model::RelPath::new(&path).expect("a label's path and a configuration's folder are relative paths");
        Artifact::output(path, false, label)
    }

    fn arguments(&self, attributes: &Attributes, executable: &Artifact) -> Vec<String> {
        let mut argv = vec![executable.path().to_string()];
        argv.extend(texts(attributes, "args"));
        argv.extend(self.session.options.test.arguments.iter().cloned());
        argv
    }

    fn environment(&self, attributes: &Attributes, label: &Label) -> BTreeMap<String, String> {
        let options = &self.session.options.test;
        let mut env = BTreeMap::from([
            ("RUNFILES_DIR".to_owned(), "/work".to_owned()),
            ("TEST_TARGET".to_owned(), label.to_string()),
            ("TEST_TMPDIR".to_owned(), "/tmp".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
            ("HOME".to_owned(), "/tmp".to_owned()),
        ]);
        if let Some(filter) = &options.filter {
            env.insert("TESTBRIDGE_TEST_ONLY".to_owned(), filter.clone());
        }
        if let Some(Data::Dict(pairs)) = attributes.get("env") {
            for (name, value) in pairs.iter().filter_map(|(name, value)| Some((name.as_str()?, value.as_str()?))) {
                env.insert(name.to_owned(), value.to_owned());
            }
        }
        env.extend(options.env.clone());
        env.extend(self.env.clone());
        if !options.cached {
            // A key that no earlier run had. It enters the environment, since that is what a key is made of.
            env.insert("TEST_RUN_NUMBER".to_owned(), host::clock::now().to_string());
        }
        env
    }

    fn timeout(&self, attributes: &Attributes) -> u64 {
        if let Some(timeout) = self.session.options.test.timeout {
            return timeout.as_secs();
        }
        let text = |name: &str| attributes.get(name).and_then(Data::as_str);
        // Bazel's limits, in seconds.
        match (text("timeout").unwrap_or_default(), text("size").unwrap_or_default()) {
            ("short", _) | ("", "small") => 60,
            ("long", _) | ("", "large") => 900,
            ("eternal", _) | ("", "enormous") => 3600,
            _ => 300,
        }
    }
}

/// A target's attributes with selects resolved.
type Attributes = BTreeMap<Arc<str>, Data>;

fn texts(attributes: &Attributes, attribute: &str) -> Vec<String> {
    let list = attributes.get(attribute).and_then(Data::as_list);
    list.unwrap_or_default().iter().filter_map(|data| data.as_str().map(str::to_owned)).collect()
}

/// All that a program needs beside it, itself included.
pub(crate) fn runtime_inputs(info: &DefaultInfo, executable: &Artifact, shell: Option<&Artifact>) -> Depset {
    let mut direct = vec![Data::File(executable.clone())];
    direct.extend(shell.map(|shell| Data::File(shell.clone())));
    Depset { direct, transitive: vec![Arc::clone(&info.runfiles)], ..Depset::default() }
}

fn result_of(session: &Session, outcome: &Outcome, label: &Label, log: &Artifact) -> Result<TestResult, Error> {
    let failure = outcome.failures.iter().find(|failure| failure.outputs.contains(log));
    if let Some(failure) = failure {
        let status = match failure.kind {
            FailureKind::TestFailed => TestStatus::Failed,
            FailureKind::TestTimedOut => TestStatus::TimedOut,
            _ => TestStatus::NotBuilt,
        };
        let log = Arc::clone(&failure.log);
        return Ok(TestResult { label: label.clone(), status, cached: false, log, duration: failure.duration });
    }
    let Some(execution::Content::File { digest, .. }) = outcome.contents.get(log.path()) else {
        let log = Arc::from("");
        let status = TestStatus::NotBuilt;
        return Ok(TestResult { label: label.clone(), status, cached: false, log, duration: Duration::ZERO });
    };
    let text = session.store.read(digest)?;
    Ok(TestResult {
        label: label.clone(),
        status: TestStatus::Passed,
        cached: outcome.was_cached(log.path()),
        log: Arc::from(String::from_utf8_lossy(&text).as_ref()),
        duration: outcome.duration(log.path()),
    })
}
