//! What is in scope in each kind of file.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use model::{Configurable, Data, Label, Visibility};
use starlark::environment::{Globals, GlobalsBuilder, LibraryExtension};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::dict::AllocDict;
use starlark::values::list::AllocList;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::{NoneOr, NoneType};
use starlark::values::tuple::UnpackTuple;
use starlark::values::{Heap, StringValue, Value};

use crate::build::BuildState;
use crate::problem::{Problem, fail};
use crate::session::session;
use crate::values::{
    self, ContextValue, FileValue, InstanceValue, LabelValue, NativeValue, RunfilesValue, TargetValue,
};
use crate::{diagnose, json, rule_call, shift, workspace};

/// The functions of BUILD.star that macros reach through `native`.
pub(crate) const PACKAGE_FUNCTIONS: [&str; 10] = [
    "glob",
    "subpackages",
    "package",
    "exports_files",
    "package_name",
    "repository_name",
    "package_relative_label",
    "existing_rule",
    "existing_rules",
    "repo_name",
];

static PACKAGE: LazyLock<Globals> = LazyLock::new(|| GlobalsBuilder::new().with(package_globals).build());

static LIBRARY: LazyLock<Globals> = LazyLock::new(|| {
    common()
        .with(values::rule_globals)
        .with(values::provider_globals)
        .with(values::depset_globals)
        .with(values::label_globals)
        .with(values::select_globals)
        .with(values::attr_module)
        .with(json::json_module)
        .with(types)
        .with(|builder| {
            LibraryExtension::Typing.add(builder);
            LibraryExtension::SetType.add(builder);
            builder.set("DefaultInfo", values::default_info());
            builder.set("native", NativeValue(()));
        })
        .build()
});

static BUILD: LazyLock<Globals> =
    LazyLock::new(|| common().with(values::label_globals).with(values::select_globals).with(package_globals).build());

static WORKSPACE: LazyLock<Globals> = LazyLock::new(|| common().with(workspace::workspace_globals).build());

fn common() -> GlobalsBuilder {
    GlobalsBuilder::extended_by(&[LibraryExtension::StructType]).with(failure).with(ranges).with(shift::globals)
}

/// Globals of .star files.
pub(crate) fn library() -> &'static Globals {
    &LIBRARY
}

/// Globals of BUILD.star, without the prelude's.
pub(crate) fn build() -> &'static Globals {
    &BUILD
}

/// Globals of WORKSPACE.star.
pub(crate) fn workspace() -> &'static Globals {
    &WORKSPACE
}

/// The names of globals.
pub(crate) fn names(globals: &Globals) -> BTreeSet<String> {
    globals.names().map(|name| name.as_str().to_owned()).collect()
}

/// A function of BUILD.star by its name.
pub(crate) fn package_function<'v>(name: &str) -> Option<Value<'v>> {
    // The globals live as long as the process, and so do the values in them.
    PACKAGE.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_value())
}

/// Names for type annotations.
#[starlark_module]
#[starlark_types(
    FileValue as File,
    TargetValue as Target,
    ContextValue as Context,
    RunfilesValue as Runfiles,
    InstanceValue as Provider,
)]
fn types(builder: &mut GlobalsBuilder) {}

#[starlark_module]
fn failure(builder: &mut GlobalsBuilder) {
    /// Stops the evaluation with a message.
    fn fail<'v>(
        #[starlark(args)] args: UnpackTuple<Value<'v>>,
        #[starlark(require = named, default = " ")] sep: &str,
        #[starlark(require = named, default = NoneOr::None)] msg: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] attr: NoneOr<StringValue<'v>>,
    ) -> starlark::Result<NoneType> {
        let words: Vec<String> = msg.into_option().into_iter().chain(args.items).map(|value| value.to_str()).collect();
        let text = words.join(sep);
        let text = if text.is_empty() { "fail() was called without a message".to_owned() } else { text };
        match attr.into_option() {
            Some(attr) => crate::problem::fail(format!("attribute `{}`: {text}", attr.as_str())),
            None => crate::problem::fail(text),
        }
    }
}

/// How many numbers a range may have: more than an evaluation may take steps would only serve to fill memory.
const LONGEST_RANGE: i64 = 10_000_000;

