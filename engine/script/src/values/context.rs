//! `ctx`: what a rule's implementation is given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use model::{
    Action, Artifact, AttributeKind, Configuration, ConfiguredTarget, Data, Depset, Label, Platform, RelPath,
    RuleSchema, TargetKey,
};
use starlark::codemap::FileSpan;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::starlark_module;
use starlark::values::dict::AllocDict;
use starlark::values::list::AllocList;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::NoneOr;
use starlark::values::structs::AllocStruct;
use starlark::values::{Heap, NoSerialize, StarlarkValue, Value, starlark_value};

use super::actions::ActionsValue;
use super::process::files_of;
use super::{DepsetValue, FileValue, LabelValue, RunfilesValue, TargetValue, from_data};
use crate::problem::{Problem, fail};

/// What one analysis works on.
#[derive(Debug)]
pub(crate) struct ContextData {
    pub owner: TargetKey,
    pub configuration: Arc<Configuration>,
    pub exec_platform: Platform,
    pub schema: Arc<RuleSchema>,
    pub attributes: BTreeMap<Arc<str>, Data>,
    pub dependencies: BTreeMap<(Arc<str>, Label), Arc<ConfiguredTarget>>,
    /// `out/<configuration>`.
    pub bin_dir: RelPath,
    /// Outputs and actions so far.
    pub state: Mutex<ActionState>,
}

/// An output that was declared.
#[derive(Debug)]
pub(crate) struct Output {
    pub artifact: Artifact,
    /// Where; `None` for one that the BUILD.star names.
    pub declared: Option<FileSpan>,
    /// The mnemonic of the action that writes it.
    pub writer: Option<Arc<str>>,
}

/// The outputs and actions of one analysis.
#[derive(Debug, Default)]
pub(crate) struct ActionState {
    pub outputs: BTreeMap<RelPath, Output>,
    pub actions: Vec<Action>,
}

impl ContextData {
    pub fn label(&self) -> &Label {
        &self.owner.label
    }

    pub fn state(&self) -> MutexGuard<'_, ActionState> {
        // An evaluation runs on one thread, and a panic in it ends it; the state is never seen half done.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The artifact that an output named `name` of this target is.
    pub fn output(&self, name: &str, tree: bool) -> Result<Artifact, Problem> {
        let package = self.label().package().exec_path();
        let path = self.bin_dir.join(&package).and_then(|folder| folder.join(name));
        let path = path.map_err(|error| {
            Problem::new(format!("`{name}` cannot name an output: {}", error.reason))
                .note("outputs lie in the folder of their package")
        })?;
        if name.is_empty() {
            return Err(Problem::new("an output needs a name"));
        }
        Ok(Artifact::output(path, tree, self.label()))
    }

    /// The dependencies of an attribute, in order.
    pub fn targets(&self, attribute: &str) -> Vec<&Arc<ConfiguredTarget>> {
        let mut labels = Vec::new();
        if let Some(data) = self.attributes.get(attribute) {
            data.for_each_label(&mut |label| labels.push(label.clone()));
        }
        let name: Arc<str> = Arc::from(attribute);
        labels.into_iter().filter_map(|label| self.dependencies.get(&(Arc::clone(&name), label))).collect()
    }

    fn files(&self, attribute: &str) -> Vec<Data> {
        let mut set = Depset::default();
        set.transitive.extend(self.targets(attribute).iter().map(|target| target.default_info().files));
        set.to_list()
    }
}

wrapper! {
    /// The context.
    #[derive(NoSerialize)]
    ContextValue(Arc<ContextData>)
}

impl fmt::Display for ContextValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<context of {}>", self.0.label())
    }
}

starlark::methods_static!(CONTEXT_METHODS = context_methods);

#[starlark_value(type = "ctx")]
impl<'v> StarlarkValue<'v> for ContextValue {
    fn get_methods() -> Option<&'static Methods> {
        Some(CONTEXT_METHODS.methods())
    }
}

