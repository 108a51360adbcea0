//! The actions that run tests: arguments, environment, limits, and what a test leaves behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Action, ActionKind, Artifact, ConfiguredTarget, Data, Label, Limits, Network, RelPath, Resources, Spawn};

use super::runtime_inputs;
use crate::error::{Error, ErrorKind};
use crate::plan::Plan;
use crate::session::Session;

/// The working folder of actions.
const WORK: &str = "/work";

/// The name of a test's own report in the folder of its results.
pub(super) const XML: &str = "test.xml";

/// What a test makes, below a folder of its own.
#[derive(Debug)]
pub(crate) struct TestFiles {
    /// What it wrote to standard output and standard error.
    pub(super) log: Artifact,
    /// A folder with its own report, if it wrote one.
    pub(super) results: Artifact,
    /// Files that it wrote for people.
    pub(super) outputs: Artifact,
}

impl TestFiles {
    fn of(configuration: &str, label: &Label) -> Self {
        let artifact = |name: &str, folder: bool| {
            let path = RelPath::new(&format!("out/{configuration}/testlogs/{}/{name}", label.exec_path()));
            let path = path.expect("a label's path and a configuration's folder are relative paths");
            Artifact::output(path, folder, label)
        };
        Self {
            log: artifact("test.log", false),
            results: artifact("test.results", true),
            outputs: artifact("test.outputs", true),
        }
    }

    pub(super) fn all(&self) -> [&Artifact; 3] {
        [&self.log, &self.results, &self.outputs]
    }
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

    /// The action that runs a test, and what it makes.
    pub(super) fn action(&self, target: &ConfiguredTarget) -> Result<(Action, TestFiles), Error> {
        let label = target.label();
        let info = target.default_info();
        let Some(executable) = info.executable.clone() else {
            let message = format!("the test {label} has no executable");
            return Err(Error::new(ErrorKind::Build, message));
        };
        let attributes = &self.plan.attributes_of(&target.key).unwrap_or_default();
        let files = TestFiles::of(&self.session.configuration.folder(), label);
        let inputs = runtime_inputs(&info, &executable, self.shell.as_ref());
        let timeout = self.timeout(attributes);
        let spawn = Spawn {
            executable_outputs: false,
            expansions: Vec::new(),
            argv: self.arguments(attributes, &executable),
            env: self.environment(attributes, label, &executable, &files),
            root: self.shell.clone(),
            needs_shell: false,
            network: self.network,
            stdin: None,
            stdout: Some(files.log.clone()),
            timeout: Some(timeout),
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
            outputs: files.all().into_iter().cloned().collect(),
            kind: ActionKind::Spawn(spawn),
        };
        Ok((action, files))
    }

    fn arguments(&self, attributes: &Attributes, executable: &Artifact) -> Vec<String> {
        let mut argv = vec![executable.path().to_string()];
        argv.extend(texts(attributes, "args"));
        argv.extend(self.session.options.test.arguments.iter().cloned());
        argv
    }

    /// The variables of Bazel's test encyclopedia, as far as they have a meaning here.
    fn environment(
        &self,
        attributes: &Attributes,
        label: &Label,
        executable: &Artifact,
        files: &TestFiles,
    ) -> BTreeMap<String, String> {
        let options = &self.session.options.test;
        let inside = |path: &str| format!("{WORK}/{path}");
        let results = inside(files.results.path().as_str());
        let size = attributes.get("size").and_then(Data::as_str).unwrap_or_default();
        let mut env: BTreeMap<String, String> = [
            ("RUNFILES_DIR", WORK.to_owned()),
            ("TEST_SRCDIR", WORK.to_owned()),
            // Sources lie at their paths below TEST_SRCDIR, without the name of the workspace before them.
            ("TEST_WORKSPACE", ".".to_owned()),
            ("TEST_TARGET", label.to_string()),
            ("TEST_BINARY", executable.path().to_string()),
            ("TEST_SIZE", if size.is_empty() { "medium" } else { size }.to_owned()),
            ("TEST_TIMEOUT", self.timeout(attributes).to_string()),
            ("TEST_TMPDIR", "/tmp".to_owned()),
            ("XML_OUTPUT_FILE", format!("{results}/{XML}")),
            ("TEST_PREMATURE_EXIT_FILE", format!("{results}/ended_early")),
            ("TEST_UNDECLARED_OUTPUTS_DIR", inside(files.outputs.path().as_str())),
            ("BAZEL_TEST", "1".to_owned()),
            ("USER", "user".to_owned()),
            ("LOGNAME", "user".to_owned()),
            ("PATH", "/bin".to_owned()),
            ("HOME", "/tmp".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
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
