//! The file system of an image: its layers, one over the other, as a tree of the store.
//!
//! By `layer.md` of the OCI image specification: `.wh.x` removes `x` of the layers below, `.wh..wh..opq` removes all
//! that they have in its folder. Owners, times and special files are left out: a container runs as one user.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use model::{Digest, KeyBuilder, RelPath, Tree, TreeEntry};
use oci::Descriptor;
use store::Store;
use tar::{Archive, Entry, EntryType};

use super::error::LocalError;

/// Raise it when equal images give another tree.
const VERSION: u32 = 1;

/// Links that lead to links end somewhere within this many steps.
const MOST_LINKS: usize = 40;

/// Unpacks the image of a service (a tree in the OCI image layout). Done once for equal layers: the result is kept in
/// the store's memo table.
pub fn unpack(service: &str, image: &Tree, store: &Store) -> Result<Digest, LocalError> {
    let unreadable = |source| LocalError::Image { service: service.to_owned(), source };
    let (manifest, _) = oci::read_manifest(image, store).map_err(unreadable)?;
    let mut key = KeyBuilder::new("local-rootfs", VERSION);
    manifest.layers.iter().for_each(|layer| {
        key.text(layer.digest.as_str());
    });
    let key = key.finish();
    if let Some(known) = store.memo_get(&key)?.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok())
        && store.contains_tree(&known)?
    {
        return Ok(known);
    }
    let mut files = Files::default();
    for layer in &manifest.layers {
        let blob = blob(image, layer).ok_or_else(|| LocalError::NoBlob {
            service: service.to_owned(),
            layer: layer.digest.short().to_owned(),
        })?;
        files.apply(layer, reader(layer, &blob, store)?, store)?;
    }
    let digest = store.put_tree(&files.into_tree())?;
    store.memo_put(&key, digest.to_hex().as_bytes())?;
    Ok(digest)
}

/// Where the layout has a layer.
fn blob(image: &Tree, layer: &Descriptor) -> Option<Digest> {
    let path = RelPath::new(&format!("blobs/sha256/{}", layer.digest.hex())).ok()?;
    match image.entries.get(&path)? {
        TreeEntry::File { digest, .. } => Some(*digest),
        TreeEntry::Symlink { .. } | TreeEntry::EmptyFolder => None,
    }
}

/// The plain archive of a layer.
fn reader(layer: &Descriptor, blob: &Digest, store: &Store) -> Result<Box<dyn Read>, LocalError> {
    let file = store.open_blob(blob)?;
    match layer.media_type.rsplit(['+', '.']).next() {
        Some("gzip") => Ok(Box::new(MultiGzDecoder::new(file))),
        Some("tar") => Ok(Box::new(file)),
        _ => {
            Err(LocalError::MediaType { layer: layer.digest.short().to_owned(), media_type: layer.media_type.clone() })
        }
    }
}

/// The layers applied so far, by path. Paths are clean: see [`clean`].
#[derive(Default)]
struct Files {
    entries: BTreeMap<String, TreeEntry>,
    /// Paths that the layer at hand brought, which its own whiteouts leave alone.
    fresh: BTreeSet<String>,
}

impl Files {
    fn apply(&mut self, layer: &Descriptor, archive: Box<dyn Read>, store: &Store) -> Result<(), LocalError> {
        let fail = |path: &str, source| LocalError::Layer {
            layer: layer.digest.short().to_owned(),
            path: path.to_owned(),
            source,
        };
        self.fresh.clear();
        let mut archive = Archive::new(archive);
        for entry in archive.entries().map_err(|error| fail("its start", error))? {
            let mut entry = entry.map_err(|error| fail("an entry", error))?;
            let path = self.place(&clean(&String::from_utf8_lossy(&entry.path_bytes())));
            match split(&path).1.strip_prefix(".wh.") {
                Some(hidden) => self.hide(split(&path).0, hidden),
                None => {
                    let content = self.content(&path, &mut entry, store).map_err(|error| fail(&path, error))?;
                    content.into_iter().for_each(|content| self.insert(&path, content));
                }
            }
        }
        Ok(())
    }

