//! Environment markers (PEP 508), decided for the pinned interpreter on its platform.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec::IntoIter;

use crate::versions::Version;

/// What a marker may ask for. The interpreter is the pinned toolchain's, which there is for one platform only.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("implementation_name", "cpython"),
    ("implementation_version", "3.11.2"),
    ("os_name", "posix"),
    ("platform_machine", "x86_64"),
    ("platform_python_implementation", "CPython"),
    ("platform_release", ""),
    ("platform_system", "Linux"),
    ("platform_version", ""),
    ("python_full_version", "3.11.2"),
    ("python_version", "3.11"),
    ("sys_platform", "linux"),
    // How they were written before PEP 508.
    ("os.name", "posix"),
    ("platform.machine", "x86_64"),
    ("platform.python_implementation", "CPython"),
    ("platform.version", ""),
    ("python_implementation", "CPython"),
    ("sys.platform", "linux"),
];

/// Deeper nesting than this is no marker that a tool writes.
const DEPTH: usize = 64;

/// Whether a marker holds when `extra` is asked for (empty: none). The error says what cannot be understood.
pub(crate) fn holds(marker: &str, extra: &str) -> Result<bool, String> {
    let mut parser = Parser { tokens: tokens(marker)?.into_iter().peekable(), extra, depth: 0 };
    let value = parser.either()?;
    match parser.tokens.next() {
        None => Ok(value),
        Some(token) => Err(format!("unexpected {}", token.shown())),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(String),
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Self::Word(text) | Self::Sign(text) => format!("`{text}`"),
            Self::Text(text) => format!("`\"{text}\"`"),
        }
    }
}

fn tokens(marker: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = marker.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => {
                let end = rest[1..].find(first).ok_or("a text without its closing quote")?;
                tokens.push(Token::Text(rest[1..=end].to_owned()));
                end + 2
            }
            '(' | ')' => {
                tokens.push(Token::Sign(first.to_string()));
                1
            }
            '<' | '>' | '=' | '!' | '~' => {
                let end = rest.find(|c| !"<>=!~".contains(c)).unwrap_or(rest.len());
                tokens.push(Token::Sign(rest[..end].to_owned()));
                end
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c))).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..end].to_owned()));
                end
            }
            other => return Err(format!("unexpected `{other}`")),
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Peekable<IntoIter<Token>>,
    extra: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn word(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| *token == Token::Word(word.to_owned())).is_some()
    }

    fn either(&mut self) -> Result<bool, String> {
        let mut value = self.both()?;
        while self.word("or") {
            value |= self.both()?;
        }
        Ok(value)
    }

    fn both(&mut self) -> Result<bool, String> {
        let mut value = self.one()?;
        while self.word("and") {
            value &= self.one()?;
        }
        Ok(value)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.tokens.next_if(|token| *token == Token::Sign("(".to_owned())).is_none() {
            return self.comparison();
        }
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("too many parentheses".to_owned());
        }
        let value = self.either()?;
        self.depth -= 1;
        match self.tokens.next() {
            Some(Token::Sign(sign)) if sign == ")" => Ok(value),
            _ => Err("a parenthesis is not closed".to_owned()),
        }
    }

    fn comparison(&mut self) -> Result<bool, String> {
        let (left, left_is_extra) = self.operand()?;
        let operator = match self.tokens.next() {
            Some(Token::Sign(sign)) => sign,
            Some(Token::Word(word)) if word == "in" => word,
            Some(Token::Word(word)) if word == "not" && self.word("in") => "not in".to_owned(),
            _ => return Err("expected a comparison after the first value".to_owned()),
        };
        let (right, right_is_extra) = self.operand()?;
        if left_is_extra || right_is_extra {
            let same = extra_name(&left) == extra_name(&right);
            return Ok(if operator == "!=" { !same } else { same });
        }
        compare(&left, &operator, &right)
    }

    /// A value, and whether it is the extra that is asked for.
    fn operand(&mut self) -> Result<(String, bool), String> {
        match self.tokens.next() {
            Some(Token::Text(text)) => Ok((text, false)),
            Some(Token::Word(word)) if word == "extra" => Ok((self.extra.to_owned(), true)),
            Some(Token::Word(word)) => match ENVIRONMENT.iter().find(|(name, _)| *name == word) {
                Some((_, value)) => Ok(((*value).to_owned(), false)),
                None => Err(format!("`{word}` is no variable of environment markers")),
            },
            Some(token) => Err(format!("expected a value, not {}", token.shown())),
            None => Err("expected a value".to_owned()),
        }
    }
}