static STANDARD: LazyLock<Globals> = LazyLock::new(Globals::standard);

#[starlark_module]
fn ranges(builder: &mut GlobalsBuilder) {
    /// The numbers from one to another.
    fn range<'v>(
        #[starlark(require = pos)] a1: i32,
        #[starlark(require = pos)] a2: Option<i32>,
        #[starlark(require = pos, default = 1)] step: i32,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let (start, stop) = a2.map_or((0, a1), |stop| (a1, stop));
        if step == 0 {
            return crate::problem::fail("the step of range() must not be zero");
        }
        let count = (i64::from(stop) - i64::from(start)) / i64::from(step);
        if count > LONGEST_RANGE {
            return crate::problem::fail(format!("range() of {count} numbers: at most {LONGEST_RANGE} are allowed"));
        }
        let standard = STANDARD.iter().find(|(name, _)| *name == "range").map(|(_, value)| value.to_value());
        let standard = standard.expect("the standard library has range()");
        let numbers = [start, stop, step].map(|number| eval.heap().alloc(number));
        eval.eval_function(standard, &numbers, &[])
    }
}

fn state<'s, 'a>(eval: &Evaluator<'_, 's, 'a>, what: &str) -> starlark::Result<&'s BuildState<'a>> {
    session(eval)?.build(what)
}

fn strings<'v, T>(eval: &Evaluator<'v, '_, '_>, names: Vec<T>) -> Value<'v>
where
    T: AsRef<str>,
{
    eval.heap().alloc(AllocList(names.iter().map(|name| name.as_ref())))
}

#[starlark_module]
fn package_globals(builder: &mut GlobalsBuilder) {
    /// The files of the package that match, sorted.
    fn glob<'v>(
        #[starlark(default = UnpackListOrTuple::default())] include: UnpackListOrTuple<String>,
        #[starlark(default = UnpackListOrTuple::default())] exclude: UnpackListOrTuple<String>,
        #[starlark(require = named, default = NoneOr::None)] exclude_directories: NoneOr<Value<'v>>,
        #[starlark(require = named, default = true)] allow_empty: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let state = state(eval, "glob()")?;
        let exclude_directories = exclude_directories.into_option().is_none_or(|value| value.to_bool());
        match state.context.glob(&include.items, &exclude.items, exclude_directories) {
            Ok(files) if files.is_empty() && !allow_empty => fail(format!("no file matches {:?}", include.items)),
            Ok(files) => Ok(strings(eval, files)),
            Err(reason) => fail(reason),
        }
    }

    /// The packages below this one that match, sorted.
    fn subpackages<'v>(
        #[starlark(require = named)] include: UnpackListOrTuple<String>,
        #[starlark(require = named, default = UnpackListOrTuple::default())] exclude: UnpackListOrTuple<String>,
        #[starlark(require = named, default = true)] allow_empty: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        match state(eval, "subpackages()")?.context.subpackages(&include.items, &exclude.items) {
            Ok(found) if found.is_empty() && !allow_empty => fail(format!("no package matches {:?}", include.items)),
            Ok(found) => Ok(strings(eval, found)),
            Err(reason) => fail(reason),
        }
    }

    /// Declares defaults of the package's targets.
    fn package<'v>(
        #[starlark(require = named, default = NoneOr::None)] default_visibility: NoneOr<UnpackListOrTuple<String>>,
        #[starlark(require = named, default = false)] default_testonly: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let state = state(eval, "package()")?;
        let mut declared = state.declared.borrow_mut();
        if let Some(earlier) = &declared.package_call {
            return Err(Problem::new("package() is called twice")
                .note(format!("it is first called at {earlier}"))
                .into());
        }
        if !declared.targets.is_empty() {
            return fail("package() must come before the first target");
        }
        declared.package_call = eval.call_stack_top_location().map(|span| diagnose::location(&span));
        declared.default_testonly = default_testonly;
        if let Some(list) = default_visibility.into_option() {
            declared.default_visibility = Some(visibility(&list.items, state)?);
        }
        Ok(NoneType)
    }

    /// Makes source files visible to other packages; to all, if nothing else is said.
    fn exports_files<'v>(
        srcs: UnpackListOrTuple<String>,
        #[starlark(require = named, default = NoneOr::None)] visibility: NoneOr<UnpackListOrTuple<String>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<NoneType> {
        let state = state(eval, "exports_files()")?;
        let visible = match visibility.into_option() {
            Some(list) => self::visibility(&list.items, state)?,
            None => Visibility::Public,
        };
        let mut declared = state.declared.borrow_mut();
        for name in srcs.items {
            let label = match Label::parse(&name, &state.package) {
                Ok(label) if *label.package() == state.package => label,
                Ok(label) => return fail(format!("{label} is not a file of this package")),
                Err(error) => return fail(error.to_string()),
            };
            if let Some(other) = declared.targets.get(label.name()).or_else(|| declared.outputs.get(label.name())) {
                return Err(not_exported(label.name(), other).into());
            }
            declared.exported_files.insert(Arc::from(label.name()), visible.clone());
        }
        Ok(NoneType)
    }

    /// The path of the package.
    fn package_name<'v>(eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<String> {
        Ok(state(eval, "package_name()")?.package.path().to_owned())
    }

    /// The name of the package's repository with `@`.
    fn repository_name<'v>(eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<String> {
        Ok(format!("@{}", state(eval, "repository_name()")?.package.repository()))
    }

    /// The name of the package's repository; empty for the main one.
    fn repo_name<'v>(eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<String> {
        Ok(state(eval, "repo_name()")?.package.repository().to_owned())
    }

    /// The label that a text names in this package.
    fn package_relative_label<'v>(
        #[starlark(require = pos)] label: Value<'v>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<LabelValue> {
        if let Some(label) = LabelValue::from_value(label) {
            return Ok(LabelValue(label.0.clone()));
        }
        let package = &state(eval, "package_relative_label()")?.package;
        match Label::parse(label.unpack_str().unwrap_or(""), package) {
            Ok(label) => Ok(LabelValue(label)),
            Err(error) => fail(error.to_string()),
        }
    }

    /// The attributes of a target declared so far, or None.
    fn existing_rule<'v>(
        #[starlark(require = pos)] name: &str,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        let declared = state(eval, "existing_rule()")?.declared.borrow();
        let target = declared.targets.get(name);
        Ok(target.map_or_else(Value::new_none, |target| existing(target, eval.heap())))
    }

    /// The targets declared so far, by name.
    fn existing_rules<'v>(eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Value<'v>> {
        let declared = state(eval, "existing_rules()")?.declared.borrow();
        let heap = eval.heap();
        let rules: Vec<_> = declared.targets.iter().map(|(name, target)| (&**name, existing(target, heap))).collect();
        Ok(heap.alloc(AllocDict(rules)))
    }
}

