//! What all clients of the engine expect of servers that they do not trust: where they may send a request on, how slow
//! they may be, who they are; and the words for what went wrong.

mod failure;
mod pace;

use std::time::{Duration, Instant};

use reqwest::redirect::{Attempt, Policy};
use url::Url;

pub use failure::{CERTIFICATE_HINTS, Failure, FailureKind};
pub use pace::{Pace, TooSlow};

/// How often a request is sent elsewhere.
const REDIRECTS: usize = 10;

/// What a client does when it is sent elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// Goes there, but not without end and never away from TLS: what is asked for need not be everybody's to see.
    /// Credentials do not go along to another host, scheme or port.
    Follow,
    /// Stays: what is written goes where it was meant to go.
    Stay,
}

/// A client that trusts the machine's certificates and waits so long for a connection.
pub fn client(connect: Duration, redirects: Redirects) -> Result<reqwest::Client, Failure> {
    // Fails when a provider was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let policy = match redirects {
        Redirects::Follow => Policy::custom(redirected),
        Redirects::Stay => Policy::none(),
    };
    let builder = reqwest::Client::builder()
        .user_agent(concat!("build/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect)
        .redirect(policy)
        .referer(false);
    Ok(builder.build()?)
}

fn redirected(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let from = attempt.previous().last().map_or("", Url::scheme);
    if attempt.previous().len() > REDIRECTS {
        return attempt.error("it redirects without end");
    }
    match may_follow(from, attempt.url().scheme()) {
        true => attempt.follow(),
        false => attempt.error("it redirects to an address that is not one of https"),
    }
}

/// Whether an address of one scheme may lead to one of another.
pub fn may_follow(from: &str, to: &str) -> bool {
    to == "https" || (to == "http" && from == "http")
}

/// The next piece of a body; `None` at its end. Only the time in which it is waited for counts, not that in which the
/// caller uses what came.
pub async fn chunk(response: &mut reqwest::Response, pace: &mut Pace) -> Result<Option<Vec<u8>>, Failure> {
    loop {
        let began = Instant::now();
        let came = tokio::time::timeout(pace.rest(), response.chunk()).await;
        let piece = came.as_ref().ok().and_then(|came| came.as_ref().ok()?.as_ref());
        let judged = pace.count(piece.map_or(0, |piece| piece.len() as u64), began.elapsed());
        match came {
            Ok(came) => return Ok(came?.map(Vec::from)),
            Err(_) => judged?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_tls() {
        for (from, to, may) in [
            ("http", "https", true),
            ("http", "http", true),
            ("https", "https", true),
            ("https", "http", false),
            ("http", "file", false),
            ("https", "ftp", false),
        ] {
            assert_eq!(may_follow(from, to), may, "{from} to {to}");
        }
    }
}
