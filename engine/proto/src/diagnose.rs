//! The compiler's errors as diagnostics: which file as a person opens it, which line, which column.

use std::collections::BTreeMap;

use miette::Diagnostic as _;
use model::{Diagnostic, Location};
use prost_types::FileDescriptorProto;

/// Sources by import path, for locations: (path for people, text).
pub(crate) type Texts = BTreeMap<String, (String, String)>;

/// One error of the compiler, with those it carries along.
pub(crate) fn from_protox(error: &protox::Error, texts: &Texts) -> Vec<Diagnostic> {
    let file = error.file().unwrap_or_default();
    let mut found = vec![translate(error, file, texts)];
    found.extend(error.related().into_iter().flatten().map(|related| translate(related, file, texts)));
    found
}

fn translate(error: &dyn miette::Diagnostic, file: &str, texts: &Texts) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(error.to_string());
    let labels: Vec<miette::LabeledSpan> = error.labels().into_iter().flatten().collect();
    // The last label is where the error was noticed; earlier ones say what it collides with.
    if let Some((found, context)) = labels.split_last() {
        diagnostic = place(diagnostic, file, found.offset(), found.len(), texts);
        for label in context {
            if let (Some(text), Some(location)) = (label.label(), locate(file, label.offset(), label.len(), texts)) {
                diagnostic = diagnostic.note(format!("{location}: {text}"));
            }
        }
    } else if let Some((path, _)) = texts.get(file) {
        let location = Location { file: path.as_str().into(), line: 1, column: 1, end_column: 1 };
        diagnostic = diagnostic.at(Some(location));
    } else if !file.is_empty() {
        diagnostic = diagnostic.note(format!("in `{file}`"));
    }
    match error.help() {
        Some(help) => diagnostic.hint(help.to_string()),
        None => diagnostic,
    }
}

fn place(diagnostic: Diagnostic, file: &str, offset: usize, length: usize, texts: &Texts) -> Diagnostic {
    let location = locate(file, offset, length, texts);
    let line = location.as_ref().and_then(|at| line_of(file, at.line, texts));
    let diagnostic = diagnostic.at(location);
    match line {
        Some(line) => diagnostic.line(line),
        None => diagnostic,
    }
}

fn locate(file: &str, offset: usize, length: usize, texts: &Texts) -> Option<Location> {
    let (path, text) = texts.get(file)?;
    let before = text.get(..offset)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let width = text.get(offset..offset + length).map_or(0, |span| span.lines().next().unwrap_or("").chars().count());
    Some(Location {
        file: path.as_str().into(),
        line: u32::try_from(line).ok()?,
        column: u32::try_from(column).ok()?,
        end_column: u32::try_from(column + width).ok()?,
    })
}

fn line_of(file: &str, line: u32, texts: &Texts) -> Option<String> {
    let (_, text) = texts.get(file)?;
    text.lines().nth(line as usize - 1).map(|line| line.replace('\t', " "))
}

/// Where the import with this index stands, by the parser's own record of positions.
pub(crate) fn at_import(diagnostic: Diagnostic, file: &FileDescriptorProto, index: usize, texts: &Texts) -> Diagnostic {
    // Field 3 of FileDescriptorProto is `dependency`.
    let wanted = [3, i32::try_from(index).unwrap_or(i32::MAX)];
    let positions = file.source_code_info.as_ref().map(|info| info.location.as_slice()).unwrap_or_default();
    let span = positions.iter().find(|position| position.path == wanted).map(|position| position.span.as_slice());
    let (Some(&[line, column, end, ..]), Some((path, _))) = (span, texts.get(file.name())) else { return diagnostic };
    let number = |value: i32| u32::try_from(value).unwrap_or(0) + 1;
    let location =
        Location { file: path.as_str().into(), line: number(line), column: number(column), end_column: number(end) };
    let text = line_of(file.name(), location.line, texts);
    let diagnostic = diagnostic.at(Some(location));
    match text {
        Some(text) => diagnostic.line(text),
        None => diagnostic,
    }
}
