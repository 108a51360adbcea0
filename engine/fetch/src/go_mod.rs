//! go.mod and go.sum: which modules, at which versions, with which hashes. <https://go.dev/ref/mod#go-mod-file>

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::FetchError;

/// What of a go.mod matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GoMod {
    /// The module's path; empty where the file does not say.
    pub module: String,
    /// The language version, `1.26`; `1.16` where the file does not say.
    pub go: String,
    /// Module path to version.
    pub requires: BTreeMap<String, String>,
    /// Versions that requirements of others do not count for.
    pub excludes: BTreeSet<(String, String)>,
    /// `godebug` lines, `key=value`.
    pub godebug: Vec<String>,
}

/// Whose go.mod is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The workspace's: what it says is obeyed or refused.
    Own,
    /// A dependency's: `replace` and the like count only at home, and words of a newer Go are passed over.
    Dependency,
}

/// Words that say nothing about how a package is compiled.
const WITHOUT_EFFECT: [&str; 4] = ["toolchain", "retract", "tool", "ignore"];

/// Reads a go.mod. `replace` is refused, since a hash of go.sum would not cover it.
pub(crate) fn parse_mod(file: &str, text: &str, whose: Whose) -> Result<GoMod, FetchError> {
    let mut parsed = GoMod { go: "1.16".to_owned(), ..GoMod::default() };
    let mut block: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
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
        match parsed.line(&directive, &rest) {
            Err(reason) if whose == Whose::Own => return Err(FetchError::lock(file, Some(index + 1), reason)),
            _ => {}
        }
    }
    Ok(parsed)
}

impl GoMod {
    fn line(&mut self, directive: &str, rest: &[&str]) -> Result<(), String> {
        match (directive, rest) {
            ("module", [module]) => self.module = unquote(module),
            ("go", [version]) => self.go = language(version),
            ("require", [module, version]) => {
                let module = unquote(module);
                if !is_module_path(&module) {
                    return Err(format!(
                        "{module:?} is no module path: letters, digits and `-._~` in parts between `/`"
                    ));
                }
                let version = unquote(version);
                let known = self.requires.entry(module).or_default();
                if compare(known, &version) != Ordering::Greater {
                    *known = version;
                }
            }
            ("require", _) => return Err("expected `require <module> <version>`".to_owned()),
            ("exclude", [module, version]) => drop(self.excludes.insert((unquote(module), unquote(version)))),
            ("godebug", [setting]) if setting.contains('=') => self.godebug.push(unquote(setting)),
            ("godebug", _) => return Err("expected `godebug <key>=<value>`".to_owned()),
            ("replace", _) => {
                return Err("`replace` is not supported: require a version that is published instead".to_owned());
            }
            (directive, _) if WITHOUT_EFFECT.contains(&directive) => {}
            (directive, _) => return Err(format!("`{directive}` is not known, or not with these words")),
        }
        Ok(())
    }
}

/// What `requirer`, a module whose package is compiled, needs and the workspace's go.mod does not give it. The `go`
/// command checks the same of the modules that it loads packages of: <https://go.dev/ref/mod#lazy-loading>.
pub(crate) fn unmet(own: &GoMod, requirer: &GoMod) -> Option<(String, String, String)> {
    requirer.requires.iter().find_map(|(module, version)| {
        let listed = own.requires.get(module)?;
        let excluded = own.excludes.contains(&(module.clone(), version.clone()));
        let newer = !excluded && compare(version, listed) == Ordering::Greater;
        newer.then(|| (module.clone(), version.clone(), listed.clone()))
    })
}

/// The order of versions: semantic versions with a `v`, <https://go.dev/ref/mod#versions>. What is none comes first.
fn compare(a: &str, b: &str) -> Ordering {
    let parse = |text: &str| {
        let text = text.strip_prefix('v')?;
        let text = text.split('+').next().unwrap_or("");
        let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
        let numbers: Option<Vec<u64>> = numbers.split('.').map(|number| number.parse().ok()).collect();
        Some((numbers?, pre.map(str::to_owned)))
    };
    let (a, b) = (parse(a), parse(b));
    let (Some((a, pre_a)), Some((b, pre_b))) = (&a, &b) else { return a.is_some().cmp(&b.is_some()) };
    a.cmp(b).then_with(|| match (pre_a, pre_b) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => compare_prereleases(a, b),
    })
}

/// Identifier by identifier: numbers by value and before words, the shorter list first.
fn compare_prereleases(a: &str, b: &str) -> Ordering {
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.chars().all(|c| c.is_ascii_digit()));
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('.').collect(), b.split('.').collect());
    let differing = a.iter().zip(&b).find(|(a, b)| a != b);
    differing.map_or(a.len().cmp(&b.len()), |(a, b)| match (number(a), number(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    })
}

