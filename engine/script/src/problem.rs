//! An error raised by the engine's own Starlark functions, on its way to becoming a diagnostic.

/// What went wrong, with hints as data. The place is added by the evaluator.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    pub message: String,
    pub notes: Vec<String>,
    pub hints: Vec<String>,
    /// The argument of the call that is at fault, when one is.
    pub argument: Option<String>,
}

impl Problem {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), notes: Vec::new(), hints: Vec::new(), argument: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds "did you mean" for the names nearest to `wanted`.
    pub fn nearest<'a>(self, wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<String> =
            model::nearest(wanted, candidates).into_iter().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { self } else { self.hint(format!("did you mean {}?", names.join(" or "))) }
    }

    pub fn in_argument(mut self, argument: &str) -> Self {
        self.argument = Some(argument.to_owned());
        self
    }
}

impl From<Problem> for starlark::Error {
    fn from(problem: Problem) -> Self {
        Self::new_native(problem)
    }
}

/// A noun with its article: `an int`.
pub(crate) fn a(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) { "an" } else { "a" };
    if noun == "NoneType" { "None".to_owned() } else { format!("{article} {noun}") }
}

/// Fails a native function.
pub(crate) fn fail<T>(message: impl Into<String>) -> starlark::Result<T> {
    Err(Problem::new(message).into())
}
