//! `ctx.actions.args()`: a command line. Everything added is expanded at once: depsets, files and functions are
//! immutable, so that nothing can differ when the action is registered.

#![allow(clippy::too_many_arguments, reason = "a function's parameters are those of its Starlark signature")]

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use starlark::environment::{Methods, MethodsBuilder};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::list::ListRef;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::NoneOr;
use starlark::values::{NoSerialize, StarlarkValue, UnpackValue, Value, starlark_value};

use super::{DepsetValue, FileValue, LabelValue, from_data};
use crate::problem::{Problem, a, fail};

wrapper! {
    /// A command line in the making.
    #[derive(NoSerialize)]
    ArgsValue(Arc<Mutex<Vec<String>>>)
}

impl ArgsValue {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// The words so far.
    pub fn words(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn again(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl fmt::Display for ArgsValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
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

/// Puts a word into a format with one `%s`.
fn formatted(format: Option<&str>, word: String) -> starlark::Result<String> {
    let Some(format) = format else { return Ok(word) };
    let parts: Vec<&str> = format.split("%%").collect();
    if parts.iter().map(|part| part.matches("%s").count()).sum::<usize>() != 1 {
        return fail(format!("the format {format:?} must contain `%s` once"));
    }
    Ok(parts.iter().map(|part| part.replace("%s", &word)).collect::<Vec<_>>().join("%"))
}

/// How the elements of a list become words.
struct Each<'v, 'a> {
    map: Option<Value<'v>>,
    format: Option<&'a str>,
    uniquify: bool,
}

impl<'v> Each<'v, '_> {
    fn words(&self, values: Value<'v>, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<Vec<String>> {
        let heap = eval.heap();
        let elements = if let Some(set) = DepsetValue::from_value(values) {
            set.0.to_list().iter().map(|data| from_data(data, heap)).collect()
        } else if let Ok(Some(list)) = UnpackListOrTuple::<Value<'v>>::unpack_value(values) {
            list.items
        } else {
            return fail(format!("expected a list or a depset, but got {}", a(values.get_type())));
        };
        let mut words = Vec::new();
        for element in elements {
            match self.map {
                Some(map) => {
                    let mapped = eval.eval_function(map, &[element], &[])?;
                    if let Some(list) = ListRef::from_value(mapped) {
                        list.iter().try_for_each(|value| word(value).map(|word| words.push(word)))?;
                    } else if !mapped.is_none() {
                        words.push(word(mapped)?);
                    }
                }
                None => words.push(word(element)?),
            }
        }
        if self.uniquify {
            let mut seen = BTreeSet::new();
            words.retain(|word| seen.insert(word.clone()));
        }
        words.into_iter().map(|word| formatted(self.format, word)).collect()
    }
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
        let word = formatted(format.into_option(), word(value)?)?;
        this.words().extend(name.into_iter().chain([word]));
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
        let _ = (expand_directories, allow_closure);
        let (name, values) = named(arg_name_or_values, values)?;
        let each = Each { map: map_each.into_option(), format: format_each.into_option(), uniquify };
        let words = each.words(values, eval)?;
        if words.is_empty() && omit_if_empty {
            return Ok(this.again());
        }
        let before = before_each.into_option();
        let mut all = this.words();
        all.extend(name);
        for word in words {
            all.extend(before.map(str::to_owned).into_iter().chain([word]));
        }
        all.extend(terminate_with.into_option().map(str::to_owned));
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
        let _ = (expand_directories, allow_closure);
        let (name, values) = named(arg_name_or_values, values)?;
        let each = Each { map: map_each.into_option(), format: format_each.into_option(), uniquify };
        let words = each.words(values, eval)?;
        if words.is_empty() && omit_if_empty {
            return Ok(this.again());
        }
        let joined = formatted(format_joined.into_option(), words.join(join_with))?;
        this.words().extend(name.into_iter().chain([joined]));
        Ok(this.again())
    }
}