/// The `h1:` hashes in a go.sum, by module and version; `<version>/go.mod` for those of go.mod files.
pub(crate) fn parse_sum(file: &str, text: &str) -> Result<BTreeMap<(String, String), String>, FetchError> {
    let mut sums = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [module, version, hash] if hash.starts_with("h1:") => {
                sums.insert(((*module).to_owned(), (*version).to_owned()), (*hash).to_owned());
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

    fn own(text: &str) -> Result<GoMod, FetchError> {
        parse_mod("go.mod", text, Whose::Own)
    }

    #[test]
    fn a_go_mod_with_blocks_and_comments() {
        let text = "module x // c\n\ngo 1.26.1\nrequire a.b/c v1.0.0\nrequire (\n\td.e/f v2.0.0+incompatible // indirect\n)\n\
            tool (\n\ta.b/c/cmd\n)\nretract v1.0.0\nretract [v1.1.0, v1.2.0]\ngodebug (\n\tpanicnil=1\n)\ngodebug a=b\n\
            exclude d.e/f v1.0.0\ntoolchain go1.26.2\nignore ./x\n";
        let parsed = own(text).unwrap();
        assert_eq!((parsed.module.as_str(), parsed.go.as_str()), ("x", "1.26"));
        assert_eq!(parsed.requires.len(), 2);
        assert_eq!(parsed.requires["d.e/f"], "v2.0.0+incompatible");
        assert_eq!(parsed.godebug, ["panicnil=1", "a=b"]);
        let error = own("module x\nreplace a => ../a\n").unwrap_err().to_string();
        assert!(error.starts_with("go.mod:2: `replace` is not supported"), "{error}");
        let error = own("module x\nrequires a.b/c v1.0.0\n").unwrap_err().to_string();
        assert!(error.starts_with("go.mod:2: `requires` is not known"), "{error}");
        // Of a dependency, such lines say nothing to others.
        let other = "module x\nreplace a => ../a\nsoon (\n\tx\n)\nrequire a.b/c v1.0.0\n";
        assert_eq!(parse_mod("go.mod", other, Whose::Dependency).unwrap().requires.len(), 1);
    }

    #[test]
    fn versions_are_ordered_as_go_orders_them() {
        let ascending = [
            "",
            "v0.0.0-20170915032832-14c0d48ead0c",
            "v0.0.0-20180101000000-000000000000",
            "v0.9.0",
            "v0.10.0-alpha.2",
            "v0.10.0-alpha.10",
            "v0.10.0-alpha.x",
            "v0.10.0-rc",
            "v0.10.0",
            "v1.0.1-0.20200101000000-aaaaaaaaaaaa",
            "v1.0.1",
            "v2.0.0+incompatible",
            "v10.0.0",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare("v2.0.0+incompatible", "v2.0.0"), Ordering::Equal);
        let twice = own("require a.b/c v1.10.0\nrequire a.b/c v1.9.0\n").unwrap();
        assert_eq!(twice.requires["a.b/c"], "v1.10.0");
    }

    #[test]
    fn what_dependencies_need_is_listed() {
        let list = own("require a.b/c v1.1.0\nrequire a.b/d v1.0.0\nexclude a.b/d v1.2.0\n").unwrap();
        let needs = |text: &str| unmet(&list, &parse_mod("go.mod", text, Whose::Dependency).unwrap());
        assert_eq!(needs("require a.b/c v1.1.0\nrequire x.y/z v9.0.0\nrequire a.b/d v1.2.0\n"), None);
        let newer = ("a.b/c".to_owned(), "v1.1.1-0.20200101000000-aaaaaaaaaaaa".to_owned(), "v1.1.0".to_owned());
        assert_eq!(needs("require a.b/c v1.1.1-0.20200101000000-aaaaaaaaaaaa\n"), Some(newer));
    }

    #[test]
    fn a_go_sum() {
        let sums = parse_sum("go.sum", "a v1 h1:x=\na v1/go.mod h1:y=\n").unwrap();
        assert_eq!(sums[&("a".to_owned(), "v1".to_owned())], "h1:x=");
        assert_eq!(sums[&("a".to_owned(), "v1/go.mod".to_owned())], "h1:y=");
        assert!(parse_sum("go.sum", "a v1\n").is_err());
    }

    #[test]
    fn only_module_paths_are_modules() {
        for module in ["a\u{1}b/c", "../x", "a//b", "a/./b", "/a", "a b\u{e9}"] {
            assert!(own(&format!("module m\nrequire \"{module}\" v1.0.0\n")).is_err(), "{module:?}");
        }
        let read = own("require gopkg.in/yaml.v3 v3.0.1\nrequire \"k8s.io/a~b_c-d\" v0.1.0\n").unwrap();
        assert_eq!(read.requires.len(), 2);
    }
}
