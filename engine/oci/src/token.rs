//! Logging in to a registry: what it challenges for, and the tokens that it grants (distribution's token authentication).
//!
//! A challenge names the address that grants tokens. A password is sent to it only where it is plausibly the registry's
//! own: the registry's host, or one of the same domain. Else whoever answers for a registry once could send it anywhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use http_client::may_follow;
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use url::{Host, Url};

use crate::auth::Auth;
use crate::client::Client;
use crate::error::{Attempt, OciError};

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Reads only.
    Pull,
    /// Reads and writes.
    Push,
}

/// What is asked for: what a request does in the client's repository, and another one that it reads from.
pub(crate) type Wanted<'a> = (Scope, Option<&'a str>);

/// What a token is for: a scope, and another repository that is read from.
type Purpose = (Scope, Option<String>);

/// The header that was granted, and until when it is good.
type Granted = (Option<HeaderValue>, Instant);

/// What was granted for what.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<BTreeMap<Purpose, Granted>>);

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Nothing,
    Basic,
    Bearer { realm: String, service: Option<String> },
}

const TOKEN_LIMIT: u64 = 1 << 20;
/// For how long a token is good that does not say.
const LIFETIME: u64 = 60;
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

impl Tokens {
    /// The header for requests of a scope; none where the registry asks for none.
    pub(crate) async fn header(&self, client: &Client, wanted: Wanted<'_>) -> Result<Option<HeaderValue>, OciError> {
        let key = (wanted.0, wanted.1.map(str::to_owned));
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let attempt = client.attempt("a login".to_owned());
        let (value, lifetime) = match &client.registry().auth {
            Auth::Bearer(token) => (Some(header(&format!("Bearer {token}"), &attempt)?), FOR_EVER),
            auth => log_in(client, auth, wanted, &attempt).await?,
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, (value.clone(), Instant::now() + lifetime));
        Ok(value)
    }

    /// A text without the tokens that were granted.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let values = known.values().filter_map(|(value, _)| value.as_ref()?.to_str().ok()?.strip_prefix("Bearer "));
        values.fold(text.to_owned(), |text, token| text.replace(token, "..."))
    }

    fn known(&self, key: &Purpose) -> Option<Option<HeaderValue>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(_, until)| *until > Instant::now()).map(|(value, _)| value.clone())
    }
}

async fn log_in(
    client: &Client,
    auth: &Auth,
    wanted: Wanted<'_>,
    attempt: &Attempt<'_>,
) -> Result<(Option<HeaderValue>, Duration), OciError> {
    let basic = match auth {
        Auth::Basic { user, password } => {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            Some(header(&format!("Basic {pair}"), attempt)?)
        }
        _ => None,
    };
    let url = client.base()?;
    let response = client.answer(client.get(url.clone()), attempt).await?;
    let registry = || client.registry().address.clone();
    match (challenge(response.headers()), auth) {
        (Challenge::Nothing, _) => Ok((None, FOR_EVER)),
        (Challenge::Basic, Auth::Identity(_)) => {
            let reason = "it asks for a password, and they are an identity token".to_owned();
            Err(OciError::Credentials { registry: registry(), reason })
        }
        (Challenge::Basic, _) => Ok((basic, FOR_EVER)),
        (Challenge::Bearer { realm, service }, auth) => {
            let realm = check_realm(&url, &realm, *auth != Auth::Anonymous)
                .map_err(|reason| OciError::Realm { registry: registry(), reason })?;
            let scopes = scopes(client.repository(), wanted);
            let request = match auth {
                Auth::Identity(token) => client.post(realm, &exchange(token, &scopes, service.as_deref())),
                _ => with_password(client.get(in_query(realm, &scopes, service.as_deref())), basic),
            };
            let (token, lifetime) = ask(client, request, attempt).await?;
            Ok((Some(header(&format!("Bearer {token}"), attempt)?), lifetime))
        }
    }
}

/// What a token is to be good for.
fn scopes(repository: &str, (scope, from): Wanted<'_>) -> Vec<String> {
    let actions = match scope {
        Scope::Pull => "pull",
        Scope::Push => "pull,push",
    };
    let own = format!("repository:{repository}:{actions}");
    std::iter::once(own).chain(from.map(|from| format!("repository:{from}:pull"))).collect()
}

fn in_query(mut realm: Url, scopes: &[String], service: Option<&str>) -> Url {
    let mut query = realm.query_pairs_mut();
    query.extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
    query.extend_pairs(service.map(|service| ("service", service)));
    drop(query);
    realm
}

fn with_password(request: RequestBuilder, basic: Option<HeaderValue>) -> RequestBuilder {
    match basic {
        Some(value) => request.header(AUTHORIZATION, value),
        None => request,
    }
}

/// The form that exchanges an identity token (distribution's `spec/auth/oauth.md`).
fn exchange(token: &str, scopes: &[String], service: Option<&str>) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([("grant_type", "refresh_token"), ("client_id", "build"), ("refresh_token", token)]);
    form.append_pair("scope", &scopes.join(" "));
    form.extend_pairs(service.map(|service| ("service", service))).finish()
}

