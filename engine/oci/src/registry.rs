//! A registry: its address, how to log in, and what is expected of it.

use std::time::Duration;

use oci_distribution::Reference;

use crate::auth::Auth;
use crate::error::{Attempt, OciError};

/// Where to push to or pull from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Host and port, such as `registry.example:5000`, without a scheme.
    pub address: String,
    /// Plain http instead of TLS.
    pub insecure: bool,
    /// How to log in.
    pub auth: Auth,
    /// For how long it may be silent, or slower than a kibibyte a second.
    pub timeout: Duration,
}

impl Registry {
    /// How long a registry may be silent if nothing else is said; it may have to write a large blob before it answers.
    pub const TIMEOUT: Duration = Duration::from_secs(120);

    /// A registry with the machine's credentials for a repository. One on this machine itself speaks plain http, like
    /// every local registry.
    pub fn from_machine(address: &str, repository: &str) -> Result<Self, OciError> {
        let address = address.trim_end_matches('/');
        let (scheme, address) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
        let insecure = scheme == "http" || (scheme.is_empty() && is_loopback(address));
        let auth = Auth::from_machine(address, repository)?;
        Ok(Self { address: address.to_owned(), insecure, auth, timeout: Self::TIMEOUT })
    }

    /// The same that may be silent, or slower than a kibibyte a second, for so long.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(crate) fn attempt<'a>(&'a self, repository: &'a str, what: impl Into<String>) -> Attempt<'a> {
        Attempt { registry: &self.address, repository, what: what.into() }
    }
}

fn is_loopback(address: &str) -> bool {
    let address = address.split('/').next().unwrap_or(address);
    let host = match address.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => address.rsplit_once(':').map_or(address, |(host, _)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Checks a repository's name by the distribution specification, so that a mistake is not the registry's riddle.
pub(crate) fn check_repository(repository: &str) -> Result<(), OciError> {
    // Any host will do; the name must be all that is found behind it.
    let reference = Reference::try_from(format!("registry.invalid/{repository}"));
    if repository.len() <= 255 && reference.is_ok_and(|reference| reference.repository() == repository) {
        return Ok(());
    }
    Err(OciError::Parameter(format!(
        "`{repository}` is not a repository: expected lower-case letters, digits and `._-` in parts separated by `/`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_insecure_by_itself() {
        for local in ["127.0.0.1:5000", "localhost:5000", "[::1]:5000", "localhost", "localhost:5000/team"] {
            assert!(is_loopback(local), "{local}");
        }
        for remote in ["registry.example", "10.0.0.1:5000", "localhost.example:80", "127.0.0.1.example"] {
            assert!(!is_loopback(remote), "{remote}");
        }
    }

    #[test]
    fn repositories_are_checked() {
        for good in ["services/controller", "a", "a__b/c-d", "1/2.3"] {
            assert!(check_repository(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a//b", "a/", "/a", "-a", "a b", "a:b", "a..b", "a/b:tag", "a@b", &"a".repeat(256)] {
            assert!(check_repository(bad).is_err(), "{bad}");
        }
    }
}
