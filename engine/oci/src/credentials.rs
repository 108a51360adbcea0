//! The credentials of this machine, as docker and podman keep them: which file, which entry, which helper.
//!
//! Entries name a registry or a namespace in it, and the most specific one counts (`containers-auth.json(5)`). A key that
//! is a URL is docker's older form and means the whole registry.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use serde_json::Value;

use crate::auth::Auth;
use crate::error::OciError;

/// The names of Docker Hub: the one that people write, the one of its logins, the one that is spoken to.
const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
/// The name under which docker's helpers keep the login for it.
const HUB_LOGIN: &str = "https://index.docker.io/v1/";

/// A user name that helpers give together with an identity token.
const TOKEN_USER: &str = "<token>";

/// What is looked for.
struct Wanted {
    /// The registry, for errors.
    registry: String,
    /// Host and port.
    host: String,
    /// `host/a/b`, `host/a`, `host`.
    keys: Vec<String>,
}

impl Auth {
    /// The machine's credentials for a repository: `$REGISTRY_AUTH_FILE`, `$XDG_RUNTIME_DIR/containers/auth.json`,
    /// `~/.config/containers/auth.json`, `$DOCKER_CONFIG/config.json` (else `~/.docker/config.json`), with the credential
    /// helpers that they name. Anonymous when none knows the registry.
    pub fn from_machine(registry: &str, repository: &str) -> Result<Self, OciError> {
        for path in config_files() {
            if !host::fs::exists(&path) {
                continue;
            }
            let auth = Self::from_file(&path, registry, repository)?;
            if auth != Self::Anonymous {
                return Ok(auth);
            }
        }
        Ok(Self::Anonymous)
    }

    /// The credentials for a repository in a docker `config.json` or a `containers-auth.json(5)`.
    pub fn from_file(path: &Path, registry: &str, repository: &str) -> Result<Self, OciError> {
        let text = host::fs::read_to_string(path)?;
        let wanted = Wanted::new(registry, repository);
        // The parser's message may quote the file, and with it a secret.
        let config: Value = serde_json::from_str(&text)
            .map_err(|error| wanted.refused(format!("{} is not JSON (line {})", path.display(), error.line())))?;
        wanted.look_up(&config).map_err(|reason| wanted.refused(reason))
    }
}

fn config_files() -> Vec<PathBuf> {
    let variable = |name: &str| host::env::var(name).map(PathBuf::from);
    let runtime = variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    let config = host::env::config_home().map(|folder| folder.join("containers/auth.json"));
    let docker = variable("DOCKER_CONFIG").or_else(|| host::env::home().map(|home| home.join(".docker")));
    let docker = docker.map(|folder| folder.join("config.json"));
    [variable("REGISTRY_AUTH_FILE"), runtime, config, docker].into_iter().flatten().collect()
}

/// The host that a registry is spoken to at, and a name that all names of one registry have in common.
fn common_name(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    if HUB.contains(&host.as_str()) { HUB[0].to_owned() } else { host }
}

/// Where a registry answers: Docker Hub has another host for that than its name.
pub(crate) fn spoken_to(address: &str) -> String {
    let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    if HUB.contains(&host.to_ascii_lowercase().as_str()) { format!("{}{path}", HUB[2]) } else { address.to_owned() }
}

/// `host` or `host/namespace` of a key as files write it.
fn normalised(key: &str) -> String {
    let (is_url, rest) = key.split_once("://").map_or((false, key), |(_, rest)| (true, rest));
    let (host, path) = rest.trim_end_matches('/').split_once('/').unwrap_or((rest.trim_end_matches('/'), ""));
    match is_url || matches!(path, "" | "v1" | "v2") {
        true => common_name(host),
        false => format!("{}/{path}", common_name(host)),
    }
}

impl Wanted {
    fn new(registry: &str, repository: &str) -> Self {
        let address = registry.split_once("://").map_or(registry, |(_, rest)| rest);
        let whole = format!("{}/{}", address.trim_matches('/'), repository.trim_matches('/'));
        let (host, path) = whole.split_once('/').unwrap_or((&whole, ""));
        let host = common_name(host);
        let whole = format!("{host}/{path}");
        let ends = whole.char_indices().rev().filter(|(_, c)| *c == '/').map(|(at, _)| at);
        let keys = std::iter::once(whole.len()).chain(ends).map(|end| whole[..end].to_owned());
        Self { registry: registry.to_owned(), keys: keys.collect(), host }
    }

    fn refused(&self, reason: String) -> OciError {
        OciError::Credentials { registry: self.registry.clone(), reason }
    }

    /// A helper for the registry is asked before what is written in the file, one for all registries after it.
    fn look_up(&self, config: &Value) -> Result<Auth, String> {
        if let Some((_, helper)) = self.find(&config["credHelpers"], |value| value.is_string()) {
            return ask_helper(helper.as_str().unwrap_or_default(), self.login());
        }
        let store = config["credsStore"].as_str().filter(|store| !store.is_empty());
        let counts = |entry: &Value| has_secret(entry) || (store.is_some() && entry.is_object());
        match (self.find(&config["auths"], counts), store) {
            (Some((_, entry)), _) if has_secret(entry) => from_entry(entry),
            (Some((key, _)), Some(store)) => ask_helper(store, key),
            // Nothing says that it knows the registry: one that cannot be asked is no reason to fail.
            (None, Some(store)) => Ok(ask_helper(store, self.login()).unwrap_or_default()),
            _ => Ok(Auth::Anonymous),
        }
    }

