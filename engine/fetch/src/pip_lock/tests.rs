//! Locks as tools write them, and what is refused.

use super::*;

fn sum(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn hash(digit: char) -> String {
    format!("--hash=sha256:{}", sum(digit))
}

fn lock(text: &str) -> PipLock {
    parse("r.lock", text).unwrap_or_else(|error| panic!("{error}"))
}

fn deps(lock: &PipLock, name: &str) -> Vec<String> {
    lock.packages[name].deps.iter().cloned().collect()
}

#[test]
fn versions_hashes_and_dependencies() {
    let text = format!(
        "# made by x\n# via nobody\ngrpcio==1.2 \\\n    {} \\\n    {}\n    # via\n    #   -r requirements.in\n    \
        #   grpcio-tools\nGrpcio_Tools==1.2 {}\n    # via -r requirements.in\n",
        hash('a'),
        hash('B'),
        hash('c')
    );
    let lock = lock(&text);
    assert_eq!(lock.packages["grpcio"].sha256, [sum('a'), sum('b')]);
    assert!(lock.annotated && deps(&lock, "grpcio").is_empty());
    assert_eq!(deps(&lock, "grpcio-tools"), ["grpcio"]);
}

#[test]
fn forms_of_the_tools() {
    let (a, b) = (hash('a'), hash('b'));
    let forms = [
        // pip-compile with its options, and with each way to annotate.
        format!(
            "--index-url https://a.invalid/simple\n--extra-index-url=https://u:${{TOKEN}}@b.invalid/#x\n-ihttps://a\n\
             -f ./wheels\n--trusted-host b.invalid\n--only-binary :all:\n--pre\n\naa==1.0 \\\n    {a}\n    # via -r in.txt\n\
             bb==1.0 \\\n    {b}\n    # via\n    #   -c other.txt\n    #   aa\n"
        ),
        format!("aa==1.0 {a}  # via -r in.txt\nbb==1.0 {b}  # via aa, x (setup.py)\n"),
        // uv: a universal lock, for Windows too.
        format!(
            "aa==1.0 \\\n    {a}\n    # via my-project\nbb==1.0 ; sys_platform != 'win32' \\\n    {b}\n    # via aa\n\
             cc==1.0 ; sys_platform == 'win32' \\\n    {b}\n    # via aa\n"
        ),
        // Two versions, one for each interpreter; Windows line ends; a mark at the beginning.
        format!(
            "\u{feff}aa==1.0 {a} # via x\r\nbb==2.0 ; python_version >= '3.12' \\\r\n  {b}\r\n  # via aa\r\n\
             bb==1.0 ; python_version < '3.12' {b}\r\n# via aa\r\n"
        ),
        format!("aa[Extra_One, two] == 1.0 --hash sha256:{}\n  # via x\nbb===1.0 {b} # via aa[two]\n", sum('a')),
    ];
    for text in &forms {
        let lock = lock(text);
        assert_eq!(lock.packages.keys().collect::<Vec<_>>(), ["aa", "bb"], "{text}");
        assert!(lock.annotated, "{text}");
        assert_eq!((deps(&lock, "aa"), lock.packages["bb"].version.as_str()), (vec!["bb".to_owned()], "1.0"), "{text}");
    }
    assert_eq!(lock(&forms[2]).elsewhere["cc"], "sys_platform == 'win32'");
    assert!(lock(&forms[3]).elsewhere.is_empty());
    assert_eq!(lock(&forms[4]).packages["aa"].extras.iter().collect::<Vec<_>>(), ["extra-one", "two"]);
}

#[test]
fn without_comments_nothing_is_known_of_dependencies() {
    // poetry export, uv --no-annotate, a list made by hand: each package, or only one, has no comment.
    for text in [
        format!("aa==1.0 ; python_version >= \"3.9\" and python_version < \"4.0\" \\\n    {}\n", hash('a')),
        format!("aa==1.0 {}\n# a word about viaducts\nbb==1.0 {} # via aa\n", hash('a'), hash('b')),
    ] {
        assert!(!lock(&text).annotated, "{text}");
    }
}

#[test]
fn what_a_lock_must_not_hold() {
    let error = |text: &str| parse("r.lock", text).unwrap_err().to_string();
    let h = hash('a');
    for (text, expected) in [
        ("a==1\n".to_owned(), "r.lock:1: `a` has no hash"),
        (format!("a==1 --hash=sha512:{h}\n"), "r.lock:1: `a` has no sha256 hash, only others"),
        ("a>=1\n".to_owned(), "r.lock:1: expected `<package>==<version>"),
        (format!("a==1.* {h}\n"), "r.lock:1: expected `<package>==<version>"),
        (format!("a==1,!=2 {h}\n"), "r.lock:1: expected `<package>==<version>"),
        ("a==1 --hash=md5:x\n".to_owned(), "r.lock:1: `md5:x` is no hash that pip knows; only sha256"),
        ("--hash=sha256:x\n".to_owned(), "r.lock:1: a hash without a package"),
        (format!("\na==1 {h}\nA==2 {h}\n"), "r.lock:3: `a` is locked twice, as 1 in line 2 and as 2"),
        (format!("a @ https://h/a.whl {h}\n"), "r.lock:1: a package that comes from an address is not supported"),
        ("git+https://h/a\n".to_owned(), "r.lock:1: a package that comes from an address is not supported"),
        (format!("./a-1-py3-none-any.whl {h}\n"), "r.lock:1: a file is no package of an index"),
        ("-e .\n".to_owned(), "r.lock:1: what is edited is part of the workspace"),
        ("-r other.txt\n".to_owned(), "r.lock:1: one lock is one file"),
        ("--no-binary :all:\n".to_owned(), "r.lock:1: packages are taken as wheels"),
        ("--nonsense\n".to_owned(), "r.lock:1: unknown option `--nonsense`"),
        (format!("a==1 ; python >= '3' {h}\n"), "r.lock:1: the marker `python >= '3'`: `python` is no variable"),
        ("version = 1\n\n[[package]]\n".to_owned(), "r.lock:3: this is a lock of a tool's own form"),
    ] {
        assert!(error(&text).starts_with(expected), "{text}{}", error(&text));
    }
}
