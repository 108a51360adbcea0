//! A look at a file before it is parsed: parser and evaluator recurse as deep as expressions nest, and a stack that overflows
//! ends the process. What nobody writes by hand is refused with its place instead.

use model::{Diagnostic, Location};

/// How deep brackets may nest.
const DEPTH: usize = 200;
/// How many operators, calls and indices one expression may chain between two commas.
const OPERATORS: usize = 1000;
/// How many digits a number may have; reading one takes the square of them.
const DIGITS: usize = 5000;
/// How many branches the `if` statements of one function may have.
const BRANCHES: usize = 1000;
/// How many words, signs and line ends a file may have: each takes up to a kilobyte when it is evaluated.
const TOKENS: usize = 1_000_000;

/// Refuses a text whose expressions nest too deep.
pub(crate) fn check(path: &str, text: &str) -> Result<(), Diagnostic> {
    let mut scan = Scan { line: 1, column: 0, operators: vec![0], continued: false, branches: 0, tokens: 0 };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = token(rest, first);
        scan.column += 1;
        if let Err((message, hint)) = scan.take(first, &rest[..length]) {
            return Err(scan.error(path, text, message, hint));
        }
        scan.pass(&rest[..length]);
        rest = &rest[length..];
    }
    Ok(())
}

const NAMES: &str = "give parts of the expression names of their own";

struct Scan {
    line: u32,
    column: u32,
    /// Operators of the expression at hand, for each bracket that is open and for the statement.
    operators: Vec<usize>,
    /// Whether the line break that follows does not end the statement.
    continued: bool,
    /// `elif` of the function at hand.
    branches: usize,
    /// All of the file so far.
    tokens: usize,
}

/// What is too much, and what to do instead.
type TooMuch = (String, &'static str);

impl Scan {
    fn take(&mut self, first: char, token: &str) -> Result<(), TooMuch> {
        self.tokens += usize::from(first == '\n' || !first.is_whitespace());
        if self.tokens > TOKENS {
            return Err((format!("the file has more than {TOKENS} words and signs"), "split it into several packages"));
        }
        let continues = std::mem::replace(&mut self.continued, first == '\\');
        self.continued |= continues && first == '\r';
        match first {
            '(' | '[' | '{' => {
                // What follows an expression calls it or takes a part of it.
                self.operator()?;
                self.operators.push(0);
                if self.operators.len() > DEPTH {
                    return Err((format!("brackets nest more than {DEPTH} deep"), NAMES));
                }
            }
            ')' | ']' | '}' if self.operators.len() > 1 => drop(self.operators.pop()),
            ',' => self.reset(),
            '\n' if self.operators.len() == 1 && !continues => self.reset(),
            '+' | '-' | '*' | '/' | '|' | '&' | '^' | '~' | '%' | '.' | '<' | '>' | '=' => return self.operator(),
            _ if first.is_ascii_digit() && token.len() > DIGITS => {
                return Err((format!("a number has more than {DIGITS} digits"), "write it as a text"));
            }
            _ if matches!(token, "not" | "and" | "or" | "if" | "in" | "lambda") => return self.operator(),
            _ if token == "def" && self.column == 1 => self.branches = 0,
            _ if token == "elif" => {
                self.branches += 1;
                if self.branches > BRANCHES {
                    return Err((
                        format!("one function has more than {BRANCHES} `elif`"),
                        "look the value up in a dict",
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn operator(&mut self) -> Result<(), TooMuch> {
        if let Some(count) = self.operators.last_mut() {
            *count += 1;
            if *count > OPERATORS {
                return Err((format!("one expression chains more than {OPERATORS} operators"), NAMES));
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        if let Some(count) = self.operators.last_mut() {
            *count = 0;
        }
    }

    fn pass(&mut self, token: &str) {
        self.line += count(&token.chars().filter(|c| *c == '\n').collect::<String>());
        match token.rsplit_once('\n') {
            Some((_, last)) => self.column = count(last),
            None => self.column += count(token) - 1,
        }
    }

    fn error(&self, path: &str, text: &str, message: String, hint: &str) -> Diagnostic {
        let (line, column) = (self.line, self.column);
        let location = Location { file: path.into(), line, column, end_column: column + 1 };
        let source_line = text.lines().nth(line as usize - 1).unwrap_or_default();
        let shown: String = source_line.chars().take(120).collect();
        let diagnostic = Diagnostic::error(message).at(Some(location)).line(shown);
        diagnostic.hint(hint)
    }
}

fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// The length of the token at the beginning of `rest`: a string, a comment, a word, or one character.
fn token(rest: &str, first: char) -> usize {
    match first {
        '#' => rest.find('\n').unwrap_or(rest.len()),
        '"' | '\'' => string(rest, first),
        c if c.is_alphanumeric() || c == '_' => {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        }
        c => c.len_utf8(),
    }
}

fn string(rest: &str, quote: char) -> usize {
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    let (end, from) = if rest.starts_with(&triple) { (triple.as_str(), 3) } else { (&triple[..1], 1) };
    let mut at = from;
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with(end) {
            return at + end.len();
        }
        let mut characters = here.chars();
        let Some(character) = characters.next() else { break };
        if character == '\n' && end.len() == 1 {
            return at;
        }
        at += character.len_utf8();
        if character == '\\' {
            at += characters.next().map_or(0, char::len_utf8);
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_people_write_passes() {
        let text = "x = [1, 2]  # ((((\ny = \"((((\" + '''\n((((''' + \"\\\"(\"\nz = f(a = {\"b\": [\"c\"]})\n";
        assert!(check("BUILD.star", &text.repeat(500)).is_ok());
        let function = format!("def f(x):\n if x: pass\n{}", " elif x: pass\n".repeat(1000));
        assert!(check("lib.star", &function.repeat(50)).is_ok(), "each function begins anew");
    }

    #[test]
    fn deep_brackets_and_long_chains_are_refused_at_their_place() {
        for (text, place) in [
            (format!("\nx = {}", "[".repeat(5000)), "2:204"),
            (format!("x = {}1", "not ".repeat(5000)), "1:4001"),
            (format!("x = 1{}", " + 1".repeat(5000)), "1:4003"),
            (format!("x = {}1", "-".repeat(5000)), "1:1004"),
            (format!("x = 1{}", "\\\n+ 1".repeat(5000)), "1001:1"),
            (format!("x = 1{}", "\\\r\n+ 1".repeat(5000)), "1001:1"),
            (format!("x = f{}", "()".repeat(5000)), "1:2004"),
            (format!("x = f{}", "[0][1:2]".repeat(5000)), "1:4001"),
            (format!("x = {}", "1".repeat(10_000)), "1:5"),
            (format!("def f(x):\n if x: pass\n{}", " elif x: pass\n".repeat(2000)), "1003:2"),
            ("x = 1\n".repeat(300_000), "250001:1"),
        ] {
            let error = check("BUILD.star", &text).unwrap_err();
            let location = error.location.unwrap();
            assert_eq!(format!("{}:{}", location.line, location.column), place, "{}", error.message);
        }
    }
}
