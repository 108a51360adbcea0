//! Images as trees in the OCI image layout (`image-layout.md`): reading them and writing them.
//!
//! The JSON of manifests and of lists of them is `oci-distribution`'s business; here digests and sizes are checked first.

use std::collections::BTreeMap;

use model::{Digest, Platform, RelPath, Tree, TreeEntry};
use oci_distribution::manifest::{ImageIndexEntry, OciDescriptor, OciImageIndex, OciImageManifest};
use serde::de::DeserializeOwned;
use store::Store;

use crate::config::Configuration;
use crate::digest::{Sha256, Sha256Error};
use crate::error::OciError;

pub(crate) const MANIFEST_MEDIA_TYPE: &str = oci_distribution::manifest::OCI_IMAGE_MEDIA_TYPE;
pub(crate) const CONFIG_MEDIA_TYPE: &str = oci_distribution::manifest::IMAGE_CONFIG_MEDIA_TYPE;
const INDEX_MEDIA_TYPE: &str = oci_distribution::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// What names a blob: media type, digest and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Sha256,
    /// Bytes.
    pub size: u64,
    /// What others noted on it.
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The manifest of an image, its digests and sizes checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its own media type; older manifests leave it out.
    pub media_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

impl Descriptor {
    /// Something of the engine's own.
    pub(crate) fn of(media_type: &str, digest: &Sha256, size: u64) -> Self {
        Self { media_type: media_type.into(), digest: digest.clone(), size, annotations: None }
    }

    fn checked(descriptor: OciDescriptor) -> Result<Self, OciError> {
        let OciDescriptor { media_type, digest, size, annotations, .. } = descriptor;
        let size = u64::try_from(size).map_err(|_| OciError::Layout(format!("a blob has the size {size}")))?;
        Ok(Self { media_type, digest: checked(&digest)?, size, annotations })
    }

    fn into_oci(self) -> OciDescriptor {
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        let Self { media_type, digest, annotations, .. } = self;
        OciDescriptor { media_type, digest: digest.to_string(), size, annotations, ..OciDescriptor::default() }
    }
}

impl Manifest {
    /// Reads a manifest; `what` names it in errors.
    pub(crate) fn parse(bytes: &[u8], what: &str) -> Result<Self, OciError> {
        let read: OciImageManifest = parse(bytes, what)?;
        Ok(Self {
            media_type: read.media_type,
            config: Descriptor::checked(read.config)?,
            layers: read.layers.into_iter().map(Descriptor::checked).collect::<Result<_, _>>()?,
        })
    }

    /// Its JSON.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let manifest = OciImageManifest {
            schema_version: 2,
            media_type: self.media_type.clone(),
            config: self.config.clone().into_oci(),
            layers: self.layers.iter().cloned().map(Descriptor::into_oci).collect(),
            subject: None,
            artifact_type: None,
            annotations: None,
        };
        serde_json::to_vec(&manifest).expect("texts and numbers always serialise")
    }
}

fn checked(digest: &str) -> Result<Sha256, OciError> {
    digest.parse().map_err(|error: Sha256Error| OciError::Layout(error.to_string()))
}

/// The digest of the only manifest of a list, or of the one for `platform`.
pub(crate) fn select(index: &OciImageIndex, platform: Option<&Platform>) -> Result<Sha256, OciError> {
    let fits = |entry: &&ImageIndexEntry| match (&entry.platform, platform) {
        (Some(has), Some(wanted)) => has.os.to_string() == *wanted.os && has.architecture.to_string() == *wanted.arch,
        _ => true,
    };
    let mut candidates = index.manifests.iter().filter(fits);
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => checked(&only.digest),
        (Some(first), Some(_)) if platform.is_some() => checked(&first.digest),
        _ => {
            let expected = "expected one manifest for the platform, found these";
            Err(OciError::Layout(format!("{expected}: {}", platforms(index))))
        }
    }
}

