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
    /// All targets of one package: `//a:all`, `//a:*`.
    Package(PackageId),
    /// All targets of all packages at and below a folder: `//a/...`.
    Below(PackageId),
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
        let absolute = if text.starts_with("//") || text.starts_with('@') || text.starts_with(':') {
            text.to_owned()
        } else {
            format!("//{text}")
        };
        let folder = absolute.strip_suffix(":all").or_else(|| absolute.strip_suffix(":*")).unwrap_or(&absolute);
        if let Some(below) = folder.strip_suffix("...") {
            let below = if below.ends_with("//") { below } else { below.strip_suffix('/').unwrap_or(below) };
            return Ok(PatternKind::Below(Self::parse_package(below, package, text)?));
        }
        if folder.len() != absolute.len() {
            return Ok(PatternKind::Package(Self::parse_package(folder, package, text)?));
        }
        let label = Label::parse(&absolute, package)?;
        // `//all` is short for `//all:all`.
        Ok(if label.name() == "all" {
            PatternKind::Package(label.package().clone())
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
            Ok(PatternKind::Package(p)) => format!("package {p}"),
            Ok(PatternKind::Below(p)) => format!("below {p}"),
            Err(e) => format!("error {e}"),
        }
    }

    #[test]
    fn patterns() {
        assert_eq!(kind("//..."), "below //");
        assert_eq!(kind("..."), "below //");
        assert_eq!(kind("a/b/..."), "below //a/b");
        assert_eq!(kind("//a:all"), "package //a");
        assert_eq!(kind("//a:*"), "package //a");
        assert_eq!(kind("//:all"), "package //");
        assert_eq!(kind(":all"), "package //here");
        assert_eq!(kind("//all"), "package //all");
        assert_eq!(kind("//a/all:all"), "package //a/all");
        assert_eq!(kind("//all:x"), "target //all:x");
        assert_eq!(kind(":x"), "target //here:x");
        assert_eq!(kind("deploy:to-local"), "target //deploy:to-local");
        assert_eq!(kind("@rules//go/..."), "below @rules//go");
        assert!(TargetPattern::parse("-//a/...", &PackageId::root()).unwrap().exclude);
        assert!(kind("a//b").starts_with("error"));
    }
}
