//! Moves bytes from an endpoint to a file, hashing on the way. Mirrors are tried in order, faults of the network again.
//!
//! The HTTP client runs on a small runtime of its own, so that callers may block on any thread, also on one of
//! another runtime. Chunks come over a bounded channel: memory stays small, and hashing and writing happen on the
//! caller's thread.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use http_client::{Failure, FailureKind, Pace, Redirects};
use model::{Event, Reporter};
use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::address::Address;
use crate::error::FetchError;

/// What is to be moved.
pub(crate) struct Request<'a> {
    /// The package, for people.
    pub what: &'a str,
    /// Where it may be, in the order to be tried.
    pub urls: Vec<Address>,
    /// The most bytes to take.
    pub limit: u64,
    /// The SHA-256 digests of which it must have one; empty where something else is verified later.
    pub sha256: &'a [String],
    /// The value of the `Accept` header.
    pub accept: Option<&'static str>,
}

/// What came.
pub(crate) struct Downloaded {
    /// Where it was asked for, for people.
    pub asked: String,
    /// Where from, after redirects.
    pub url: Url,
    /// The type that the endpoint declares.
    pub content_type: String,
}

/// How long to wait and how often to try.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub connect: Duration,
    /// For the head of an answer, redirects included, and between two judgements of a body's pace.
    pub idle: Duration,
    pub attempts: u32,
    pub pause: Duration,
}

/// The HTTP client.
#[derive(Debug)]
pub(crate) struct Transport {
    runtime: Option<tokio::runtime::Runtime>,
    client: reqwest::Client,
    patience: Patience,
}

enum Message {
    Head { total: Option<u64>, url: Url, content_type: String },
    Chunk(Vec<u8>),
    Failed(Fault),
    End,
}

/// Why one attempt at one address failed.
enum Fault {
    Absent,
    Refused(StatusCode),
    Passing(String),
    /// Another attempt would end in the same way.
    Misled(String),
    /// The endpoint does not prove who it is.
    Certificate(String),
    Fatal(FetchError),
}

const SILENT: &str = "no answer in time";

/// Transfers of this crate count from here, so that their ids differ from those of image pushes.
static NEXT_TRANSFER: AtomicU64 = AtomicU64::new(1 << 40);

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            attempts: 4,
            pause: Duration::from_millis(500),
        }
    }
}

impl Patience {
    /// The same for endpoints that may be silent for so long.
    pub(crate) fn with_idle(idle: Duration) -> Self {
        let usual = Self::default();
        Self { connect: usual.connect.min(idle), idle, ..usual }
    }
}

impl Transport {
    pub(crate) fn with(patience: Patience) -> Result<Self, FetchError> {
        let failed = |reason: String| FetchError::Client(reason);
        let client = http_client::client(patience.connect, Redirects::Follow);
        let client = client.map_err(|failure| failed(failure.reason))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("fetch")
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { runtime: Some(runtime), client, patience })
    }

    /// Downloads to `to`, which is written anew; after an error it holds nothing of use.
    pub(crate) fn download(
        &self,
        request: &Request<'_>,
        to: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Downloaded, FetchError> {
        let mut worst: Option<FetchError> = None;
        let mut tried = Vec::new();
        for url in &request.urls {
            match self.try_one(request, url, to, reporter) {
                Ok(downloaded) => return Ok(downloaded),
                Err(error) => {
                    tried.push(url.to_string());
                    if !error.is_not_found() && worst.as_ref().is_none_or(FetchError::is_not_found) {
                        worst = Some(error);
                    }
                }
            }
        }
        Err(worst.unwrap_or(FetchError::NotFound { what: request.what.to_owned(), tried }))
    }

    /// A small text, such as an index.
    pub(crate) fn text(
        &self,
        request: &Request<'_>,
        scratch: &Path,
        reporter: &dyn Reporter,
    ) -> Result<(String, Downloaded), FetchError> {
        let downloaded = self.download(request, scratch, reporter)?;
        // Copied only if it has to be changed.
        let text = String::from_utf8(host::fs::read(scratch)?);
        Ok((text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()), downloaded))
    }

    fn try_one(
        &self,
        request: &Request<'_>,
        url: &Address,
        to: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Downloaded, FetchError> {
        let mut attempt = 1;
        loop {
            let fault = match self.attempt(request, url, to, reporter) {
                Ok(downloaded) => return Ok(downloaded),
                Err(fault) => fault,
            };
            let passing = match &fault {
                Fault::Passing(_) => true,
                Fault::Refused(status) => {
                    status.is_server_error()
                        || *status == StatusCode::TOO_MANY_REQUESTS
                        || *status == StatusCode::REQUEST_TIMEOUT
                }
                Fault::Absent | Fault::Misled(_) | Fault::Certificate(_) | Fault::Fatal(_) => false,
            };
            if !passing || attempt >= self.patience.attempts {
                return Err(fault.into_error(request.what, url, attempt));
            }
            std::thread::sleep(self.patience.pause * 2u32.pow(attempt - 1));
            attempt += 1;
        }
    }

    fn attempt(
        &self,
        request: &Request<'_>,
        url: &Address,
        to: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Downloaded, Fault> {
        let (sender, receiver) = sync_channel(8);
        if url.url().scheme() == "file" {
            let url = url.url().clone();
            std::thread::spawn(move || read_file(&url, &sender));
        } else {
            let mut get = self.client.get(url.url().clone());
            if let Some(accept) = request.accept {
                get = get.header(reqwest::header::ACCEPT, accept);
            }
            let runtime = self.runtime.as_ref().ok_or_else(|| Fault::Passing("the client has ended".to_owned()))?;
            runtime.spawn(pump(get, sender, self.patience));
        }
        receive(request, url, &receiver, to, reporter)
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping it may block, which a thread of another runtime must not.
            runtime.shutdown_background();
        }
    }
}

