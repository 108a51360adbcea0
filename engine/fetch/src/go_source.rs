//! The head of a Go source file: build constraint, package clause, imports. No more is needed to know what a package
//! depends on; what the compiler must know besides, the builder reads itself. Mirrors `go/build`.

/// The head of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The name in the package clause.
    pub package: String,
    /// Import paths, in the order written.
    pub imports: Vec<String>,
    /// The expression of `//go:build`, or that of `// +build` lines.
    pub constraint: Option<Expression>,
}

/// A build constraint. Lists keep it flat: how deep it is, is bounded by `MOST_TERMS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    Tag(String),
    Not(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

/// Go refuses expressions with more operators and tags.
const MOST_TERMS: usize = 1000;

/// What a package is compiled for. cgo is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub os: &'a str,
    pub arch: &'a str,
    /// The release of Go: 26 for Go 1.26.
    pub release: u32,
}

/// The release of the default toolchain, `@rules//toolchains:go`. The builder checks it against the toolchain in use.
pub(crate) const RELEASE: u32 = 26;

/// `1.26` is the release 26.
pub(crate) fn release(go: &str) -> u32 {
    go.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

const SYSTEMS: &str = "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 \
    solaris wasip1 windows zos";
const PROCESSORS: &str = "386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 \
    mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm";

impl Expression {
    pub(crate) fn holds(&self, target: &Target<'_>) -> bool {
        match self {
            Self::Tag(tag) => target.has(tag),
            Self::Not(inner) => !inner.holds(target),
            Self::All(terms) => terms.iter().all(|term| term.holds(target)),
            Self::Any(terms) => terms.iter().any(|term| term.holds(target)),
        }
    }
}

impl Target<'_> {
    fn has(&self, tag: &str) -> bool {
        let release = tag.strip_prefix("go1.").and_then(|minor| minor.parse::<u32>().ok());
        tag == self.os
            || tag == self.arch
            || tag == "gc"
            || (tag == "amd64.v1" && self.arch == "amd64")
            || (tag == "arm64.v8.0" && self.arch == "arm64")
            || (tag == "unix" && matches!(self.os, "linux" | "darwin"))
            || release.is_some_and(|minor| minor <= self.release)
    }

    /// Whether the ending of a file's name (`_linux`, `_arm64`, `_linux_arm64`) lets it in.
    pub(crate) fn takes_name(&self, file: &str) -> bool {
        let stem = file.split('.').next().unwrap_or(file);
        let Some(start) = stem.find('_') else { return true };
        let mut parts: Vec<&str> = stem[start + 1..].split('_').collect();
        if parts.last() == Some(&"test") {
            parts.pop();
        }
        let is = |list: &str, word: &str| list.split(' ').any(|known| known == word);
        match parts.as_slice() {
            [.., os, arch] if is(SYSTEMS, os) && is(PROCESSORS, arch) => self.has(os) && self.has(arch),
            [.., last] if is(SYSTEMS, last) || is(PROCESSORS, last) => self.has(last),
            _ => true,
        }
    }
}

/// Reads the head of a Go or assembly file; of the latter only the constraint. An error says what was expected.
pub(crate) fn read(text: &str, assembly: bool) -> Result<Head, String> {
    let (comments, code) = leading_comments(text);
    let mut head = Head { constraint: constraint(comments)?, ..Head::default() };
    if assembly {
        return Ok(head);
    }
    let mut tokens = Tokens(code);
    if tokens.next()? != Token::Word("package") {
        return Err("expected a package clause".to_owned());
    }
    match tokens.next()? {
        Token::Word(name) => head.package = name.to_owned(),
        _ => return Err("expected a name after `package`".to_owned()),
    }
    while imports(&mut tokens, &mut head.imports)? {}
    Ok(head)
}

/// Splits off the comments and blank lines before the first code.
fn leading_comments(text: &str) -> (&str, &str) {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = rest;
    loop {
        rest = rest.trim_start();
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
        } else {
            return (&start[..start.len() - rest.len()], rest);
        }
    }
}

