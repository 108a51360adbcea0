//! A registry and the client that speaks to it.

use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::{Client, Reference};

use crate::auth::Auth;
use crate::digest::Sha256;
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
}

impl Registry {
    /// A registry with the machine's credentials. One on this machine itself speaks plain http, like every local registry.
    pub fn from_machine(address: &str) -> Result<Self, OciError> {
        let address = address.trim_end_matches('/');
        let (scheme, address) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
        let insecure = scheme == "http" || (scheme.is_empty() && is_loopback(address));
        Ok(Self { address: address.to_owned(), insecure, auth: Auth::from_machine(address)? })
    }

    pub(crate) fn client(&self) -> Result<Client, OciError> {
        // The process may have chosen a provider already; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig {
            protocol: if self.insecure { ClientProtocol::Http } else { ClientProtocol::Https },
            use_monolithic_push: true,
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(120)),
            user_agent: concat!("build/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let attempt = Attempt { registry: &self.address, repository: "", what: "a connection".into() };
        Client::try_from(config).map_err(|error| attempt.failed(error))
    }

    pub(crate) fn by_digest(&self, repository: &str, digest: &Sha256) -> Reference {
        Reference::with_digest(self.address.clone(), repository.to_owned(), digest.to_string())
    }

    pub(crate) fn by_tag(&self, repository: &str, tag: &str) -> Reference {
        Reference::with_tag(self.address.clone(), repository.to_owned(), tag.to_owned())
    }

    pub(crate) fn attempt<'a>(&'a self, repository: &'a str, what: impl Into<String>) -> Attempt<'a> {
        Attempt { registry: &self.address, repository, what: what.into() }
    }
}

fn is_loopback(address: &str) -> bool {
    let host = match address.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => address.rsplit_once(':').map_or(address, |(host, _)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Checks a repository's name by the distribution specification, so that a mistake is not the registry's riddle.
pub(crate) fn check_repository(repository: &str) -> Result<(), OciError> {
    let component = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        part.chars().all(inner) && edge(part.chars().next()) && edge(part.chars().last())
    };
    if repository.len() <= 255 && repository.split('/').all(component) {
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
        for local in ["127.0.0.1:5000", "localhost:5000", "[::1]:5000", "localhost"] {
            assert!(is_loopback(local), "{local}");
        }
        for remote in ["registry.example", "10.0.0.1:5000", "localhost.example:80", "127.0.0.1.example"] {
            assert!(!is_loopback(remote), "{remote}");
        }
    }

    #[test]
    fn repositories_are_checked() {
        assert!(check_repository("services/controller").is_ok());
        for bad in ["", "A", "a//b", "a/", "-a", "a b", "a:b"] {
            assert!(check_repository(bad).is_err(), "{bad}");
        }
    }
}
