//! Labels: the names of targets and source files, `@repository//package:name`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A package: a folder with a BUILD.star. The main repository's name is empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId {
    repository: Arc<str>,
    path: Arc<str>,
}

/// The name of a target or a source file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    package: PackageId,
    name: Arc<str>,
}

/// A text that is not a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{label}` is not a label: {reason}")]
pub struct LabelError {
    /// What was given.
    pub label: String,
    /// Why it cannot be taken, and what was expected.
    pub reason: String,
}

impl PackageId {
    /// A package from its repository (empty for the main one) and its path (empty for the root).
    pub fn new(repository: &str, path: &str) -> Result<Self, LabelError> {
        let id = Self { repository: Arc::from(repository), path: Arc::from(path) };
        match check_repository(repository).and_then(|()| check_package(path)) {
            Ok(()) => Ok(id),
            Err(reason) => Err(LabelError { label: id.to_string(), reason }),
        }
    }

    /// The root package of the main repository.
    pub fn root() -> Self {
        Self { repository: Arc::from(""), path: Arc::from("") }
    }

    /// The repository's name, without `@`; empty for the main repository.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The path below the repository's root; empty for the root package.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The label of `name` in this package.
    pub fn label(&self, name: &str) -> Result<Label, LabelError> {
        check_name(name).map_err(|reason| LabelError { label: format!("{self}:{name}"), reason })?;
        Ok(Label { package: self.clone(), name: Arc::from(name) })
    }

    /// The folder of the package in an action's tree: `a/b`, or `external/repo/a/b`.
    pub fn exec_path(&self) -> String {
        match (self.repository.is_empty(), self.path.is_empty()) {
            (true, _) => self.path.to_string(),
            (false, true) => format!("external/{}", self.repository),
            (false, false) => format!("external/{}/{}", self.repository, self.path),
        }
    }
}

impl Label {
    /// Parses a label written in `package`: `//a/b:c`, `//a/b`, `:c`, `c`, `@repo//a:b`, `@repo`.
    pub fn parse(text: &str, package: &PackageId) -> Result<Self, LabelError> {
        let fail = |reason: String| LabelError { label: text.to_owned(), reason };
        let (repository, rest) = match text.strip_prefix('@') {
            Some(rest) => {
                let rest = rest.strip_prefix('@').unwrap_or(rest);
                match rest.find("//") {
                    Some(at) => (&rest[..at], &rest[at..]),
                    None => return Self::repository_root(rest).map_err(fail),
                }
            }
            None => (package.repository(), text),
        };
        let Some(absolute) = rest.strip_prefix("//") else {
            let name = rest.strip_prefix(':').unwrap_or(rest);
            check_name(name).map_err(fail)?;
            return Ok(Self { package: package.clone(), name: Arc::from(name) });
        };
        let (path, name) = match absolute.split_once(':') {
            Some((path, name)) => (path, name),
            None => (absolute, absolute.rsplit('/').next().unwrap_or("")),
        };
        check_repository(repository)
            .and_then(|()| check_package(path))
            .and_then(|()| check_name(name))
            .map_err(fail)?;
        let package = PackageId { repository: Arc::from(repository), path: Arc::from(path) };
        Ok(Self { package, name: Arc::from(name) })
    }

    /// Parses an absolute label of the main repository or another one.
    pub fn absolute(text: &str) -> Result<Self, LabelError> {
        if text.starts_with("//") || text.starts_with('@') {
            return Self::parse(text, &PackageId::root());
        }
        Err(LabelError {
            label: text.to_owned(),
            reason: "expected `//package:name` or `@repository//package:name`".into(),
        })
    }

    fn repository_root(repository: &str) -> Result<Self, String> {
        check_repository(repository)?;
        check_name(repository)?;
        let package = PackageId { repository: Arc::from(repository), path: Arc::from("") };
        Ok(Self { package, name: Arc::from(repository) })
    }

    /// The package.
    pub fn package(&self) -> &PackageId {
        &self.package
    }

    /// The name inside the package.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The repository's name; empty for the main one.
    pub fn repository(&self) -> &str {
        self.package.repository()
    }

    /// Another name in the same package.
    pub fn sibling(&self, name: &str) -> Result<Self, LabelError> {
        self.package.label(name)
    }

    /// The path of the source file this label would name, in an action's tree.
    pub fn exec_path(&self) -> String {
        let folder = self.package.exec_path();
        if folder.is_empty() { self.name.to_string() } else { format!("{folder}/{}", self.name) }
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.repository.is_empty() {
            write!(f, "@{}", self.repository)?;
        }
        write!(f, "//{}", self.path)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.package, self.name)
    }
}

impl fmt::Debug for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Label {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::absolute(&text).map_err(serde::de::Error::custom)
    }
}

fn check_repository(name: &str) -> Result<(), String> {
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || "_-.~+".contains(*c))) {
        Some(c) => Err(format!("a repository name cannot contain `{c}`")),
        // It is the name of a folder: these would be another one.
        None if name.starts_with('.') => Err("a repository name cannot start with `.`".to_owned()),
        None => Ok(()),
    }
}

fn check_package(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    check_segments(path, "a package")
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name after `:` is empty; expected `//package:name`".into());
    }
    check_segments(name, "a target name")
}

fn check_segments(text: &str, what: &str) -> Result<(), String> {
    if let Some(c) = text.chars().find(|c| c.is_control() || ":\\*?\"<>|".contains(*c)) {
        return Err(format!("{what} cannot contain {c:?}"));
    }
    match text.split('/').find(|segment| matches!(*segment, "" | "." | ".." | "...")) {
        Some("") => Err(format!("{what} cannot start or end with `/` or contain `//`")),
        Some(segment) => Err(format!("{what} cannot contain the segment `{segment}`")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_resolve_in_their_package() {
        let package = PackageId::new("", "a/b").unwrap();
        let show = |text| Label::parse(text, &package).map(|l| l.to_string()).map_err(|e| e.reason);
        assert_eq!(show(":c").unwrap(), "//a/b:c");
        assert_eq!(show("c").unwrap(), "//a/b:c");
        assert_eq!(show("//x/y").unwrap(), "//x/y:y");
        assert_eq!(show("//:z").unwrap(), "//:z");
        assert_eq!(show("@r//p:q").unwrap(), "@r//p:q");
        assert_eq!(show("@r").unwrap(), "@r//:r");
        for bad in
            ["//a/../b", "//a:", "//:", "//a//b:c", "@a b//c", "", "//a\n:b", "@..//a", "@.//a", "@..", "@...//a:b"]
        {
            assert!(show(bad).is_err(), "{bad}");
        }
    }
}
