//! Processes that actions run: their inputs, arguments and environment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{ActionKind, Artifact, ArtifactRoot, Data, Depset, Limits, Network, Resources, Spawn};
use starlark::values::dict::DictRef;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::{UnpackValue, Value};

use super::args::{ArgsValue, Arguments, word};
use super::context::ContextData;
use super::{DepsetValue, FileValue, TargetValue};
use crate::problem::{Problem, a, fail};

/// The files that a value stands for: a file, a depset of files, or a list of them.
pub(crate) fn files_of(value: Value<'_>, what: &str) -> starlark::Result<(Vec<Data>, Vec<Arc<Depset>>)> {
    if let Some(file) = FileValue::from_value(value) {
        return Ok((vec![Data::File(file.0.clone())], Vec::new()));
    }
    if let Some(set) = DepsetValue::from_value(value) {
        if let Some(other) = set.0.direct.iter().find(|data| data.as_file().is_none()) {
            return fail(format!("`{what}` takes files, but the depset holds {}", a(other.type_name())));
        }
        return Ok((Vec::new(), vec![Arc::clone(&set.0)]));
    }
    if let Ok(Some(list)) = UnpackListOrTuple::<Value<'_>>::unpack_value(value) {
        let (mut direct, mut transitive) = (Vec::new(), Vec::new());
        for item in list.items {
            let (files, sets) = files_of(item, what)?;
            direct.extend(files);
            transitive.extend(sets);
        }
        return Ok((direct, transitive));
    }
    let problem = Problem::new(format!("`{what}` takes files, but got {}", a(value.get_type())));
    Err(match value.get_type() {
        "Target" => problem.hint("take its files: `target[DefaultInfo].files`, or `ctx.files.<attribute>`"),
        "string" => problem.hint("take a File: of `ctx.files.<attribute>`, or of `ctx.actions.declare_file`"),
        _ => problem,
    }
    .into())
}

/// The inputs of an action in the making.
#[derive(Default)]
pub(crate) struct Inputs(pub Depset);

impl Inputs {
    pub(crate) fn add(&mut self, value: Value<'_>, what: &str) -> starlark::Result<()> {
        let (direct, transitive) = files_of(value, what)?;
        self.0.direct.extend(direct);
        self.0.transitive.extend(transitive.into_iter().filter(|set| !set.is_empty()));
        Ok(())
    }

    pub(crate) fn file(&mut self, file: &Artifact) {
        self.0.direct.push(Data::File(file.clone()));
    }

    /// A tool: its executable with its runfiles, or files.
    pub(crate) fn tool(&mut self, value: Value<'_>, context: &ContextData) -> starlark::Result<()> {
        if let Some(target) = TargetValue::from_value(value) {
            let info = target.0.default_info();
            match &info.executable {
                Some(executable) => self.file(executable),
                None => self.0.transitive.push(info.files),
            }
            self.0.transitive.push(info.runfiles);
            return Ok(());
        }
        if let Some(file) = FileValue::from_value(value) {
            self.file(&file.0);
            self.0.transitive.extend(runfiles_of(&file.0, context));
            return Ok(());
        }
        self.add(value, "tools")
    }

    pub(crate) fn finish(mut self) -> Arc<Depset> {
        let mut seen = BTreeSet::new();
        self.0.direct.retain(|data| seen.insert(data.clone()));
        match self.0.transitive.as_slice() {
            [only] if self.0.direct.is_empty() => Arc::clone(only),
            _ => Arc::new(self.0),
        }
    }
}

/// The runfiles of the dependency whose executable this file is.
fn runfiles_of(file: &Artifact, context: &ContextData) -> Option<Arc<Depset>> {
    let infos = context.dependencies.values().map(|target| target.default_info());
    let mut own = infos.filter(|info| info.executable.as_ref() == Some(file) && !info.runfiles.is_empty());
    own.next().map(|info| info.runfiles)
}

