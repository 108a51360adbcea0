//! What a program's messages complain about: a file, a program, a server or a variable that it did not find.
//!
//! Programs say so in a few ways only, which compilers, shells and C libraries share.

/// Something that was not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// A file; `beside` is the one at which the line begins, as compilers write it, or nothing.
    File { path: String, beside: String },
    /// A program without a folder.
    Program(String),
    /// A server; the whole line.
    Server(String),
    /// A variable of the environment.
    Variable(String),
    /// A target that has this value of an attribute, which a tool of the rules asks for.
    Target { attribute: String, value: String },
}

/// How programs say that a file is missing.
const FILES: [&str; 9] = [
    "no such file",
    "cannot find",
    "can't find",
    "could not find",
    "can't open",
    "cannot open",
    "not found",
    "does not exist",
    "enoent",
];

/// How they say that a program is missing, behind its name.
const PROGRAMS: [&str; 3] = [": command not found", ": not found", ": executable file not found in $path"];

/// How they say that no server is there.
const SERVERS: [&str; 9] = [
    "connection refused",
    "network is unreachable",
    "no route to host",
    "bad address",
    "no such host",
    "could not resolve",
    "couldn't resolve",
    "name resolution",
    "name or service not known",
];

/// How they say that a variable is missing.
const VARIABLES: [&str; 4] = ["parameter not set", "unbound variable", "is not set", "not defined"];

/// More lines than this are not worth the time.
const LINES: usize = 50;

/// Longer lines are cut in hints.
const LONGEST: usize = 200;

/// How paths are quoted.
const QUOTES: [(char, char); 4] = [('\'', '\''), ('"', '"'), ('`', '`'), ('\u{2018}', '\u{2019}')];

/// The complaints in a log, first things first.
pub(crate) fn all(log: &str) -> Vec<Complaint> {
    let complaints = log.lines().map(of_line).filter(|complaints| !complaints.is_empty());
    complaints.take(LINES).flatten().collect()
}

fn of_line(line: &str) -> Vec<Complaint> {
    if let Some(target) = target(line) {
        return vec![target];
    }
    let lower = line.to_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    if has(&SERVERS) {
        return vec![Complaint::Server(line.trim().chars().take(LONGEST).collect())];
    }
    if has(&VARIABLES) {
        return words(line)
            .filter(|word| is_variable(word))
            .map(|word| Complaint::Variable(word.to_owned()))
            .take(1)
            .collect();
    }
    let program = PROGRAMS.iter().find_map(|phrase| lower.find(phrase)).and_then(|at| line.get(..at));
    if let Some(name) = program.and_then(|before| words(before).last()).filter(|name| !name.contains(['/', '.'])) {
        return vec![Complaint::Program(name.to_owned())];
    }
    if !has(&FILES) {
        return Vec::new();
    }
    let beside = line.split(':').next().unwrap_or("");
    let file = |word: &str| Complaint::File { path: word.trim_end_matches('.').to_owned(), beside: beside.to_owned() };
    quoted(line).chain(words(line)).filter(|word| word.contains(['.', '/'])).map(file).collect()
}

/// How the tools of rules ask for a target.
const TARGET: &str = "a target with `";

fn target(line: &str) -> Option<Complaint> {
    let (_, rest) = line.split_once(TARGET)?;
    let (wanted, _) = rest.split_once('`')?;
    let (attribute, value) = wanted.split_once(" = ")?;
    let value = value.strip_prefix('"')?.strip_suffix('"')?;
    Some(Complaint::Target { attribute: attribute.to_owned(), value: value.to_owned() })
}

/// What stands between two quotes of a kind, blanks and all. An apostrophe in a word is no quote.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    QUOTES.into_iter().filter_map(move |(open, close)| {
        let before = |at: usize| line[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || "(:".contains(c));
        let at = line.match_indices(open).map(|(at, _)| at).find(|at| before(*at))?;
        let (inside, _) = line[at + open.len_utf8()..].split_once(close)?;
        inside.contains(' ').then_some(inside)
    })
}

/// What stands between blanks, quotes, brackets and other punctuation.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let end = |c: char| c.is_whitespace() || "'\"`()[]<>,;:=\u{2018}\u{2019}".contains(c);
    line.split(end).filter(|word| !word.is_empty())
}

/// Whether a word is written as variables of the environment are.
fn is_variable(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase() || first == '_')
        && word.len() > 1
        && letters.all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_usual_programs_are_understood() {
        let file = |path: &str, beside: &str| Complaint::File { path: path.to_owned(), beside: beside.to_owned() };
        let program = |name: &str| Complaint::Program(name.to_owned());
        let variable = |name: &str| Complaint::Variable(name.to_owned());
        let cases = [
            ("cat: can't open 'a/b.txt': No such file or directory", vec![file("a/b.txt", "cat")]),
            (
                "p/far.c:1:10: fatal error: ../lib/far.h: No such file or directory",
                vec![file("p/far.c", "p/far.c"), file("../lib/far.h", "p/far.c")],
            ),
            (
                "cat: can't open '/a b/c': No such file or directory",
                vec![file("/a b/c", "cat"), file("/a", "cat"), file("b/c", "cat")],
            ),
            ("sh: cc: not found", vec![program("cc")]),
            ("bash: line 1: git: command not found", vec![program("git")]),
            ("exec: \"git\": executable file not found in $PATH", vec![program("git")]),
            ("sh: ./tool.sh: not found", vec![file("./tool.sh", "sh")]),
            ("sh: HOME_OF: parameter not set", vec![variable("HOME_OF")]),
            ("bash: line 1: CANARY: unbound variable", vec![variable("CANARY")]),
            ("all is well", vec![]),
            (
                "a.go:3:8: import \"t/x\": not found; add a target with `importpath = \"t/x\"`",
                vec![Complaint::Target { attribute: "importpath".to_owned(), value: "t/x".to_owned() }],
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(all(line), expected, "{line}");
        }
        let refused = "nc: can't connect to remote host (127.0.0.1): Connection refused";
        assert_eq!(all(refused), [Complaint::Server(refused.to_owned())]);
    }
}