fn constraint(comments: &str) -> Result<Option<Expression>, String> {
    let comments = without_blocks(comments);
    let mut lines = comments.lines().map(str::trim);
    if let Some(line) =
        lines.find_map(|line| line.strip_prefix("//go:build").filter(|rest| rest.starts_with([' ', '\t'])))
    {
        return Parser { rest: line.trim(), terms: 0 }.whole().map(Some).ok_or_else(|| {
            let start: String = line.trim().chars().take(60).collect();
            format!("`//go:build {start}` is not an expression of at most {MOST_TERMS} terms")
        });
    }
    // Old constraints count only before a blank line: after it comes the package's own comment.
    let until = comments.trim_end_matches([' ', '\t']).rfind("\n\n").map_or("", |end| &comments[..end]);
    let old = until.lines().filter_map(|line| line.trim().strip_prefix("//")?.trim().strip_prefix("+build "));
    let all: Vec<Expression> = old.map(old_line).collect();
    Ok((!all.is_empty()).then_some(Expression::All(all)))
}

/// Comments without those between `/*` and `*/`, in which a constraint is text.
fn without_blocks(comments: &str) -> String {
    let mut kept = String::new();
    let mut rest = comments;
    loop {
        let line = rest.trim_start();
        kept.push_str(&rest[..rest.len() - line.len()]);
        let end = match line {
            "" => return kept,
            line if line.starts_with("/*") => line.find("*/").map_or(line.len(), |end| end + 2),
            line => {
                let end = line.find('\n').unwrap_or(line.len());
                kept.push_str(&line[..end]);
                end
            }
        };
        rest = &line[end..];
    }
}

/// `a,b !c`: spaces are or, commas are and.
fn old_line(line: &str) -> Expression {
    let term = |term: &str| match term.strip_prefix('!') {
        Some(tag) => Expression::Not(Box::new(Expression::Tag(tag.to_owned()))),
        None => Expression::Tag(term.to_owned()),
    };
    let clause = |clause: &str| Expression::All(clause.split(',').map(term).collect());
    Expression::Any(line.split_whitespace().map(clause).collect())
}

/// The expressions of `//go:build`.
struct Parser<'a> {
    rest: &'a str,
    terms: usize,
}

impl Parser<'_> {
    fn whole(mut self) -> Option<Expression> {
        let expression = self.any()?;
        self.rest.trim().is_empty().then_some(expression)
    }

    fn any(&mut self) -> Option<Expression> {
        let mut terms = vec![self.all()?];
        while self.eat("||") {
            terms.push(self.all()?);
        }
        Some(Expression::Any(terms))
    }

    fn all(&mut self) -> Option<Expression> {
        let mut terms = vec![self.unary()?];
        while self.eat("&&") {
            terms.push(self.unary()?);
        }
        Some(Expression::All(terms))
    }

    fn unary(&mut self) -> Option<Expression> {
        self.terms += 1;
        if self.terms > MOST_TERMS {
            return None;
        }
        if self.eat("!") {
            return Some(Expression::Not(Box::new(self.unary()?)));
        }
        if self.eat("(") {
            let inner = self.any()?;
            return self.eat(")").then_some(inner);
        }
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(self.rest.len());
        let (tag, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!tag.is_empty()).then(|| Expression::Tag(tag.to_owned()))
    }

    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest.trim_start();
        true
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text(&'a str),
    Sign(char),
    End,
}

/// Just enough of Go's lexer for the part of a file before its declarations.
struct Tokens<'a>(&'a str);

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Result<Token<'a>, String> {
        self.0 = leading_comments(self.0).1;
        let Some(first) = self.0.chars().next() else { return Ok(Token::End) };
        if first == '"' || first == '`' {
            let body = &self.0[1..];
            let end = body.find(first).ok_or("a text in the imports has no end")?;
            self.0 = &body[end + 1..];
            return Ok(Token::Text(&body[..end]));
        }
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let end = if word(first) { self.0.find(|c| !word(c)).unwrap_or(self.0.len()) } else { first.len_utf8() };
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        Ok(if word(first) { Token::Word(token) } else { Token::Sign(first) })
    }
}

