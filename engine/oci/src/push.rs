//! Pushing an image: only what the registry lacks, and nothing at all when it has the manifest.

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use model::{Digest, Event, KeyBuilder, Reporter, Tree};
use store::Store;
use tokio::io::AsyncReadExt;

use crate::client::Client;
use crate::digest::{Hasher, Sha256};
use crate::error::OciError;
use crate::layout::{self, Descriptor};
use crate::registry::{Registry, check_repository};

/// How many blobs are sent at once.
const PARALLEL: usize = 4;
/// How long to wait before what failed at the registry or on the way is tried again. An upload begins anew.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(2)];
/// How much of a blob is read at once.
const CHUNK: usize = 1 << 20;

/// What to push where.
#[derive(Debug, Clone)]
pub struct PushRequest<'a> {
    /// The image.
    pub image: &'a Tree,
    /// Where to.
    pub registry: &'a Registry,
    /// The repository.
    pub repository: &'a str,
    /// Names for the manifest beside its digest; usually none.
    pub tags: &'a [String],
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushReport {
    /// The manifest, by which the image is to be deployed.
    pub digest: Sha256,
    /// Blobs sent (layers and config).
    pub uploaded: usize,
    /// Blobs that were there.
    pub skipped: usize,
    /// Blobs that the registry took over from another of its repositories.
    pub mounted: usize,
    /// Bytes of the blobs sent.
    pub bytes: u64,
    /// Whether the manifest itself was sent.
    pub manifest_sent: bool,
}

/// Pushes an image. Killed at any moment, the next push goes on from what is there.
pub async fn push(
    request: &PushRequest<'_>,
    store: &Store,
    reporter: &Arc<dyn Reporter>,
) -> Result<PushReport, OciError> {
    let PushRequest { image, registry, repository, tags } = *request;
    check_repository(repository)?;
    let (manifest, manifest_bytes) = layout::read_manifest(image, store)?;
    let digest = layout::digest_of(image, store)?;
    let client = Client::new(registry, repository)?;
    let pusher = &Pusher { client, request, store, reporter };

    let mut blobs: Vec<&Descriptor> = manifest.layers.iter().chain([&manifest.config]).collect();
    blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
    blobs.dedup_by(|a, b| a.digest == b.digest);
    let mut report =
        PushReport { digest: digest.clone(), uploaded: 0, skipped: 0, mounted: 0, bytes: 0, manifest_sent: false };
    let client = &pusher.client;
    if retried(|| client.manifest_digest(digest.as_str())).await? == Some(digest.clone()) {
        report.skipped = blobs.len();
    } else {
        let ensure = |blob| retried(move || pusher.ensure_blob(blob));
        let ensured: Vec<Ensured> = stream::iter(blobs).map(ensure).buffer_unordered(PARALLEL).try_collect().await?;
        for ensured in ensured {
            match ensured {
                Ensured::Sent(bytes) => (report.uploaded, report.bytes) = (report.uploaded + 1, report.bytes + bytes),
                Ensured::There => report.skipped += 1,
                Ensured::Mounted => report.mounted += 1,
            }
        }
        retried(|| client.put_manifest(digest.as_str(), &manifest_bytes)).await?;
        report.manifest_sent = true;
    }
    for tag in tags {
        if retried(|| client.manifest_digest(tag)).await?.as_ref() != Some(&digest) {
            retried(|| client.put_manifest(tag, &manifest_bytes)).await?;
            report.manifest_sent = true;
        }
    }
    Ok(report)
}

/// Tries again while the failure may pass by itself.
async fn retried<T, F>(attempt: impl Fn() -> F) -> Result<T, OciError>
where
    F: Future<Output = Result<T, OciError>>,
{
    for pause in PAUSES {
        match attempt().await {
            Err(error) if error.is_transient() => tokio::time::sleep(pause).await,
            result => return result,
        }
    }
    attempt().await
}

/// How a blob came to be in a repository.
enum Ensured {
    There,
    Mounted,
    /// So many bytes were sent.
    Sent(u64),
}

struct Pusher<'a> {
    client: Client,
    request: &'a PushRequest<'a>,
    store: &'a Store,
    reporter: &'a Arc<dyn Reporter>,
}