/// The ways to look at attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Attr,
    Files,
    File,
    Executable,
    Outputs,
}

wrapper! {
    /// `ctx.attr`, `ctx.files`, ...
    #[derive(NoSerialize)]
    AttributesValue((Arc<ContextData>, View))
}

impl fmt::Display for AttributesValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{:?} of {}>", self.0.1, self.0.0.label())
    }
}

#[starlark_value(type = "attributes")]
impl<'v> StarlarkValue<'v> for AttributesValue {
    fn get_attr(&self, name: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        let (context, view) = &self.0;
        if name == "name" && *view == View::Attr {
            return Some(heap.alloc(context.label().name()));
        }
        if !shows(*view, context.schema.attributes.get(name)?) {
            return None;
        }
        Some(match view {
            View::Attr => attribute(context, name, heap),
            View::Files => heap.alloc(AllocList(context.files(name).iter().map(|file| from_data(file, heap)))),
            View::File => context.files(name).first().map_or(Value::new_none(), |file| from_data(file, heap)),
            View::Executable => {
                let executable = context.targets(name).first().and_then(|target| target.default_info().executable);
                executable.map_or(Value::new_none(), |file| heap.alloc(FileValue(file)))
            }
            View::Outputs => outputs(context, name, heap),
        })
    }

    fn dir_attr(&self) -> Vec<String> {
        let (context, view) = &self.0;
        let shown = context.schema.attributes.iter().filter(|(_, schema)| shows(*view, schema));
        let name = (*view == View::Attr).then(|| "name".to_owned());
        shown.map(|(name, _)| name.to_string()).chain(name).collect()
    }
}

fn shows(view: View, schema: &model::AttributeSchema) -> bool {
    match view {
        View::Attr => true,
        View::Files => schema.kind.is_label(),
        View::File => schema.kind.is_label() && schema.files.single,
        View::Executable => schema.kind == AttributeKind::Label && schema.executable,
        View::Outputs => matches!(schema.kind, AttributeKind::Output | AttributeKind::OutputList),
    }
}

/// An attribute's value with labels replaced by the targets they name, and outputs by their labels.
fn attribute<'v>(context: &ContextData, name: &str, heap: Heap<'v>) -> Value<'v> {
    let Some(data) = context.attributes.get(name) else { return Value::new_none() };
    let kind = context.schema.attributes.get(name).map(|schema| schema.kind);
    match kind {
        Some(kind) if kind.is_label() => with_targets(context, &Arc::from(name), data, heap),
        Some(AttributeKind::Output | AttributeKind::OutputList) => with_labels(context, data, heap),
        _ => from_data(data, heap),
    }
}

fn with_targets<'v>(context: &ContextData, name: &Arc<str>, data: &Data, heap: Heap<'v>) -> Value<'v> {
    let inner = |data: &Data| with_targets(context, name, data, heap);
    match data {
        Data::Label(label) => match context.dependencies.get(&(Arc::clone(name), label.clone())) {
            Some(target) => heap.alloc(TargetValue(Arc::clone(target))),
            None => Value::new_none(),
        },
        Data::List(list) => heap.alloc(AllocList(list.iter().map(inner))),
        Data::Dict(pairs) => {
            heap.alloc(AllocDict(pairs.iter().map(|(key, value)| (inner(key), inner(value))).collect::<Vec<_>>()))
        }
        other => from_data(other, heap),
    }
}

fn with_labels<'v>(context: &ContextData, data: &Data, heap: Heap<'v>) -> Value<'v> {
    match data {
        Data::Str(name) => match context.label().sibling(name) {
            Ok(label) => heap.alloc(LabelValue(label)),
            Err(_) => Value::new_none(),
        },
        Data::List(list) => heap.alloc(AllocList(list.iter().map(|data| with_labels(context, data, heap)))),
        other => from_data(other, heap),
    }
}

