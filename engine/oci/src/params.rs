//! The parameters of the built-in actions `oci_layer`, `oci_image` and `oci_pull`, as rules write them.
//!
//! Artifacts are named by path; the caller says what each path holds. `None` of Starlark is taken as absent.

use std::collections::BTreeMap;

use model::Platform;
use serde::{Deserialize, Deserializer};
use store::Store;

use crate::config::Overrides;
use crate::digest::Sha256;
use crate::error::OciError;
use crate::foundation::foundation;
use crate::image::{Image, ImageRequest, image};
use crate::layer::{Layer, LayerContent, LayerEntry, LayerRequest, layer};
use crate::layout::parse;
use crate::pull::PullRequest;

/// What the input at an artifact path holds: a file or a tree.
pub type Inputs<'a> = dyn Fn(&str) -> Option<LayerContent> + 'a;

/// `{entries: [{source, target, executable}], links: [{path, target}], owner: "0:0"}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerParams {
    #[serde(default, deserialize_with = "or_default")]
    entries: Vec<EntryParam>,
    #[serde(default, deserialize_with = "or_default")]
    links: Vec<LinkParam>,
    #[serde(default)]
    owner: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryParam {
    source: String,
    target: String,
    /// Absent: as the artifact is.
    #[serde(default)]
    executable: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkParam {
    path: String,
    target: String,
}

/// `{base, layers: [{blob, descriptor}], config: {entrypoint, cmd, env, user, default_user, workdir, default_workdir,
/// exposed_ports, labels}, platform: {os, arch}}`. An image without a base gets a [`foundation`] as its lowest layer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageParams {
    #[serde(default)]
    base: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    layers: Vec<LayerParam>,
    #[serde(default, deserialize_with = "or_default")]
    config: ConfigParam,
    platform: Platform,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerParam {
    blob: String,
    descriptor: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigParam {
    #[serde(deserialize_with = "or_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    env: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    user: String,
    #[serde(deserialize_with = "or_default")]
    default_user: String,
    #[serde(deserialize_with = "or_default")]
    workdir: String,
    #[serde(deserialize_with = "or_default")]
    default_workdir: String,
    #[serde(deserialize_with = "or_default")]
    exposed_ports: Vec<PortParam>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum PortParam {
    Number(u16),
    Text(String),
}

/// `{repository, digest, platform}`; the registry is the machine's business.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullParams {
    /// The repository.
    pub repository: String,
    /// The digest of a manifest, or of a list of manifests.
    pub digest: Sha256,
    /// Which manifest of a list.
    #[serde(default)]
    pub platform: Option<Platform>,
}

fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn input(inputs: &Inputs<'_>, path: &str) -> Result<LayerContent, OciError> {
    inputs(path)
        .ok_or_else(|| OciError::Input { path: path.to_owned(), reason: "is not among the action's inputs".into() })
}

impl LayerParams {
    /// Makes the layer.
    pub fn run(&self, inputs: &Inputs<'_>, store: &Store) -> Result<Layer, OciError> {
        let mut entries = Vec::new();
        for entry in &self.entries {
            let content = match (input(inputs, &entry.source)?, entry.executable) {
                (LayerContent::File { digest, size, .. }, Some(executable)) => {
                    LayerContent::File { digest, size, executable }
                }
                (content, _) => content,
            };
            entries.push(LayerEntry { target: entry.target.clone(), content });
        }
        for link in &self.links {
            let content = LayerContent::Symlink(link.target.clone());
            entries.push(LayerEntry { target: link.path.clone(), content });
        }
        let owner = self.owner.as_deref().map_or(Ok(Default::default()), str::parse)?;
        layer(&LayerRequest { entries, owner }, store)
    }
}

impl ImageParams {
    /// Makes the image.
    pub fn run(&self, inputs: &Inputs<'_>, store: &Store) -> Result<Image, OciError> {
        let base = match &self.base {
            None => None,
            Some(path) => match input(inputs, path)? {
                LayerContent::Tree(digest) => Some(store.tree(&digest)?),
                _ => return Err(OciError::Input { path: path.clone(), reason: "is not a tree with an image".into() }),
            },
        };
        let overrides = self.config.overrides();
        let mut layers = Vec::new();
        if base.is_none() {
            let text =
                |own: &Option<String>, default: &Option<String>| own.clone().or(default.clone()).unwrap_or_default();
            let user = text(&overrides.user, &overrides.default_user);
            let workdir = text(&overrides.workdir, &overrides.default_workdir);
            layers.push(foundation(&user, &workdir, store)?);
        }
        for layer in &self.layers {
            layers.push(layer.read(inputs, store)?);
        }
        image(&ImageRequest { base, layers, overrides, platform: self.platform.clone() }, store)
    }
}

impl LayerParam {
    fn read(&self, inputs: &Inputs<'_>, store: &Store) -> Result<Layer, OciError> {
        let file = |path: &str| match input(inputs, path)? {
            LayerContent::File { digest, size, .. } => Ok((digest, size)),
            _ => Err(OciError::Input { path: path.to_owned(), reason: "is not a file".into() }),
        };
        let (blob, size) = file(&self.blob)?;
        let layer = Layer { blob, descriptor: parse(&store.read(&file(&self.descriptor)?.0)?, &self.descriptor)? };
        if layer.descriptor.size != size {
            let reason = format!("has {size} bytes, but `{}` says {}", self.descriptor, layer.descriptor.size);
            return Err(OciError::Input { path: self.blob.clone(), reason });
        }
        Ok(layer)
    }
}

impl ConfigParam {
    fn overrides(&self) -> Overrides {
        let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let port = |port: &PortParam| match port {
            PortParam::Number(number) => format!("{number}/tcp"),
            PortParam::Text(text) if text.contains('/') => text.clone(),
            PortParam::Text(text) => format!("{text}/tcp"),
        };
        Overrides {
            entrypoint: list(&self.entrypoint),
            cmd: list(&self.cmd),
            env: self.env.clone(),
            user: text(&self.user),
            default_user: text(&self.default_user),
            workdir: text(&self.workdir),
            default_workdir: text(&self.default_workdir),
            exposed_ports: self.exposed_ports.iter().map(port).collect(),
            labels: self.labels.clone(),
        }
    }
}

impl From<PullParams> for PullRequest {
    fn from(params: PullParams) -> Self {
        Self { repository: params.repository, digest: params.digest, platform: params.platform }
    }
}
