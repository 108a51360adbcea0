//! What `DeployInfo` of @rules//deploy says, typed.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Artifact, ConfiguredTarget, Data, Label, ProviderInstance};

use crate::error::{Error, ErrorKind};

/// A deploy target.
pub(crate) struct DeployTarget {
    /// The target.
    pub(super) label: Label,
    /// Its bundle.
    pub(super) bundle: Artifact,
    /// The images it names.
    pub(super) images: Vec<ImageOf>,
    /// The tests to run against the environment.
    pub(super) smoke_tests: Vec<Label>,
    /// Whether it runs on this machine.
    pub(super) local: bool,
}

/// The image of a service.
pub(super) struct ImageOf {
    /// The service's name.
    pub(super) service: String,
    /// The repository below the registry.
    pub(super) repository: String,
    /// The image as a tree.
    pub(super) tree: Artifact,
}

impl DeployTarget {
    /// The target.
    pub(crate) fn label(&self) -> &Label {
        &self.label
    }

    /// The deploy target that a configured target is, if it is one.
    pub(crate) fn of(target: &ConfiguredTarget) -> Result<Option<Self>, Error> {
        let is_ours = |file: &Label| file.repository() == "rules" && file.package().path() == "deploy";
        let info = target.providers.iter().find(|(id, _)| &*id.name == "DeployInfo" && is_ours(&id.file));
        let Some((_, info)) = info else { return Ok(None) };
        let parsed = Self::parse(target.label(), info);
        parsed.map(Some).ok_or_else(|| {
            let message = format!("the rule of {} gave a DeployInfo of another shape than expected", target.label());
            Error::new(ErrorKind::Internal, message)
        })
    }

    fn parse(label: &Label, info: &ProviderInstance) -> Option<Self> {
        let images = info.get("images")?.as_list()?.iter().map(ImageOf::parse).collect::<Option<_>>()?;
        let tests = info.get("smoke_tests")?.as_list()?;
        let test = |data: &Data| Label::absolute(field(data, "label")?.as_str()?).ok();
        Some(Self {
            label: label.clone(),
            bundle: info.get("bundle")?.as_file()?.clone(),
            images,
            smoke_tests: tests.iter().map(test).collect::<Option<_>>()?,
            local: info.get("kind")?.as_str()? == "local",
        })
    }

    /// All that must be built before the rollout.
    pub(super) fn artifacts(&self) -> Vec<Artifact> {
        let images = self.images.iter().map(|image| image.tree.clone());
        [self.bundle.clone()].into_iter().chain(images).collect()
    }
}

impl ImageOf {
    fn parse(data: &Data) -> Option<Self> {
        let text = |name: &str| field(data, name)?.as_str().map(str::to_owned);
        let tree = field(data, "tree")?.as_file()?.clone();
        Some(Self { service: text("name")?, repository: text("repository")?, tree })
    }
}

fn field<'a>(data: &'a Data, name: &str) -> Option<&'a Data> {
    let fields: &BTreeMap<Arc<str>, Data> = match data {
        Data::Struct(fields) => fields,
        _ => return None,
    };
    fields.get(name)
}
