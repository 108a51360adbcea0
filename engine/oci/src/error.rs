//! What can go wrong with images and registries, and what to do next. No message holds a credential or a URL's query.

use std::time::Duration;

use host::fs::FileError;
use http_client::{Failure, FailureKind};
use model::{Diagnostic, RelPath, TreeError};
use oci_distribution::errors::{OciEnvelope, OciErrorCode};
use store::StoreError;

use crate::client::{BodyError, printable};
use crate::digest::Sha256;

/// A failed operation on an image or a registry.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Two entries of a layer cannot stand together.
    #[error("the layer cannot be made: {0}")]
    Entries(TreeError),
    /// A path that a layer cannot hold.
    #[error("`{path}` cannot be the path of a layer's entry: {reason}")]
    Target {
        /// As given.
        path: String,
        /// Why not.
        reason: String,
    },
    /// Writing the layer failed.
    #[error("cannot write the content")]
    Write(#[source] std::io::Error),
    /// A parameter that cannot be taken.
    #[error("{0}")]
    Parameter(String),
    /// An artifact that the parameters name is not what they need.
    #[error("`{path}` {reason}")]
    Input {
        /// The artifact.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tree is not an image.
    #[error("not an image in the OCI layout: {0}")]
    Layout(String),
    /// A file of the layout is missing.
    #[error("the image lacks `{0}`")]
    MissingFile(RelPath),
    /// The base image is for another platform.
    #[error("the base image is for {base}, the image is built for {wanted}")]
    BasePlatform {
        /// `os/arch` of the base.
        base: String,
        /// `os/arch` of the image.
        wanted: String,
    },
    /// Content does not have the digest by which it was asked for.
    #[error("{what} has the wrong digest: expected {expected}, got {actual}")]
    Mismatch {
        /// Which content.
        what: String,
        /// The digest that was asked for.
        expected: String,
        /// The digest of what came.
        actual: String,
    },
    /// No connection.
    #[error("cannot reach the registry {registry}: {reason}")]
    Unreachable {
        /// Its address.
        registry: String,
        /// The innermost cause.
        reason: String,
    },
    /// The registry does not prove that it is the one that was configured.
    #[error("cannot use the registry {registry}: {reason}; nothing was sent to it")]
    Certificate {
        /// Its address.
        registry: String,
        /// What is wrong with its certificate.
        reason: String,
    },
    /// The registry does not let us.
    #[error("the registry {registry} denies access to `{repository}`: {reason}")]
    Denied {
        /// Its address.
        registry: String,
        /// The repository.
        repository: String,
        /// 401 or 403 in words.
        reason: String,
    },
    /// The registry does not have it.
    #[error("the registry {registry} does not have {what} in `{repository}`")]
    NotFound {
        /// Its address.
        registry: String,
        /// The repository.
        repository: String,
        /// What was asked for.
        what: String,
    },
    /// The registry is in trouble; the same request may succeed later.
    #[error("the registry {registry} failed at {what} for `{repository}`: {reason}")]
    Failing {
        /// Its address.
        registry: String,
        /// The repository.
        repository: String,
        /// What was sent or asked for.
        what: String,
        /// The status and the registry's words.
        reason: String,
    },
    /// Another answer than expected.
    #[error("the registry {registry} refused {what} for `{repository}`: {reason}")]
    Refused {
        /// Its address.
        registry: String,
        /// The repository.
        repository: String,
        /// What was sent or asked for.
        what: String,
        /// The registry's words.
        reason: String,
    },
    /// A registry names a place for logins that is not its own.
    #[error("the registry {registry} wants logins at {reason}; nothing was sent there")]
    Realm {
        /// Its address.
        registry: String,
        /// Where, and why not.
        reason: String,
    },
    /// Credentials on the machine cannot be used.
    #[error("cannot use the credentials for {registry}: {reason}")]
    Credentials {
        /// Its address.
        registry: String,
        /// Why.
        reason: String,
    },
}

/// What was wanted of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To get an image, or to make one.
    Pull,
    /// To send one.
    Push,
}

impl OciError {
    /// Whether the cause lies outside the workspace: network, registry, credentials.
    pub fn is_environment(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Certificate { .. }
                | Self::Denied { .. }
                | Self::NotFound { .. }
                | Self::Failing { .. }
                | Self::Refused { .. }
                | Self::Credentials { .. }
                | Self::Realm { .. }
        )
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failing { .. })
    }

    /// What to do next.
    pub fn hints(&self, direction: Direction) -> Vec<String> {
        let hint = match (self, direction) {
            (Self::Unreachable { registry, .. }, _) => {
                return vec![
                    format!("check that `{registry}` is up and the address is right: curl -i http(s)://{registry}/v2/"),
                    "a registry that speaks plain http must be on this machine or be marked `insecure`".into(),
                    match direction {
                        Direction::Pull => {
                            "to build without a network later, type `build fetch //...` while there is one"
                        }
                        Direction::Push => "type the same command again to go on: what was sent is not sent again",
                    }
                    .into(),
                ];
            }
            (Self::Certificate { .. }, _) => return http_client::CERTIFICATE_HINTS.map(str::to_owned).to_vec(),
            (Self::Denied { registry, .. }, Direction::Pull) => {
                format!("log in with `docker login {registry}`, or ask for the right to pull")
            }
            (Self::Denied { registry, .. }, Direction::Push) => {
                format!("log in with `docker login {registry}`, or ask for the right to push")
            }
            (Self::NotFound { .. }, Direction::Pull) => {
                "check the repository and the digest; was the image pushed, or deleted since?".into()
            }
            (Self::NotFound { repository, .. }, Direction::Push) => {
                format!("check the name; some registries want `{repository}` to be made before the first push")
            }
            (Self::Failing { .. } | Self::Refused { .. }, Direction::Push) => {
                "what the registry has already is not sent again; its log may say more".into()
            }
            (Self::Mismatch { .. }, _) => {
                "the content was damaged on its way or at its source; try again, and do not trust it".into()
            }
            (Self::BasePlatform { .. }, _) => {
                "choose a base for the platform, or build with `--platforms=<os>/<arch>` of the base".into()
            }
            (Self::Realm { registry, .. }, _) => {
                format!(
                    "if that is right, log in there yourself and put the token as `registrytoken` of `{registry}` in docker's config.json"
                )
            }
            (Self::Entries(_), _) => "give one of the two another target path".into(),
            (Self::Target { .. }, _) => "give it another path in the image, or leave it out of what is packed".into(),
            (Self::Credentials { registry, .. }, _) => format!("log in again with `docker login {registry}`"),
            _ => return Vec::new(),
        };
        vec![hint]
    }

    /// The same for the user.
    pub fn to_diagnostic(&self, direction: Direction) -> Diagnostic {
        let mut message = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        self.hints(direction).into_iter().fold(Diagnostic::error(message), Diagnostic::hint)
    }
}

