//! Relative paths that cannot leave their root.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A normalised relative path with `/` between its segments: no empty segment, no `.`, no `..`. May be empty (the root).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Arc<str>);

/// A text that is not a relative path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` is not a relative path: {reason}")]
pub struct PathError {
    /// What was given.
    pub path: String,
    /// Why it cannot be taken.
    pub reason: &'static str,
}

impl RelPath {
    /// Parses a path. An error names the first segment's fault.
    pub fn new(text: &str) -> Result<Self, PathError> {
        let fail = |reason| Err(PathError { path: text.to_owned(), reason });
        if text.is_empty() {
            return Ok(Self(Arc::from("")));
        }
        if text.starts_with('/') {
            return fail("it is absolute");
        }
        if text.contains('\0') {
            return fail("it contains a zero byte");
        }
        for segment in text.split('/') {
            match segment {
                "" => return fail("it has an empty segment"),
                "." => return fail("it has a `.` segment"),
                ".." => return fail("it has a `..` segment"),
                _ => {}
            }
        }
        Ok(Self(Arc::from(text)))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `self/other`, where `other` must be a relative path too.
    pub fn join(&self, other: &str) -> Result<Self, PathError> {
        let other = Self::new(other)?;
        Ok(self.join_path(&other))
    }

    /// `self/other`.
    pub fn join_path(&self, other: &Self) -> Self {
        match (self.0.is_empty(), other.0.is_empty()) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => Self(Arc::from(format!("{}/{}", self.0, other.0))),
        }
    }

    /// All but the last segment; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        let parent = self.0.rsplit_once('/').map_or("", |(parent, _)| parent);
        Some(Self(Arc::from(parent)))
    }

    /// The last segment; empty for the root.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or("")
    }

    /// The rest of the path below `prefix`, by whole segments.
    pub fn strip_prefix(&self, prefix: &str) -> Option<Self> {
        if prefix.is_empty() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(prefix)?;
        if rest.is_empty() {
            return Some(Self(Arc::from("")));
        }
        rest.strip_prefix('/').map(|rest| Self(Arc::from(rest)))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl AsRef<std::path::Path> for RelPath {
    fn as_ref(&self) -> &std::path::Path {
        std::path::Path::new(&*self.0)
    }
}

impl Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_leave_their_root() {
        for bad in ["/a", "a//b", "a/../b", "..", "a/.", "a/"] {
            assert!(RelPath::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_are_whole_segments() {
        let path = RelPath::new("out/cfg/a").unwrap();
        assert_eq!(path.strip_prefix("out").unwrap().as_str(), "cfg/a");
        assert!(path.strip_prefix("ou").is_none());
    }
}
