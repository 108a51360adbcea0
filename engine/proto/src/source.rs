//! A source of the target, and places in it as people see them.

use model::{Diagnostic, Location};

/// A source of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The path as a person opens it, and as protoc does.
    pub path: String,
    /// The path by which other files import it.
    pub import_path: String,
    /// The content; what is no UTF-8 is protoc's to refuse.
    pub text: String,
}

/// A line, from 0, and a byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub line: usize,
    pub byte: usize,
}

/// How far protoc takes a tab to reach.
const TAB: usize = 8;

impl Source {
    /// Where a byte of the text is.
    pub(crate) fn position(&self, at: usize) -> Position {
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position { line: before.matches('\n').count(), byte: at - start }
    }

    /// The place that protoc calls `line` and `column`: from 1, in bytes, and a tab reaches to the next multiple of 8.
    pub(crate) fn of_protoc(&self, line: usize, column: usize) -> Position {
        let text = self.line(line.saturating_sub(1));
        let mut reached = 0;
        let before = text.char_indices().find(|(_, c)| {
            if reached + 1 >= column {
                return true;
            }
            reached += if *c == '\t' { TAB - reached % TAB } else { c.len_utf8() };
            false
        });
        Position { line: line.saturating_sub(1), byte: before.map_or(text.len(), |(at, _)| at) }
    }

    /// The diagnostic at a place, with the line. What is marked is `width` bytes long, or as long as the word there.
    pub(crate) fn place(&self, diagnostic: Diagnostic, at: Position, width: usize) -> Diagnostic {
        let line = self.line(at.line);
        let (before, rest) = line.split_at_checked(at.byte).unwrap_or((line, ""));
        let width = if width == 0 { word(rest) } else { rest.get(..width).unwrap_or(rest).chars().count() };
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let column = before.chars().count() + 1;
        let location = Location {
            file: self.path.as_str().into(),
            line: number(at.line + 1),
            column: number(column),
            end_column: number(column + width),
        };
        diagnostic.at(Some(location)).line(line.replace('\t', " "))
    }

    fn line(&self, index: usize) -> &str {
        self.text.lines().nth(index).unwrap_or("")
    }
}

/// How many characters the word, the text or the mark at the beginning has.
fn word(rest: &str) -> usize {
    let mut letters = rest.chars();
    match letters.next() {
        Some(quote @ ('"' | '\'')) => letters.position(|c| c == quote).map_or(1, |at| at + 2),
        Some(first) if first.is_alphanumeric() || first == '_' || first == '.' => {
            1 + letters.take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '.').count()
        }
        _ => 1,
    }
}