fn outputs<'v>(context: &ContextData, name: &str, heap: Heap<'v>) -> Value<'v> {
    let file = |data: &Data| -> Value<'v> {
        let artifact = data.as_str().and_then(|name| context.output(name, false).ok());
        artifact.map_or(Value::new_none(), |artifact| heap.alloc(FileValue(artifact)))
    };
    match context.attributes.get(name) {
        Some(Data::List(list)) => heap.alloc(AllocList(list.iter().map(file))),
        Some(data) => file(data),
        None => Value::new_none(),
    }
}

fn platform<'v>(platform: &Platform, heap: Heap<'v>) -> Value<'v> {
    heap.alloc(AllocStruct([("os", &*platform.os), ("arch", &*platform.arch)]))
}

#[starlark_module]
fn context_methods(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn label(this: &ContextValue) -> starlark::Result<LabelValue> {
        Ok(LabelValue(this.0.label().clone()))
    }

    #[starlark(attribute)]
    fn attr(this: &ContextValue) -> starlark::Result<AttributesValue> {
        Ok(AttributesValue((Arc::clone(&this.0), View::Attr)))
    }

    #[starlark(attribute)]
    fn files(this: &ContextValue) -> starlark::Result<AttributesValue> {
        Ok(AttributesValue((Arc::clone(&this.0), View::Files)))
    }

    #[starlark(attribute)]
    fn file(this: &ContextValue) -> starlark::Result<AttributesValue> {
        Ok(AttributesValue((Arc::clone(&this.0), View::File)))
    }

    #[starlark(attribute)]
    fn executable(this: &ContextValue) -> starlark::Result<AttributesValue> {
        Ok(AttributesValue((Arc::clone(&this.0), View::Executable)))
    }

    #[starlark(attribute)]
    fn outputs(this: &ContextValue) -> starlark::Result<AttributesValue> {
        Ok(AttributesValue((Arc::clone(&this.0), View::Outputs)))
    }

    #[starlark(attribute)]
    fn actions(this: &ContextValue) -> starlark::Result<ActionsValue> {
        Ok(ActionsValue(Arc::clone(&this.0)))
    }

    #[starlark(attribute)]
    fn platform<'v>(this: &ContextValue, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(self::platform(&this.0.configuration.platform, heap))
    }

    #[starlark(attribute)]
    fn exec_platform<'v>(this: &ContextValue, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(self::platform(&this.0.exec_platform, heap))
    }

    #[starlark(attribute)]
    fn compilation_mode<'v>(this: &'v ContextValue) -> starlark::Result<&'v str> {
        Ok(&this.0.configuration.compilation_mode)
    }

    /// The `--define`s, and `COMPILATION_MODE`, `BINDIR`, `GENDIR` and `TARGET_CPU`, with Bazel's names of processors.
    #[starlark(attribute)]
    fn var<'v>(this: &ContextValue, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        let mut var: BTreeMap<&str, &str> =
            this.0.configuration.defines.iter().map(|(name, value)| (&**name, &**value)).collect();
        var.insert("COMPILATION_MODE", &this.0.configuration.compilation_mode);
        var.insert("BINDIR", this.0.bin_dir.as_str());
        var.insert("GENDIR", this.0.bin_dir.as_str());
        let arch = &*this.0.configuration.platform.arch;
        var.insert(
            "TARGET_CPU",
            match arch {
                "amd64" => "k8",
                "arm64" => "aarch64",
                other => other,
            },
        );
        Ok(heap.alloc(AllocDict(var)))
    }

    #[starlark(attribute)]
    fn bin_dir<'v>(this: &ContextValue, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(heap.alloc(AllocStruct([("path", this.0.bin_dir.as_str())])))
    }

    #[starlark(attribute)]
    fn build_file_path(this: &ContextValue) -> starlark::Result<String> {
        let package = this.0.label().package().exec_path();
        Ok(if package.is_empty() { "BUILD.star".to_owned() } else { format!("{package}/BUILD.star") })
    }

    #[starlark(attribute)]
    fn workspace_name(this: &ContextValue) -> starlark::Result<String> {
        let repository = this.0.label().repository();
        Ok(if repository.is_empty() { "_main".to_owned() } else { repository.to_owned() })
    }

    fn runfiles<'v>(
        this: &ContextValue,
        #[starlark(default = UnpackListOrTuple::default())] files: UnpackListOrTuple<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] transitive_files: NoneOr<&'v DepsetValue>,
    ) -> starlark::Result<RunfilesValue> {
        let _ = this;
        let mut set = Depset::default();
        for value in files.items {
            let (direct, transitive) = files_of(value, "files")?;
            set.direct.extend(direct);
            set.transitive.extend(transitive);
        }
        set.transitive.extend(transitive_files.into_option().map(|files| Arc::clone(&files.0)));
        Ok(RunfilesValue(Arc::new(set)))
    }

    /// Replaces `$(location x)` and its kin by the paths of the files of dependencies.
    fn expand_location<'v>(
        this: &ContextValue,
        #[starlark(require = pos)] input: &str,
        #[starlark(default = UnpackListOrTuple::default())] targets: UnpackListOrTuple<&'v TargetValue>,
    ) -> starlark::Result<String> {
        let mut known: Vec<&Arc<ConfiguredTarget>> = targets.items.iter().map(|target| &target.0).collect();
        known.extend(this.0.dependencies.values());
        expand(input, &this.0, &known)
    }
}