    /// The entry of the most specific key that counts, with the key as it is written.
    fn find<'a>(&self, entries: &'a Value, counts: impl Fn(&Value) -> bool) -> Option<(&'a str, &'a Value)> {
        let entries: Vec<_> = entries.as_object()?.iter().filter(|(_, entry)| counts(entry)).collect();
        let fits = |wanted: &String| entries.iter().find(|(key, _)| normalised(key) == *wanted);
        self.keys.iter().find_map(fits).map(|(key, entry)| (key.as_str(), *entry))
    }

    /// What helpers are asked for.
    fn login(&self) -> &str {
        if self.host == HUB[0] { HUB_LOGIN } else { &self.host }
    }
}

fn has_secret(entry: &Value) -> bool {
    ["auth", "username", "registrytoken", "identitytoken"]
        .iter()
        .any(|field| entry[field].as_str().is_some_and(|text| !text.is_empty()))
}

fn from_entry(entry: &Value) -> Result<Auth, String> {
    let text = |field: &str| entry[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(token) = text("registrytoken") {
        return Ok(Auth::Bearer(token));
    }
    if let Some(token) = text("identitytoken") {
        return Ok(Auth::Identity(token));
    }
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Ok(Auth::Basic { user, password });
    }
    let decoded = text("auth").and_then(|auth| base64::engine::general_purpose::STANDARD.decode(auth.trim()).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) => {
            Ok(Auth::Basic { user: user.into(), password: password.trim_end_matches('\0').into() })
        }
        None => Err("the field `auth` is not `user:password` in base64".into()),
    }
}

/// The protocol of docker's credential helpers: the registry on standard input, JSON on standard output.
fn ask_helper(helper: &str, registry: &str) -> Result<Auth, String> {
    let program = format!("docker-credential-{helper}");
    let fail = |error: std::io::Error| format!("`{program}` cannot be run: {error}");
    let mut child = host::process::command(Path::new(&program))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(fail)?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that exits early shows up as its status.
        let _ = input.write_all(registry.as_bytes());
    }
    let output = child.wait_with_output().map_err(fail)?;
    if !output.status.success() {
        return match String::from_utf8_lossy(&output.stdout).contains("credentials not found") {
            true => Ok(Auth::Anonymous),
            false => Err(format!("`{program} get` failed")),
        };
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|_| format!("`{program} get` gave no JSON"))?;
    match (answer["Username"].as_str(), answer["Secret"].as_str()) {
        (Some(TOKEN_USER), Some(token)) => Ok(Auth::Identity(token.into())),
        (Some(user), Some(secret)) => Ok(Auth::Basic { user: user.into(), password: secret.into() }),
        _ => Err(format!("`{program} get` gave no user and secret")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The user of the entry that counts; entries are `key=user`.
    fn user(entries: &[&str], registry: &str, repository: &str) -> String {
        let entry = |entry: &&str| {
            let (key, user) = entry.split_once('=').unwrap();
            (key.to_owned(), serde_json::json!({"username": user, "password": "p"}))
        };
        let auths: serde_json::Map<String, Value> = entries.iter().map(entry).collect();
        match Wanted::new(registry, repository).look_up(&serde_json::json!({ "auths": auths })).unwrap() {
            Auth::Basic { user, .. } => user,
            Auth::Anonymous => "nobody".to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_most_specific_entry_counts() {
        let entries = ["r:5000=all", "r:5000/team=team", "r:5000/team/app=app", "r:5000/teams=other"];
        for (repository, expected) in [
            ("team/app", "app"),
            ("team/app/sub", "app"),
            ("team/other", "team"),
            ("teams", "other"),
            ("team-x/app", "all"),
            ("", "all"),
        ] {
            assert_eq!(user(&entries, "r:5000", repository), expected, "{repository}");
        }
        assert_eq!(user(&["r:5000/team=team"], "r:5000", "other/app"), "nobody");
        assert_eq!(user(&["r=r"], "r:5000", "x"), "nobody");
        // An address with a path is a namespace of its registry.
        assert_eq!(user(&["r:5000/team=team", "r:5000=all"], "r:5000/team", "app"), "team");
        assert_eq!(user(&["R:5000=all"], "https://r:5000/team", "app"), "all");
    }

    #[test]
    fn urls_mean_the_whole_registry() {
        for key in ["https://r:5000", "http://r:5000/v2/", "https://r:5000/v1/", "r:5000/v1/", "r:5000/"] {
            assert_eq!(user(&[&format!("{key}=u")], "r:5000", "team/app"), "u", "{key}");
        }
    }

    #[test]
    fn docker_hub_has_three_names() {
        for key in ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"] {
            for registry in HUB {
                assert_eq!(user(&[&format!("{key}=u")], registry, "library/x"), "u", "{key} {registry}");
            }
            assert_eq!(user(&[&format!("{key}=u")], "docker.io.example", "x"), "nobody", "{key}");
        }
        assert_eq!(user(&["docker.io=all", "docker.io/team=team"], "index.docker.io", "team/x"), "team");
        assert_eq!(spoken_to("docker.io/team"), "registry-1.docker.io/team");
        assert_eq!(spoken_to("mirror:5000/docker.io"), "mirror:5000/docker.io");
        assert_eq!(Wanted::new("docker.io", "x").login(), HUB_LOGIN);
    }

    #[test]
    fn tokens_are_taken() {
        let token = |entry: Value| Wanted::new("r", "x").look_up(&serde_json::json!({"auths": {"r": entry}})).unwrap();
        let identity = serde_json::json!({"auth": "dTo=", "identitytoken": "refresh"});
        assert_eq!(token(identity), Auth::Identity("refresh".into()));
        assert_eq!(token(serde_json::json!({"registrytoken": "t"})), Auth::Bearer("t".into()));
        assert_eq!(token(serde_json::json!({})), Auth::Anonymous);
    }
}
