//! From the text of a query to its expression tree. All binary operators bind equally, to the left, as in Bazel.

use model::{Diagnostic, Location, nearest};

/// An expression and where it starts, in characters from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expr {
    pub(super) at: usize,
    pub(super) kind: ExprKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExprKind {
    Pattern(String),
    Variable(String),
    Set(Vec<Expr>),
    Let {
        name: String,
        value: Box<Expr>,
        body: Box<Expr>,
    },
    /// From left to right. A list, since a query that a program writes may chain thousands.
    Chain {
        first: Box<Expr>,
        rest: Vec<(Operator, Expr)>,
    },
    Call {
        function: &'static str,
        arguments: Vec<Argument>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    Expr(Expr),
    Word { at: usize, text: String },
    Number(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Expr,
    Word,
    /// Only at the end; may be left out.
    Number,
}

/// The functions, their arguments, and how they are written.
const FUNCTIONS: &[(&str, &[Wanted], &str)] = &[
    ("deps", &[Wanted::Expr, Wanted::Number], "deps(x) or deps(x, depth)"),
    ("rdeps", &[Wanted::Expr, Wanted::Expr, Wanted::Number], "rdeps(universe, x) or rdeps(universe, x, depth)"),
    ("allpaths", &[Wanted::Expr, Wanted::Expr], "allpaths(from, to)"),
    ("somepath", &[Wanted::Expr, Wanted::Expr], "somepath(from, to)"),
    ("kind", &[Wanted::Word, Wanted::Expr], "kind(regex, x)"),
    ("attr", &[Wanted::Word, Wanted::Word, Wanted::Expr], "attr(name, regex, x)"),
    ("filter", &[Wanted::Word, Wanted::Expr], "filter(regex, x)"),
    ("labels", &[Wanted::Word, Wanted::Expr], "labels(attribute, x)"),
    ("tests", &[Wanted::Expr], "tests(x)"),
    ("siblings", &[Wanted::Expr], "siblings(x)"),
    ("buildfiles", &[Wanted::Expr], "buildfiles(x)"),
    ("loadfiles", &[Wanted::Expr], "loadfiles(x)"),
    ("visible", &[Wanted::Expr, Wanted::Expr], "visible(from, x)"),
    ("same_pkg_direct_rdeps", &[Wanted::Expr], "same_pkg_direct_rdeps(x)"),
    ("some", &[Wanted::Expr, Wanted::Number], "some(x) or some(x, count)"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Symbol(char),
    End,
}

/// How deep expressions may nest: parsing and evaluation recurse.
const DEPTH: usize = 100;

/// Parses a whole query.
pub(super) fn parse(text: &str) -> Result<Expr, Diagnostic> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens, next: 0, depth: 0 };
    let expr = parser.expr()?;
    match parser.peek() {
        Token::End => Ok(expr),
        token => Err(parser.error(format!("expected an operator or the end, found {}", show(token)))),
    }
}

/// An error at a character of a query.
pub(super) fn error_at(text: &str, at: usize, message: impl Into<String>) -> Diagnostic {
    let column = u32::try_from(at + 1).unwrap_or(u32::MAX);
    let location = Location { file: "query".into(), line: 1, column, end_column: column };
    Diagnostic::error(message).at(Some(location)).line(text.replace('\n', " "))
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Diagnostic> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = characters.get(at).copied() {
        let start = at;
        at += 1;
        match c {
            c if c.is_whitespace() => continue,
            '(' | ')' | ',' | '=' | '+' | '^' | '-' => tokens.push((start, Token::Symbol(c))),
            '"' | '\'' => {
                let length = characters[at..].iter().position(|end| *end == c);
                let length = length.ok_or_else(|| error_at(text, start, format!("the {c} is never closed")))?;
                tokens.push((start, Token::Quoted(characters[at..at + length].iter().collect())));
                at += length + 1;
            }
            c if is_word(c) => {
                while characters.get(at).is_some_and(|c| is_word(*c) || matches!(c, '-')) {
                    at += 1;
                }
                tokens.push((start, Token::Word(characters[start..at].iter().collect())));
            }
            c => {
                return Err(
                    error_at(text, start, format!("unexpected `{c}`")).hint("quote a name or regex that has it")
                );
            }
        }
    }
    tokens.push((characters.len(), Token::End));
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "*/@._:$~[]|!%&{}?\\".contains(c)
}

fn show(token: &Token) -> String {
    match token {
        Token::Word(text) | Token::Quoted(text) => format!("`{text}`"),
        Token::Symbol(c) => format!("`{c}`"),
        Token::End => "the end".to_owned(),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    /// Expressions that are open.
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        // The last token is `End` and is never passed.
        &self.tokens[self.next].1
    }

    fn at(&self) -> usize {
        self.tokens[self.next].0
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        token
    }

    fn error(&self, message: impl Into<String>) -> Diagnostic {
        error_at(self.text, self.at(), message)
    }

    fn symbol(&mut self, symbol: char) -> Result<(), Diagnostic> {
        if *self.peek() == Token::Symbol(symbol) {
            self.advance();
            return Ok(());
        }
        Err(self.error(format!("expected `{symbol}`, found {}", show(self.peek()))))
    }

    fn expr(&mut self) -> Result<Expr, Diagnostic> {
        if self.depth == DEPTH {
            let error = self.error(format!("the query nests more than {DEPTH} deep"));
            return Err(error.hint("give parts of it names: let x = ... in ..."));
        }
        self.depth += 1;
        let first = self.primary()?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator() {
            self.advance();
            rest.push((operator, self.primary()?));
        }
        self.depth -= 1;
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr { at: first.at, kind: ExprKind::Chain { first: Box::new(first), rest } })
    }

    fn operator(&self) -> Option<Operator> {
        match self.peek() {
            Token::Symbol('+') => Some(Operator::Union),
            Token::Symbol('^') => Some(Operator::Intersect),
            Token::Symbol('-') => Some(Operator::Except),
            Token::Word(word) => match word.as_str() {
                "union" => Some(Operator::Union),
                "intersect" => Some(Operator::Intersect),
                "except" => Some(Operator::Except),
                _ => None,
            },
            _ => None,
        }
    }

    fn primary(&mut self) -> Result<Expr, Diagnostic> {
        let at = self.at();
        let expr = |kind| Ok(Expr { at, kind });
        match self.peek().clone() {
            Token::Symbol('(') => {
                self.advance();
                let inner = self.expr()?;
                self.symbol(')')?;
                Ok(inner)
            }
            Token::Quoted(text) => {
                self.advance();
                expr(ExprKind::Pattern(text))
            }
            Token::Word(word) => {
                self.advance();
                match (word.as_str(), self.peek()) {
                    ("set", Token::Symbol('(')) => expr(ExprKind::Set(self.set()?)),
                    (_, Token::Symbol('(')) => expr(self.call(&word, at)?),
                    ("let", Token::Word(_)) => expr(self.binding()?),
                    _ => match word.strip_prefix('$') {
                        Some(name) => expr(ExprKind::Variable(name.to_owned())),
                        None => expr(ExprKind::Pattern(word)),
                    },
                }
            }
            token => Err(self.error(format!("expected a target pattern or a function, found {}", show(&token)))),
        }
    }

    fn set(&mut self) -> Result<Vec<Expr>, Diagnostic> {
        self.symbol('(')?;
        let mut members = Vec::new();
        loop {
            let at = self.at();
            match self.advance() {
                Token::Symbol(')') => return Ok(members),
                Token::Word(text) | Token::Quoted(text) => {
                    members.push(Expr { at, kind: ExprKind::Pattern(text) });
                }
                token => {
                    let message = format!("expected a target or `)`, found {}", show(&token));
                    return Err(error_at(self.text, at, message).hint("set(//a:x //b:y), without commas"));
                }
            }
        }
    }

    fn binding(&mut self) -> Result<ExprKind, Diagnostic> {
        let Token::Word(name) = self.advance() else { return Err(self.error("expected a name after `let`")) };
        self.symbol('=')?;
        let value = Box::new(self.expr()?);
        match self.peek() {
            Token::Word(word) if word == "in" => drop(self.advance()),
            token => return Err(self.error(format!("expected `in`, found {}", show(token)))),
        }
        let body = Box::new(self.expr()?);
        Ok(ExprKind::Let { name, value, body })
    }

    fn call(&mut self, name: &str, at: usize) -> Result<ExprKind, Diagnostic> {
        let Some((function, wanted, usage)) = FUNCTIONS.iter().find(|(function, ..)| *function == name) else {
            let names: Vec<&str> = FUNCTIONS.iter().map(|(function, ..)| *function).collect();
            let error = error_at(self.text, at, format!("there is no query function `{name}`"));
            return Err(error
                .did_you_mean(&nearest(name, names.iter().copied()))
                .note(format!("functions: {}, set", names.join(", "))));
        };
        self.symbol('(')?;
        let mut arguments = Vec::new();
        for (index, wanted) in wanted.iter().enumerate() {
            if *wanted == Wanted::Number && *self.peek() != Token::Symbol(',') {
                break;
            }
            if index > 0 {
                self.symbol(',').map_err(|error| error.hint(*usage))?;
            }
            arguments.push(self.argument(*wanted).map_err(|error| error.hint(*usage))?);
        }
        self.symbol(')').map_err(|error| error.hint(*usage))?;
        Ok(ExprKind::Call { function, arguments })
    }

    fn argument(&mut self, wanted: Wanted) -> Result<Argument, Diagnostic> {
        let at = self.at();
        match (wanted, self.peek().clone()) {
            (Wanted::Expr, _) => self.expr().map(Argument::Expr),
            (Wanted::Word, Token::Word(text) | Token::Quoted(text)) => {
                self.advance();
                Ok(Argument::Word { at, text })
            }
            (Wanted::Number, Token::Word(text)) => match text.parse() {
                Ok(number) => {
                    self.advance();
                    Ok(Argument::Number(number))
                }
                Err(_) => Err(self.error(format!("expected a number, found `{text}`"))),
            },
            (Wanted::Word, token) => Err(self.error(format!("expected a name or a regex, found {}", show(&token)))),
            (Wanted::Number, token) => Err(self.error(format!("expected a number, found {}", show(&token)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Pattern(text) => text.clone(),
            ExprKind::Variable(name) => format!("${name}"),
            ExprKind::Set(members) => format!("{{{}}}", members.iter().map(shape).collect::<Vec<_>>().join(" ")),
            ExprKind::Let { name, value, body } => format!("[{name}={} {}]", shape(value), shape(body)),
            ExprKind::Chain { first, rest } => rest.iter().fold(shape(first), |left, (operator, right)| {
                let sign = match operator {
                    Operator::Union => '+',
                    Operator::Intersect => '^',
                    Operator::Except => '-',
                };
                format!("({left} {sign} {})", shape(right))
            }),
            ExprKind::Call { function, arguments } => {
                let arguments = arguments.iter().map(|argument| match argument {
                    Argument::Expr(expr) => shape(expr),
                    Argument::Word { text, .. } => format!("'{text}'"),
                    Argument::Number(number) => number.to_string(),
                });
                format!("{function}({})", arguments.collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[test]
    fn queries_parse() {
        for (text, expected) in [
            ("//a:x-y", "//a:x-y"),
            ("//a - //b ^ //c", "((//a - //b) ^ //c)"),
            ("//a union (//b except //c)", "(//a + (//b - //c))"),
            ("deps(//..., 2)", "deps(//..., 2)"),
            ("kind(\"go_.* rule\", set(//a :b))", "kind('go_.* rule', {//a :b})"),
            ("let v = //a in $v + deps($v)", "[v=//a ($v + deps($v))]"),
            ("attr(name, x, //...)", "attr('name', 'x', //...)"),
        ] {
            assert_eq!(parse(text).map(|expr| shape(&expr)).unwrap(), expected);
        }
    }

    #[test]
    fn depth_is_bounded_and_length_is_not() {
        for text in ["deps(", "(", "let x = ", "deps(//a + ", "let x = //a in "] {
            let error = parse(&text.repeat(5000)).unwrap_err().to_string();
            assert!(error.contains("nests more than 100 deep"), "{error}");
        }
        assert!(parse(&format!("//a{}", " + //b - (//c)".repeat(50_000))).is_ok());
    }

    #[test]
    fn errors_point_at_the_character() {
        for (text, expected) in [
            ("deps(//a", "query:1:9: error: expected `)`, found the end"),
            ("dps(//a)", "query:1:1: error: there is no query function `dps`"),
            ("//a //b", "query:1:5: error: expected an operator or the end, found `//b`"),
            ("deps(//a, x)", "query:1:11: error: expected a number, found `x`"),
            ("kind(\"a, //b)", "query:1:6: error: the \" is never closed"),
            ("//a +", "query:1:6: error: expected a target pattern or a function, found the end"),
            ("kind((//a), //b)", "query:1:6: error: expected a name or a regex, found `(`"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert_eq!(error.lines().next().unwrap(), expected);
        }
    }
}
