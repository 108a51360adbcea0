//! The imports of a source, with their places: what can be checked before protoc runs, and said better than it does.
//!
//! Only what is surely an import is found. Whether a file is well-formed is for protoc to say.

/// `import "a/b.proto";`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// What is imported.
    pub path: String,
    /// The bytes of the statement in the text.
    pub start: usize,
    /// Behind its last byte.
    pub end: usize,
}

/// A token, with where it begins and ends.
struct Token<'a> {
    kind: Kind<'a>,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind<'a> {
    /// A name, a keyword or a number.
    Word(&'a str),
    /// What stands between two quotes.
    Text(&'a str),
    /// Anything else.
    Mark(char),
}

/// The imports of a source, in order.
pub(crate) fn of(text: &str) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut statement: Vec<Token<'_>> = Vec::new();
    let mut depth = 0_usize;
    for token in (Tokens { text, at: 0 }) {
        match token.kind {
            Kind::Mark('{') => depth += 1,
            Kind::Mark('}') => {
                depth = depth.saturating_sub(1);
                statement.clear();
            }
            Kind::Mark(';') => {
                if depth == 0 {
                    imports.extend(import(&statement, token.end));
                }
                statement.clear();
            }
            // A statement that is no import needs not be kept.
            _ if statement.is_empty() && token.kind != Kind::Word("import") => {
                statement.push(Token { kind: Kind::Mark(' '), ..token });
            }
            _ if statement.first().is_some_and(|first| first.kind == Kind::Mark(' ')) => {}
            _ => statement.push(token),
        }
    }
    imports
}

/// The import that these tokens before a semicolon are. A path with escapes is left to protoc.
fn import(statement: &[Token<'_>], end: usize) -> Option<Import> {
    let (first, rest) = statement.split_first()?;
    if first.kind != Kind::Word("import") {
        return None;
    }
    let rest = match rest {
        // `public`, `weak`, `option`, and what the future brings.
        [Token { kind: Kind::Word(_), .. }, rest @ ..] => rest,
        rest => rest,
    };
    let mut path = String::new();
    for token in rest {
        match token.kind {
            Kind::Text(part) if !part.contains('\\') => path.push_str(part),
            _ => return None,
        }
    }
    (!path.is_empty()).then_some(Import { path, start: first.start, end })
}

struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    /// Goes over blanks and comments.
    fn skip(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let blanks = rest.len() - rest.trim_start().len();
            let rest = &rest[blanks..];
            let comment = match () {
                () if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                () if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
                // A byte order mark.
                () if rest.starts_with('\u{feff}') => '\u{feff}'.len_utf8(),
                () => 0,
            };
            self.at += blanks + comment;
            if comment == 0 {
                return;
            }
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip();
        let start = self.at;
        let rest = &self.text[start..];
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let (kind, length) = match first {
            '"' | '\'' => {
                let (inside, length) = quoted(&rest[1..], first);
                (Kind::Text(inside), length + 1)
            }
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Kind::Word(&rest[..length]), length)
            }
            other => (Kind::Mark(other), other.len_utf8()),
        };
        self.at = start + length;
        Some(Token { kind, start, end: self.at })
    }
}

/// What stands before the closing quote, and how many bytes it and the quote take. A text ends with its line.
fn quoted(rest: &str, quote: char) -> (&str, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            '\n' => return (&rest[..at], at),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return (&rest[..at], at + 1),
            _ => {}
        }
    }
    (rest, rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        of(text).into_iter().map(|import| import.path).collect()
    }

    #[test]
    fn imports_of_all_forms() {
        let text = "\u{feff}edition = \"2024\"; // import \"no.proto\";\n\
            /* import \"no.proto\"; */ import \"a.proto\";import public 'b.proto';\n\
            import weak \"c\" \"/d.proto\" ; import option \"e.proto\";";
        assert_eq!(paths(text), ["a.proto", "b.proto", "c/d.proto", "e.proto"]);
    }

    #[test]
    fn what_is_no_import_is_not_taken_for_one() {
        let text = "syntax = \"proto3\"; option java_package = \"import \\\"x.proto\\\";\";\n\
            message import { string import = 1; reserved \"import\"; }\n\
            option (x) = { import: \"y.proto\"; }; import \"a\\x2eproto\"; import \"open.proto";
        assert!(paths(text).is_empty(), "{:?}", paths(text));
    }

    #[test]
    fn an_import_knows_its_place() {
        let text = "syntax = \"proto3\";\n  import \"a.proto\";\n";
        let import = &of(text)[0];
        assert_eq!(&text[import.start..import.end], "import \"a.proto\";");
    }
}
