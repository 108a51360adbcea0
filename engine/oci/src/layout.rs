//! Images as trees in the OCI image layout (`image-layout.md`): reading them and writing them.

use model::{Digest, Platform, RelPath, Tree, TreeEntry};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::Store;

use crate::config::Configuration;
use crate::digest::Sha256;
use crate::error::OciError;

pub(crate) const MANIFEST_MEDIA_TYPE: &str = oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
pub(crate) const CONFIG_MEDIA_TYPE: &str = oci_client::manifest::IMAGE_CONFIG_MEDIA_TYPE;
const INDEX_MEDIA_TYPE: &str = oci_client::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// What names a blob: media type, digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Sha256,
    /// Bytes.
    pub size: u64,
    /// For which platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DescriptorPlatform>,
}

/// The platform an index gives for a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorPlatform {
    /// The processor, by Go's name.
    pub architecture: String,
    /// The system, by Go's name.
    pub os: String,
}

/// The manifest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Its own media type; older manifests leave it out.
    #[serde(default)]
    pub media_type: Option<String>,
    /// The config blob.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// `index.json`, or a list of manifests in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default)]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
}

impl Index {
    /// The only manifest, or the one for `platform`.
    pub(crate) fn select(&self, platform: Option<&Platform>) -> Result<&Descriptor, OciError> {
        let fits = |descriptor: &&Descriptor| match (&descriptor.platform, platform) {
            (Some(has), Some(wanted)) => has.os == *wanted.os && has.architecture == *wanted.arch,
            _ => true,
        };
        let mut candidates = self.manifests.iter().filter(fits);
        match (candidates.next(), candidates.next()) {
            (Some(only), None) => Ok(only),
            (Some(first), Some(_)) if platform.is_some() => Ok(first),
            _ => Err(OciError::Layout(format!(
                "expected one manifest for the platform, found these: {}",
                self.platforms()
            ))),
        }
    }

    fn platforms(&self) -> String {
        let names: Vec<String> = self
            .manifests
            .iter()
            .filter_map(|manifest| manifest.platform.as_ref())
            .map(|platform| format!("{}/{}", platform.os, platform.architecture))
            .collect();
        if names.is_empty() { "none".into() } else { names.join(", ") }
    }
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
    let index: Index = parse(&store.read(&file(image, &path)?.0)?, "index.json")?;
    Ok(index.select(None)?.digest.clone())
}

/// The manifest of an image, with its bytes.
pub fn read_manifest(image: &Tree, store: &Store) -> Result<(Manifest, Vec<u8>), OciError> {
    let bytes = read_blob(image, &digest_of(image, store)?, store)?;
    Ok((parse(&bytes, "the manifest")?, bytes))
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
pub(crate) fn finish(tree: &mut Tree, manifest: Descriptor, store: &Store) -> Result<(), OciError> {
    let index = Index { schema_version: 2, media_type: Some(INDEX_MEDIA_TYPE.into()), manifests: vec![manifest] };
    let index = serde_json::to_vec(&index).expect("texts and numbers always serialise");
    for (name, bytes) in [("oci-layout", LAYOUT), ("index.json", index.as_slice())] {
        let file = TreeEntry::File { digest: store.put_bytes(bytes)?, size: bytes.len() as u64, executable: false };
        tree.insert(RelPath::new(name).expect("a plain name"), file)?;
    }
    Ok(())
}