fn platforms(index: &OciImageIndex) -> String {
    let named = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
    let names: Vec<String> = named.map(|platform| format!("{}/{}", platform.os, platform.architecture)).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// The path of a blob in the layout.
pub(crate) fn blob_path(digest: &Sha256) -> RelPath {
    RelPath::new(&format!("blobs/sha256/{}", digest.hex())).expect("hexadecimal digits make a path")
}

/// A file of the layout in the store.
pub(crate) fn file(tree: &Tree, path: &RelPath) -> Result<(Digest, u64), OciError> {
    match tree.entries.get(path) {
        Some(TreeEntry::File { digest, size, .. }) => Ok((*digest, *size)),
        _ => Err(OciError::MissingFile(path.clone())),
    }
}

/// The bytes of a blob, checked against its SHA-256.
pub(crate) fn read_blob(tree: &Tree, digest: &Sha256, store: &Store) -> Result<Vec<u8>, OciError> {
    let bytes = store.read(&file(tree, &blob_path(digest))?.0)?;
    let actual = Sha256::of(&bytes);
    if actual != *digest {
        let what = "a blob of the image".into();
        return Err(OciError::Mismatch { what, expected: digest.to_string(), actual: actual.to_string() });
    }
    Ok(bytes)
}

pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|error| OciError::Layout(format!("{what} cannot be read: {error}")))
}

/// The digest of an image's manifest: what the image is deployed by.
pub fn digest_of(image: &Tree, store: &Store) -> Result<Sha256, OciError> {
    let path = RelPath::new("index.json").expect("a plain name");
    select(&parse(&store.read(&file(image, &path)?.0)?, "index.json")?, None)
}

/// The manifest of an image, with its bytes.
pub fn read_manifest(image: &Tree, store: &Store) -> Result<(Manifest, Vec<u8>), OciError> {
    let bytes = read_blob(image, &digest_of(image, store)?, store)?;
    Ok((Manifest::parse(&bytes, "the manifest")?, bytes))
}

/// The configuration of an image: entry point, environment, user.
pub fn read_configuration(image: &Tree, store: &Store) -> Result<Configuration, OciError> {
    let (manifest, _) = read_manifest(image, store)?;
    parse(&read_blob(image, &manifest.config.digest, store)?, "the image's config")
}

/// Adds a blob that is in the store.
pub(crate) fn add_blob(tree: &mut Tree, digest: &Sha256, content: Digest, size: u64) -> Result<(), OciError> {
    Ok(tree.insert(blob_path(digest), TreeEntry::File { digest: content, size, executable: false })?)
}

/// Adds a small blob.
pub(crate) fn add_bytes(tree: &mut Tree, bytes: &[u8], store: &Store) -> Result<Sha256, OciError> {
    let digest = Sha256::of(bytes);
    add_blob(tree, &digest, store.put_bytes(bytes)?, bytes.len() as u64)?;
    Ok(digest)
}

/// Adds `oci-layout` and an `index.json` that names one manifest.
pub(crate) fn finish(
    tree: &mut Tree,
    manifest: Descriptor,
    platform: Option<&Platform>,
    store: &Store,
) -> Result<(), OciError> {
    let platform = platform.map(|platform| oci_distribution::manifest::Platform {
        architecture: (*platform.arch).into(),
        os: (*platform.os).into(),
        os_version: None,
        os_features: None,
        variant: None,
        features: None,
    });
    let OciDescriptor { media_type, digest, size, annotations, artifact_type, .. } = manifest.into_oci();
    let entry = ImageIndexEntry { media_type, digest, size, platform, annotations, artifact_type };
    let index = OciImageIndex {
        schema_version: 2,
        media_type: Some(INDEX_MEDIA_TYPE.into()),
        manifests: vec![entry],
        artifact_type: None,
        annotations: None,
    };
    let index = serde_json::to_vec(&index).expect("texts and numbers always serialise");
    for (name, bytes) in [("oci-layout", LAYOUT), ("index.json", index.as_slice())] {
        let file = TreeEntry::File { digest: store.put_bytes(bytes)?, size: bytes.len() as u64, executable: false };
        tree.insert(RelPath::new(name).expect("a plain name"), file)?;
    }
    Ok(())
}
