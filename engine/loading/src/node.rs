//! What a label stands for.

use std::sync::Arc;

use host::fs::FileKind;
use model::{Artifact, Diagnostic, Diagnostics, Label, PackageId, RuleSchema, Target, Visibility};
use observation::Question;

use crate::glob::join;
use crate::loader::Loader;
use crate::packages::BUILD_FILE;

/// A node of the target graph.
#[derive(Debug, Clone)]
pub enum Node {
    /// A target and its rule.
    Target(Arc<Target>, Arc<RuleSchema>),
    /// A file of the workspace or of the embedded rules. It existed when it was looked for.
    SourceFile(Artifact),
    /// A predeclared output of a target.
    OutputFile {
        /// The target that makes it.
        generator: Label,
        /// Its name in the package.
        name: Arc<str>,
    },
}

impl Loader {
    /// The label that is meant: `@toolchains//:x` stands for the target that WORKSPACE.star or `@rules//toolchains`
    /// names.
    pub fn resolve(&self, label: &Label) -> Result<Label, Diagnostics> {
        if label.repository() == "toolchains" && label.package().path().is_empty() {
            return self.workspace().toolchain(label.name());
        }
        Ok(self.own(label))
    }

    /// The label without the workspace's own name: `@name//a:b` is `//a:b` in the workspace of this name.
    pub fn own(&self, label: &Label) -> Label {
        let package = self.own_package(label.package());
        package.label(label.name()).unwrap_or_else(|_| label.clone())
    }

    /// The package without the workspace's own name.
    pub(crate) fn own_package(&self, id: &PackageId) -> PackageId {
        if id.repository().is_empty() || !self.is_own_name(id.repository()) {
            return id.clone();
        }
        PackageId::new("", id.path()).unwrap_or_else(|_| id.clone())
    }

    /// Whether this is the name of the workspace itself, and of no other repository.
    pub(crate) fn is_own_name(&self, repository: &str) -> bool {
        *self.workspace().decl().name == *repository && !self.repositories().iter().any(|name| name == repository)
    }

    /// What the label stands for. The errors of a label that names nothing have no place; the caller knows who named
    /// it.
    pub fn node(&self, label: &Label) -> Result<Node, Diagnostics> {
        let label = &self.resolve(label)?;
        let loaded = self.loaded_package(label.package())?;
        if let Some(target) = loaded.package.targets.get(label.name()) {
            let schema = self.schema(&target.rule)?;
            return Ok(Node::Target(self.without_patterns(target, &schema)?, schema));
        }
        if let Some(generator) = loaded.outputs.get(label.name()) {
            let generator = label.sibling(generator).map_err(|error| Diagnostic::error(error.to_string()))?;
            return Ok(Node::OutputFile { generator, name: Arc::from(label.name()) });
        }
        let path = join(label.package().path(), label.name());
        let is_file = self.tree(label.repository()).is_some_and(|tree| tree.kind(&path) == Some(FileKind::File));
        if !is_file {
            return Err(self.unknown_target(label, &loaded.package).into());
        }
        if label.repository().is_empty()
            && let Some(diagnostic) = self.file_in_taken_place(&path)
        {
            return Err(diagnostic.into());
        }
        match self.package_between(label) {
            Some(owner) => Err(file_of_other_package(label, &owner).into()),
            None => Ok(Node::SourceFile(Artifact::source(label))),
        }
    }

    /// Who may depend on a source file: its package, and whom `exports_files` names.
    pub fn file_visibility(&self, label: &Label) -> Result<Visibility, Diagnostics> {
        let loaded = self.loaded_package(label.package())?;
        Ok(loaded.package.exported_files.get(label.name()).cloned().unwrap_or(Visibility::Private))
    }

    /// Who may depend on what the label stands for, and the package it belongs to. An output is as visible as its target.
    pub(crate) fn visibility(&self, label: &Label) -> Result<(PackageId, Visibility), Diagnostics> {
        let visibility = match self.node(label)? {
            Node::SourceFile(_) => self.file_visibility(label)?,
            Node::Target(target, _) => target.visibility.clone(),
            Node::OutputFile { generator, .. } => return self.visibility(&generator),
        };
        Ok((label.package().clone(), visibility))
    }

    /// What is asked of the file system to know that a label is a source file: what is at its path, and whether a package
    /// below the label's own has it.
    pub fn source_questions(&self, label: &Label) -> Vec<(Question, String)> {
        let Some(tree) = self.tree(label.repository()) else { return Vec::new() };
        let mut questions = vec![join(label.package().path(), label.name())];
        let mut folder = label.name();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            folder = parent;
            questions.push(join(&join(label.package().path(), folder), BUILD_FILE));
        }
        questions.iter().filter_map(|path| tree.question(Question::Kind, path)).collect()
    }

    /// The innermost package below the label's own that a file of this name belongs to.
    fn package_between(&self, label: &Label) -> Option<PackageId> {
        let tree = self.tree(label.repository())?;
        let mut folder = label.name();
        while let Some((parent, _)) = folder.rsplit_once('/') {
            folder = parent;
            let path = join(label.package().path(), folder);
            if tree.kind(&join(&path, BUILD_FILE)) == Some(FileKind::File) {
                return PackageId::new(label.repository(), &path).ok();
            }
        }
        None
    }
}

fn file_of_other_package(label: &Label, owner: &PackageId) -> Diagnostic {
    let below = join(label.package().path(), label.name());
    let name = below.strip_prefix(owner.path()).map_or("", |rest| rest.trim_start_matches('/'));
    Diagnostic::error(format!("{label} crosses into the package {owner}"))
        .hint(format!("write {owner}:{name}, and exports_files([\"{name}\"]) in that package"))
}
