//! Where packages come from on this machine: the user's configuration, the organisation's, the environment, and
//! then the settings of the ecosystems' own clients. No host name stands here, and none in lockfiles.
//!
//! Package clients are asked when an ecosystem is first needed, since starting them takes longer than most builds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::clients;
use crate::error::FetchError;
use crate::transport::{Patience, Transport};

/// A kind of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecosystem {
    /// Go modules, through the proxy protocol.
    Go,
    /// Python packages, through the simple index.
    Pypi,
    /// Debian packages, by their path in the pool.
    Debian,
}

/// An image registry by the name that environments use for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// The name.
    pub name: String,
    /// `host:port`, with a path prefix where the registry has one.
    pub address: String,
    /// How it is spoken to; if nothing is said, with TLS unless it is on this machine.
    pub scheme: Option<Scheme>,
}

/// How a registry is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// With TLS.
    Https,
    /// Without.
    Http,
}

/// How much is expected of endpoints and taken from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// How long an endpoint may be silent, or slower than a kibibyte a second.
    pub timeout: Duration,
    /// The most bytes of one download.
    pub download_limit: u64,
}

/// The endpoints of this machine.
#[derive(Debug, Default)]
pub struct Endpoints {
    network: NetworkTable,
    configured: BTreeMap<Ecosystem, Vec<Url>>,
    registries: BTreeMap<String, Registry>,
    ask_clients: bool,
    /// What the workspace uses, as far as that is known.
    expected: Mutex<BTreeSet<Ecosystem>>,
    asked: [OnceLock<Vec<Url>>; 3],
    transport: OnceLock<Transport>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(default)]
    endpoints: EndpointTable,
    #[serde(default)]
    registries: BTreeMap<String, RegistryEntry>,
    #[serde(default)]
    network: NetworkTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkTable {
    /// In seconds.
    timeout: Option<u64>,
    download_limit: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointTable {
    go: Option<OneOrMany>,
    pypi: Option<OneOrMany>,
    debian: Option<OneOrMany>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RegistryEntry {
    Address(String),
    Table {
        address: String,
        #[serde(default)]
        insecure: bool,
    },
}

impl Ecosystem {
    const ALL: [Self; 3] = [Self::Go, Self::Pypi, Self::Debian];

    /// Its name in the configuration.
    pub fn key(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Pypi => "pypi",
            Self::Debian => "debian",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Go => "BUILD_GO_ENDPOINT",
            Self::Pypi => "BUILD_PYPI_ENDPOINT",
            Self::Debian => "BUILD_DEBIAN_ENDPOINT",
        }
    }

    pub(crate) fn how_to_configure(self) -> Vec<String> {
        // The form that an address must have, and what it is the address of.
        let (form, own, client) = match self {
            Self::Go => (
                "https://HOST",
                "a Go module proxy, as in GOPROXY",
                "set GOPROXY, or install `go`, whose own setting is then used",
            ),
            Self::Pypi => (
                "https://HOST/simple/",
                "a simple index of Python packages, as in PIP_INDEX_URL",
                "set PIP_INDEX_URL, or install `pip`, whose own setting is then used",
            ),
            Self::Debian => (
                "https://HOST/debian",
                "a mirror of Debian: the folder that holds `pool/`",
                "where apt is the machine's packager and its sources are Debian's, they are used; elsewhere name a mirror",
            ),
        };
        vec![
            format!("type `export {}={form}`: {own}", self.variable()),
            format!("or put `{} = \"{form}\"` below `[endpoints]` in {}", self.key(), user_file_for_people()),
            format!("or {client}"),
        ]
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Go => "Go modules",
            Self::Pypi => "Python packages",
            Self::Debian => "Debian packages",
        })
    }
}

fn user_file_for_people() -> &'static str {
    "`~/.config/build/config.toml`"
}

