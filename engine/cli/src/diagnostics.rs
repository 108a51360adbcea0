//! Diagnostics for the terminal. Without colours they read exactly as `model::Diagnostic` displays itself.

use model::{Diagnostic, Severity, printable};

use crate::style::Style;

/// One diagnostic, without a newline at its end.
pub fn render(diagnostic: &Diagnostic, style: Style) -> String {
    let mut text = String::new();
    if let Some(location) = &diagnostic.location {
        text.push_str(&format!("{}: ", style.strong(&location.to_string())));
    }
    let severity = match diagnostic.severity {
        Severity::Error => style.bad("error"),
        Severity::Warning => style.warn("warning"),
    };
    text.push_str(&format!("{severity}: {}", style.strong(&printable(&diagnostic.message))));
    if let Some(line) = &diagnostic.source_line {
        text.push_str(&format!("\n    {}", printable(line)));
        if let Some(location) = &diagnostic.location {
            let indent = location.column.saturating_sub(1) as usize;
            let width = location.end_column.saturating_sub(location.column).max(1) as usize;
            let width = width.min(line.chars().count().saturating_sub(indent).max(1));
            text.push_str(&format!("\n    {}{}", " ".repeat(indent), style.bad(&"^".repeat(width))));
        }
    }
    for note in &diagnostic.notes {
        text.push_str(&format!("\n  {}: {}", style.faint("note"), printable(note)));
    }
    for hint in &diagnostic.hints {
        text.push_str(&format!("\n  {}: {}", style.accent("hint"), printable(hint)));
    }
    text
}

#[cfg(test)]
mod tests {
    use model::Location;

    use super::*;

    #[test]
    fn without_colours_it_is_the_plain_display() {
        let location = Location { file: "a/BUILD.star".into(), line: 3, column: 5, end_column: 9 };
        let mut all = Diagnostic::error("no rule `gorp`").at(Some(location)).line("    gorp(name = \"x\")");
        all = all.note("called here").hint("did you mean `go`?");
        for diagnostic in [all, Diagnostic::error("bare"), Diagnostic::error("\u{1b}[2J").note("\r").hint("\u{7}")] {
            assert_eq!(render(&diagnostic, Style::new(false)), diagnostic.to_string());
        }
    }
}
