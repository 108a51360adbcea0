//! The parameters of a `fetch` action: which package, by which digests, and what of it is kept.
//!
//! They are the whole identity of a fetched tree. Endpoints are not among them, since they do not change what comes.

use std::collections::BTreeMap;

use model::{Digest, KeyBuilder};
use serde::{Deserialize, Serialize};

use crate::error::FetchError;

/// Raise it when the same parameters give another tree than before.
const VERSION: u32 = 1;

/// The same for wheels alone.
const WHEEL_VERSION: u32 = 2;

/// A package or a merge of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ecosystem", rename_all = "lowercase")]
pub(crate) enum Params {
    Go(GoModule),
    Pypi(Wheel),
    Debian(Deb),
    Merge(Merge),
}

/// A module of a Go module proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoModule {
    pub package: String,
    pub version: String,
    /// `h1:...` as in go.sum: over the names and contents of the files.
    pub h1: String,
    /// The SHA-256 of the zip file itself, where it is pinned too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// A wheel of a simple index: the file that fits the platform best among those with one of the digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wheel {
    pub package: String,
    pub version: String,
    pub sha256: Vec<String>,
    /// `3.11`
    pub python: String,
    /// `linux/amd64`
    pub platform: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// A file of a Debian pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deb {
    pub package: String,
    pub version: String,
    pub architecture: String,
    /// Where it is below the folder that holds `pool/`.
    pub path: String,
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// Several trees as one. A file that two of them bring with different content is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Merge {
    pub parts: Vec<Params>,
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Symbolic links to add: path and target.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

impl Params {
    pub(crate) fn parse(value: &serde_json::Value) -> Result<Self, FetchError> {
        serde_json::from_value(value.clone()).map_err(|error| FetchError::Parameters(error.to_string()))
    }

    /// The key of the tree in the memo table.
    pub(crate) fn key(&self) -> Digest {
        let canonical = serde_json::to_vec(self).expect("texts and lists always serialise");
        KeyBuilder::new("fetch", self.version()).bytes(&canonical).finish()
    }

    fn version(&self) -> u32 {
        match self {
            Self::Pypi(_) => WHEEL_VERSION,
            Self::Merge(merge) => merge.parts.iter().map(Self::version).max().unwrap_or(VERSION),
            Self::Go(_) | Self::Debian(_) => VERSION,
        }
    }

    /// The package for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Go(go) => format!("{}@{}", go.package, go.version),
            Self::Pypi(wheel) => format!("{}=={}", wheel.package, wheel.version),
            Self::Debian(deb) => format!("{}={}", deb.package, deb.version),
            Self::Merge(merge) => match merge.parts.as_slice() {
                [one] => one.describe(),
                parts => format!("a tree of {} packages", parts.len()),
            },
        }
    }
}

/// A digest as the locks write it, checked and in lower case.
pub(crate) fn sha256(text: &str) -> Result<String, FetchError> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).to_lowercase();
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text),
        false => Err(FetchError::Parameters(format!("`{text}` is not a SHA-256 of 64 hexadecimal digits"))),
    }
}
