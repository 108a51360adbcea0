//! What a target is built for: platform, compilation mode, defines.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, KeyBuilder};

/// An operating system and a processor, by Go's names (`linux`, `amd64`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `darwin`, ...
    pub os: Arc<str>,
    /// `amd64`, `arm64`, ...
    pub arch: Arc<str>,
}

/// The settings a target is analysed under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Configuration {
    /// The platform the outputs are for.
    pub platform: Platform,
    /// `fastbuild`, `dbg` or `opt` (`-c`).
    pub compilation_mode: Arc<str>,
    /// `--define name=value`.
    pub defines: BTreeMap<Arc<str>, Arc<str>>,
}

impl Platform {
    /// The platform of this machine.
    pub fn host() -> Self {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        Self { os: Arc::from(os), arch: Arc::from(arch) }
    }
}

impl Configuration {
    /// A platform with everything else at its default.
    pub fn new(platform: Platform) -> Self {
        Self { platform, compilation_mode: Arc::from("fastbuild"), defines: BTreeMap::new() }
    }

    /// The name of its folder below `out/`: `linux-amd64`, with a suffix when a setting is not the default.
    pub fn folder(&self) -> String {
        let Platform { os, arch } = &self.platform;
        let mode = &*self.compilation_mode;
        let base = if mode == "fastbuild" { format!("{os}-{arch}") } else { format!("{os}-{arch}-{mode}") };
        if self.defines.is_empty() { base } else { format!("{base}-{}", &self.digest().to_hex()[..8]) }
    }

    /// The content of all settings.
    pub fn digest(&self) -> Digest {
        let mut key = KeyBuilder::new("configuration", 1);
        key.text(&self.platform.os).text(&self.platform.arch).text(&self.compilation_mode);
        key.sequence(self.defines.len());
        for (name, value) in &self.defines {
            key.text(name).text(value);
        }
        key.finish()
    }
}
