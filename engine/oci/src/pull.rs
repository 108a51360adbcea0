//! Pulling an image by digest. Whatever the registry sends is checked against the digest it was asked for by.

use std::io::{self, Write};
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use model::{Digest, Event, Platform, Reporter, Tree};
use store::Store;

use crate::client::Client;
use crate::digest::{HashingWriter, Sha256};
use crate::error::OciError;
use crate::image::Image;
use crate::layout::{self, Descriptor, MANIFEST_MEDIA_TYPE, Manifest};
use crate::push::transfer_id;
use crate::registry::{Registry, check_repository};

/// How many blobs are fetched at once.
const PARALLEL: usize = 4;

/// What to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// The repository.
    pub repository: String,
    /// The digest of a manifest, or of a list of manifests.
    pub digest: Sha256,
    /// Which manifest of a list.
    pub platform: Option<Platform>,
}

/// Pulls an image into the store.
pub async fn pull(
    request: &PullRequest,
    registry: &Registry,
    store: &Store,
    reporter: &Arc<dyn Reporter>,
) -> Result<Image, OciError> {
    check_repository(&request.repository)?;
    let client = Client::new(registry, &request.repository)?;
    let puller = Puller { client, request, store, reporter };
    let (digest, bytes) = puller.manifest().await?;
    let manifest = Manifest::parse(&bytes, &puller.named(&digest))?;

    let mut tree = Tree::default();
    let mut blobs: Vec<&Descriptor> = manifest.layers.iter().chain([&manifest.config]).collect();
    blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
    blobs.dedup_by(|a, b| a.digest == b.digest);
    let fetched: Vec<(Sha256, Digest, u64)> =
        stream::iter(blobs).map(|blob| puller.blob(blob)).buffer_unordered(PARALLEL).try_collect().await?;
    for (digest, content, size) in fetched {
        layout::add_blob(&mut tree, &digest, content, size)?;
    }
    layout::add_bytes(&mut tree, &bytes, store)?;
    let media_type = manifest.media_type.unwrap_or_else(|| MANIFEST_MEDIA_TYPE.into());
    layout::finish(&mut tree, Descriptor::of(&media_type, &digest, bytes.len() as u64), None, store)?;
    let content = store.put_tree(&tree)?;
    Ok(Image { tree, content, digest })
}

struct Puller<'a> {
    client: Client,
    request: &'a PullRequest,
    store: &'a Store,
    reporter: &'a Arc<dyn Reporter>,
}

impl Puller<'_> {
    /// The manifest and its digest; through a list of manifests, the one for the platform.
    async fn manifest(&self) -> Result<(Sha256, Vec<u8>), OciError> {
        let bytes = self.client.manifest(&self.request.digest).await?;
        let named = self.named(&self.request.digest);
        let value: serde_json::Value = layout::parse(&bytes, &named)?;
        if value.get("manifests").is_none() {
            return Ok((self.request.digest.clone(), bytes));
        }
        let chosen = layout::select(&layout::parse(&bytes, &named)?, self.request.platform.as_ref())?;
        let bytes = self.client.manifest(&chosen).await?;
        Ok((chosen, bytes))
    }

    /// A manifest for errors.
    fn named(&self, digest: &Sha256) -> String {
        let registry = &self.client.registry().address;
        format!("the manifest {} of `{}` from {registry}", digest.short(), self.request.repository)
    }

    async fn blob(&self, blob: &Descriptor) -> Result<(Sha256, Digest, u64), OciError> {
        let id = transfer_id("pull", &self.request.repository, &blob.digest);
        let label = format!("{} of {}", blob.digest.short(), self.request.repository);
        self.reporter.report(Event::TransferStarted { id, what: label.into(), total: Some(blob.size) });
        let result = self.download(blob, id).await;
        self.reporter.report(Event::TransferFinished { id });
        let (content, size) = result?;
        Ok((blob.digest.clone(), content, size))
    }

    async fn download(&self, blob: &Descriptor, id: u64) -> Result<(Digest, u64), OciError> {
        let attempt = self.client.attempt(format!("the blob {}", blob.digest.short()));
        let mut pieces = self.client.blob(&blob.digest, blob.size).await?;
        let scratch = self.store.scratch()?;
        let path = scratch.path().join("blob");
        let mut file = HashingWriter::new(io::BufWriter::new(host::fs::Output::create(&path)?));
        let mut done = 0;
        loop {
            let piece = pieces.next().await.map_err(|error| attempt.interrupted(done, blob.size, error))?;
            let Some(piece) = piece else { break };
            file.write_all(&piece).map_err(OciError::Write)?;
            done += piece.len() as u64;
            self.reporter.report(Event::TransferProgress { id, done });
        }
        let (file, actual, size) = file.finish();
        if actual != blob.digest {
            return Err(attempt.mismatch(&blob.digest, &actual));
        }
        // Others go by the size in the manifest, and would refuse what is built on it.
        if size != blob.size {
            return Err(attempt.refused(format!("it has {size} bytes, and its manifest tells {}", blob.size)));
        }
        file.into_inner().map_err(|error| OciError::Write(error.into_error()))?;
        let (content, _) = self.store.put_file(&path)?;
        Ok((content, size))
    }
}