fn expand(input: &str, context: &ContextData, known: &[&Arc<ConfiguredTarget>]) -> starlark::Result<String> {
    let mut out = String::new();
    let mut rest = input;
    while let Some(at) = rest.find("$(") {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find(')') else { break };
        let inside = &rest[at + 2..at + end];
        match inside.split_once(' ') {
            Some((function, label))
                if function.ends_with("location")
                    || function.ends_with("locations")
                    || function.ends_with("path")
                    || function.ends_with("paths") =>
            {
                out.push_str(&location(function, label.trim(), context, known)?);
            }
            _ => out.push_str(&rest[at..=at + end]),
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn location(
    function: &str,
    label: &str,
    context: &ContextData,
    known: &[&Arc<ConfiguredTarget>],
) -> starlark::Result<String> {
    let wanted = Label::parse(label, context.label().package()).map_err(|error| Problem::new(error.to_string()))?;
    // An alias is found by the label that the attribute names.
    let named = context.dependencies.iter().find(|((_, label), _)| *label == wanted).map(|(_, target)| target);
    if *wanted.package() == *context.label().package()
        && let Some(output) = context.output(wanted.name(), false).ok()
        && context.state().outputs.get(output.path()).is_some_and(|output| output.declared.is_none())
    {
        return Ok(output.callable_path());
    }
    let Some(target) = known.iter().find(|target| *target.label() == wanted).copied().or(named) else {
        return Err(Problem::new(format!("`$({function} {label})`: {wanted} is not a dependency of this target"))
            .hint("add it to an attribute such as `srcs`, `deps` or `tools`")
            .into());
    };
    let info = target.default_info();
    let files = match &info.executable {
        Some(executable) if !function.ends_with('s') => vec![executable.clone()],
        _ => info.files.to_list().iter().filter_map(Data::as_file).cloned().collect(),
    };
    if !function.ends_with('s') && files.len() != 1 {
        return fail(format!(
            "`$({function} {label})`: {wanted} has {} files; write `$({function}s ...)`",
            files.len()
        ));
    }
    let path = |file: &Artifact| match function {
        "rootpath" | "rootpaths" if !file.short_path().contains('/') => format!("./{}", file.short_path()),
        "rootpath" | "rootpaths" => file.short_path().to_owned(),
        _ => file.callable_path(),
    };
    Ok(files.iter().map(path).collect::<Vec<_>>().join(" "))
}
