//! One layer of an image: a compressed archive and its descriptor, equal for equal content.

use std::str::FromStr;

use flate2::{Compression, GzBuilder};
use model::{Absolute, Digest, RelPath, Tree, TreeEntry};
use serde::{Deserialize, Serialize};
use store::Store;

use crate::digest::{HashingWriter, Sha256};
use crate::error::OciError;
use crate::tar;

/// The media type of the layers made here.
pub(crate) const LAYER_MEDIA_TYPE: &str = oci_distribution::manifest::IMAGE_LAYER_GZIP_MEDIA_TYPE;

/// Fixed, since another level gives other bytes. 3 takes half the time of the usual 6 for a few per cent more size.
const LEVEL: u32 = 3;

/// How the name of a marker begins that removes something of the layers below.
const WHITEOUT: &str = ".wh.";

/// What goes into a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRequest {
    /// What goes where.
    pub entries: Vec<LayerEntry>,
    /// Who owns all of it.
    pub owner: Owner,
}

/// Some content and its path in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// The path in the image; a leading `/` may be left out.
    pub target: String,
    /// What stands there.
    pub content: LayerContent,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerContent {
    /// A regular file.
    File {
        /// Its content.
        digest: Digest,
        /// Bytes.
        size: u64,
        /// Mode 0755 instead of 0644.
        executable: bool,
    },
    /// A tree of the store, placed as a folder; at `/` it is merged with the rest.
    Tree(Digest),
    /// A symbolic link with its target as written.
    Symlink(String),
}

/// Numeric user and group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u64,
    /// Group.
    pub gid: u64,
}

/// A layer in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The compressed archive in the store.
    pub blob: Digest,
    /// What the image's manifest and config say of it.
    pub descriptor: LayerDescriptor,
}

/// What the JSON beside a layer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerDescriptor {
    /// Of the compressed archive.
    pub digest: Sha256,
    /// Of the archive before compression.
    pub diff_id: Sha256,
    /// Bytes, compressed.
    pub size: u64,
    /// How it is packed.
    pub media_type: String,
}

/// Makes a layer. Entries for one path must be equal, and no file may stand where a folder is needed.
pub fn layer(request: &LayerRequest, store: &Store) -> Result<Layer, OciError> {
    let tree = compose(&request.entries, store)?;
    let scratch = store.scratch()?;
    let path = scratch.path().join("layer.tar.gz");
    let compressed = HashingWriter::new(std::io::BufWriter::new(host::fs::Output::create(&path)?));
    // No file name, no time, and 255 for an unknown system: RFC 1952 fields that would tell machines apart.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(compressed, Compression::new(LEVEL));
    let open = |digest: &Digest| store.open_blob(digest).map_err(std::io::Error::other);
    let archive = tar::write(&tree, request.owner, HashingWriter::new(gzip), open).map_err(OciError::Write)?;
    let (gzip, diff_id, _) = archive.finish();
    let (file, digest, size) = gzip.finish().map_err(OciError::Write)?.finish();
    file.into_inner().map_err(|error| OciError::Write(error.into_error()))?;
    let (blob, _) = store.put_file(&path)?;
    Ok(Layer { blob, descriptor: LayerDescriptor { digest, diff_id, size, media_type: LAYER_MEDIA_TYPE.into() } })
}

fn compose(entries: &[LayerEntry], store: &Store) -> Result<Tree, OciError> {
    let mut tree = Tree::default();
    for entry in entries {
        let target = parse_target(&entry.target)?;
        match &entry.content {
            LayerContent::Tree(digest) => tree.insert_tree(&target, &store.tree(digest)?)?,
            LayerContent::File { digest, size, executable } => {
                let file = TreeEntry::File { digest: *digest, size: *size, executable: *executable };
                tree.insert(not_root(target, &entry.target)?, file)?;
            }
            LayerContent::Symlink(link) => {
                tree.insert(not_root(target, &entry.target)?, TreeEntry::Symlink { target: link.clone() })?;
            }
        }
    }
    tree.check()?;
    refuse_whiteouts(&tree)?;
    // In a container `/` is the image's root, and nothing is above it.
    tree.check_links(Absolute::Tree)?;
    Ok(tree)
}

/// In a layer, a file `.wh.x` says that `x` of the layers below is gone (`layer.md` of the OCI image specification), so no
/// file or folder of an image can have such a name.
fn refuse_whiteouts(tree: &Tree) -> Result<(), OciError> {
    let is_reserved = |path: &&RelPath| path.as_str().split('/').any(|name| name.starts_with(WHITEOUT));
    match tree.entries.keys().find(is_reserved) {
        None => Ok(()),
        Some(path) => Err(OciError::Target {
            path: path.to_string(),
            reason: format!("names that begin with `{WHITEOUT}` mark files of lower layers as removed"),
        }),
    }
}

fn parse_target(target: &str) -> Result<RelPath, OciError> {
    let relative = target.strip_prefix("./").unwrap_or(target).trim_start_matches('/').trim_end_matches('/');
    let relative = if relative == "." { "" } else { relative };
    RelPath::new(relative)
        .map_err(|error| OciError::Target { path: target.to_owned(), reason: error.reason.to_owned() })
}

fn not_root(target: RelPath, given: &str) -> Result<RelPath, OciError> {
    if target.as_str().is_empty() {
        let reason = "it is the root; only a tree can be placed there".into();
        return Err(OciError::Target { path: given.to_owned(), reason });
    }
    Ok(target)
}

impl FromStr for Owner {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let parsed = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        // Seven octal digits are what a ustar header holds.
        match parsed.filter(|(uid, gid): &(u64, u64)| *uid < 0o10_000_000 && *gid < 0o10_000_000) {
            Some((uid, gid)) => Ok(Self { uid, gid }),
            None => Err(OciError::Parameter(format!(
                "`{text}` is not an owner: expected `<uid>:<gid>` in numbers below 2097152"
            ))),
        }
    }
}