/// A header that no log of the client shows.
fn header(text: &str, attempt: &Attempt<'_>) -> Result<HeaderValue, OciError> {
    let wrong = |_| attempt.refused("the token or password has characters that cannot be sent".to_owned());
    let mut value = HeaderValue::from_str(text).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn ask(client: &Client, request: RequestBuilder, attempt: &Attempt<'_>) -> Result<(String, Duration), OciError> {
    let response = client.ok(client.answer(request, attempt).await?, attempt).await?;
    let bytes = client.body(response, TOKEN_LIMIT).all().await.map_err(|error| attempt.broken(error, TOKEN_LIMIT))?;
    // The parser's message may quote the answer, and with it a token.
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|_| attempt.refused("its token is not JSON".to_owned()))?;
    let token = value["token"].as_str().or(value["access_token"].as_str());
    let token = token.ok_or_else(|| attempt.refused("its answer has no `token`".to_owned()))?;
    let lifetime = value["expires_in"].as_u64().unwrap_or(LIFETIME).min(FOR_EVER.as_secs());
    // Some of it is left for the request itself.
    Ok((token.to_owned(), Duration::from_secs(lifetime) * 4 / 5))
}

/// The address that grants tokens, if it may be asked, with or without a password.
fn check_realm(registry: &Url, realm: &str, secret: bool) -> Result<Url, String> {
    let url = Url::parse(realm).map_err(|error| format!("an address that is none: {error}"))?;
    if !may_follow(registry.scheme(), url.scheme()) {
        return Err("an address that is not one of https".to_owned());
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    match !secret || is_of_domain(registry.host(), url.host()) {
        true => Ok(url),
        false => Err(format!("`{host}`, which is neither its own host nor of its domain")),
    }
}

/// `auth.example.org` and `example.org` are of the domain of `registry.example.org`.
fn is_of_domain(registry: Option<Host<&str>>, realm: Option<Host<&str>>) -> bool {
    if registry == realm {
        return true;
    }
    let (Some(Host::Domain(registry)), Some(Host::Domain(realm))) = (registry, realm) else { return false };
    match registry.split_once('.') {
        Some((_, parent)) if parent.contains('.') => realm == parent || realm.ends_with(&format!(".{parent}")),
        _ => false,
    }
}

/// The challenge of an answer: one for a token before one for a password.
fn challenge(headers: &HeaderMap) -> Challenge {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut basic = false;
    for text in texts {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = parameter(rest, "realm")
        {
            return Challenge::Bearer { realm, service: parameter(rest, "service") };
        }
        basic |= scheme.eq_ignore_ascii_case("basic");
    }
    if basic { Challenge::Basic } else { Challenge::Nothing }
}

/// A parameter of a challenge: `name="value"` (RFC 9110, 11.2).
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim_matches([' ', ',']).eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&'static str]) -> Challenge {
        let mut headers = HeaderMap::new();
        texts.iter().for_each(|text| _ = headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text)));
        challenge(&headers)
    }

    #[test]
    fn challenges_are_understood() {
        let bearer = Challenge::Bearer { realm: "https://a/t?x=1,2".into(), service: Some("r".into()) };
        assert_eq!(of(&["Basic realm=\"x\"", "Bearer realm=\"https://a/t?x=1,2\",service=\"r\""]), bearer);
        assert_eq!(of(&["bearer service=r, realm=\"https://a/t?x=1,2\""]), bearer);
        assert_eq!(of(&["Basic realm=\"x\""]), Challenge::Basic);
        for nothing in ["", "Bearer", "Bearer realm=\"", "Negotiate x"] {
            assert_eq!(of(&[nothing]), Challenge::Nothing, "{nothing}");
        }
    }

    #[test]
    fn a_password_goes_to_the_registry_and_its_domain() {
        let may =
            |registry: &str, realm: &str, secret| check_realm(&Url::parse(registry).unwrap(), realm, secret).is_ok();
        for realm in ["https://auth.example.org/t", "https://example.org/t", "https://registry.example.org:8443/t"] {
            assert!(may("https://registry.example.org/v2/", realm, true), "{realm}");
        }
        for realm in [
            "https://example.com/t",
            "https://notexample.org/t",
            "http://registry.example.org/t",
            "https://registry.example.org.evil.org/t",
            "https://127.0.0.1/t",
            "file:///etc/passwd",
            "x",
        ] {
            assert!(!may("https://registry.example.org/v2/", realm, true), "{realm}");
        }
        assert!(may("https://registry.example.org/v2/", "https://example.com/t", false));
        assert!(may("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/t", true));
        assert!(!may("http://127.0.0.1:5000/v2/", "http://127.0.0.2:5001/t", true));
        assert!(!may("https://example.org/v2/", "https://evil.org/t", true));
    }
}
