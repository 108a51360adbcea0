//! An image from layers, a configuration and, where wanted, a base.

use model::{Digest, Platform, Tree};
use store::Store;

use crate::config::{Configuration, Overrides};
use crate::digest::Sha256;
use crate::error::OciError;
use crate::layer::{LAYER_MEDIA_TYPE, Layer, LayerDescriptor};
use crate::layout::{self, CONFIG_MEDIA_TYPE, Descriptor, MANIFEST_MEDIA_TYPE, Manifest};

/// What an image is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRequest {
    /// An image to build on: its layers come first, its configuration is inherited.
    pub base: Option<Tree>,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
    /// What the configuration sets.
    pub overrides: Overrides,
    /// What it is for.
    pub platform: Platform,
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The image layout.
    pub tree: Tree,
    /// The digest of its tree, as the store knows it.
    pub content: Digest,
    /// The digest of its manifest: what it is deployed by.
    pub digest: Sha256,
}

/// Makes an image. Only the manifest, the config and the layout's two files are new contents.
pub fn image(request: &ImageRequest, store: &Store) -> Result<Image, OciError> {
    let mut tree = Tree::default();
    let (mut config, mut layers) = match &request.base {
        None => (Configuration::scratch(&request.platform), Vec::new()),
        Some(base) => inherit(base, &request.platform, &mut tree, store)?,
    };
    config.config.apply(&request.overrides);
    for layer in &request.layers {
        let LayerDescriptor { digest, diff_id, size, media_type } = layer.descriptor.clone();
        layout::add_blob(&mut tree, &digest, layer.blob, size)?;
        layers.push(Descriptor::of(&media_type, &digest, size));
        config.push_layer(&diff_id);
    }
    let config_bytes = serde_json::to_vec(&config).expect("a configuration always serialises");
    let config_digest = layout::add_bytes(&mut tree, &config_bytes, store)?;
    let config = Descriptor::of(CONFIG_MEDIA_TYPE, &config_digest, config_bytes.len() as u64);
    let manifest_bytes = Manifest { media_type: Some(MANIFEST_MEDIA_TYPE.into()), config, layers }.to_bytes();
    let digest = layout::add_bytes(&mut tree, &manifest_bytes, store)?;
    let descriptor = Descriptor::of(MANIFEST_MEDIA_TYPE, &digest, manifest_bytes.len() as u64);
    layout::finish(&mut tree, descriptor, Some(&request.platform), store)?;
    let content = store.put_tree(&tree)?;
    Ok(Image { tree, content, digest })
}

/// The base's configuration and layers; their blobs join the tree.
fn inherit(
    base: &Tree,
    platform: &Platform,
    tree: &mut Tree,
    store: &Store,
) -> Result<(Configuration, Vec<Descriptor>), OciError> {
    let (manifest, _) = layout::read_manifest(base, store)?;
    let config = Configuration::based_on(layout::read_configuration(base, store)?, platform)?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(OciError::Layout("the base's config and manifest disagree on the number of layers".into()));
    }
    let mut layers = manifest.layers;
    for layer in &mut layers {
        let (content, size) = layout::file(base, &layout::blob_path(&layer.digest))?;
        layout::add_blob(tree, &layer.digest, content, size)?;
        // The same bytes under the name of the older format: an OCI manifest takes only its own.
        if layer.media_type == "application/vnd.docker.image.rootfs.diff.tar.gzip" {
            layer.media_type = LAYER_MEDIA_TYPE.into();
        }
    }
    Ok((config, layers))
}
