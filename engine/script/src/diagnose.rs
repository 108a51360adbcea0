//! From the starlark crate's errors to diagnostics.

use std::sync::Arc;

use model::{Diagnostic, Location};
use starlark::ErrorKind;
use starlark::codemap::{FileSpan, Pos, Span};

use crate::parameters;
use crate::problem::Problem;

/// The place of a span.
pub(crate) fn location(span: &FileSpan) -> Location {
    let span = &whole_characters(span);
    let resolved = span.resolve_span();
    let column = resolved.begin.column as u32 + 1;
    let end_column = if resolved.end.line == resolved.begin.line {
        resolved.end.column as u32 + 1
    } else {
        span.file.source_line(resolved.begin.line).chars().count() as u32 + 1
    };
    Location {
        file: Arc::from(span.filename()),
        line: resolved.begin.line as u32 + 1,
        column,
        end_column: end_column.max(column),
    }
}

/// The same span, or one somewhat larger that cuts no character. The parser of the starlark crate counts one byte for each
/// character after an escape, and the crate panics at such a place.
fn whole_characters(span: &FileSpan) -> FileSpan {
    let source = span.file.source();
    let begin = source.floor_char_boundary(span.span.begin().get() as usize);
    let end = source.ceil_char_boundary(span.span.end().get() as usize);
    let position = |at: usize| Pos::new(u32::try_from(at).unwrap_or(u32::MAX));
    span.file.file_span(Span::new(position(begin), position(end.max(begin))))
}

/// A diagnostic at a span, with its line.
pub(crate) fn at(diagnostic: Diagnostic, span: &FileSpan) -> Diagnostic {
    let span = &whole_characters(span);
    diagnostic.at(Some(location(span))).line(span.file.source_line_at_pos(span.span.begin()))
}

/// A problem as a diagnostic without a place.
pub(crate) fn problem(problem: &Problem) -> Diagnostic {
    Diagnostic {
        notes: problem.notes.clone(),
        hints: problem.hints.clone(),
        ..Diagnostic::error(problem.message.clone())
    }
}

/// Any error of an evaluation.
pub(crate) fn error(error: &starlark::Error) -> Diagnostic {
    let diagnostic = match error.kind() {
        ErrorKind::Fail(e) => Diagnostic::error(e.to_string().trim().to_owned()),
        ErrorKind::Scope(e)
        | ErrorKind::Value(e)
        | ErrorKind::Function(e)
        | ErrorKind::Parser(e)
        | ErrorKind::Freeze(e)
        | ErrorKind::StackOverflow(e)
        | ErrorKind::Native(e)
        | ErrorKind::Other(e) => match e.downcast_ref::<Problem>() {
            Some(found) => problem(found),
            None => plain(&e.to_string()),
        },
        other => Diagnostic::error(other.to_string()),
    };
    let frames = &error.call_stack().frames;
    let innermost = || frames.iter().rev().find_map(|frame| frame.location.as_ref());
    let Some(span) = error.span().or_else(innermost) else { return diagnostic };
    let mut diagnostic = at(diagnostic, span);
    for frame in frames.iter().rev() {
        let Some(called) = frame.location.as_ref().filter(|called| *called != span) else { continue };
        diagnostic = diagnostic.note(format!("in `{}`, called at {}", frame.name, location(called)));
    }
    diagnostic
}

/// A function has no parameters of these names.
fn unknown_argument(names: &[&str], function: &str) -> Diagnostic {
    let known: Vec<&str> = parameters::of(function).collect();
    let list = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut diagnostic = Diagnostic::error(format!("`{function}` has no argument {list}"));
    let mut is_near = false;
    for name in names {
        let near = model::nearest(name, known.iter().copied());
        is_near |= !near.is_empty();
        diagnostic = diagnostic.did_you_mean(&near);
    }
    if is_near || known.is_empty() {
        return diagnostic;
    }
    diagnostic.note(format!("its arguments are {}", known.join(", ")))
}

/// A message of the starlark crate in our words.
fn plain(text: &str) -> Diagnostic {
    let text = text.trim().trim_start_matches("Parse error: ");
    if let Some((message, rest)) = text.split_once(", did you mean `") {
        let name = rest.trim_end_matches(['?', '`']);
        return plain(message).hint(format!("did you mean `{name}`?"));
    }
    if let Some((names, function)) =
        text.strip_prefix("Found `").and_then(|rest| rest.split_once("` extra named parameter(s) for call to "))
    {
        return unknown_argument(&names.split("` `").collect::<Vec<_>>(), function);
    }
    if let Some(name) = text.strip_prefix("Variable ").and_then(|rest| rest.strip_suffix(" not found")) {
        return Diagnostic::error(format!("the name {name} is not defined"));
    }
    let error = |message: &str, hint: &str| Diagnostic::error(message).hint(hint);
    match text {
        "`def` is not allowed in this dialect" | "`lambda` is not allowed in this dialect" => {
            error(&text.replace(" in this dialect", " here"), "move the function to a .star file and load() it")
        }
        "`for` cannot be used outside `def` in this dialect" => {
            error("`for` can stand only inside a function", "use a list comprehension, or a function in a .star file")
        }
        "`if` cannot be used outside `def` in this dialect" => {
            error("`if` can stand only inside a function", "use `x if condition else y`, or a function in a .star file")
        }
        "Your Starlark dialect must enable f-strings to use them" => {
            error("there are no f-strings", "write `\"{}\".format(x)` or `\"%s\" % x`")
        }
        "Immutable" => Diagnostic::error("this value cannot be changed any more")
            .note("what a .star file defines is frozen when the file has been loaded"),
        "Starlark call stack overflow" => {
            error("calls are nested too deeply", "recursion is not allowed; use a loop over a list")
        }
        _ => Diagnostic::error(text.replace(" in this dialect", " here")),
    }
}