impl Pusher<'_> {
    /// Brings the blob to the repository if it is missing there, and remembers that it is there.
    async fn ensure_blob(&self, blob: &Descriptor) -> Result<Ensured, OciError> {
        let key = self.whereabouts(&blob.digest);
        let known = self.store.memo_get(&key)?.and_then(|bytes| String::from_utf8(bytes).ok());
        let elsewhere = known.as_deref().filter(|known| *known != self.request.repository);
        let ensured = match elsewhere {
            _ if self.client.has_blob(&blob.digest).await? => Ensured::There,
            Some(from) if self.client.mount_blob(&blob.digest, from).await? => Ensured::Mounted,
            _ => self.send(blob).await?,
        };
        if known.is_none() || matches!(ensured, Ensured::Sent(_)) {
            self.store.memo_put(&key, self.request.repository.as_bytes())?;
        }
        Ok(ensured)
    }

    /// Under what it is kept which repository of the registry has a blob.
    fn whereabouts(&self, digest: &Sha256) -> Digest {
        KeyBuilder::new("oci-whereabouts", 1).text(&self.request.registry.address).text(digest.as_str()).finish()
    }

    /// Sends a blob.
    async fn send(&self, blob: &Descriptor) -> Result<Ensured, OciError> {
        let (content, size) = layout::file(self.request.image, &layout::blob_path(&blob.digest))?;
        let id = transfer_id("push", self.request.repository, &blob.digest);
        let label = format!("{} to {}", blob.digest.short(), self.request.repository);
        self.reporter.report(Event::TransferStarted { id, what: label.into(), total: Some(size) });
        let upload = Upload::open(content, size, &blob.digest, self.store, (id, Arc::clone(self.reporter))).await?;
        let damaged = Arc::clone(&upload.damaged);
        let sent = self.client.put_blob(&blob.digest, size, upload.stream().boxed()).await;
        self.reporter.report(Event::TransferFinished { id });
        match (sent, damaged.get()) {
            (_, Some(actual)) => {
                let expected = blob.digest.to_string();
                Err(OciError::Mismatch { what: "a blob in the store".into(), expected, actual: actual.to_string() })
            }
            (Ok(()), None) => Ok(Ensured::Sent(size)),
            (Err(error), None) => Err(error),
        }
    }
}

/// The content of one blob on its way. Its last piece is only given away if the whole has the right digest.
struct Upload {
    file: tokio::fs::File,
    hasher: Hasher,
    done: u64,
    size: u64,
    expected: Sha256,
    damaged: Arc<OnceLock<Sha256>>,
    progress: (u64, Arc<dyn Reporter>),
}

impl Upload {
    async fn open(
        content: Digest,
        size: u64,
        expected: &Sha256,
        store: &Store,
        progress: (u64, Arc<dyn Reporter>),
    ) -> Result<Self, OciError> {
        let file = tokio::fs::File::from_std(store.open_blob(&content)?);
        let (hasher, damaged) = (Hasher::default(), Arc::default());
        Ok(Self { file, hasher, done: 0, size, expected: expected.clone(), damaged, progress })
    }

    fn stream(self) -> impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static {
        stream::try_unfold(self, |mut upload| async move { Ok(upload.next().await?.map(|piece| (piece, upload))) })
    }

    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.done == self.size {
            return Ok(None);
        }
        let mut piece = Vec::with_capacity(CHUNK);
        // One byte more than recorded would be damage as well, and shows up in the digest.
        (&mut self.file).take(CHUNK as u64).read_to_end(&mut piece).await?;
        self.hasher.update(&piece);
        self.done += piece.len() as u64;
        if self.done >= self.size || piece.is_empty() {
            let actual = std::mem::take(&mut self.hasher).finish();
            if actual != self.expected {
                // Set once, since an error ends the stream.
                let _ = self.damaged.set(actual);
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the content is damaged"));
            }
        }
        self.progress.1.report(Event::TransferProgress { id: self.progress.0, done: self.done });
        Ok(Some(piece))
    }
}

/// An id for the events of one transfer, the same whoever counts.
pub(crate) fn transfer_id(direction: &str, repository: &str, digest: &Sha256) -> u64 {
    let key = KeyBuilder::new(direction, 1).text(repository).text(digest.as_str()).finish();
    u64::from_le_bytes(key.as_bytes()[..8].try_into().expect("a digest has more than eight bytes"))
}
