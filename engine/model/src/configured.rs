//! A target after analysis: its providers.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::configuration::Configuration;
use crate::data::{Data, ProviderId, ProviderInstance};
use crate::depset::Depset;
use crate::label::Label;

/// The provider every target has: `files`, `executable`, `runfiles`.
pub static DEFAULT_INFO: LazyLock<ProviderId> = LazyLock::new(|| builtin("DefaultInfo"));

/// What `ctx.runfiles(...)` makes; its one field is `files`, a depset.
pub static RUNFILES: LazyLock<ProviderId> = LazyLock::new(|| builtin("runfiles"));

fn builtin(name: &str) -> ProviderId {
    let file = Label::absolute("@builtin//:providers").expect("the label is well formed");
    ProviderId { file, name: Arc::from(name) }
}

/// A label in a configuration. Source files have none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetKey {
    /// The target.
    pub label: Label,
    /// What it is built for; `None` for a source file.
    pub configuration: Option<Arc<Configuration>>,
}

/// The result of analysing a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredTarget {
    /// Which target, for what. Through an alias, the actual target's.
    pub key: TargetKey,
    /// The rule's name; `source file` for a file.
    pub kind: Arc<str>,
    /// What the rule returned.
    pub providers: BTreeMap<ProviderId, Arc<ProviderInstance>>,
}

/// The fields of `DefaultInfo`, typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefaultInfo {
    /// What `build` makes when the target is asked for.
    pub files: Arc<Depset>,
    /// What `run` and `test` start.
    pub executable: Option<Artifact>,
    /// What the executable needs beside it.
    pub runfiles: Arc<Depset>,
    /// Whether the executable is, or may be, a script that needs a shell.
    pub script: bool,
}

impl ConfiguredTarget {
    /// A source file as a target.
    pub fn source(file: &Artifact) -> Self {
        let files = Arc::new(Depset::of(vec![Data::File(file.clone())]));
        let info = DefaultInfo { files, ..DefaultInfo::default() };
        let key = TargetKey { label: file.owner().clone(), configuration: None };
        let providers = BTreeMap::from([(DEFAULT_INFO.clone(), Arc::new(info.to_provider()))]);
        Self { key, kind: Arc::from("source file"), providers }
    }

    /// The label.
    pub fn label(&self) -> &Label {
        &self.key.label
    }

    /// `DefaultInfo`, typed.
    pub fn default_info(&self) -> DefaultInfo {
        self.providers.get(&*DEFAULT_INFO).map(|info| DefaultInfo::from_provider(info)).unwrap_or_default()
    }

    /// A provider by its exported name, whichever file defines it. For the engine's own look-ups (`DeployInfo`).
    pub fn provider_named(&self, file: &Label, name: &str) -> Option<&Arc<ProviderInstance>> {
        self.providers.iter().find(|(id, _)| id.file == *file && &*id.name == name).map(|(_, provider)| provider)
    }
}

impl DefaultInfo {
    /// Reads the fields of a provider instance; absent ones are empty.
    pub fn from_provider(provider: &ProviderInstance) -> Self {
        let set = |data: Option<&Data>| data.and_then(Data::as_depset).cloned().unwrap_or_default();
        let runfiles = provider.get("runfiles").and_then(Data::as_provider);
        Self {
            files: set(provider.get("files")),
            executable: provider.get("executable").and_then(Data::as_file).cloned(),
            runfiles: runfiles.map(|runfiles| set(runfiles.get("files"))).unwrap_or_default(),
            script: provider.get("script").and_then(Data::as_bool).unwrap_or(false),
        }
    }

    /// The same as a provider instance.
    pub fn to_provider(&self) -> ProviderInstance {
        let executable = self.executable.clone().map_or(Data::None, Data::File);
        let runfiles = ProviderInstance {
            id: RUNFILES.clone(),
            fields: BTreeMap::from([(Arc::from("files"), Data::Depset(Arc::clone(&self.runfiles)))]),
        };
        let script = self.script.then(|| (Arc::from("script"), Data::Bool(true)));
        let fields = script.into_iter().chain([
            (Arc::from("files"), Data::Depset(Arc::clone(&self.files))),
            (Arc::from("executable"), executable),
            (Arc::from("runfiles"), Data::Provider(Arc::new(runfiles))),
        ]);
        ProviderInstance { id: DEFAULT_INFO.clone(), fields: fields.collect() }
    }
}