    /// The content of an entry; `None` for a folder that is there already, and for devices, which have no place here.
    fn content(
        &self,
        path: &str,
        entry: &mut Entry<'_, Box<dyn Read>>,
        store: &Store,
    ) -> io::Result<Option<TreeEntry>> {
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let executable = entry.header().mode()? & 0o111 != 0;
                let (digest, size) = store.put_reader(entry).map_err(io::Error::other)?;
                Ok(Some(TreeEntry::File { digest, size, executable }))
            }
            EntryType::Symlink => Ok(Some(TreeEntry::Symlink { target: link_target(entry)? })),
            EntryType::Link => {
                let target = self.place(&clean(&link_target(entry)?));
                let original = self.entries.get(&target).cloned();
                original.map(Some).ok_or_else(|| io::Error::other(format!("{target}, which it links to, is missing")))
            }
            EntryType::Directory => Ok((!self.is_folder(path)).then_some(TreeEntry::EmptyFolder)),
            _ => Ok(None),
        }
    }

    fn is_folder(&self, path: &str) -> bool {
        path.is_empty() || self.entries.get(path) == Some(&TreeEntry::EmptyFolder) || self.below(path).next().is_some()
    }

    /// The paths below a folder.
    fn below(&self, folder: &str) -> impl Iterator<Item = &String> + use<'_> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.entries.range(prefix.clone()..).map(|(path, _)| path).take_while(move |path| path.starts_with(&prefix))
    }

    /// Puts an entry in place of what was there, and of files that stand where it needs folders.
    fn insert(&mut self, path: &str, content: TreeEntry) {
        parents(path).for_each(|folder| {
            self.entries.remove(folder);
        });
        let gone: Vec<String> = self.below(path).cloned().collect();
        gone.iter().for_each(|path| {
            self.entries.remove(path);
        });
        self.entries.insert(path.to_owned(), content);
        self.fresh.insert(path.to_owned());
    }

    /// Applies a whiteout in a folder. The folder itself stays.
    fn hide(&mut self, folder: &str, hidden: &str) {
        let is_opaque = hidden == ".wh..opq";
        let path = if is_opaque { folder.to_owned() } else { join(folder, hidden) };
        let mut gone: Vec<String> = self.below(&path).filter(|path| !self.fresh.contains(*path)).cloned().collect();
        gone.extend((!is_opaque && !self.fresh.contains(&path)).then_some(path));
        gone.iter().for_each(|path| {
            self.entries.remove(path);
        });
        if !self.is_folder(folder) {
            self.entries.insert(folder.to_owned(), TreeEntry::EmptyFolder);
        }
    }

    /// Where a path leads, its parents followed through links of the layers below, as a container engine does.
    fn place(&self, path: &str) -> String {
        let mut place = path.to_owned();
        for _ in 0..MOST_LINKS {
            match self.follow_first_link(&place) {
                Some(next) => place = next,
                None => break,
            }
        }
        place
    }

    fn follow_first_link(&self, path: &str) -> Option<String> {
        let parents: Vec<&str> = parents(path).collect();
        parents.into_iter().rev().find_map(|parent| {
            let Some(TreeEntry::Symlink { target }) = self.entries.get(parent) else { return None };
            let base = if target.starts_with('/') { "" } else { split(parent).0 };
            Some(clean(&format!("{base}/{target}{}", &path[parent.len()..])))
        })
    }

    fn into_tree(self) -> Tree {
        let clean = |(path, entry): (String, TreeEntry)| Some((RelPath::new(&path).ok()?, entry));
        Tree { entries: self.entries.into_iter().filter_map(clean).collect() }
    }
}

fn link_target(entry: &Entry<'_, Box<dyn Read>>) -> io::Result<String> {
    let target = entry.link_name_bytes().ok_or_else(|| io::Error::other("it is a link without a target"))?;
    Ok(String::from_utf8_lossy(&target).into_owned())
}

/// The folders above a path, the nearest first, without the root.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(parent, _)| parent.rsplit_once('/')).map(|(parent, _)| parent)
}

/// Folder and name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A path of an archive without `.`, `..`, and doubled or outer slashes. `..` stops at the root, as it does in a
/// container.
fn clean(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    segments.join("/")
}
