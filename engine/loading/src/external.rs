//! External repositories, as far as loading needs them. The driver adapts `fetch` to this.

use model::{Diagnostics, PackageId};

/// Repositories whose packages are generated from lockfiles.
pub trait External: Send + Sync {
    /// The repositories' names, without `@`.
    fn names(&self) -> Vec<String>;

    /// The text of a package's BUILD.star; `None` when there is no such package. May download.
    fn build_file(&self, package: &PackageId) -> Result<Option<String>, Diagnostics>;

    /// Downloads side by side what will be needed to know these packages. Errors are told by `build_file`.
    fn prefetch(&self, packages: &[PackageId]);

    /// The paths of a repository's packages, as far as they are known without downloading, for nearest names and
    /// patterns.
    fn packages(&self, repository: &str) -> Result<Vec<String>, Diagnostics>;
}
