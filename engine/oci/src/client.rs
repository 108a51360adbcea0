//! Speaks to a registry (OCI distribution specification 1.1), and expects the worst of it: every answer has a limit, every
//! wait an end, credentials go to the registry's own origin only.
//!
//! `oci-distribution` (published as `oci-client`) gives references, manifests, lists of them, media types and the form of
//! errors. Its client, which the tests read images with, reads manifests
//! and errors of any length into memory, waits for as long as a byte comes now and then, and gives the password to
//! whatever address a challenge names; it has no setting against that, so what is sent and read is written here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{Stream, StreamExt};
use http_client::{Pace, Redirects, may_follow};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use url::Url;

use crate::credentials;
use crate::digest::Sha256;
use crate::error::{Attempt, OciError};
use crate::layout::MANIFEST_MEDIA_TYPE;
use crate::registry::Registry;
use crate::token::{Scope, Tokens, Wanted};

/// The most bytes of a manifest: what registries take too.
const MANIFEST_LIMIT: u64 = 4 << 20;
/// The most bytes of an error that are looked at.
const ERROR_LIMIT: u64 = 64 << 10;
const CONNECT: Duration = Duration::from_secs(10);

const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// The pieces of a body that is sent.
pub(crate) type Pieces = futures::stream::BoxStream<'static, std::io::Result<Vec<u8>>>;

/// A client of one registry, for one repository.
pub(crate) struct Client {
    registry: Registry,
    repository: String,
    /// Follows where it is sent.
    reads: reqwest::Client,
    /// Follows nowhere: what is written goes to the registry, or where it named a place for it.
    writes: reqwest::Client,
    tokens: Tokens,
}

/// The body of an answer as it comes, with a limit and a least pace.
pub(crate) struct Body {
    response: Response,
    pace: Pace,
    left: u64,
}

/// Why a body ended early.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The connection failed, or was too slow.
    Broken(String),
    /// It is longer than allowed.
    TooLong,
}

impl Client {
    pub(crate) fn new(registry: &Registry, repository: &str) -> Result<Self, OciError> {
        let client = |redirects: Redirects| {
            let client = http_client::client(CONNECT.min(registry.timeout), redirects);
            client.map_err(|failure| registry.attempt(repository, "a connection").unreachable(failure))
        };
        let (reads, writes) = (client(Redirects::Follow)?, client(Redirects::Stay)?);
        let (registry, repository, tokens) = (registry.clone(), repository.to_owned(), Tokens::default());
        Ok(Self { registry, repository, reads, writes, tokens })
    }

    /// A manifest by its digest, checked.
    pub(crate) async fn manifest(&self, digest: &Sha256) -> Result<Vec<u8>, OciError> {
        let attempt = self.attempt(format!("the manifest {}", digest.short()));
        let (_, bytes) = self.get_manifest(digest.as_str(), &attempt).await?;
        let actual = Sha256::of(&bytes);
        if actual != *digest {
            return Err(attempt.mismatch(digest, &actual));
        }
        Ok(bytes)
    }

    async fn get_manifest(&self, name: &str, attempt: &Attempt<'_>) -> Result<(HeaderMap, Vec<u8>), OciError> {
        let request =
            self.request(Method::GET, &format!("manifests/{name}"), Scope::Pull).await?.header(ACCEPT, ACCEPTED);
        let response = self.ok(self.answer(request, attempt).await?, attempt).await?;
        let headers = response.headers().clone();
        match self.body(response, MANIFEST_LIMIT).all().await {
            Ok(bytes) => Ok((headers, bytes)),
            Err(error) => Err(attempt.broken(error, MANIFEST_LIMIT)),
        }
    }

    /// The digest of the manifest that the registry has under a tag or digest.
    pub(crate) async fn manifest_digest(&self, name: &str) -> Result<Option<Sha256>, OciError> {
        let attempt = self.attempt("the manifest".to_owned());
        let request =
            self.request(Method::HEAD, &format!("manifests/{name}"), Scope::Push).await?.header(ACCEPT, ACCEPTED);
        let response = self.answer(request, &attempt).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.ok(response, &attempt).await?;
        let named = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        if let Some(digest) = named {
            return Ok(digest.parse().ok());
        }
        let (_, bytes) = self.get_manifest(name, &attempt).await?;
        Ok(Some(Sha256::of(&bytes)))
    }

