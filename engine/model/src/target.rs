//! Packages and targets as their BUILD.star declares them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::{Configurable, Data};
use crate::diagnostic::Location;
use crate::label::{Label, PackageId};
use crate::rule::RuleId;

/// A target: a rule with attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its label.
    pub label: Label,
    /// Its rule.
    pub rule: RuleId,
    /// The attributes that were set and the defaults of the others, checked against the schema; labels are absolute.
    pub attributes: BTreeMap<Arc<str>, Configurable>,
    /// The attributes that the BUILD.star set itself.
    pub explicit: Vec<Arc<str>>,
    /// Who may depend on it.
    pub visibility: Visibility,
    /// Where the rule was called.
    pub location: Option<Location>,
    /// Names of its predeclared outputs (`attr.output`, `attr.output_list`).
    pub outputs: Vec<Arc<str>>,
}

/// Who may depend on a target. A target's own package always may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visibility {
    /// Everyone.
    Public,
    /// The own package only.
    Private,
    /// The packages named: one (`//a:__pkg__`) or all at and below (`//a:__subpackages__`).
    Packages(Vec<VisibleTo>),
}

/// An entry of a visibility list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisibleTo {
    /// The package's label with the name `__pkg__`; a label since packages serialise as such.
    pub package: Label,
    /// Whether packages below it are included.
    pub subpackages: bool,
}

/// A package: what evaluating one BUILD.star gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Which package.
    pub id: PackageId,
    /// Its targets by name.
    pub targets: BTreeMap<Arc<str>, Arc<Target>>,
    /// The source files it exports (`exports_files`) and to whom. Files not listed are visible to the package only.
    pub exported_files: BTreeMap<Arc<str>, Visibility>,
}

/// An external repository as WORKSPACE.star declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryDecl {
    /// Its name without `@`.
    pub name: Arc<str>,
    /// Which function declared it: `go_modules`, `pip_lock`, `debian_lock`.
    pub kind: Arc<str>,
    /// Its other arguments; labels are absolute.
    pub attributes: BTreeMap<Arc<str>, Data>,
    /// Where it was declared.
    pub location: Option<Location>,
}

/// What WORKSPACE.star says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceDecl {
    /// `workspace(name = ...)`.
    pub name: Arc<str>,
    /// Folders, relative to the root, in which no packages are looked for.
    pub ignore: Vec<Arc<str>>,
    /// External repositories in the order declared.
    pub repositories: Vec<RepositoryDecl>,
    /// `toolchain(name, target)`: what `@toolchains//:name` stands for.
    pub toolchains: BTreeMap<Arc<str>, Label>,
}

impl Target {
    /// The same target with other labels in its attributes and its visibility; `None` if there is nothing to change.
    pub fn with_labels(&self, rename: &dyn Fn(&Label) -> Option<Label>) -> Option<Self> {
        let mut found = false;
        let mut look = |label: &Label| found |= rename(label).is_some();
        self.attributes.values().for_each(|value| value.for_each_label(&mut look));
        if let Visibility::Packages(list) = &self.visibility {
            list.iter().for_each(|entry| look(&entry.package));
        }
        if !found {
            return None;
        }
        let mut target = self.clone();
        target.attributes.values_mut().for_each(|value| *value = value.with_labels(rename));
        target.visibility.rename(rename);
        Some(target)
    }
}

impl Visibility {
    /// Replaces the labels of packages.
    pub fn rename(&mut self, rename: &dyn Fn(&Label) -> Option<Label>) {
        if let Self::Packages(list) = self {
            for entry in list {
                if let Some(label) = rename(&entry.package) {
                    entry.package = label;
                }
            }
        }
    }

    /// Whether a target in `package` may depend on a target of `owner` with this visibility.
    pub fn allows(&self, owner: &PackageId, package: &PackageId) -> bool {
        if owner == package {
            return true;
        }
        match self {
            Self::Public => true,
            Self::Private => false,
            Self::Packages(list) => list.iter().any(|entry| entry.covers(package)),
        }
    }
}

impl VisibleTo {
    fn covers(&self, package: &PackageId) -> bool {
        let own = self.package.package();
        if own == package {
            return true;
        }
        let below =
            own.path().is_empty() || package.path().strip_prefix(own.path()).is_some_and(|rest| rest.starts_with('/'));
        self.subpackages && own.repository() == package.repository() && below
    }
}
