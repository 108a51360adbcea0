//! The program under test.

use std::path::{Path, PathBuf};

/// A built `build-engine`.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

impl Program {
    /// The program at a path, or the one that was built together with this one.
    pub fn find(path: Option<PathBuf>) -> Result<Self, String> {
        let path = match path {
            Some(path) => path,
            None => std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("build-engine"),
        };
        let path = path.canonicalize().map_err(|error| format!("{}: {error}; build it first", path.display()))?;
        Ok(Self(path))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }
}