/// A command line that begins with these words.
pub(crate) fn command_line(words: Vec<String>, arguments: &[Value<'_>]) -> starlark::Result<Arguments> {
    let mut all = Arguments { words, expansions: Vec::new() };
    for value in arguments {
        match ArgsValue::from_value(*value) {
            Some(args) => all.add(args),
            None => all.words.push(word(*value)?),
        }
    }
    Ok(all)
}

fn environment(env: Option<&DictRef<'_>>) -> starlark::Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    for (name, value) in env.into_iter().flat_map(|env| env.iter()) {
        let Some(name) = name.unpack_str() else { return fail("the names in `env` are strings") };
        if name.is_empty() || name.contains(['=', '\0']) {
            return fail(format!("{name:?} cannot name an environment variable"));
        }
        let value =
            word(value).map_err(|error| Problem::new(format!("`env[{name:?}]`: {}", error.without_diagnostic())))?;
        environment.insert(name.to_owned(), value);
    }
    Ok(environment)
}

fn seconds(timeout: Option<i32>) -> starlark::Result<Option<u64>> {
    match timeout {
        None => Ok(None),
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Ok(Some(seconds)),
            _ => fail("`timeout` is a number of seconds, at least 1"),
        },
    }
}

/// `{"cpu": 2, "memory": 512}`: processors, and MB of memory.
fn resources(declared: Option<&DictRef<'_>>) -> starlark::Result<Resources> {
    let mut resources = Resources::default();
    for (name, value) in declared.into_iter().flat_map(|declared| declared.iter()) {
        let amount = value.unpack_i32().and_then(|amount| u32::try_from(amount).ok()).filter(|amount| *amount > 0);
        match (name.unpack_str(), amount) {
            (Some("cpu"), Some(amount)) => resources.cpu = amount,
            (Some("memory"), Some(amount)) => resources.memory = u64::from(amount),
            (Some(name @ ("cpu" | "memory")), None) => {
                let what = if name == "cpu" { "processors" } else { "MB" };
                return fail(format!("`resources[{name:?}]` is a number of {what}, at least 1, but got {value}"));
            }
            _ => {
                let problem = Problem::new(format!("{name} is no resource of the machine"));
                return Err(problem.hint("`resources` knows `cpu` (processors) and `memory` (MB)").into());
            }
        }
    }
    Ok(resources)
}

/// `limits` of an action, and the wall-clock limit among them.
fn limits(given: Option<&DictRef<'_>>) -> starlark::Result<(Limits, Option<u64>)> {
    let (mut limits, mut wall_time) = (Limits::default(), None);
    for (name, value) in given.into_iter().flat_map(|given| given.iter()) {
        let name = name.unpack_str().unwrap_or_default();
        let place = match name {
            "memory" => &mut limits.memory,
            "cpu_time" => &mut limits.cpu_time,
            "processes" => &mut limits.processes,
            "wall_time" => &mut wall_time,
            _ => {
                let known = "`memory` (megabytes), `cpu_time` (seconds), `wall_time` (seconds), `processes`";
                return Err(Problem::new(format!("`limits` has no {name:?}")).hint(format!("it takes {known}")).into());
            }
        };
        match value.unpack_i32().and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0) {
            Some(number) => *place = Some(number),
            None => return fail(format!("`limits[{name:?}]` is a number, at least 1")),
        }
    }
    Ok((limits, wall_time))
}

/// What `run` and `run_shell` share.
pub(crate) struct Process<'v> {
    pub inputs: Option<Value<'v>>,
    pub tools: Option<Value<'v>>,
    pub outputs: Vec<Artifact>,
    pub env: Option<DictRef<'v>>,
    pub root: Option<&'v FileValue>,
    pub stdin: Option<&'v FileValue>,
    pub stdout: Option<&'v FileValue>,
    pub network: bool,
    pub timeout: Option<i32>,
    pub resources: Option<DictRef<'v>>,
    pub limits: Option<DictRef<'v>>,
    pub executable_outputs: bool,
}

