//! What went wrong, where, what was expected, what to type next.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A place in a source file. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The file as a person would open it: relative to the workspace, or `@rules//go/defs.star`.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Column after the last character on the same line; equal to `column` when unknown.
    pub end_column: u32,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    /// The command cannot succeed.
    Error,
    /// The command goes on.
    Warning,
}

/// One message to the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What went wrong, in a sentence without a full stop.
    pub message: String,
    /// Where.
    pub location: Option<Location>,
    /// The text of the line at `location`.
    pub source_line: Option<String>,
    /// Further facts: the call stack, the other declaration, the path of a cycle.
    pub notes: Vec<String>,
    /// What to type next, or the nearest names.
    pub hints: Vec<String>,
}

/// A part of the text of a diagnostic that may have a colour of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiagnosticPart {
    /// The location.
    Place,
    /// The word `error`.
    Error,
    /// The word `warning`.
    Warning,
    /// The message.
    Message,
    /// What marks the columns below the line.
    Mark,
    /// The word `note`.
    Note,
    /// The word `hint`.
    Hint,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            location: None,
            source_line: None,
            notes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// The same at a place.
    #[must_use]
    pub fn at(mut self, location: Option<Location>) -> Self {
        self.location = location;
        self
    }

    /// The same with the text of the line.
    #[must_use]
    pub fn line(mut self, source_line: impl Into<String>) -> Self {
        self.source_line = Some(source_line.into());
        self
    }

    /// The same with a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same with "did you mean" for the nearest names, if there are any.
    #[must_use]
    pub fn did_you_mean(self, nearest: &[String]) -> Self {
        match nearest {
            [] => self,
            names => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                self.hint(format!("did you mean {}?", names.join(" or ")))
            }
        }
    }

    /// The text, without a newline at its end; `paint` may put colours around each part of it.
    pub fn render(&self, paint: impl Fn(DiagnosticPart, &str) -> String) -> String {
        let mut text = String::new();
        if let Some(location) = &self.location {
            text.push_str(&format!("{}: ", paint(DiagnosticPart::Place, &location.to_string())));
        }
        let severity = match self.severity {
            Severity::Error => paint(DiagnosticPart::Error, "error"),
            Severity::Warning => paint(DiagnosticPart::Warning, "warning"),
        };
        text.push_str(&format!("{severity}: {}", paint(DiagnosticPart::Message, &printable(&self.message))));
        if let Some(line) = &self.source_line {
            text.push_str(&format!("\n    {}", printable(line)));
            if let Some(location) = &self.location {
                let indent = location.column.saturating_sub(1) as usize;
                let width = location.end_column.saturating_sub(location.column).max(1) as usize;
                let width = width.min(line.chars().count().saturating_sub(indent).max(1));
                text.push_str(&format!(
                    "\n    {}{}",
                    " ".repeat(indent),
                    paint(DiagnosticPart::Mark, &"^".repeat(width))
                ));
            }
        }
        for note in &self.notes {
            text.push_str(&format!("\n  {}: {}", paint(DiagnosticPart::Note, "note"), printable(note)));
        }
        for hint in &self.hints {
            text.push_str(&format!("\n  {}: {}", paint(DiagnosticPart::Hint, "hint"), printable(hint)));
        }
        text
    }
}

/// The text with a visible sign in the place of each character that would do something to a terminal, or to the order of
/// what is read; line breaks and tabs stay. Texts of files and of servers end in messages, and may be written for that.
pub fn printable(text: &str) -> Cow<'_, str> {
    let acts = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    // Unicode has a picture of each ASCII control character; one character for one keeps columns right.
    let sign = |c: char| match c {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.chars().map(|c| if acts(c) { sign(c) } else { c }).collect())
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", printable(&self.file), self.line, self.column)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(|_, text| text.to_owned()))
    }
}

/// All that went wrong in one step; never empty when used as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// The messages alone, for an error that says itself that it is one.
    pub fn messages(&self) -> String {
        let place = |error: &Diagnostic| error.location.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        self.0.iter().map(|error| format!("{}{}", place(error), error.message)).collect::<Vec<_>>().join("; ")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_as_a_sign() {
        for (text, shown) in [
            ("a\tb\nc \u{e9}", "a\tb\nc \u{e9}"),
            ("\u{1b}[2J\r\u{7}", "\u{241b}[2J\u{240d}\u{2407}"),
            ("\u{7f}\u{9b}\u{202e}", "\u{2421}\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        let error = Diagnostic::error("a\u{1b}").line("b\u{1b}").note("c\u{1b}").hint("d\u{1b}").to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}