    /// The content of a blob of at most `size` bytes, unchecked.
    pub(crate) async fn blob(&self, digest: &Sha256, size: u64) -> Result<Body, OciError> {
        let attempt = self.attempt(format!("the blob {}", digest.short()));
        let request = self.request(Method::GET, &format!("blobs/{digest}"), Scope::Pull).await?;
        let response = self.ok(self.answer(request, &attempt).await?, &attempt).await?;
        Ok(self.body(response, size))
    }

    /// Whether the registry has a blob.
    pub(crate) async fn has_blob(&self, digest: &Sha256) -> Result<bool, OciError> {
        let attempt = self.attempt(format!("the blob {}", digest.short()));
        let request = self.request(Method::HEAD, &format!("blobs/{digest}"), Scope::Push).await?;
        let response = self.answer(request, &attempt).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        self.ok(response, &attempt).await.map(|_| true)
    }

    /// Has the registry take a blob over from another of its repositories; whether it did. One that cannot, or where that
    /// one is nobody's business, is sent the blob.
    pub(crate) async fn mount_blob(&self, digest: &Sha256, from: &str) -> Result<bool, OciError> {
        let attempt = self.attempt(format!("the blob {} of `{from}`", digest.short()));
        let mut url = self.url("blobs/uploads/")?;
        url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from);
        let request = self.writes.request(Method::POST, url.clone()).header(CONTENT_LENGTH, 0);
        let request = self.authorized(request, &url, (Scope::Push, Some(from))).await?;
        Ok(self.answer(request, &attempt).await?.status() == StatusCode::CREATED)
    }

    /// Sends a blob in one piece.
    pub(crate) async fn put_blob(&self, digest: &Sha256, size: u64, pieces: Pieces) -> Result<(), OciError> {
        let attempt = self.attempt(format!("the blob {}", digest.short()));
        let begin = self.request(Method::POST, "blobs/uploads/", Scope::Push).await?.header(CONTENT_LENGTH, 0);
        let response = self.answer(begin, &attempt).await?;
        if response.status() != StatusCode::ACCEPTED {
            let response = self.ok(response, &attempt).await?;
            return Err(
                attempt.refused(format!("an upload begins with 202, and it answered {}", response.status().as_u16()))
            );
        }
        let url = self.upload_address(&response, digest, &attempt)?;
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        let pieces = pieces.inspect(move |piece| {
            counted.fetch_add(piece.as_ref().map_or(0, |piece| piece.len() as u64), Ordering::Relaxed);
        });
        let put = self.authorized(self.writes.request(Method::PUT, url.clone()), &url, (Scope::Push, None)).await?;
        let put = put.header(CONTENT_LENGTH, size).header(CONTENT_TYPE, "application/octet-stream");
        let response = self.send_body(put, pieces, &sent, &attempt).await?;
        self.created(response, digest, &attempt).await
    }

    /// Where the registry wants an upload. It may be elsewhere, but then it gets no credentials.
    fn upload_address(&self, begun: &Response, digest: &Sha256, attempt: &Attempt<'_>) -> Result<Url, OciError> {
        let location = begun.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| attempt.refused("it does not say where to upload to".to_owned()))?;
        let mut url =
            begun.url().join(location).map_err(|error| attempt.refused(format!("where to upload: {error}")))?;
        if !may_follow(self.scheme(), url.scheme()) {
            return Err(attempt.refused("it wants the upload at an address that is not one of https".to_owned()));
        }
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        Ok(url)
    }

    /// Sends a manifest under a tag or digest.
    pub(crate) async fn put_manifest(&self, name: &str, bytes: &[u8]) -> Result<(), OciError> {
        let attempt = self.attempt("the manifest".to_owned());
        let request = self.request(Method::PUT, &format!("manifests/{name}"), Scope::Push).await?;
        let request = request.header(CONTENT_TYPE, MANIFEST_MEDIA_TYPE).body(bytes.to_vec());
        let response = self.answer(request, &attempt).await?;
        self.created(response, &Sha256::of(bytes), &attempt).await
    }

    /// The end of an upload: what the registry says it has is what was sent.
    async fn created(&self, response: Response, digest: &Sha256, attempt: &Attempt<'_>) -> Result<(), OciError> {
        let response = self.ok(response, attempt).await?;
        let named = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        match named.filter(|named| *named != digest.as_str()) {
            Some(other) => Err(attempt.refused(format!("it stored {}, and {digest} was sent", printable(other)))),
            None if response.status() == StatusCode::CREATED => Ok(()),
            None => {
                Err(attempt.refused(format!("an upload ends with 201, and it answered {}", response.status().as_u16())))
            }
        }
    }

    fn scheme(&self) -> &'static str {
        if self.registry.insecure { "http" } else { "https" }
    }

    pub(crate) fn attempt(&self, what: String) -> Attempt<'_> {
        self.registry.attempt(&self.repository, what)
    }

    /// The address of something in the repository.
    fn url(&self, path: &str) -> Result<Url, OciError> {
        let mut url = self.base()?;
        url.set_path(&format!("{}{}/{path}", url.path(), self.repository));
        Ok(url)
    }

    /// The address that every registry answers at, and challenges at.
    pub(crate) fn base(&self) -> Result<Url, OciError> {
        let text = format!("{}://{}/v2/", self.scheme(), credentials::spoken_to(&self.registry.address));
        Url::parse(&text).map_err(|error| {
            OciError::Parameter(format!("`{}` is not the address of a registry: {error}", self.registry.address))
        })
    }

    async fn request(&self, method: Method, path: &str, scope: Scope) -> Result<RequestBuilder, OciError> {
        let url = self.url(path)?;
        let client = if method.is_safe() { &self.reads } else { &self.writes };
        self.authorized(client.request(method, url.clone()), &url, (scope, None)).await
    }

    /// Adds the credentials to a request to the registry itself.
    async fn authorized(
        &self,
        request: RequestBuilder,
        url: &Url,
        wanted: Wanted<'_>,
    ) -> Result<RequestBuilder, OciError> {
        if url.origin() != self.base()?.origin() {
            return Ok(request);
        }
        Ok(match self.tokens.header(self, wanted).await? {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        })
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        self.reads.get(url)
    }

    /// Sends a form; it goes nowhere else.
    pub(crate) fn post(&self, url: Url, form: &str) -> RequestBuilder {
        self.writes.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned())
    }

    /// Sends a request and waits for the head of its answer, for as long as the registry may be silent.
    pub(crate) async fn answer(&self, request: RequestBuilder, attempt: &Attempt<'_>) -> Result<Response, OciError> {
        match tokio::time::timeout(CONNECT.min(self.registry.timeout) + self.registry.timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(attempt.unreachable(error.into())),
            Err(_) => Err(attempt.silent(self.registry.timeout)),
        }
    }

    /// Sends a request with a body of any length; it may take as long as it makes progress.
    async fn send_body(
        &self,
        request: RequestBuilder,
        pieces: impl Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static,
        sent: &AtomicU64,
        attempt: &Attempt<'_>,
    ) -> Result<Response, OciError> {
        let mut sending = std::pin::pin!(request.body(reqwest::Body::wrap_stream(pieces)).send());
        let mut before = 0;
        loop {
            if let Ok(answered) = tokio::time::timeout(self.registry.timeout, &mut sending).await {
                return answered.map_err(|error| attempt.unreachable(error.into()));
            }
            let now = sent.load(Ordering::Relaxed);
            if now == before {
                return Err(attempt.silent(self.registry.timeout));
            }
            before = now;
        }
    }

    pub(crate) fn body(&self, response: Response, limit: u64) -> Body {
        Body { response, pace: Pace::new(self.registry.timeout), left: limit }
    }

    /// The answer if it is one of success, else what the registry says is wrong.
    pub(crate) async fn ok(&self, response: Response, attempt: &Attempt<'_>) -> Result<Response, OciError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // What came of it will do.
        let mut text = Vec::new();
        let mut body = self.body(response, ERROR_LIMIT);
        while let Ok(Some(piece)) = body.next().await {
            text.extend(piece);
        }
        // Some repeat what was sent to them.
        let text = self.registry.auth.redacted(&String::from_utf8_lossy(&text));
        Err(attempt.answered(status.as_u16(), &self.tokens.redacted(&text)))
    }
}

impl Body {
    /// The next piece.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, BodyError> {
        let piece = http_client::chunk(&mut self.response, &mut self.pace).await;
        let piece = piece.map_err(|failure| BodyError::Broken(failure.reason))?;
        let bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        self.left = self.left.checked_sub(bytes).ok_or(BodyError::TooLong)?;
        Ok(piece)
    }

    /// All of it.
    pub(crate) async fn all(mut self) -> Result<Vec<u8>, BodyError> {
        if self.response.content_length().is_some_and(|length| length > self.left) {
            return Err(BodyError::TooLong);
        }
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            bytes.extend(piece);
        }
        Ok(bytes)
    }
}

/// A registry's words for people: nothing that a terminal would obey, and not too many.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