/// Reads one import declaration; `false` when there is none.
fn imports(tokens: &mut Tokens<'_>, found: &mut Vec<String>) -> Result<bool, String> {
    let before = tokens.0;
    match tokens.next()? {
        Token::Sign(';') => return Ok(true),
        Token::Word("import") => {}
        _ => {
            tokens.0 = before;
            return Ok(false);
        }
    }
    let mut group = false;
    loop {
        match tokens.next()? {
            Token::Sign('(') if !group => group = true,
            Token::Sign(')') if group => return Ok(true),
            Token::Sign('.' | ';') | Token::Word(_) => {}
            Token::Text(path) => {
                found.push(path.to_owned());
                if !group {
                    return Ok(true);
                }
            }
            other => return Err(format!("expected an import path, found {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Target<'static> = Target { os: "linux", arch: "amd64", release: 26 };

    #[test]
    fn heads() {
        let text = "// Copyright\n\n//go:build (linux || darwin) && !cgo\n\n/* Package x\n is x. */\npackage x // import \"x\"\n\n\
            import \"fmt\"\nimport (\n\t// why\n\ta \"b.c/d\"; . `e.f/g`\n\t_ \"embed\"\n)\n\n//go:embed a.txt \"b c\" `d`\nvar x = `import \"no\"`\n";
        let head = read(text, false).unwrap();
        assert_eq!(head.package, "x");
        assert_eq!(head.imports, ["fmt", "b.c/d", "e.f/g", "embed"]);
        assert!(head.constraint.unwrap().holds(&LINUX));
        assert_eq!(read("package main", false).unwrap().package, "main");
        assert!(read("import \"x\"", false).is_err());
        assert!(read("package x\nimport \"x", false).is_err());
    }

    #[test]
    fn constraints() {
        let holds =
            |line: &str| read(&format!("{line}\npackage x\n"), false).unwrap().constraint.unwrap().holds(&LINUX);
        assert!(holds("//go:build unix && go1.26 && !go1.27"));
        assert!(!holds("//go:build ignore"));
        assert!(!holds("//go:build cgo || purego"));
        assert!(holds("//go:build !(windows||plan9)&&gc"));
        assert!(holds("// +build linux,!cgo windows\n// +build amd64 arm64\n"));
        assert!(!holds("// +build !linux\n"));
        assert!(read("//go:build a &&\npackage x", false).is_err());
        assert_eq!(read("/*\n//go:build ignore\n*/\npackage x", false).unwrap().constraint, None);
        assert!(holds("//go:build\tlinux && amd64.v1"));
        assert_eq!(read("// +build !linux\npackage x", false).unwrap().constraint, None);
        assert!(!read("//go:build arm64\nTEXT x", true).unwrap().constraint.unwrap().holds(&LINUX));
    }

    #[test]
    fn constraints_without_end_are_refused_or_read_without_depth() {
        for line in ["!".repeat(1_000_000), "(".repeat(1_000_000), "a && ".repeat(500_000)] {
            let error = read(&format!("//go:build {line}x\npackage x\n"), false).unwrap_err();
            assert!(error.contains("at most 1000 terms") && error.len() < 200, "{error}");
        }
        let old = format!("// +build {}\n{}\npackage x\n", "a,".repeat(500_000), "// +build a\n".repeat(500_000));
        assert!(!read(&old, false).unwrap().constraint.unwrap().holds(&LINUX));
        let deepest = format!("//go:build {}linux\npackage x\n", "!".repeat(998));
        assert!(read(&deepest, false).unwrap().constraint.unwrap().holds(&LINUX));
    }

    #[test]
    fn the_release_is_that_of_the_default_toolchain() {
        let toolchains = include_str!("../../../rules/toolchains/BUILD.star");
        let version = format!("v0.0.1-go1.{RELEASE}.");
        assert!(toolchains.contains(&version), "no {version} in rules/toolchains/BUILD.star");
    }

    #[test]
    fn names_of_files() {
        for yes in ["a.go", "linux.go", "a_linux.go", "a_linux_amd64.s", "a_amd64.go", "a_linux_x.go", "x_y.pb.go"] {
            assert!(LINUX.takes_name(yes), "{yes}");
        }
        for no in ["a_windows.go", "a_arm64.s", "a_linux_arm64.go", "a_darwin_amd64.go", "a_windows_test.go"] {
            assert!(!LINUX.takes_name(no), "{no}");
        }
    }
}
