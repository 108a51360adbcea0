//! `ctx.actions.args()`: a command line. Everything added is expanded at once: depsets, files and functions are
//! immutable, so that nothing can differ when the action is registered. What stands for the files in a directory is known
//! only when that is made: see `model::Expansion`.

#![allow(clippy::too_many_arguments, reason = "a function's parameters are those of its Starlark signature")]

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{ArgumentValue, Expansion, Layout};
use starlark::environment::{Methods, MethodsBuilder};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::list::ListRef;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::NoneOr;
use starlark::values::{NoSerialize, StarlarkValue, UnpackValue, Value, starlark_value};

use super::{DepsetValue, FileValue, LabelValue, from_data};
use crate::problem::{Problem, a, fail};

/// What was added to a command line.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Word(String),
    /// Stands for files that are known only when directories are made; its place is not known yet.
    Later(Expansion),
}

wrapper! {
    /// A command line in the making.
    #[derive(NoSerialize)]
    ArgsValue(Arc<Mutex<Vec<Part>>>)
}

/// The words of a command line, and those that stand for the files in directories.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub words: Vec<String>,
    pub expansions: Vec<Expansion>,
}

impl Arguments {
    /// Adds a command line.
    pub fn add(&mut self, args: &ArgsValue) {
        for part in args.parts().iter() {
            match part {
                Part::Word(word) => self.words.push(word.clone()),
                Part::Later(later) => self.expansions.push(Expansion { at: self.words.len(), ..later.clone() }),
            }
        }
    }

    /// The same as a text with a word on each line; places are in bytes.
    pub fn into_lines(self) -> (String, Vec<Expansion>) {
        let mut text = String::new();
        let mut places = vec![0];
        for word in &self.words {
            text.push_str(word);
            text.push('\n');
            places.push(text.len());
        }
        let expansions = self.expansions.into_iter();
        (text, expansions.map(|expansion| Expansion { at: places[expansion.at], ..expansion }).collect())
    }
}

impl ArgsValue {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds values as a layout has them.
    fn lay_out(&self, values: Vec<ArgumentValue>, layout: Layout) -> starlark::Result<()> {
        [&layout.format_each, &layout.joined.as_ref().and_then(|(_, format)| format.clone())]
            .into_iter()
            .flatten()
            .try_for_each(|format| check_format(format))?;
        let later = Expansion { at: 0, values, layout };
        if later.directories().next().is_some() {
            self.parts().push(Part::Later(later));
        } else {
            let Ok(words) = later.words(|_| Ok::<_, std::convert::Infallible>(Vec::new()));
            self.parts().extend(words.into_iter().map(Part::Word));
        }
        Ok(())
    }

    fn again(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Display for ArgsValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts();
        let words = parts.iter().map(|part| match part {
            Part::Word(word) => word.clone(),
            Part::Later(later) => later.directories().map(|d| format!("{}/*", d.path())).collect::<Vec<_>>().join(" "),
        });
        f.write_str(&words.collect::<Vec<_>>().join(" "))
    }
}

starlark::methods_static!(ARGS_METHODS = args_methods);

#[starlark_value(type = "Args")]
impl<'v> StarlarkValue<'v> for ArgsValue {
    fn get_methods() -> Option<&'static Methods> {
        Some(ARGS_METHODS.methods())
    }
}

/// A value as one word of a command line.
pub(crate) fn word(value: Value<'_>) -> starlark::Result<String> {
    if let Some(text) = value.unpack_str() {
        return Ok(text.to_owned());
    }
    if let Some(file) = FileValue::from_value(value) {
        return Ok(file.0.path().to_string());
    }
    if let Some(label) = LabelValue::from_value(value) {
        return Ok(label.0.to_string());
    }
    if value.get_type() == "int" {
        return Ok(value.to_str());
    }
    let hint = match value.get_type() {
        "list" | "tuple" | "depset" => "use `add_all` or `add_joined` for more than one",
        "Target" => "name one of its files: `target[DefaultInfo].files`",
        _ => "an argument is a string, an int, a File or a Label",
    };
    Err(Problem::new(format!("{} cannot be an argument", a(value.get_type()))).hint(hint).into())
}

/// A format has one `%s`.
fn check_format(format: &str) -> starlark::Result<()> {
    match format.split("%%").map(|part| part.matches("%s").count()).sum::<usize>() {
        1 => Ok(()),
        _ => fail(format!("the format {format:?} must contain `%s` once")),
    }
}

