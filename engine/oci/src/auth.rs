//! Credentials for a registry, as the container tools of this machine keep them. They are never shown.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use serde_json::Value;

use crate::error::OciError;

/// How to log in.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    #[default]
    Anonymous,
    /// User and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A bearer token.
    Bearer(String),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(...)",
            Self::Bearer(_) => "Bearer(...)",
        })
    }
}

impl Auth {
    /// A text of somebody else without the password or token in it, as far as it is said plainly.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let engine = base64::engine::general_purpose::STANDARD;
        let secrets = match self {
            Self::Anonymous => Vec::new(),
            Self::Basic { user, password } => {
                vec![engine.encode(format!("{user}:{password}")), engine.encode(password), password.clone()]
            }
            Self::Bearer(token) => vec![token.clone()],
        };
        let secrets = secrets.iter().filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "..."))
    }

    /// The machine's credentials for `registry`: `$REGISTRY_AUTH_FILE`, `$DOCKER_CONFIG/config.json`, `~/.docker/config.json`,
    /// with the credential helpers that they name. Anonymous when none knows the registry.
    pub fn from_machine(registry: &str) -> Result<Self, OciError> {
        for path in config_files() {
            if !host::fs::exists(&path) {
                continue;
            }
            let auth = Self::from_file(&path, registry)?;
            if auth != Self::Anonymous {
                return Ok(auth);
            }
        }
        Ok(Self::Anonymous)
    }

    /// The credentials for `registry` in a docker `config.json`.
    pub fn from_file(path: &Path, registry: &str) -> Result<Self, OciError> {
        let text = host::fs::read_to_string(path)?;
        let refuse = |reason: String| OciError::Credentials { registry: registry.to_owned(), reason };
        // The parser's message may quote the file, and with it a secret.
        let config: Value = serde_json::from_str(&text)
            .map_err(|error| refuse(format!("{} is not JSON (line {})", path.display(), error.line())))?;
        if let Some(helper) = config["credHelpers"][registry].as_str() {
            return ask_helper(helper, registry).map_err(refuse);
        }
        let entries = config["auths"].as_object();
        let entry = entries.and_then(|entries| entries.iter().find(|(key, _)| host_of(key) == host_of(registry)));
        match (entry, config["credsStore"].as_str()) {
            (Some((_, entry)), _) if has_secret(entry) => from_entry(entry).map_err(refuse),
            (Some((key, _)), Some(helper)) => ask_helper(helper, key).map_err(refuse),
            _ => Ok(Self::Anonymous),
        }
    }
}

fn config_files() -> Vec<PathBuf> {
    let folder = host::env::var("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| host::env::home().map(|home| home.join(".docker")));
    let explicit = host::env::var("REGISTRY_AUTH_FILE").map(PathBuf::from);
    explicit.into_iter().chain(folder.map(|folder| folder.join("config.json"))).collect()
}

/// The host (and port) of a key, which may be written as a URL: `https://registry/v1/`.
fn host_of(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    key.split('/').next().unwrap_or(key)
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
    if text("identitytoken").is_some() {
        return Err("identity tokens are not supported; use a password, a token or a credential helper".into());
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
        (Some("<token>"), Some(_)) => Err("identity tokens are not supported".into()),
        (Some(user), Some(secret)) => Ok(Auth::Basic { user: user.into(), password: secret.into() }),
        _ => Err(format!("`{program} get` gave no user and secret")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_repeats_is_told_without_the_password() {
        let basic = Auth::Basic { user: "robot".into(), password: "hunter2-secret".into() };
        let said = "no Basic cm9ib3Q6aHVudGVyMi1zZWNyZXQ= of robot:hunter2-secret";
        assert_eq!(basic.redacted(said), "no Basic ... of robot:...");
        assert_eq!(Auth::Bearer("t0ken".into()).redacted("Bearer t0ken?"), "Bearer ...?");
        assert_eq!(Auth::Basic { user: String::new(), password: String::new() }.redacted("x"), "x");
    }
}
