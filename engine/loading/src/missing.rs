//! What to say when a label names nothing: why, the nearest names, and what to type.

use host::fs::FileKind;
use model::{Diagnostic, Diagnostics, Label, Package, PackageId, nearest};

use crate::glob::join;
use crate::loader::Loader;
use crate::packages::BUILD_FILE;

impl Loader {
    pub(crate) fn unknown_repository(&self, repository: &str) -> Diagnostic {
        if repository == "toolchains" {
            return Diagnostic::error("`@toolchains` has one package only").hint("`@toolchains//:go`");
        }
        let names = self.repositories();
        let close: Vec<String> =
            nearest(repository, names.iter().map(String::as_str)).iter().map(|name| format!("@{name}")).collect();
        let diagnostic = Diagnostic::error(format!("there is no repository `@{repository}`")).did_you_mean(&close);
        let names: Vec<String> = names.iter().map(|name| format!("@{name}")).collect();
        diagnostic.note(format!("repositories: {}; WORKSPACE.star declares them", names.join(", ")))
    }

    pub(crate) fn unknown_package(&self, id: &PackageId) -> Diagnostics {
        let known = match self.packages_below(&package_root(id)) {
            Ok(packages) => packages,
            Err(errors) => return errors,
        };
        let diagnostic = Diagnostic::error(format!("there is no package `{id}`: {}", self.why_no_package(id)));
        let known: Vec<String> =
            known.iter().filter(|known| !known.path().is_empty()).map(ToString::to_string).collect();
        let wanted = id.to_string();
        // A wrong folder with the right last segment is a common slip.
        let last = |text: &str| text.rsplit('/').next().unwrap_or("").to_owned();
        let mut close: Vec<String> = known.iter().filter(|name| last(name) == last(&wanted)).take(2).cloned().collect();
        for name in nearest(&wanted, known.iter().map(String::as_str)) {
            if !close.contains(&name) {
                close.push(name);
            }
        }
        close.truncate(3);
        diagnostic.did_you_mean(&close).into()
    }

    fn why_no_package(&self, id: &PackageId) -> String {
        let Some(tree) = self.tree(id.repository()) else {
            return format!("the lockfile of `@{}` does not have it", id.repository());
        };
        let filter = self.filter(id.repository());
        if let Some(ignored) = filter.ignored_by(id.path()) {
            return format!("WORKSPACE.star ignores the folder `{ignored}`");
        }
        if filter.skips(id.path()) {
            return format!("the folder `{}` is never searched for packages", id.path());
        }
        match tree.kind(id.path()) {
            Some(FileKind::Folder) if id.path().is_empty() => format!("the root folder has no {BUILD_FILE}"),
            Some(FileKind::Folder) => format!("the folder `{}` has no {BUILD_FILE}", id.path()),
            Some(_) => format!("`{}` is a file, not a folder", id.path()),
            None => format!("there is no folder `{}`", id.path()),
        }
    }

    /// A label whose name is neither a target, an output nor a file of its package.
    pub(crate) fn unknown_target(&self, label: &Label, package: &Package) -> Diagnostic {
        if let Some(tree) = self.tree(label.repository()) {
            let path = join(label.package().path(), label.name());
            if tree.kind(&path) == Some(FileKind::Folder) {
                let hint = format!("name its files: glob([\"{}/**\"])", label.name());
                return Diagnostic::error(format!("{label} is a folder, not a target or a file")).hint(hint);
            }
            if tree.kind(&path) == Some(FileKind::Other) {
                let message = format!("{label} is a device, a socket or a pipe; only files can be sources");
                return Diagnostic::error(message).hint("let an action make a file of what it says");
            }
        }
        let message = if label.name().contains('.') {
            format!("{label} is missing: {} has neither such a file nor such a target", label.package())
        } else {
            format!("there is no target `{}` in the package {}", label.name(), label.package())
        };
        let mut names: Vec<String> = package.targets.keys().map(ToString::to_string).collect();
        names.extend(package.targets.values().flat_map(|target| target.outputs.iter().map(ToString::to_string)));
        names.extend(self.files_beside(label));
        let close: Vec<String> = nearest(label.name(), names.iter().map(String::as_str))
            .iter()
            .map(|name| format!("{}:{name}", label.package()))
            .collect();
        Diagnostic::error(message)
            .did_you_mean(&close)
            .hint(format!("to see what there is: build query {}:all", label.package()))
    }

    /// The files in the folder in which a label's file would be, by their names in the package.
    fn files_beside(&self, label: &Label) -> Vec<String> {
        let Some(tree) = self.tree(label.repository()) else { return Vec::new() };
        let folder = label.name().rsplit_once('/').map_or("", |(folder, _)| folder);
        let entries = tree.list(&join(label.package().path(), folder)).unwrap_or_default();
        entries.iter().filter(|entry| !entry.folder).map(|entry| join(folder, &entry.name)).collect()
    }
}

/// The root package of the repository of `id`.
fn package_root(id: &PackageId) -> PackageId {
    PackageId::new(id.repository(), "").unwrap_or_else(|_| PackageId::root())
}
