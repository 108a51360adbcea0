//! The configuration of an image, by the OCI image specification (`config.md`).
//!
//! Maps are sorted, and `created` is left out, so that equal images have equal bytes. What a base has beyond the fields
//! named here is inherited as it is. (`oci-distribution`'s type keeps labels in no order and loses what it does not know, such as
//! health checks, so that it serves neither.)

use std::collections::BTreeMap;

use model::Platform;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Sha256;
use crate::error::OciError;

/// The config blob of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The processor, by Go's name.
    pub architecture: String,
    /// The system, by Go's name.
    pub os: String,
    /// How a container of it starts.
    #[serde(default)]
    pub config: ContainerConfig,
    /// The layers, uncompressed.
    pub rootfs: RootFs,
    /// How the layers came about; only present when a base has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Value>,
    /// Further fields of a base, such as `variant`.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// How a container starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User, by number or name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `8080/tcp` and the like; the values are empty objects.
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub exposed_ports: Option<BTreeMap<String, Value>>,
    /// `NAME=value`.
    #[serde(default, skip_serializing_if = "none_or_empty_list")]
    pub env: Option<Vec<String>>,
    /// The program and its fixed arguments.
    #[serde(default, skip_serializing_if = "none_or_empty_list")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    #[serde(default, skip_serializing_if = "none_or_empty_list")]
    pub cmd: Option<Vec<String>>,
    /// The folder it starts in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub labels: Option<BTreeMap<String, Value>>,
    /// Further fields of a base, such as `Volumes` and `StopSignal`.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// The uncompressed layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Their digests, the lowest first.
    pub diff_ids: Vec<Sha256>,
}

/// What a rule sets; what is absent is inherited from the base.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The program and its fixed arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// Variables, each replacing the base's of that name.
    pub env: BTreeMap<String, String>,
    /// User, by number or name.
    pub user: Option<String>,
    /// The same where the base names none.
    pub default_user: Option<String>,
    /// The folder it starts in.
    pub workdir: Option<String>,
    /// The same where the base names none but the root.
    pub default_workdir: Option<String>,
    /// `8080/tcp` and the like, added to the base's.
    pub exposed_ports: Vec<String>,
    /// Added to the base's.
    pub labels: BTreeMap<String, String>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

impl Configuration {
    /// The configuration of an image without a base.
    pub(crate) fn scratch(platform: &Platform) -> Self {
        Self { architecture: platform.arch.to_string(), os: platform.os.to_string(), ..Self::default() }
    }

    /// A base's configuration, for an image of `platform`.
    pub(crate) fn based_on(mut base: Self, platform: &Platform) -> Result<Self, OciError> {
        if base.os != *platform.os || base.architecture != *platform.arch {
            return Err(OciError::BasePlatform {
                base: format!("{}/{}", base.os, base.architecture),
                wanted: format!("{}/{}", platform.os, platform.arch),
            });
        }
        base.rest.remove("created");
        Ok(base)
    }

    /// Adds a layer on top.
    pub(crate) fn push_layer(&mut self, diff_id: &Sha256) {
        self.rootfs.diff_ids.push(diff_id.clone());
        // The specification wants one entry a layer as soon as there is a history at all.
        if !self.history.is_empty() {
            self.history.push(serde_json::json!({"created_by": "build"}));
        }
    }
}

impl ContainerConfig {
    /// Sets what the overrides give. An entrypoint of its own drops the base's arguments, as with every image builder.
    pub(crate) fn apply(&mut self, overrides: &Overrides) {
        if let Some(entrypoint) = &overrides.entrypoint {
            self.entrypoint = Some(entrypoint.clone());
            self.cmd = None;
        }
        if let Some(cmd) = &overrides.cmd {
            self.cmd = Some(cmd.clone());
        }
        let default_user = overrides.default_user.as_ref().filter(|_| self.user.is_empty());
        if let Some(user) = overrides.user.as_ref().or(default_user) {
            self.user.clone_from(user);
        }
        let is_root = matches!(self.working_dir.as_str(), "" | "/");
        let default_workdir = overrides.default_workdir.as_ref().filter(|_| is_root);
        if let Some(workdir) = overrides.workdir.as_ref().or(default_workdir) {
            self.working_dir.clone_from(workdir);
        }
        let env = self.env.get_or_insert_default();
        for (name, value) in &overrides.env {
            let prefix = format!("{name}=");
            let assignment = format!("{prefix}{value}");
            match env.iter_mut().find(|existing| existing.starts_with(&prefix)) {
                Some(existing) => *existing = assignment,
                None => env.push(assignment),
            }
        }
        let ports = self.exposed_ports.get_or_insert_default();
        ports.extend(overrides.exposed_ports.iter().map(|port| (port.clone(), Value::Object(Default::default()))));
        let labels = self.labels.get_or_insert_default();
        labels.extend(overrides.labels.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
    }
}

fn none_or_empty(map: &Option<BTreeMap<String, Value>>) -> bool {
    map.as_ref().is_none_or(BTreeMap::is_empty)
}

fn none_or_empty_list(list: &Option<Vec<String>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}
