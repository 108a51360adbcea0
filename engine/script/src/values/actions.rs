//! `ctx.actions`: declares outputs and what makes them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::{Action, ActionKind, Artifact, ArtifactRoot, Data, Depset, Network, Spawn};
use starlark::environment::{Methods, MethodsBuilder};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::{NoSerialize, StarlarkValue, UnpackValue, Value, starlark_value};

use super::args::{ArgsValue, word};
use super::context::{ContextData, Output};
use super::{DepsetValue, FileValue, TargetValue, to_data};
use crate::diagnose;
use crate::problem::{Problem, fail};
use crate::session::session;

wrapper! {
    /// `ctx.actions`.
    #[derive(NoSerialize)]
    ActionsValue(Arc<ContextData>)
}

impl fmt::Display for ActionsValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<actions of {}>", self.0.label())
    }
}

starlark::methods_static!(ACTIONS_METHODS = actions_methods);

#[starlark_value(type = "actions")]
impl<'v> StarlarkValue<'v> for ActionsValue {
    fn get_methods() -> Option<&'static Methods> {
        Some(ACTIONS_METHODS.methods())
    }
}

/// The files that a value stands for: a file, a depset of files, or a list of them.
pub(crate) fn files_of(value: Value<'_>, what: &str) -> starlark::Result<(Vec<Data>, Vec<Arc<Depset>>)> {
    if let Some(file) = FileValue::from_value(value) {
        return Ok((vec![Data::File(file.0.clone())], Vec::new()));
    }
    if let Some(set) = DepsetValue::from_value(value) {
        if let Some(other) = set.0.direct.iter().find(|data| data.as_file().is_none()) {
            return fail(format!("`{what}` takes files, but the depset holds a {}", other.type_name()));
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
    let problem = Problem::new(format!("`{what}` takes files, but got a {}", value.get_type()));
    Err(match value.get_type() {
        "Target" => problem.hint("take its files: `target[DefaultInfo].files`, or `ctx.files.<attribute>`"),
        "string" => problem.hint("take a File: of `ctx.files.<attribute>`, or of `ctx.actions.declare_file`"),
        _ => problem,
    }
    .into())
}

/// The inputs of an action in the making.
#[derive(Default)]
struct Inputs(Depset);

impl Inputs {
    fn add(&mut self, value: Value<'_>, what: &str) -> starlark::Result<()> {
        let (direct, transitive) = files_of(value, what)?;
        self.0.direct.extend(direct);
        self.0.transitive.extend(transitive.into_iter().filter(|set| !set.is_empty()));
        Ok(())
    }

    fn file(&mut self, file: &Artifact) {
        self.0.direct.push(Data::File(file.clone()));
    }

    /// A tool: its executable with its runfiles, or files.
    fn tool(&mut self, value: Value<'_>, context: &ContextData) -> starlark::Result<()> {
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

    fn finish(mut self) -> Arc<Depset> {
        let mut seen = std::collections::BTreeSet::new();
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

impl ActionsValue {
    fn declare(&self, artifact: Artifact, eval: &Evaluator<'_, '_, '_>) -> starlark::Result<FileValue> {
        let mut state = self.0.state();
        if let Some(other) = state.outputs.get(artifact.path()) {
            let problem = Problem::new(format!("`{}` is declared twice", artifact.short_path()));
            return Err(match &other.location {
                Some(location) => problem.note(format!("it is first declared at {location}")),
                None => problem.note("the BUILD.star names it as an output").hint("take it from `ctx.outputs`"),
            }
            .into());
        }
        let location = eval.call_stack_top_location().map(|span| diagnose::location(&span));
        let path = artifact.path().clone();
        state.outputs.insert(path, Output { artifact: artifact.clone(), location, writer: None });
        Ok(FileValue(artifact))
    }

    fn named(&self, name: &str, sibling: Option<&FileValue>, tree: bool) -> Result<Artifact, Problem> {
        let Some(sibling) = sibling else { return self.0.output(name, tree) };
        let package = self.0.label().package().exec_path();
        let outside = || Problem::new(format!("`sibling` {} is not in this package", sibling.0.path()));
        let short = model::RelPath::new(sibling.0.short_path()).map_err(|_| outside())?;
        let folder = short.strip_prefix(&package).and_then(|path| path.parent()).ok_or_else(outside)?;
        let path = folder.join(name).map_err(|error| Problem::new(error.to_string()))?;
        self.0.output(path.as_str(), tree)
    }

    fn register(&self, mnemonic: &str, progress: &str, inputs: Inputs, outputs: Vec<Artifact>, kind: ActionKind) -> starlark::Result<()> {
        let mnemonic: Arc<str> = Arc::from(mnemonic);
        if outputs.is_empty() {
            return fail(format!("the action {mnemonic} has no outputs, so it could never run"));
        }
        let mut state = self.0.state();
        for output in &outputs {
            let Some(declared) = state.outputs.get_mut(output.path()) else {
                let problem = Problem::new(format!("`{}` is not an output of this target", output.path()));
                return Err(match output.root() {
                    ArtifactRoot::Source => problem.note("it is a source file"),
                    ArtifactRoot::Output => problem.note(format!("it is an output of {}", output.owner())),
                }
                .hint("an action writes what `ctx.actions.declare_file` gave, or `ctx.outputs`")
                .into());
            };
            if let Some(writer) = &declared.writer {
                let problem = Problem::new(format!("two actions write `{}`", output.short_path()));
                return Err(problem.note(format!("the first is {writer}, this one is {mnemonic}")).into());
            }
            declared.writer = Some(Arc::clone(&mnemonic));
        }
        let inputs = inputs.finish();
        let owner = self.0.owner.clone();
        state.actions.push(Action { owner, mnemonic, progress: Arc::from(progress), inputs, outputs, kind });
        Ok(())
    }

    /// A copy: of a file to a file, or of a tree to a tree.
    fn copy_of(&self, output: &FileValue, source: &FileValue, mnemonic: &str) -> starlark::Result<()> {
        let name = |tree| if tree { "a directory" } else { "a file" };
        if output.0.is_tree() != source.0.is_tree() {
            let (to, from) = (name(output.0.is_tree()), name(source.0.is_tree()));
            return fail(format!("the output is {to}, but `{}` is {from}", source.0.path()));
        }
        let mut inputs = Inputs::default();
        inputs.file(&source.0);
        self.register(mnemonic, "", inputs, vec![output.0.clone()], ActionKind::Copy { source: source.0.clone() })
    }
}

fn outputs(files: UnpackListOrTuple<&FileValue>) -> Vec<Artifact> {
    files.items.into_iter().map(|file| file.0.clone()).collect()
}

fn words(arguments: &[Value<'_>]) -> starlark::Result<Vec<String>> {
    let mut words = Vec::new();
    for value in arguments {
        match ArgsValue::from_value(*value) {
            Some(args) => words.extend(args.words().iter().cloned()),
            None => words.push(word(*value)?),
        }
    }
    Ok(words)
}

fn environment(env: Option<&DictRef<'_>>) -> starlark::Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    for (name, value) in env.into_iter().flat_map(|env| env.iter()) {
        let Some(name) = name.unpack_str() else { return fail("the names in `env` are strings") };
        if name.is_empty() || name.contains(['=', '\0']) {
            return fail(format!("{name:?} cannot name an environment variable"));
        }
        let value = word(value).map_err(|error| Problem::new(format!("`env[{name:?}]`: {}", error.without_diagnostic())))?;
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

/// What `run` and `run_shell` share.
struct Process<'v> {
    inputs: Option<Value<'v>>,
    tools: Option<Value<'v>>,
    outputs: Vec<Artifact>,
    env: Option<DictRef<'v>>,
    root: Option<&'v FileValue>,
    stdin: Option<&'v FileValue>,
    stdout: Option<&'v FileValue>,
    network: bool,
    timeout: Option<i32>,
}

impl Process<'_> {
    fn inputs(&self, context: &ContextData) -> starlark::Result<Inputs> {
        let mut inputs = Inputs::default();
        if let Some(value) = self.inputs {
            inputs.add(value, "inputs")?;
        }
        if let Some(value) = self.tools {
            match UnpackListOrTuple::<Value<'_>>::unpack_value(value) {
                Ok(Some(list)) => list.items.into_iter().try_for_each(|tool| inputs.tool(tool, context))?,
                _ => inputs.add(value, "tools")?,
            }
        }
        self.root.iter().chain(&self.stdin).for_each(|file| inputs.file(&file.0));
        Ok(inputs)
    }

    /// All outputs: standard output's file needs not be listed.
    fn all_outputs(&self) -> Vec<Artifact> {
        let mut outputs = self.outputs.clone();
        if let Some(stdout) = self.stdout
            && !outputs.contains(&stdout.0)
        {
            outputs.push(stdout.0.clone());
        }
        outputs
    }

    fn spawn(&self, argv: Vec<String>, needs_shell: bool) -> starlark::Result<ActionKind> {
        if let Some(root) = self.root
            && !root.0.is_tree()
        {
            return fail(format!("`root` takes a directory, but {} is a file", root.0.path()));
        }
        Ok(ActionKind::Spawn(Spawn {
            argv,
            env: environment(self.env.as_ref())?,
            root: self.root.map(|root| root.0.clone()),
            needs_shell: needs_shell && self.root.is_none(),
            network: if self.network { Network::Host } else { Network::Loopback },
            stdin: self.stdin.map(|file| file.0.clone()),
            stdout: self.stdout.map(|file| file.0.clone()),
            timeout: seconds(self.timeout)?,
            test: false,
        }))
    }
}

#[starlark_module]
fn actions_methods(builder: &mut MethodsBuilder) {
    /// An output file of this target.
    fn declare_file<'v>(
        this: &ActionsValue,
        #[starlark(require = pos)] filename: &str,
        #[starlark(require = named, default = NoneOr::None)] sibling: NoneOr<&'v FileValue>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<FileValue> {
        this.declare(this.named(filename, sibling.into_option(), false)?, eval)
    }

    /// An output directory of this target.
    fn declare_directory<'v>(
        this: &ActionsValue,
        #[starlark(require = pos)] filename: &str,
        #[starlark(require = named, default = NoneOr::None)] sibling: NoneOr<&'v FileValue>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<FileValue> {
        this.declare(this.named(filename, sibling.into_option(), true)?, eval)
    }

    /// A command line in the making.
    fn args(this: &ActionsValue) -> starlark::Result<ArgsValue> {
        let _ = this;
        Ok(ArgsValue::new())
    }

    /// Runs a program, without a shell.
    fn run<'v>(
        this: &ActionsValue,
        #[starlark(require = named)] outputs: UnpackListOrTuple<&'v FileValue>,
        #[starlark(require = named)] executable: Value<'v>,
        #[starlark(require = named, default = NoneOr::None)] inputs: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] tools: NoneOr<Value<'v>>,
        #[starlark(require = named, default = UnpackListOrTuple::default())] arguments: UnpackListOrTuple<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] env: NoneOr<DictRef<'v>>,
        #[starlark(require = named, default = NoneOr::None)] mnemonic: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] progress_message: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] root: NoneOr<&'v FileValue>,
        #[starlark(require = named, default = NoneOr::None)] stdin: NoneOr<&'v FileValue>,
        #[starlark(require = named, default = NoneOr::None)] stdout: NoneOr<&'v FileValue>,
        #[starlark(require = named, default = false)] network: bool,
        #[starlark(require = named, default = NoneOr::None)] timeout: NoneOr<i32>,
    ) -> starlark::Result<NoneType> {
        let process = Process {
            inputs: inputs.into_option(),
            tools: tools.into_option(),
            outputs: self::outputs(outputs),
            env: env.into_option(),
            root: root.into_option(),
            stdin: stdin.into_option(),
            stdout: stdout.into_option(),
            network,
            timeout: timeout.into_option(),
        };
        let mut inputs = process.inputs(&this.0)?;
        let mut argv = vec![program(executable, &mut inputs, &this.0)?];
        argv.extend(words(&arguments.items)?);
        let kind = process.spawn(argv, false)?;
        let mnemonic = mnemonic.into_option().unwrap_or("Action");
        let progress = progress_message.into_option().unwrap_or("");
        this.register(mnemonic, progress, inputs, process.all_outputs(), kind)?;
        Ok(NoneType)
    }

    /// Runs a command in the exec platform's shell. `$1`, `$2`, ... are the arguments.
    fn run_shell<'v>(
        this: &ActionsValue,
        #[starlark(require = named)] outputs: UnpackListOrTuple<&'v FileValue>,
        #[starlark(require = named)] command: &str,
        #[starlark(require = named, default = NoneOr::None)] inputs: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] tools: NoneOr<Value<'v>>,
        #[starlark(require = named, default = UnpackListOrTuple::default())] arguments: UnpackListOrTuple<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] env: NoneOr<DictRef<'v>>,
        #[starlark(require = named, default = NoneOr::None)] mnemonic: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] progress_message: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] root: NoneOr<&'v FileValue>,
        #[starlark(require = named, default = NoneOr::None)] stdin: NoneOr<&'v FileValue>,
        #[starlark(require = named, default = NoneOr::None)] stdout: NoneOr<&'v FileValue>,
        #[starlark(require = named, default = false)] network: bool,
        #[starlark(require = named, default = NoneOr::None)] timeout: NoneOr<i32>,
    ) -> starlark::Result<NoneType> {
        let process = Process {
            inputs: inputs.into_option(),
            tools: tools.into_option(),
            outputs: self::outputs(outputs),
            env: env.into_option(),
            root: root.into_option(),
            stdin: stdin.into_option(),
            stdout: stdout.into_option(),
            network,
            timeout: timeout.into_option(),
        };
        let inputs = process.inputs(&this.0)?;
        let mut argv: Vec<String> = ["/bin/sh", "-c", command, "sh"].map(str::to_owned).to_vec();
        argv.extend(words(&arguments.items)?);
        let kind = process.spawn(argv, true)?;
        let mnemonic = mnemonic.into_option().unwrap_or("Shell");
        let progress = progress_message.into_option().unwrap_or("");
        this.register(mnemonic, progress, inputs, process.all_outputs(), kind)?;
        Ok(NoneType)
    }

    /// Writes a text. A command line is written one argument a line.
    fn write<'v>(
        this: &ActionsValue,
        output: &'v FileValue,
        content: Value<'v>,
        #[starlark(default = false)] is_executable: bool,
        #[starlark(require = named, default = NoneOr::None)] mnemonic: NoneOr<&str>,
    ) -> starlark::Result<NoneType> {
        if output.0.is_tree() {
            return fail(format!("`write` makes a file, but {} is declared as a directory", output.0.short_path()));
        }
        let content = match (content.unpack_str(), ArgsValue::from_value(content)) {
            (Some(text), _) => text.to_owned(),
            (None, Some(args)) => args.words().iter().map(|word| format!("{word}\n")).collect(),
            (None, None) => return fail(format!("`content` takes a string or Args, but got a {}", content.get_type())),
        };
        let kind = ActionKind::Write { content: Arc::from(content), executable: is_executable };
        let mnemonic = mnemonic.into_option().unwrap_or("Write");
        this.register(mnemonic, "", Inputs::default(), vec![output.0.clone()], kind)?;
        Ok(NoneType)
    }

    /// Writes a text in which keys are replaced by their values.
    fn expand_template<'v>(
        this: &ActionsValue,
        #[starlark(require = named)] output: &'v FileValue,
        #[starlark(require = named)] content: &str,
        #[starlark(require = named)] substitutions: DictRef<'v>,
        #[starlark(require = named, default = false)] is_executable: bool,
    ) -> starlark::Result<NoneType> {
        let mut text = content.to_owned();
        for (key, value) in substitutions.iter() {
            let (Some(key), Some(value)) = (key.unpack_str(), value.unpack_str()) else {
                return fail("`substitutions` takes a dict of strings to strings");
            };
            text = text.replace(key, value);
        }
        let kind = ActionKind::Write { content: Arc::from(text), executable: is_executable };
        this.register("ExpandTemplate", "", Inputs::default(), vec![output.0.clone()], kind)?;
        Ok(NoneType)
    }

    /// Makes the output equal to a file or a directory.
    fn copy<'v>(
        this: &ActionsValue,
        #[starlark(require = named)] output: &'v FileValue,
        #[starlark(require = named)] source: &'v FileValue,
    ) -> starlark::Result<NoneType> {
        this.copy_of(output, source, "Copy")?;
        Ok(NoneType)
    }

    /// As `copy`: outputs are content.
    fn symlink<'v>(
        this: &ActionsValue,
        #[starlark(require = named)] output: &'v FileValue,
        #[starlark(require = named)] target_file: &'v FileValue,
        #[starlark(require = named, default = false)] is_executable: bool,
        #[starlark(require = named, default = NoneOr::None)] progress_message: NoneOr<&str>,
    ) -> starlark::Result<NoneType> {
        let _ = (is_executable, progress_message);
        this.copy_of(output, target_file, "Symlink")?;
        Ok(NoneType)
    }

    /// Composes a directory of files and directories; the path of a directory may be empty to merge it at the root.
    fn tree<'v>(
        this: &ActionsValue,
        #[starlark(require = named)] output: &'v FileValue,
        #[starlark(require = named)] entries: DictRef<'v>,
        #[starlark(require = named, default = NoneOr::None)] mnemonic: NoneOr<&str>,
    ) -> starlark::Result<NoneType> {
        if !output.0.is_tree() {
            return Err(Problem::new(format!("{} is declared as a file", output.0.short_path()))
                .hint("declare it with `ctx.actions.declare_directory`")
                .into());
        }
        let mut inputs = Inputs::default();
        let mut placed = Vec::new();
        for (path, file) in entries.iter() {
            let (Some(path), Some(file)) = (path.unpack_str(), FileValue::from_value(file)) else {
                return fail("`entries` takes a dict of paths to files");
            };
            if let Err(error) = model::RelPath::new(path) {
                return fail(format!("`entries`: {error}"));
            }
            if path.is_empty() && !file.0.is_tree() {
                return fail(format!("`entries`: the file {} needs a path", file.0.path()));
            }
            inputs.file(&file.0);
            placed.push((path.to_owned(), file.0.clone()));
        }
        let kind = ActionKind::Tree { entries: placed };
        this.register(mnemonic.into_option().unwrap_or("Tree"), "", inputs, vec![output.0.clone()], kind)?;
        Ok(NoneType)
    }

    /// Runs a function of the engine. Only the engine's own rules may.
    fn builtin<'v>(
        this: &ActionsValue,
        #[starlark(require = pos)] name: &str,
        #[starlark(require = named)] outputs: UnpackListOrTuple<&'v FileValue>,
        #[starlark(require = named, default = NoneOr::None)] inputs: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] params: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] mnemonic: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] progress_message: NoneOr<&str>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let session = session(eval)?;
        if session.file.repository() != "rules" {
            return fail(format!("`ctx.actions.builtin` is for @rules only; {} cannot call it", session.file));
        }
        let mut all = Inputs::default();
        if let Some(value) = inputs.into_option() {
            all.add(value, "inputs")?;
        }
        let params = match params.into_option() {
            None => serde_json::Value::Object(serde_json::Map::new()),
            Some(value) => {
                let data = to_data(value, session).map_err(|reason| Problem::new(format!("`params`: {reason}")))?;
                serde_json::to_value(crate::json::Encoded(&data))
                    .map_err(|error| Problem::new(format!("`params`: {error}")))?
            }
        };
        let kind = ActionKind::Builtin { name: Arc::from(name), params };
        let mnemonic = mnemonic.into_option().map_or_else(|| camel(name), str::to_owned);
        let progress = progress_message.into_option().unwrap_or("");
        this.register(&mnemonic, progress, all, self::outputs(outputs), kind)?;
        Ok(NoneType)
    }
}

/// The program of a process, with what it needs among the inputs.
fn program<'v>(executable: Value<'v>, inputs: &mut Inputs, context: &ContextData) -> starlark::Result<String> {
    if let Some(path) = executable.unpack_str() {
        return Ok(path.to_owned());
    }
    if let Some(file) = FileValue::from_value(executable) {
        inputs.tool(executable, context)?;
        return Ok(file.0.path().to_string());
    }
    let Some(target) = TargetValue::from_value(executable) else {
        return fail(format!("`executable` takes a File, a target or a path, but got a {}", executable.get_type()));
    };
    inputs.tool(executable, context)?;
    match target.0.default_info().executable {
        Some(file) => Ok(file.path().to_string()),
        None => fail(format!("{} is not executable", target.0.label())),
    }
}

/// `oci_layer` as a mnemonic: `OciLayer`.
fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
    };
    name.split('_').map(capital).collect()
}