/// The name of an extra as it is compared (PEP 685).
pub(crate) fn extra_name(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Versions are compared as versions where both are some, other texts as texts.
fn compare(left: &str, operator: &str, right: &str) -> Result<bool, String> {
    match operator {
        "in" => return Ok(right.contains(left)),
        "not in" => return Ok(!right.contains(left)),
        "===" => return Ok(left == right),
        _ => {}
    }
    let family = right.strip_suffix(".*");
    if let (Some(left), Some(wanted)) = (Version::parse(left), Version::parse(family.unwrap_or(right))) {
        let order = left.cmp(&wanted);
        return match operator {
            "==" if family.is_some() => Ok(left.is_of(&wanted)),
            "!=" if family.is_some() => Ok(!left.is_of(&wanted)),
            "~=" => Ok(order != Ordering::Less && left.is_of(&wanted.family())),
            _ => ordered(order, operator),
        };
    }
    ordered(left.cmp(right), operator)
}

fn ordered(order: Ordering, operator: &str) -> Result<bool, String> {
    Ok(match operator {
        "==" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        ">" => order == Ordering::Greater,
        "<=" => order != Ordering::Greater,
        ">=" => order != Ordering::Less,
        other => return Err(format!("`{other}` is no comparison")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_lock_writers() {
        for (marker, expected) in [
            ("python_version >= \"3.9\" and python_version < \"4.0\"", true),
            ("python_version >= '3.10'", true),
            ("python_version < '3.9'", false),
            ("python_full_version < '3.11.3'", true),
            ("python_full_version >= '3.11.0a6'", true),
            ("python_version == '3.11.*'", true),
            ("python_version != '3.11.*'", false),
            ("python_version ~= '3.8'", true),
            ("python_version ~= '2.7'", false),
            ("'3.8' <= python_version", true),
            ("python_version in '3.10 3.11'", true),
            ("python_version not in '3.10, 3.11'", false),
            ("sys_platform == 'win32'", false),
            ("sys_platform != 'win32' and (platform_machine == 'aarch64' or platform_machine == 'x86_64')", true),
            ("sys_platform == 'win32' or sys_platform == 'linux' and os_name == 'nt'", false),
            ("(python_version >= '3.9' and python_version < '4.0') and (platform_system == 'Windows')", false),
            ("platform_python_implementation != 'PyPy'", true),
            ("implementation_name == 'cpython'", true),
            ("'linux' in sys_platform", true),
            ("os.name == 'posix' and sys.platform == 'linux'", true),
            ("platform_release >= '20'", false),
        ] {
            assert_eq!(holds(marker, ""), Ok(expected), "{marker}");
        }
    }

    #[test]
    fn extras() {
        assert_eq!(holds("extra == 'socks'", ""), Ok(false));
        assert_eq!(holds("python_version > '3' and extra == 'Dev_Test'", "dev-test"), Ok(true));
        assert_eq!(holds("extra != 'x'", ""), Ok(true));
    }

    #[test]
    fn what_is_no_marker() {
        for marker in ["", "python_version", "nonsense == '1'", "python_version >= '3", "(os_name == 'x'", "'a' = 'b'"]
        {
            assert!(holds(marker, "").is_err(), "{marker}");
        }
        let deep = format!("{}os_name == 'posix'{}", "(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(holds(&deep, ""), Err("too many parentheses".to_owned()));
    }
}
