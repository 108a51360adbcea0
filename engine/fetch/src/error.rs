//! What can go wrong between a lockfile and a verified tree, and what to type next.
//!
//! No error holds a URL with credentials: endpoints are shown by `transport::shown` only.

use crate::archive::ArchiveError;
use crate::endpoints::Ecosystem;

/// A package that could not be had, or a lockfile that could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nothing on this machine says where packages of an ecosystem come from.
    #[error("no endpoint is configured for {}", list(&.0.iter().map(ToString::to_string).collect::<Vec<_>>()))]
    NoEndpoint(Vec<Ecosystem>),
    /// A configuration file or variable cannot be read.
    #[error("cannot use {origin}: {reason}")]
    Configuration {
        /// The file or variable.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No endpoint has the package.
    #[error("{what} was not found; asked {}", list(tried))]
    NotFound {
        /// The package, for people.
        what: String,
        /// The endpoints asked, without credentials.
        tried: Vec<String>,
    },
    /// An endpoint did not answer, or not to the end.
    #[error("cannot download {what} from {endpoint}: {reason} (tried {attempts} times)")]
    Unreachable {
        /// The package, for people.
        what: String,
        /// The endpoint, without credentials.
        endpoint: String,
        /// What happened.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// An endpoint does not prove that it is the one that was configured.
    #[error("cannot download {what} from {endpoint}: {reason}; nothing was sent to it")]
    Certificate {
        /// The package, for people.
        what: String,
        /// The endpoint, without credentials.
        endpoint: String,
        /// What is wrong with its certificate.
        reason: String,
    },
    /// An endpoint refused.
    #[error("{endpoint} answered {status} when asked for {what}")]
    Refused {
        /// The package, for people.
        what: String,
        /// The endpoint, without credentials.
        endpoint: String,
        /// The HTTP status.
        status: u16,
    },
    /// The content is not what the lockfile says.
    #[error("{what} from {endpoint} has the wrong digest: expected {expected}, got {got}; nothing of it was kept")]
    WrongDigest {
        /// The package, for people.
        what: String,
        /// The endpoint, without credentials.
        endpoint: String,
        /// What the lockfile says.
        expected: String,
        /// What came.
        got: String,
    },
    /// A download is larger than allowed.
    #[error("{what} from {endpoint} is larger than {limit} bytes")]
    TooLarge {
        /// The package, for people.
        what: String,
        /// The endpoint, without credentials.
        endpoint: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// An index cannot be understood.
    #[error("{what} from {endpoint} cannot be understood: {reason}")]
    Index {
        /// The index, for people.
        what: String,
        /// The endpoint, without credentials.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// No file of a Python package fits.
    #[error("no wheel of {what} fits {wanted}; the index at {endpoint} offers {}", list(offered))]
    NoWheel {
        /// The package, for people.
        what: String,
        /// The endpoint, without credentials.
        endpoint: String,
        /// What was looked for.
        wanted: String,
        /// Files that are in the index.
        offered: Vec<String>,
    },
    /// A Python package comes as its source alone.
    #[error("{what} has no wheel at {endpoint}, only its source {file}, from which nothing is built")]
    SourceOnly {
        /// The package, for people.
        what: String,
        /// The endpoint, without credentials.
        endpoint: String,
        /// The source distribution.
        file: String,
    },
    /// An archive cannot be unpacked.
    #[error("cannot unpack {what}")]
    Archive {
        /// The package, for people.
        what: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// What an endpoint sent is no archive, before its digest could be told.
    #[error("{what} from {endpoint} cannot be unpacked; nothing of it was kept")]
    Unpack {
        /// The package, for people.
        what: String,
        /// The endpoint, without credentials.
        endpoint: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// The parameters of the `fetch` action do not make sense.
    #[error("the parameters of a fetch action are wrong: {0}")]
    Parameters(String),
    /// A lockfile cannot be understood.
    #[error("{file}{}: {reason}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Lock {
        /// The lockfile.
        file: String,
        /// The line, from 1.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// A package that cannot be described.
    #[error("{package}: {reason}")]
    Package {
        /// Its label.
        package: String,
        /// What is wrong.
        reason: String,
        /// What to type next.
        hint: Option<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] host::fs::FileError),
    /// The HTTP client cannot be made.
    #[error("cannot start the HTTP client: {0}")]
    Client(String),
}

fn list(items: &[String]) -> String {
    match items {
        [] => "nothing".to_owned(),
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        items => items.join(", "),
    }
}

impl FetchError {
    /// What to type next.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NoEndpoint(missing) => missing.iter().flat_map(|each| each.how_to_configure()).collect(),
            Self::WrongDigest { .. } => {
                vec!["if the package was published anew, update the lockfile; else do not trust that endpoint".into()]
            }
            Self::Index { .. } | Self::NoWheel { .. } => {
                vec![
                    "check that the endpoint is a simple index of Python packages, and that it has this version".into(),
                ]
            }
            Self::SourceOnly { what, .. } => {
                vec![format!(
                    "lock a version that has wheels; or `pip wheel --no-deps {what}`, once, makes one: put it on an index of yours and lock its digest"
                )]
            }
            Self::TooLarge { .. } => {
                vec![
                    "if it has to be so large, set `download_limit` (bytes) below `[network]` in build/config.toml"
                        .into(),
                ]
            }
            Self::Unreachable { .. } => {
                vec![
                    "check the network and the endpoint; what the store already has needs no network".into(),
                    "`build fetch //...`, while there is one, brings all that builds need from outside".into(),
                ]
            }
            Self::Certificate { .. } => http_client::CERTIFICATE_HINTS.map(str::to_owned).to_vec(),
            Self::Refused { status: 401 | 403, .. } => {
                vec!["check the credentials of that endpoint in your configuration".into()]
            }
            Self::NotFound { .. } => {
                vec![
                    "a package that was withdrawn needs a newer version in the lockfile, or a mirror that keeps it"
                        .into(),
                ]
            }
            Self::Package { hint, .. } => hint.iter().cloned().collect(),
            _ => host::remedy::of(self).map(str::to_owned).into_iter().collect(),
        }
    }

    /// The whole story in lines: the message, its causes as notes, the hints.
    pub fn explain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!("\n  note: {error}"));
            cause = error.source();
        }
        for hint in self.hints() {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }

    /// Whether an endpoint answered that it does not have the package.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub(crate) fn lock(file: &str, line: Option<usize>, reason: impl Into<String>) -> Self {
        Self::Lock { file: file.to_owned(), line, reason: reason.into() }
    }

    pub(crate) fn archive(what: &str, source: impl Into<ArchiveError>) -> Self {
        Self::Archive { what: what.to_owned(), source: source.into() }
    }
}
