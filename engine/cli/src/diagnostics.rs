//! Diagnostics for the terminal: as `model::Diagnostic` displays itself, with colours.

use model::{Diagnostic, DiagnosticPart};

use crate::style::Style;

/// One diagnostic, without a newline at its end.
pub fn render(diagnostic: &Diagnostic, style: Style) -> String {
    diagnostic.render(|part, text| match part {
        DiagnosticPart::Place | DiagnosticPart::Message => style.strong(text),
        DiagnosticPart::Error | DiagnosticPart::Mark => style.bad(text),
        DiagnosticPart::Warning => style.warn(text),
        DiagnosticPart::Note => style.faint(text),
        DiagnosticPart::Hint => style.accent(text),
    })
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