impl Endpoints {
    /// No endpoint at all, for tests and for `--offline`.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What this machine is configured to use.
    pub fn from_machine() -> Result<Self, FetchError> {
        let mut endpoints = Self { ask_clients: true, ..Self::default() };
        for path in configuration_files() {
            match host::fs::read_to_string(&path) {
                Ok(text) => endpoints.add_file(&path, &text)?,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        endpoints.add_environment(&host::env::vars())?;
        Ok(endpoints)
    }

    /// The same with other endpoints for one ecosystem. Text that is not a URL is an error.
    pub fn with(mut self, ecosystem: Ecosystem, urls: &[&str]) -> Result<Self, FetchError> {
        let urls = urls.iter().map(|text| parse_url("an endpoint", text)).collect::<Result<_, _>>()?;
        self.configured.insert(ecosystem, urls);
        Ok(self)
    }

    /// A registry by name.
    pub fn registry(&self, name: &str) -> Option<&Registry> {
        self.registries.get(name)
    }

    /// How much is expected of endpoints and taken from them.
    pub fn network(&self) -> Network {
        let NetworkTable { timeout, download_limit } = self.network;
        Network {
            timeout: timeout.map_or(Patience::default().idle, Duration::from_secs),
            download_limit: download_limit.unwrap_or(2 << 30),
        }
    }

    /// All registries that are configured.
    pub fn registries(&self) -> impl Iterator<Item = &Registry> {
        self.registries.values()
    }

    /// Notes that a workspace uses an ecosystem, so that an error about a missing endpoint tells of all that are missing.
    pub(crate) fn expect(&self, ecosystem: Ecosystem) {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(ecosystem);
    }

    /// The base addresses of an ecosystem, in the order to be tried; never empty.
    pub(crate) fn of(&self, ecosystem: Ecosystem) -> Result<&[Url], FetchError> {
        match self.known(ecosystem) {
            [] => {
                let mut wanted = self.expected.lock().unwrap_or_else(PoisonError::into_inner).clone();
                wanted.insert(ecosystem);
                Err(FetchError::NoEndpoint(self.missing(&wanted)))
            }
            urls => Ok(urls),
        }
    }

    fn known(&self, ecosystem: Ecosystem) -> &[Url] {
        if let Some(urls) = self.configured.get(&ecosystem) {
            return urls;
        }
        let index = Ecosystem::ALL.iter().position(|each| *each == ecosystem).unwrap_or(0);
        if self.ask_clients { self.asked[index].get_or_init(|| clients::ask(ecosystem)) } else { &[] }
    }

    fn missing(&self, ecosystems: &BTreeSet<Ecosystem>) -> Vec<Ecosystem> {
        ecosystems.iter().copied().filter(|each| self.known(*each).is_empty()).collect()
    }

    /// Whether each of these ecosystems has an endpoint; else all that lack one, in one error.
    pub fn check(&self, ecosystems: &BTreeSet<Ecosystem>) -> Result<(), FetchError> {
        let missing = self.missing(ecosystems);
        if missing.is_empty() { Ok(()) } else { Err(FetchError::NoEndpoint(missing)) }
    }

    /// The HTTP client, made on first use.
    pub(crate) fn transport(&self) -> Result<&Transport, FetchError> {
        if self.transport.get().is_none() {
            // Of two that are made at once, one is dropped.
            let _ = self.transport.set(Transport::with(Patience::with_idle(self.network().timeout))?);
        }
        self.transport.get().ok_or_else(|| FetchError::Client("it was not kept".to_owned()))
    }

    /// A file read earlier wins over a later one.
    fn add_file(&mut self, path: &Path, text: &str) -> Result<(), FetchError> {
        let origin = path.display().to_string();
        let file: ConfigFile = toml::from_str(text)
            .map_err(|error| FetchError::Configuration { origin: origin.clone(), reason: describe(text, &error) })?;
        let table = file.endpoints;
        for (ecosystem, value) in
            [(Ecosystem::Go, table.go), (Ecosystem::Pypi, table.pypi), (Ecosystem::Debian, table.debian)]
        {
            let texts = match value {
                Some(OneOrMany::One(text)) => vec![text],
                Some(OneOrMany::Many(texts)) => texts,
                None => continue,
            };
            let urls = texts.iter().map(|text| parse_url(&origin, text)).collect::<Result<Vec<_>, _>>()?;
            self.configured.entry(ecosystem).or_insert(urls);
        }
        if [file.network.timeout, file.network.download_limit].contains(&Some(0)) {
            let reason = "`timeout` and `download_limit` below `[network]` are numbers from 1".to_owned();
            return Err(FetchError::Configuration { origin, reason });
        }
        self.network.timeout = self.network.timeout.or(file.network.timeout);
        self.network.download_limit = self.network.download_limit.or(file.network.download_limit);
        for (name, entry) in file.registries {
            let registry = match entry {
                RegistryEntry::Address(address) => Registry::parse(&origin, &name, &address)?,
                RegistryEntry::Table { address, insecure: false } => Registry::parse(&origin, &name, &address)?,
                RegistryEntry::Table { address, insecure: true } => {
                    Registry { scheme: Some(Scheme::Http), ..Registry::parse(&origin, &name, &address)? }
                }
            };
            self.registries.entry(name).or_insert(registry);
        }
        Ok(())
    }

    /// The environment wins over all files.
    fn add_environment(&mut self, variables: &[(String, String)]) -> Result<(), FetchError> {
        for (name, value) in variables.iter().filter(|(_, value)| !value.is_empty()) {
            if let Some(ecosystem) = Ecosystem::ALL.into_iter().find(|each| each.variable() == name) {
                let split = value.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
                let urls = split.map(|text| parse_url(name, text)).collect::<Result<Vec<_>, _>>()?;
                self.configured.insert(ecosystem, urls);
            } else if name == "BUILD_NETWORK_TIMEOUT" {
                self.network.timeout = Some(number(name, value)?);
            } else if name == "BUILD_DOWNLOAD_LIMIT" {
                self.network.download_limit = Some(number(name, value)?);
            } else if let Some(registry) = name.strip_prefix("BUILD_REGISTRY_") {
                let wanted = registry.to_lowercase().replace('_', "-");
                let known = self.registries.keys().find(|key| key.to_lowercase().replace('_', "-") == wanted);
                let registry = Registry::parse(name, &known.cloned().unwrap_or(wanted), value)?;
                self.registries.insert(registry.name.clone(), registry);
            }
        }
        Ok(())
    }
}

impl Registry {
    /// The address for a client: with the scheme before it where one is said.
    pub fn endpoint(&self) -> String {
        match self.scheme {
            Some(Scheme::Https) => format!("https://{}", self.address),
            Some(Scheme::Http) => format!("http://{}", self.address),
            None => self.address.clone(),
        }
    }

    /// `host:port`, with `https://` or `http://` before it where that is to be said. `origin` is where it was written.
    fn parse(origin: &str, name: &str, text: &str) -> Result<Self, FetchError> {
        // The address is shown in messages and is part of the names of images: it holds no password, nor does an error.
        let wrong = |what: &str| {
            let reason =
                format!("the address of the registry `{name}` {what}; expected `host:port` or `https://host:port`");
            FetchError::Configuration { origin: origin.to_owned(), reason }
        };
        let (scheme, address) = match text.trim().split_once("://") {
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(_) => return Err(wrong("has another scheme than https and http")),
            None => (None, text.trim()),
        };
        let address = address.trim_end_matches('/');
        let url = Url::parse(&format!("https://{address}/")).map_err(|_| wrong("cannot be read"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("holds credentials, which belong into docker's config.json (`docker login`)"));
        }
        if url.query().is_some() || url.fragment().is_some() || address.contains(char::is_whitespace) {
            return Err(wrong("cannot be read"));
        }
        Ok(Self { name: name.to_owned(), address: address.to_owned(), scheme })
    }
}

fn configuration_files() -> Vec<PathBuf> {
    let user = host::env::config_home().map(|folder| folder.join("build/config.toml"));
    user.into_iter().chain([PathBuf::from("/etc/build/config.toml")]).collect()
}

fn number(name: &str, value: &str) -> Result<u64, FetchError> {
    value.parse().ok().filter(|number| *number > 0).ok_or_else(|| FetchError::Configuration {
        origin: name.to_owned(),
        reason: format!("`{value}` is not a number from 1"),
    })
}

/// Line and message; never the text itself, which may hold a token.
fn describe(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

/// The address of a folder: its path always ends with `/`, so that names can be joined to it; a query stays.
pub(crate) fn parse_url(origin: &str, text: &str) -> Result<Url, FetchError> {
    let wrong = |reason: &str| FetchError::Configuration { origin: origin.to_owned(), reason: reason.to_owned() };
    let mut url = Url::parse(text.trim())
        .map_err(|error| wrong(&format!("an endpoint is not a URL ({error}); expected `https://...`")))?;
    match url.scheme() {
        "https" | "http" | "file" => {}
        other => return Err(wrong(&format!("endpoints with `{other}:` are not supported; use https, http or file"))),
    }
    url.set_path(&format!("{}/", url.path().trim_end_matches('/')));
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(endpoints: &Endpoints, ecosystem: Ecosystem) -> Vec<String> {
        endpoints.of(ecosystem).unwrap().iter().map(Url::to_string).collect()
    }

    #[test]
    fn the_environment_wins_over_the_user_and_the_user_over_the_organisation() {
        let mut endpoints = Endpoints::empty();
        let user = "[endpoints]\ngo = \"https://user/go\"\n[registries]\nstaging = \"r:5000\"";
        endpoints.add_file(Path::new("user"), user).unwrap();
        let organisation = "[endpoints]\ngo = \"https://org/go\"\npypi = [\"https://a/simple/\", \"http://b/simple\"]\n\
            debian = \"file:///mirror\"\n[registries]\nlocal = {address = \"l:1\", insecure = true}";
        endpoints.add_file(Path::new("organisation"), organisation).unwrap();
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let variables = [
            set("BUILD_PYPI_ENDPOINT", "https://env/simple, https://second/simple"),
            set("BUILD_REGISTRY_STAGING", "http://localhost:5001"),
            set("BUILD_REGISTRY_OF_TEST", "t:1"),
            set("BUILD_NETWORK_TIMEOUT", "7"),
        ];
        endpoints.add_environment(&variables).unwrap();
        assert_eq!(shown(&endpoints, Ecosystem::Go), ["https://user/go/"]);
        assert_eq!(shown(&endpoints, Ecosystem::Pypi), ["https://env/simple/", "https://second/simple/"]);
        assert_eq!(shown(&endpoints, Ecosystem::Debian), ["file:///mirror/"]);
        assert_eq!(endpoints.registry("staging").unwrap().endpoint(), "http://localhost:5001");
        assert_eq!(endpoints.registry("local").unwrap().endpoint(), "http://l:1");
        assert_eq!(endpoints.registry("of-test").unwrap().endpoint(), "t:1");
        let network = Network { timeout: Duration::from_secs(7), download_limit: 2 << 30 };
        assert_eq!(endpoints.network(), network);
        assert!(endpoints.add_environment(&[set("BUILD_DOWNLOAD_LIMIT", "much")]).is_err());
        assert!(endpoints.add_file(Path::new("f"), "[network]\ntimeout = 0").is_err());
    }

    #[test]
    fn a_registry_is_spoken_to_as_its_address_says() {
        let registry = |text: &str| Registry::parse("f", "r", text);
        for (text, endpoint) in [
            ("r.example:5000", "r.example:5000"),
            ("https://127.0.0.1:5000/", "https://127.0.0.1:5000"),
            (" http://localhost:5000/team ", "http://localhost:5000/team"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(registry(text).unwrap().endpoint(), endpoint);
        }
        for text in [
            "",
            "ftp://r",
            "https://",
            "r:5000?x",
            "r:5000#x",
            "r x",
            "r:port",
            "robot:token@r:5000",
            "https://token@r",
        ] {
            let error = registry(text).unwrap_err().to_string();
            assert!(
                error.starts_with("cannot use f: the address of the registry `r` ") && !error.contains("token"),
                "{error}"
            );
        }
        let mut endpoints = Endpoints::empty();
        let text = "[registries]\nl = {address = \"https://l:1\", insecure = true}\ns = {address = \"https://s:1\"}";
        endpoints.add_file(Path::new("f"), text).unwrap();
        assert_eq!(endpoints.registry("l").unwrap().endpoint(), "http://l:1");
        assert_eq!(endpoints.registry("s").unwrap().endpoint(), "https://s:1");
        assert!(endpoints.add_environment(&[("BUILD_REGISTRY_L".to_owned(), "a b".to_owned())]).is_err());
    }

    #[test]
    fn a_missing_endpoint_says_what_to_type() {
        let error = Endpoints::empty().of(Ecosystem::Go).unwrap_err();
        assert_eq!(error.to_string(), "no endpoint is configured for Go modules");
        insta::assert_snapshot!(error.explain(), @r#"
        no endpoint is configured for Go modules
          hint: type `export BUILD_GO_ENDPOINT=https://HOST`: a Go module proxy, as in GOPROXY
          hint: or put `go = "https://HOST"` below `[endpoints]` in `~/.config/build/config.toml`
          hint: or set GOPROXY, or install `go`, whose own setting is then used
        "#);
    }

    #[test]
    fn all_missing_endpoints_are_told_at_once() {
        let endpoints = Endpoints::empty().with(Ecosystem::Debian, &["http://localhost:1/"]).unwrap();
        assert!(endpoints.check(&BTreeSet::from([Ecosystem::Debian])).is_ok());
        let error = endpoints.check(&BTreeSet::from(Ecosystem::ALL)).unwrap_err();
        assert_eq!(error.to_string(), "no endpoint is configured for Go modules and Python packages");
        endpoints.expect(Ecosystem::Debian);
        endpoints.expect(Ecosystem::Pypi);
        assert_eq!(endpoints.of(Ecosystem::Go).unwrap_err().to_string(), error.to_string());
        let hints = error.hints().join("\n");
        assert!(hints.contains("BUILD_GO_ENDPOINT=https://") && hints.contains("BUILD_PYPI_ENDPOINT=https://"));
    }

    #[test]
    fn errors_of_a_configuration_hold_no_value() {
        let mut endpoints = Endpoints::empty();
        let text = "[endpoints]\ngo = \"https://user:token@host/\nx = 1";
        let error = endpoints.add_file(Path::new("c.toml"), text).unwrap_err().to_string();
        assert!(error.starts_with("cannot use c.toml: line 2"), "{error}");
        assert!(!error.contains("token"), "{error}");
        let error = endpoints.add_file(Path::new("c.toml"), "[endpoint]").unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{error}");
        let error = endpoints.add_file(Path::new("c.toml"), "[endpoints]\ngo = \"ftp://x:token@y\"").unwrap_err();
        assert!(error.to_string().contains("`ftp:`") && !error.to_string().contains("token"), "{error}");
    }
}