/// The values of `add_all` and `add_joined`.
fn values<'v>(
    values: Value<'v>,
    map_each: Option<Value<'v>>,
    expand_directories: bool,
    eval: &mut Evaluator<'v, '_, '_>,
) -> starlark::Result<Vec<ArgumentValue>> {
    let heap = eval.heap();
    let elements = if let Some(set) = DepsetValue::from_value(values) {
        set.0.to_list().iter().map(|data| from_data(data, heap)).collect()
    } else if let Ok(Some(list)) = UnpackListOrTuple::<Value<'v>>::unpack_value(values) {
        list.items
    } else {
        return fail(format!("expected a list or a depset, but got {}", a(values.get_type())));
    };
    let mut found = Vec::new();
    for element in elements {
        let directory = FileValue::from_value(element).filter(|file| expand_directories && file.0.is_tree());
        match (directory, map_each) {
            (Some(directory), None) => found.push(ArgumentValue::Files(directory.0.clone())),
            (Some(directory), Some(_)) => {
                let path = directory.0.path();
                let message = format!("`map_each` cannot see the files in {path}: the directory is not made yet");
                let hint = "say `expand_directories = False`, and it sees the directory; or leave `map_each` out";
                return Err(Problem::new(message).hint(hint).into());
            }
            (None, Some(map)) => {
                let mapped = eval.eval_function(map, &[element], &[])?;
                if let Some(list) = ListRef::from_value(mapped) {
                    list.iter().try_for_each(|value| word(value).map(|word| found.push(ArgumentValue::Word(word))))?;
                } else if !mapped.is_none() {
                    found.push(ArgumentValue::Word(word(mapped)?));
                }
            }
            (None, None) => found.push(ArgumentValue::Word(word(element)?)),
        }
    }
    Ok(found)
}

/// `add_all(name, values)` or `add_all(values)`.
fn named<'v>(first: Value<'v>, second: Option<Value<'v>>) -> starlark::Result<(Option<String>, Value<'v>)> {
    match second {
        Some(values) => match first.unpack_str() {
            Some(name) => Ok((Some(name.to_owned()), values)),
            None => fail(format!("the name of the argument is a string, but got {}", a(first.get_type()))),
        },
        None => Ok((None, first)),
    }
}

#[starlark_module]
fn args_methods(builder: &mut MethodsBuilder) {
    /// Adds one word, or a name and a word.
    fn add<'v>(
        this: &ArgsValue,
        #[starlark(require = pos)] arg_name_or_value: Value<'v>,
        #[starlark(require = pos)] value: Option<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] format: NoneOr<&str>,
    ) -> starlark::Result<ArgsValue> {
        let (name, value) = named(arg_name_or_value, value)?;
        if let Some(directory) = FileValue::from_value(value).filter(|file| file.0.is_tree()) {
            let message = format!("{} is a directory, which may be several arguments", directory.0.path());
            let hint = "use `add_all`, with `expand_directories = False` for the directory itself";
            return Err(Problem::new(message).hint(hint).into());
        }
        let format_each = format.into_option().map(str::to_owned);
        this.lay_out(vec![ArgumentValue::Word(word(value)?)], Layout { name, format_each, ..Layout::default() })?;
        Ok(this.again())
    }

    /// Adds one word for each element.
    fn add_all<'v>(
        this: &ArgsValue,
        #[starlark(require = pos)] arg_name_or_values: Value<'v>,
        #[starlark(require = pos)] values: Option<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] map_each: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] format_each: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] before_each: NoneOr<&str>,
        #[starlark(require = named, default = true)] omit_if_empty: bool,
        #[starlark(require = named, default = false)] uniquify: bool,
        #[starlark(require = named, default = true)] expand_directories: bool,
        #[starlark(require = named, default = NoneOr::None)] terminate_with: NoneOr<&str>,
        #[starlark(require = named, default = false)] allow_closure: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ArgsValue> {
        let _ = allow_closure;
        let (name, values) = named(arg_name_or_values, values)?;
        let text = |text: NoneOr<&str>| text.into_option().map(str::to_owned);
        let layout = Layout {
            name,
            format_each: text(format_each),
            before_each: text(before_each),
            joined: None,
            uniquify,
            omit_if_empty,
            terminate_with: text(terminate_with),
        };
        this.lay_out(self::values(values, map_each.into_option(), expand_directories, eval)?, layout)?;
        Ok(this.again())
    }

    /// Adds all elements as one word.
    fn add_joined<'v>(
        this: &ArgsValue,
        #[starlark(require = pos)] arg_name_or_values: Value<'v>,
        #[starlark(require = pos)] values: Option<Value<'v>>,
        #[starlark(require = named)] join_with: &str,
        #[starlark(require = named, default = NoneOr::None)] map_each: NoneOr<Value<'v>>,
        #[starlark(require = named, default = NoneOr::None)] format_each: NoneOr<&str>,
        #[starlark(require = named, default = NoneOr::None)] format_joined: NoneOr<&str>,
        #[starlark(require = named, default = true)] omit_if_empty: bool,
        #[starlark(require = named, default = false)] uniquify: bool,
        #[starlark(require = named, default = true)] expand_directories: bool,
        #[starlark(require = named, default = false)] allow_closure: bool,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<ArgsValue> {
        let _ = allow_closure;
        let (name, values) = named(arg_name_or_values, values)?;
        let text = |text: NoneOr<&str>| text.into_option().map(str::to_owned);
        let layout = Layout {
            name,
            format_each: text(format_each),
            joined: Some((join_with.to_owned(), text(format_joined))),
            uniquify,
            omit_if_empty,
            ..Layout::default()
        };
        this.lay_out(self::values(values, map_each.into_option(), expand_directories, eval)?, layout)?;
        Ok(this.again())
    }
}
