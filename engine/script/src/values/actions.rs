//! `ctx.actions`: declares outputs and what makes them.

#![allow(clippy::too_many_arguments, reason = "a function's parameters are those of its Starlark signature")]

use std::fmt;
use std::sync::Arc;

use model::{Action, ActionKind, Artifact, ArtifactRoot};
use starlark::environment::{Methods, MethodsBuilder};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::DictRef;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::{NoSerialize, StarlarkValue, Value, starlark_value};

use super::args::{ArgsValue, Arguments};
use super::context::{ContextData, Output};
use super::process::{Inputs, Process, command_line, program};
use super::{FileValue, persistent, to_data};
use crate::diagnose;
use crate::problem::{Problem, a, fail};
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

impl ActionsValue {
    fn declare(&self, artifact: Artifact, eval: &Evaluator<'_, '_, '_>) -> starlark::Result<FileValue> {
        let mut state = self.0.state();
        if let Some(other) = state.outputs.get(artifact.path()) {
            let problem = Problem::new(format!("`{}` is declared twice", artifact.short_path()));
            return Err(match &other.declared {
                Some(span) => problem.note(format!("it is first declared at {}", diagnose::location(span))),
                None => problem.note("the BUILD.star names it as an output").hint("take it from `ctx.outputs`"),
            }
            .into());
        }
        let declared = eval.call_stack_top_location();
        let path = artifact.path().clone();
        state.outputs.insert(path, Output { artifact: artifact.clone(), declared, writer: None });
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

    fn register(
        &self,
        mnemonic: &str,
        progress: &str,
        inputs: Inputs,
        outputs: Vec<Artifact>,
        kind: ActionKind,
    ) -> starlark::Result<()> {
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
        #[starlark(require = named, default = NoneOr::None)] resources: NoneOr<DictRef<'v>>,
        #[starlark(require = named, default = NoneOr::None)] limits: NoneOr<DictRef<'v>>,
        #[starlark(require = named, default = false)] executable_outputs: bool,
        #[starlark(require = named, default = NoneOr::None)] execution_requirements: NoneOr<DictRef<'v>>,
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
            resources: resources.into_option(),
            limits: limits.into_option(),
            executable_outputs,
        };
        let mut inputs = process.inputs(&this.0)?;
        let program = program(executable, &mut inputs, &this.0)?;
        let needs_shell = process.has_script(executable, &this.0);
        let mut kind = process.spawn(command_line(vec![program], &arguments.items)?, needs_shell)?;
        if let (Some(requirements), ActionKind::Spawn(spawn)) = (execution_requirements.into_option(), &mut kind)
            && persistent::is_supported(&requirements, &spawn.argv)?
        {
            spawn.worker_tools = Some(process.worker_tools(executable, &this.0)?);
        }
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
        #[starlark(require = named, default = NoneOr::None)] resources: NoneOr<DictRef<'v>>,
        #[starlark(require = named, default = NoneOr::None)] limits: NoneOr<DictRef<'v>>,
        #[starlark(require = named, default = false)] executable_outputs: bool,
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
            resources: resources.into_option(),
            limits: limits.into_option(),
            executable_outputs,
        };
        let inputs = process.inputs(&this.0)?;
        let argv = ["/bin/sh", "-c", command, "sh"].map(str::to_owned).to_vec();
        let kind = process.spawn(command_line(argv, &arguments.items)?, true)?;
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
        let (content, expansions) = match (content.unpack_str(), ArgsValue::from_value(content)) {
            (Some(text), _) => (text.to_owned(), Vec::new()),
            (None, Some(args)) => {
                let mut arguments = Arguments::default();
                arguments.add(args);
                arguments.into_lines()
            }
            (None, None) => {
                return fail(format!("`content` takes a string or Args, but got {}", a(content.get_type())));
            }
        };
        let kind = ActionKind::Write { content: Arc::from(content), expansions, executable: is_executable };
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
        let kind = ActionKind::Write { content: Arc::from(text), expansions: Vec::new(), executable: is_executable };
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

/// `oci_layer` as a mnemonic: `OciLayer`.
fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
    };
    name.split('_').map(capital).collect()
}
