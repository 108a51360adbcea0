//! Paths of the workspace that mean something else in the folder of an action: there, `external/` holds the files of other
//! repositories and `out/` holds outputs. Two files of one path would be taken for one another.

use model::{Diagnostic, PackageId};

use crate::loader::Loader;

impl Loader {
    /// What is wrong with a source file of the main repository, if its path is taken.
    pub(crate) fn file_in_taken_place(&self, path: &str) -> Option<Diagnostic> {
        let mut segments = path.splitn(3, '/');
        match (segments.next()?, segments.next()?, segments.next()) {
            ("external", repository, _) => self.in_place_of(path, repository),
            // Folders of outputs are named for a platform: `linux-amd64`.
            (top @ "out", folder, Some(_)) if folder.contains('-') => {
                Some(taken(path, top, "outputs below a folder of this form"))
            }
            _ => None,
        }
    }

    /// The same for a package, whose outputs would be in the place of another one's.
    pub(crate) fn package_in_taken_place(&self, id: &PackageId) -> Option<Diagnostic> {
        let repository = id.path().strip_prefix("external/").filter(|_| id.repository().is_empty())?;
        self.in_place_of(id.path(), repository.split('/').next().unwrap_or(repository))
    }

    fn in_place_of(&self, path: &str, repository: &str) -> Option<Diagnostic> {
        let is_known = self.repositories().iter().any(|name| name == repository);
        is_known.then(|| taken(path, "external", &format!("the files of the repository `@{repository}`")))
    }
}

fn taken(path: &str, top: &str, what: &str) -> Diagnostic {
    Diagnostic::error(format!("`{path}` is where actions find {what}"))
        .hint(format!("rename the folder `{top}` of this workspace, or leave it out: workspace(ignore = [\"{top}\"])"))
}
