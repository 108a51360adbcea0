//! Target patterns as typed on a command line or in an attribute: `//...`, `pkg/...`, `pkg:all`, `-//x`.

use crate::label::{Label, LabelError, PackageId};

/// One pattern; `exclude` patterns take away from what the earlier ones matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPattern {
    /// Whether the pattern was preceded by `-`.
    pub exclude: bool,
    /// What it matches.
    pub kind: PatternKind,
}

/// What a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternKind {
    /// One target.
    Target(Label),
    /// A path without `//` and `:`, as the label `//a/b:b`: the package of this path and its target of that name, or, as
    /// long as there is no such package, a target `b` of the package `//a`.
    Path(Label),
    /// Targets of one package.
    Package(PackageId, Members),
    /// Targets of all packages at and below a folder: `//a/...`.
    Below(PackageId, Members),
}

/// Which members of a package a wildcard means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// Its targets: `//a:all`.
    Targets,
    /// Its targets, their outputs and the source files that they name: `//a:*`, `//a:all-targets`.
    Files,
}

impl TargetPattern {
    /// Parses a pattern typed in the package folder `package`. A pattern without `//` and `:` is relative to the *root*
    /// (`deploy:to-minikube` is `//deploy:to-minikube`), `:x` to the package.
    pub fn parse(text: &str, package: &PackageId) -> Result<Self, LabelError> {
        let (exclude, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let kind = Self::parse_kind(rest, package)?;
        Ok(Self { exclude, kind })
    }

    fn parse_kind(text: &str, package: &PackageId) -> Result<PatternKind, LabelError> {
        let is_path = !(text.starts_with("//") || text.starts_with('@') || text.starts_with(':'));
        let absolute = if is_path { format!("//{text}") } else { text.to_owned() };
        let (folder, members) = match absolute.strip_suffix(":*").or_else(|| absolute.strip_suffix(":all-targets")) {
            Some(folder) => (folder, Members::Files),
            None => (absolute.strip_suffix(":all").unwrap_or(&absolute), Members::Targets),
        };
        if let Some(below) = folder.strip_suffix("...") {
            let below = match below.strip_suffix('/') {
                Some(above) if above.ends_with('/') => below,
                Some(above) => above,
                None => {
                    let reason = format!("`...` stands alone between slashes; expected `{below}/...`");
                    return Err(LabelError { label: text.to_owned(), reason });
                }
            };
            return Ok(PatternKind::Below(Self::parse_package(below, package, text)?, members));
        }
        if folder.len() != absolute.len() {
            return Ok(PatternKind::Package(Self::parse_package(folder, package, text)?, members));
        }
        let label = Label::parse(&absolute, package)?;
        // `//all` is short for `//all:all`.
        Ok(if label.name() == "all" {
            PatternKind::Package(label.package().clone(), Members::Targets)
        } else if is_path && !text.contains(':') {
            PatternKind::Path(label)
        } else {
            PatternKind::Target(label)
        })
    }

    fn parse_package(text: &str, package: &PackageId, whole: &str) -> Result<PackageId, LabelError> {
        if text.is_empty() {
            return Ok(package.clone());
        }
        let label = Label::parse(&format!("{text}:x"), package);
        label.map(|label| label.package().clone()).map_err(|e| LabelError { label: whole.to_owned(), reason: e.reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> String {
        let package = PackageId::new("", "here").unwrap();
        match TargetPattern::parse(text, &package).map(|p| p.kind) {
            Ok(PatternKind::Target(l)) => format!("target {l}"),
            Ok(PatternKind::Path(l)) => format!("path {l}"),
            Ok(PatternKind::Package(p, Members::Targets)) => format!("package {p}"),
            Ok(PatternKind::Package(p, Members::Files)) => format!("files of {p}"),
            Ok(PatternKind::Below(p, Members::Targets)) => format!("below {p}"),
            Ok(PatternKind::Below(p, Members::Files)) => format!("files below {p}"),
            Err(e) => format!("error {e}"),
        }
    }

    #[test]
    fn patterns() {
        assert_eq!(kind("//..."), "below //");
        assert_eq!(kind("..."), "below //");
        assert_eq!(kind("a/b/..."), "below //a/b");
        assert_eq!(kind("//a:all"), "package //a");
        assert_eq!(kind("//a:*"), "files of //a");
        assert_eq!(kind("//a:all-targets"), "files of //a");
        assert_eq!(kind("//a/...:*"), "files below //a");
        assert_eq!(kind("//...:all"), "below //");
        assert_eq!(kind("@r//...:*"), "files below @r//");
        assert_eq!(kind("p/g"), "path //p/g:g");
        assert_eq!(kind("g"), "path //g:g");
        assert_eq!(kind("//:all"), "package //");
        assert_eq!(kind(":all"), "package //here");
        assert_eq!(kind("//all"), "package //all");
        assert_eq!(kind("//a/all:all"), "package //a/all");
        assert_eq!(kind("//all:x"), "target //all:x");
        assert_eq!(kind(":x"), "target //here:x");
        assert_eq!(kind("deploy:to-local"), "target //deploy:to-local");
        assert_eq!(kind("@rules//go/..."), "below @rules//go");
        assert!(TargetPattern::parse("-//a/...", &PackageId::root()).unwrap().exclude);
        for bad in ["a//b", "//p...", "p...", "//p/q...", "@r...", "//p....", ":..."] {
            assert!(kind(bad).starts_with("error"), "{bad} {}", kind(bad));
        }
    }
}
