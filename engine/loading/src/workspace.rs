//! The workspace: the folder with WORKSPACE.star and what that file says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Diagnostic, Diagnostics, Label, Location, PackageId, WorkspaceDecl};
use script::Source;

use crate::packages::PackageFilter;

/// The name of the file that makes a folder a workspace.
pub const WORKSPACE_FILE: &str = "WORKSPACE.star";

/// A workspace that was found and whose WORKSPACE.star was read.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    decl: WorkspaceDecl,
}

impl Workspace {
    /// Looks for WORKSPACE.star in `cwd` and the folders above, and reads it.
    pub fn discover(cwd: &Path) -> Result<Self, Diagnostics> {
        Self::open(&Self::find(cwd)?)
    }

    /// The folder of the workspace around `cwd`.
    pub fn find(cwd: &Path) -> Result<PathBuf, Diagnostics> {
        let cwd = host::fs::canonicalize(cwd).map_err(file_error)?;
        match cwd.ancestors().find(|folder| host::fs::exists(&folder.join(WORKSPACE_FILE))) {
            Some(root) => Ok(root.to_owned()),
            None => Err(Diagnostic::error(format!("no {WORKSPACE_FILE} in {} or a folder above it", cwd.display()))
                .hint("`cd` into a workspace, or start one in this folder:")
                .hint(format!("echo 'workspace(name = \"my_project\")' > {WORKSPACE_FILE}"))
                .into()),
        }
    }

    /// Reads the WORKSPACE.star of the folder `root`.
    pub fn open(root: &Path) -> Result<Self, Diagnostics> {
        let text =
            host::fs::read_text(&root.join(WORKSPACE_FILE)).map_err(|error| text_error(error, WORKSPACE_FILE))?;
        let label = PackageId::root().label(WORKSPACE_FILE).map_err(|e| Diagnostic::error(e.to_string()))?;
        let source = Source { label, path: Arc::from(WORKSPACE_FILE), text: Arc::from(text) };
        Ok(Self { root: root.to_owned(), decl: script::eval_workspace(&source)? })
    }

    /// The workspace's folder, absolute and without links when it was discovered.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What WORKSPACE.star says.
    pub fn decl(&self) -> &WorkspaceDecl {
        &self.decl
    }

    /// Whether nothing of a folder, relative to the root, belongs to the workspace: outputs, ignored folders, `.git`.
    pub fn skips(&self, folder: &str) -> bool {
        PackageFilter { ignored: &self.decl.ignore, main: true }.skips(folder)
    }

    /// What `@toolchains//:name` stands for: what WORKSPACE.star says, else `@rules//toolchains:name`. The name of a kind
    /// of repositories stands for what their lockfiles say of the workspace itself: `settings` of the first one.
    pub fn toolchain(&self, name: &str) -> Result<Label, Diagnostics> {
        if let Some(label) = self.decl.toolchains.get(name) {
            return Ok(label.clone());
        }
        if let Some(repository) = self.decl.repositories.iter().find(|repository| &*repository.kind == name) {
            let package = PackageId::new(&repository.name, "").and_then(|package| package.label("settings"));
            return package.map_err(|error| Diagnostic::error(error.to_string()).into());
        }
        let package = PackageId::new("rules", "toolchains").and_then(|package| package.label(name));
        package.map_err(|error| Diagnostic::error(error.to_string()).into())
    }
}

/// The package folder that `cwd` stands for in the workspace `root`, for patterns like `:x`. The root's when it is outside.
pub fn package_at(root: &Path, cwd: &Path) -> PackageId {
    let inside = host::fs::canonicalize(cwd).ok();
    let below = inside.as_deref().and_then(|cwd| cwd.strip_prefix(root).ok()).and_then(Path::to_str);
    below.and_then(|path| PackageId::new("", path).ok()).unwrap_or_else(PackageId::root)
}

/// A file of the workspace that could not be read as text, by its path there; with the place in it, if that is known.
pub(crate) fn text_error(error: host::fs::FileError, path: &str) -> Diagnostics {
    let Some(wrong) = error.source.get_ref().and_then(|source| source.downcast_ref::<host::fs::TextError>()) else {
        return file_error(error);
    };
    let (line, column) = (wrong.line, wrong.column);
    let location = Location { file: path.into(), line, column, end_column: column };
    Diagnostic::error(format!("cannot read `{path}`: {wrong}")).at(Some(location)).into()
}

/// A file that could not be read, as a message to the user.
pub(crate) fn file_error(error: host::fs::FileError) -> Diagnostics {
    let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    let diagnostic = Diagnostic::error(format!("{error}{cause}"));
    host::remedy::of(&error).into_iter().fold(diagnostic, Diagnostic::hint).into()
}