/// Only source files are exported.
pub(crate) fn not_exported(name: &str, target: &model::Target) -> Problem {
    let what = if target.label.name() == name { "is a target" } else { "is made by a target" };
    let problem = Problem::new(format!("exports_files() is for source files, but `{name}` {what}"));
    let place = target.location.as_ref().map(|location| format!(", declared at {location}")).unwrap_or_default();
    problem
        .note(format!("{}{place}", target.label))
        .hint(format!("leave it out, and set `visibility` of {}", target.label))
}

fn visibility(list: &[String], state: &BuildState<'_>) -> starlark::Result<Visibility> {
    let list: Vec<Data> = list.iter().map(|entry| Data::text(entry)).collect();
    Ok(rule_call::parse_visibility(&list, &state.package)?)
}

/// A target as `existing_rule` gives it: attributes without selects, labels as text.
fn existing<'v>(target: &model::Target, heap: Heap<'v>) -> Value<'v> {
    let mut fields = vec![("name", heap.alloc(target.label.name())), ("kind", heap.alloc(&*target.rule.name))];
    for (name, value) in &target.attributes {
        if let Configurable::Plain(data) = value {
            fields.push((&**name, values::from_data(&texts(data), heap)));
        }
    }
    heap.alloc(AllocDict(fields))
}

fn texts(data: &Data) -> Data {
    match data {
        Data::Label(label) => Data::text(&label.to_string()),
        Data::List(list) => Data::List(list.iter().map(texts).collect()),
        Data::Dict(pairs) => Data::Dict(pairs.iter().map(|(key, value)| (texts(key), texts(value))).collect()),
        other => other.clone(),
    }
}