impl Fault {
    fn into_error(self, what: &str, url: &Address, attempts: u32) -> FetchError {
        let (what, endpoint) = (what.to_owned(), url.to_string());
        match self {
            Self::Absent => FetchError::NotFound { what, tried: vec![endpoint] },
            Self::Refused(status) => FetchError::Refused { what, endpoint, status: status.as_u16() },
            Self::Passing(reason) | Self::Misled(reason) => {
                FetchError::Unreachable { what, endpoint, reason, attempts }
            }
            Self::Certificate(reason) => FetchError::Certificate { what, endpoint, reason },
            Self::Fatal(error) => error,
        }
    }
}

/// Sends the response's head and body. Ends quietly when the receiver is gone.
async fn pump(get: reqwest::RequestBuilder, sender: SyncSender<Message>, patience: Patience) {
    let mut response = match tokio::time::timeout(patience.connect + patience.idle, get.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return send(&sender, Message::Failed(Failure::from(error).into())),
        Err(_) => return send(&sender, Message::Failed(Fault::Passing(SILENT.to_owned()))),
    };
    let status = response.status();
    if status == StatusCode::NOT_FOUND || status == StatusCode::GONE {
        return send(&sender, Message::Failed(Fault::Absent));
    }
    if !status.is_success() {
        return send(&sender, Message::Failed(Fault::Refused(status)));
    }
    let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let total = response.content_length();
    send(&sender, Message::Head { total, url: response.url().clone(), content_type });
    let mut pace = Pace::new(patience.idle);
    loop {
        match http_client::chunk(&mut response, &mut pace).await {
            Ok(Some(chunk)) => {
                if tokio::task::block_in_place(|| sender.send(Message::Chunk(chunk))).is_err() {
                    return;
                }
            }
            Ok(None) => return send(&sender, Message::End),
            Err(failure) => return send(&sender, Message::Failed(failure.into())),
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Passing => Self::Passing(failure.reason),
            FailureKind::Misled => Self::Misled(failure.reason),
            FailureKind::Certificate => Self::Certificate(failure.reason),
        }
    }
}

fn send(sender: &SyncSender<Message>, message: Message) {
    // The receiver is gone when it has seen enough.
    let _ = tokio::task::block_in_place(|| sender.send(message));
}

fn read_file(url: &Url, sender: &SyncSender<Message>) {
    let opened = url.to_file_path().ok().map(|path| host::fs::open(&path));
    let mut file = match opened {
        Some(Ok(file)) => file,
        other => {
            let fault = match other {
                Some(Err(error)) if !error.is_not_found() => Fault::Passing(error.source.to_string()),
                _ => Fault::Absent,
            };
            let _ = sender.send(Message::Failed(fault));
            return;
        }
    };
    let total = file.metadata().ok().map(|metadata| metadata.len());
    let _ = sender.send(Message::Head { total, url: url.clone(), content_type: String::new() });
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let message = match file.read(&mut buffer) {
            Ok(0) => Message::End,
            Ok(count) => Message::Chunk(buffer[..count].to_vec()),
            Err(error) => Message::Failed(Fault::Passing(error.to_string())),
        };
        let last = !matches!(message, Message::Chunk(_));
        if sender.send(message).is_err() || last {
            return;
        }
    }
}

/// Ends a transfer's events whatever way it is left.
struct Progress<'a>(u64, &'a dyn Reporter);

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.1.report(Event::TransferFinished { id: self.0 });
    }
}

fn receive(
    request: &Request<'_>,
    asked: &Address,
    receiver: &Receiver<Message>,
    to: &Path,
    reporter: &dyn Reporter,
) -> Result<Downloaded, Fault> {
    let ended = || Fault::Passing("the connection ended early".to_owned());
    let (total, url, content_type) = match receiver.recv().map_err(|_| ended())? {
        Message::Head { total, url, content_type } => (total, url, content_type),
        Message::Failed(fault) => return Err(fault),
        Message::Chunk(_) | Message::End => return Err(ended()),
    };
    let too_large = || {
        let (what, endpoint) = (request.what.to_owned(), asked.to_string());
        Fault::Fatal(FetchError::TooLarge { what, endpoint, limit: request.limit })
    };
    if total.is_some_and(|total| total > request.limit) {
        return Err(too_large());
    }
    let progress = Progress(NEXT_TRANSFER.fetch_add(1, Ordering::Relaxed), reporter);
    reporter.report(Event::TransferStarted { id: progress.0, what: Arc::from(request.what), total });
    let file = host::fs::create(to).map_err(|error| Fault::Fatal(error.into()))?;
    let mut hash = Sha256::new();
    let mut done = 0;
    loop {
        match receiver.recv().map_err(|_| ended())? {
            Message::Chunk(chunk) => {
                done += chunk.len() as u64;
                if done > request.limit {
                    return Err(too_large());
                }
                hash.update(&chunk);
                host::fs::write_all(&file, to, &chunk).map_err(|error| Fault::Fatal(error.into()))?;
                reporter.report(Event::TransferProgress { id: progress.0, done });
            }
            Message::End if total.is_none_or(|total| total == done) => break,
            Message::End | Message::Head { .. } => return Err(ended()),
            Message::Failed(fault) => return Err(fault),
        }
    }
    let sha256 = hex(&hash.finalize());
    if !request.sha256.is_empty() && !request.sha256.contains(&sha256) {
        return Err(Fault::Fatal(FetchError::WrongDigest {
            what: request.what.to_owned(),
            endpoint: asked.to_string(),
            expected: format!("sha256 {}", request.sha256.join(" or ")),
            got: sha256,
        }));
    }
    Ok(Downloaded { asked: asked.to_string(), url, content_type })
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