impl From<TreeError> for OciError {
    fn from(error: TreeError) -> Self {
        Self::Entries(error)
    }
}

/// What was being done with a registry, for errors.
pub(crate) struct Attempt<'a> {
    pub(crate) registry: &'a str,
    pub(crate) repository: &'a str,
    pub(crate) what: String,
}

impl Attempt<'_> {
    /// No answer, or none that can be read.
    pub(crate) fn unreachable(&self, failure: Failure) -> OciError {
        let (registry, reason) = (self.registry.to_owned(), failure.reason);
        match failure.kind {
            FailureKind::Certificate => OciError::Certificate { registry, reason },
            FailureKind::Passing | FailureKind::Misled => OciError::Unreachable { registry, reason },
        }
    }

    /// No answer for so long.
    pub(crate) fn silent(&self, time: Duration) -> OciError {
        let reason = format!("no answer for {} came in {} s", self.what, time.as_secs_f64());
        OciError::Unreachable { registry: self.registry.into(), reason }
    }

    /// A small answer that ended early or is not small.
    pub(crate) fn broken(&self, error: BodyError, limit: u64) -> OciError {
        match error {
            BodyError::Broken(reason) => {
                let reason = format!("{} broke off: {reason}", self.what);
                OciError::Unreachable { registry: self.registry.into(), reason }
            }
            BodyError::TooLong => self.refused(format!("its answer is longer than {limit} bytes")),
        }
    }

    /// An answer of failure, with its body.
    pub(crate) fn answered(&self, code: u16, body: &str) -> OciError {
        let (registry, repository) = (self.registry.to_owned(), self.repository.to_owned());
        let (name, message) = envelope(body);
        let unknown = matches!(
            name,
            Some(
                OciErrorCode::ManifestUnknown
                    | OciErrorCode::BlobUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound
            )
        );
        match code {
            _ if unknown => OciError::NotFound { registry, repository, what: self.what.clone() },
            401 => {
                let reason = "not logged in, or the credentials are wrong (401)".into();
                OciError::Denied { registry, repository, reason }
            }
            403 => OciError::Denied { registry, repository, reason: "the account lacks the right (403)".into() },
            404 => OciError::NotFound { registry, repository, what: self.what.clone() },
            429 | 500..=599 => {
                let reason = format!("{code} {message}").trim_end().to_owned();
                OciError::Failing { registry, repository, what: self.what.clone(), reason }
            }
            code => self.refused(format!("{code} {message}")),
        }
    }

    /// An answer that is none of those that are expected.
    pub(crate) fn refused(&self, reason: String) -> OciError {
        let (registry, repository) = (self.registry.to_owned(), self.repository.to_owned());
        OciError::Refused { registry, repository, what: self.what.clone(), reason: reason.trim_end().to_owned() }
    }

    /// A download that broke off, or that does not end where it should.
    pub(crate) fn interrupted(&self, done: u64, size: u64, error: BodyError) -> OciError {
        match error {
            BodyError::Broken(reason) => {
                let reason = format!("{} broke off after {done} of {size} bytes: {reason}", self.what);
                OciError::Unreachable { registry: self.registry.to_owned(), reason }
            }
            BodyError::TooLong => self.refused(format!("it sends more than the {size} bytes that its manifest tells")),
        }
    }

    /// An answer that has the wrong content.
    pub(crate) fn mismatch(&self, expected: &Sha256, actual: &Sha256) -> OciError {
        let what = format!("{} of `{}` from {}", self.what, self.repository, self.registry);
        OciError::Mismatch { what, expected: expected.to_string(), actual: actual.to_string() }
    }
}

/// The code and the words of an error's body: those of the specification's envelope, or the first line of whatever came.
fn envelope(body: &str) -> (Option<OciErrorCode>, String) {
    let mut errors = serde_json::from_str::<OciEnvelope>(body).map(|envelope| envelope.errors).unwrap_or_default();
    errors.truncate(5);
    let words: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    let words = printable(&words.join("; "));
    match errors.into_iter().next() {
        Some(first) => (Some(first.code), words),
        None => (None, printable(body.trim().lines().next().unwrap_or(""))),
    }
}
