//! What can go wrong with images and registries, and what to do next. No message holds a credential or a URL's query.

use host::fs::FileError;
use model::{Diagnostic, RelPath, TreeError};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use store::StoreError;

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
    #[error("cannot write the content: {0}")]
    Write(std::io::Error),
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
    /// Credentials on the machine cannot be used.
    #[error("cannot use the credentials for {registry}: {reason}")]
    Credentials {
        /// Its address.
        registry: String,
        /// Why.
        reason: String,
    },
}

impl OciError {
    /// Whether the cause lies outside the workspace: network, registry, credentials.
    pub fn is_environment(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Denied { .. }
                | Self::NotFound { .. }
                | Self::Failing { .. }
                | Self::Refused { .. }
                | Self::Credentials { .. }
        )
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failing { .. })
    }

    /// What to do next.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Unreachable { registry, .. } => {
                return vec![
                    format!("check that `{registry}` is up and the address is right: curl -i http(s)://{registry}/v2/"),
                    "a registry that speaks plain http must be on this machine or be marked `insecure`".into(),
                ];
            }
            Self::Denied { registry, .. } => {
                format!("log in with `docker login {registry}`, or ask for the right to push")
            }
            Self::NotFound { .. } => {
                "check the repository and the digest; was the image pushed, or deleted since?".into()
            }
            Self::Mismatch { .. } => {
                "the content was damaged on its way or at its source; try again, and do not trust it".into()
            }
            Self::BasePlatform { .. } => {
                "choose a base for the platform, or build with `--platforms=<os>/<arch>` of the base".into()
            }
            Self::Entries(_) => "give one of the two another target path".into(),
            Self::Credentials { registry, .. } => format!("log in again with `docker login {registry}`"),
            _ => return Vec::new(),
        };
        vec![hint]
    }

    /// The same for the user.
    pub fn to_diagnostic(&self) -> Diagnostic {
        let mut message = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        self.hints().into_iter().fold(Diagnostic::error(message), Diagnostic::hint)
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
    /// The client's error in our terms.
    pub(crate) fn failed(&self, error: OciDistributionError) -> OciError {
        match error {
            OciDistributionError::RequestError(error) => match error.status().map(|status| status.as_u16()) {
                Some(code) => self.answered(code, String::new()),
                None => {
                    OciError::Unreachable { registry: self.registry.into(), reason: innermost(&error.without_url()) }
                }
            },
            OciDistributionError::ServerError { code, message, .. } => self.answered(code, message),
            OciDistributionError::UnauthorizedError { .. } => self.answered(401, String::new()),
            OciDistributionError::AuthenticationFailure(_) => self.answered(401, String::new()),
            OciDistributionError::RegistryError { envelope, .. } => {
                let reason: Vec<&str> = envelope.errors.iter().map(|error| error.message.as_str()).collect();
                let code = match envelope.errors.first().map(|error| &error.code) {
                    Some(OciErrorCode::Unauthorized) => 401,
                    Some(OciErrorCode::Denied) => 403,
                    Some(
                        OciErrorCode::ManifestUnknown
                        | OciErrorCode::BlobUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound,
                    ) => 404,
                    _ => 400,
                };
                self.answered(code, reason.join("; "))
            }
            OciDistributionError::DigestError(DigestError::VerificationError { expected, actual }) => {
                OciError::Mismatch { what: format!("{} from {}", self.what, self.registry), expected, actual }
            }
            other => self.refused(other.to_string()),
        }
    }

    fn answered(&self, code: u16, message: String) -> OciError {
        let (registry, repository) = (self.registry.to_owned(), self.repository.to_owned());
        match code {
            401 => {
                let reason = "not logged in, or the credentials are wrong (401)".into();
                OciError::Denied { registry, repository, reason }
            }
            403 => OciError::Denied { registry, repository, reason: "the account lacks the right (403)".into() },
            404 => OciError::NotFound { registry, repository, what: self.what.clone() },
            429 | 500..=599 => {
                let reason = format!("{code} {}", summary(&message)).trim_end().to_owned();
                OciError::Failing { registry, repository, what: self.what.clone(), reason }
            }
            code => self.refused(format!("{code} {}", summary(&message))),
        }
    }

    fn refused(&self, reason: String) -> OciError {
        let (registry, repository) = (self.registry.to_owned(), self.repository.to_owned());
        OciError::Refused { registry, repository, what: self.what.clone(), reason: reason.trim_end().to_owned() }
    }

    /// A download that broke off.
    pub(crate) fn interrupted(&self, done: u64, size: u64, error: &std::io::Error) -> OciError {
        let reason = format!("{} broke off after {done} of {size} bytes: {}", self.what, innermost(error));
        OciError::Unreachable { registry: self.registry.to_owned(), reason }
    }

    /// An answer that has the wrong content.
    pub(crate) fn mismatch(&self, expected: &Sha256, actual: &Sha256) -> OciError {
        let what = format!("{} from {}", self.what, self.registry);
        OciError::Mismatch { what, expected: expected.to_string(), actual: actual.to_string() }
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The first line of a body, without the rest of an HTML page.
fn summary(body: &str) -> String {
    body.trim().lines().next().unwrap_or("").chars().take(200).collect()
}
