//! protoc's messages as diagnostics: with the line that they are about, each once.

use std::collections::{BTreeMap, BTreeSet};

use model::{Diagnostic, Severity};

use crate::source::Source;

/// `log` as people are to read it. Lines that are no message about a source stay as they are.
pub(crate) fn explain(log: &str, sources: &BTreeMap<String, Source>) -> String {
    let by_path: BTreeMap<&str, &Source> = sources.values().map(|source| (source.path.as_str(), source)).collect();
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for line in log.lines().filter(|line| seen.insert(*line)) {
        if is_consequence(line, sources) {
            continue;
        }
        match parse(line, &by_path) {
            Some(diagnostic) => text.push_str(&diagnostic.to_string()),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// Whether a line only says that an import is wrong which has messages of its own.
fn is_consequence(line: &str, sources: &BTreeMap<String, Source>) -> bool {
    let Some((_, rest)) = line.split_once(": Import \"") else { return false };
    rest.strip_suffix("\" was not found or had errors.").is_some_and(|import| sources.contains_key(import))
}

/// `path:line:column: message`, `path:line:column: warning: message`, `path: message`.
fn parse(line: &str, sources: &BTreeMap<&str, &Source>) -> Option<Diagnostic> {
    // A path may hold colons itself.
    let (source, rest) =
        line.match_indices(':').find_map(|(at, _)| Some((*sources.get(&line[..at])?, &line[at + 1..])))?;
    let mut parts = rest.splitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
    // Of a file as a whole it is said without a place.
    let (row, column, message) = match (number(), number()) {
        (Some(row), Some(column)) => (row, column, parts.next()?.trim_start()),
        _ => (1, 1, rest.trim()),
    };
    let (severity, message) = match message.strip_prefix("warning: ") {
        Some(message) => (Severity::Warning, message),
        None => (Severity::Error, message),
    };
    let mut diagnostic = Diagnostic::error(without_stop(message));
    diagnostic.severity = severity;
    Some(source.place(diagnostic, source.of_protoc(row, column), 0))
}

/// A message of one sentence has no full stop, as all others here.
fn without_stop(message: &str) -> &str {
    match message.strip_suffix('.') {
        Some(sentence) if !sentence.contains(". ") => sentence,
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> BTreeMap<String, Source> {
        let source = Source { path: "p/a.proto".into(), import_path: "a.proto".into(), text: text.into() };
        BTreeMap::from([("a.proto".to_owned(), source)])
    }

    #[test]
    fn a_message_shows_its_line() {
        let sources = sources("syntax = \"proto3\";\nmessage A {\n\tThimg x = 1;\n}\n");
        let log = "p/a.proto:3:9: \"Thimg\" is not defined.\np/a.proto:3:9: \"Thimg\" is not defined.\n";
        let expected = "p/a.proto:3:2: error: \"Thimg\" is not defined\n     Thimg x = 1;\n     ^^^^^\n";
        assert_eq!(explain(log, &sources), expected);
    }

    #[test]
    fn warnings_other_lines_and_consequences() {
        let sources = sources("import \"b.proto\";\n");
        let log = "p/a.proto:1:1: warning: Import b.proto is unused.\nx.proto: File not found.\n\
            p/a.proto:1:1: Import \"a.proto\" was not found or had errors.\n\
            p/a.proto: warning: File is strange. So it is.\np/a.proto:9:9: Expected \";\".\n";
        let expected = "p/a.proto:1:1: warning: Import b.proto is unused\n    import \"b.proto\";\n    ^^^^^^\n\
            x.proto: File not found.\n\
            p/a.proto:1:1: warning: File is strange. So it is.\n    import \"b.proto\";\n    ^^^^^^\n\
            p/a.proto:9:1: error: Expected \";\"\n    \n    ^\n";
        assert_eq!(explain(log, &sources), expected);
    }

    #[test]
    fn columns_are_characters() {
        let sources = sources("/* \u{e4}\u{e4} */ mesage B {}\n");
        let log = "p/a.proto:1:12: Expected top-level statement (e.g. \"message\").\n";
        let text = explain(log, &sources);
        assert!(text.starts_with("p/a.proto:1:10: error: Expected top-level statement"), "{text}");
    }
}