impl Process<'_> {
    pub(crate) fn inputs(&self, context: &ContextData) -> starlark::Result<Inputs> {
        let mut inputs = Inputs::default();
        if let Some(value) = self.inputs {
            inputs.add(value, "inputs")?;
        }
        self.add_tools(&mut inputs, context)?;
        self.root.iter().chain(&self.stdin).for_each(|file| inputs.file(&file.0));
        Ok(inputs)
    }

    /// Whether the program or a tool may be a script, which runs only where there is a shell.
    pub(crate) fn has_script(&self, program: Value<'_>, context: &ContextData) -> bool {
        let tools = self.tools.and_then(|tools| UnpackListOrTuple::<Value<'_>>::unpack_value(tools).ok().flatten());
        let tools = tools.map(|list| list.items).unwrap_or_default();
        let is_script = |tool: Value<'_>| {
            if let Some(target) = TargetValue::from_value(tool) {
                let info = target.0.default_info();
                return info.script || (info.executable.is_none() && is_source_alone(&info.files));
            }
            let Some(FileValue(file)) = FileValue::from_value(tool) else { return false };
            let infos = context.dependencies.values().map(|target| target.default_info());
            !file.is_tree()
                && (file.root() == ArtifactRoot::Source
                    || infos.into_iter().any(|info| info.script && info.executable.as_ref() == Some(file)))
        };
        is_script(program) || tools.into_iter().any(is_script)
    }

    fn add_tools(&self, inputs: &mut Inputs, context: &ContextData) -> starlark::Result<()> {
        let Some(value) = self.tools else { return Ok(()) };
        match UnpackListOrTuple::<Value<'_>>::unpack_value(value) {
            Ok(Some(list)) => list.items.into_iter().try_for_each(|tool| inputs.tool(tool, context)),
            _ => inputs.add(value, "tools"),
        }
    }

    /// The files of the program and its tools, which a persistent worker has for its whole life.
    pub(crate) fn worker_tools(&self, executable: Value<'_>, context: &ContextData) -> starlark::Result<Vec<Artifact>> {
        let mut tools = Inputs::default();
        self.add_tools(&mut tools, context)?;
        program(executable, &mut tools, context)?;
        Ok(tools.finish().to_list().iter().filter_map(|file| file.as_file().cloned()).collect())
    }

    /// All outputs: standard output's file needs not be listed.
    pub(crate) fn all_outputs(&self) -> Vec<Artifact> {
        let mut outputs = self.outputs.clone();
        if let Some(stdout) = self.stdout
            && !outputs.contains(&stdout.0)
        {
            outputs.push(stdout.0.clone());
        }
        outputs
    }

    pub(crate) fn spawn(&self, arguments: Arguments, needs_shell: bool) -> starlark::Result<ActionKind> {
        if let Some(root) = self.root
            && !root.0.is_tree()
        {
            return fail(format!("`root` takes a directory, but {} is a file", root.0.path()));
        }
        let (limits, wall_time) = limits(self.limits.as_ref())?;
        Ok(ActionKind::Spawn(Spawn {
            argv: arguments.words,
            expansions: arguments.expansions,
            env: environment(self.env.as_ref())?,
            root: self.root.map(|root| root.0.clone()),
            needs_shell: needs_shell && self.root.is_none(),
            network: if self.network { Network::Host } else { Network::Loopback },
            stdin: self.stdin.map(|file| file.0.clone()),
            stdout: self.stdout.map(|file| file.0.clone()),
            timeout: [seconds(self.timeout)?, wall_time].into_iter().flatten().min(),
            limits,
            test: false,
            executable_outputs: self.executable_outputs,
            resources: resources(self.resources.as_ref())?,
            worker_tools: None,
        }))
    }
}

/// A source file as a target is a program that somebody wrote, and so a script.
fn is_source_alone(files: &Depset) -> bool {
    files.transitive.is_empty()
        && matches!(files.direct.as_slice(), [Data::File(file)] if file.root() == ArtifactRoot::Source)
}

/// The program of a process, with what it needs among the inputs.
pub(crate) fn program<'v>(
    executable: Value<'v>,
    inputs: &mut Inputs,
    context: &ContextData,
) -> starlark::Result<String> {
    if let Some(path) = executable.unpack_str() {
        return Ok(path.to_owned());
    }
    if let Some(file) = FileValue::from_value(executable) {
        inputs.tool(executable, context)?;
        return Ok(file.0.callable_path());
    }
    let Some(target) = TargetValue::from_value(executable) else {
        return fail(format!("`executable` takes a File, a target or a path, but got {}", a(executable.get_type())));
    };
    inputs.tool(executable, context)?;
    let info = target.0.default_info();
    match (&info.executable, info.files.direct.as_slice()) {
        (Some(file), _) => Ok(file.callable_path()),
        (None, [Data::File(file)]) if is_source_alone(&info.files) => Ok(file.callable_path()),
        (None, _) => fail(format!("{} is not executable", target.0.label())),
    }
}
