//! go.mod and go.sum: which modules, at which versions, with which hashes. <https://go.dev/ref/mod#go-mod-file>

use std::collections::BTreeMap;

use crate::error::FetchError;

/// What of a go.mod matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GoMod {
    /// The language version, `1.26`; `1.16` where the file does not say.
    pub go: String,
    /// Module path to version.
    pub requires: BTreeMap<String, String>,
}

/// Reads a go.mod. `replace` is refused, since a hash of go.sum would not cover it.
pub(crate) fn parse_mod(file: &str, text: &str) -> Result<GoMod, FetchError> {
    let mut parsed = GoMod { go: "1.16".to_owned(), ..GoMod::default() };
    let mut block: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let fail = |reason: String| FetchError::lock(file, Some(index + 1), reason);
        let words: Vec<&str> = line.split("//").next().unwrap_or("").split_whitespace().collect();
        let (directive, rest) = match (&block, words.as_slice()) {
            (_, []) => continue,
            (Some(_), [")"]) => {
                block = None;
                continue;
            }
            (Some(directive), words) => (directive.clone(), words.to_vec()),
            (None, [directive, "("]) => {
                block = Some((*directive).to_owned());
                continue;
            }
            (None, [directive, rest @ ..]) => ((*directive).to_owned(), rest.to_vec()),
        };
        match (directive.as_str(), rest.as_slice()) {
            ("go", [version]) => parsed.go = language(version),
            ("require", [module, version]) => {
                let module = unquote(module);
                if !is_module_path(&module) {
                    let reason =
                        format!("{module:?} is no module path: letters, digits and `-._~` in parts between `/`");
                    return Err(fail(reason));
                }
                parsed.requires.insert(module, unquote(version));
            }
            ("require", _) => return Err(fail("expected `require <module> <version>`".to_owned())),
            ("replace", _) => {
                return Err(fail("`replace` is not supported: require a version that is published instead".to_owned()));
            }
            _ => {}
        }
    }
    Ok(parsed)
}

/// The `h1:` hashes of modules in a go.sum, by module and version. Those of go.mod files are left out.
pub(crate) fn parse_sum(file: &str, text: &str) -> Result<BTreeMap<(String, String), String>, FetchError> {
    let mut sums = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [module, version, hash] if hash.starts_with("h1:") => {
                if !version.ends_with("/go.mod") {
                    sums.insert(((*module).to_owned(), (*version).to_owned()), (*hash).to_owned());
                }
            }
            _ => return Err(FetchError::lock(file, Some(index + 1), "expected `<module> <version> h1:<hash>`")),
        }
    }
    Ok(sums)
}

/// Whether a text has the form of a module path (<https://go.dev/ref/mod#go-mod-file-ident>).
fn is_module_path(text: &str) -> bool {
    let is_part = |part: &str| {
        let known = part.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c));
        known && !part.is_empty() && !part.starts_with('.') && !part.ends_with('.')
    };
    text.split('/').all(is_part)
}

fn unquote(word: &str) -> String {
    word.trim_matches(['"', '`']).to_owned()
}

/// `1.26.1` and `1.26rc1` are releases of the language version `1.26`.
fn language(version: &str) -> String {
    let mut parts = version.split('.');
    let major = parts.next().unwrap_or("1");
    let minor: String = parts.next().unwrap_or("0").chars().take_while(char::is_ascii_digit).collect();
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_mod_with_blocks_and_comments() {
        let text = "module x // c\n\ngo 1.26.1\nrequire a.b/c v1.0.0\nrequire (\n\td.e/f v2.0.0+incompatible // indirect\n)\n\
            tool (\n\ta.b/c/cmd\n)\nretract v1.0.0\n";
        let parsed = parse_mod("go.mod", text).unwrap();
        assert_eq!(parsed.go, "1.26");
        assert_eq!(parsed.requires.len(), 2);
        assert_eq!(parsed.requires["d.e/f"], "v2.0.0+incompatible");
        let error = parse_mod("go.mod", "module x\nreplace a => ../a\n").unwrap_err().to_string();
        assert!(error.starts_with("go.mod:2: `replace` is not supported"), "{error}");
    }

    #[test]
    fn a_go_sum() {
        let sums = parse_sum("go.sum", "a v1 h1:x=\na v1/go.mod h1:y=\n").unwrap();
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[&("a".to_owned(), "v1".to_owned())], "h1:x=");
        assert!(parse_sum("go.sum", "a v1\n").is_err());
    }

    #[test]
    fn only_module_paths_are_modules() {
        for module in ["a\u{1}b/c", "../x", "a//b", "a/./b", "/a", "a b\u{e9}"] {
            let error = parse_mod("go.mod", &format!("module m\nrequire \"{module}\" v1.0.0\n"));
            assert!(error.is_err(), "{module:?}");
        }
        let read = parse_mod("go.mod", "require gopkg.in/yaml.v3 v3.0.1\nrequire \"k8s.io/a~b_c-d\" v0.1.0\n").unwrap();
        assert_eq!(read.requires.len(), 2);
    }
}
