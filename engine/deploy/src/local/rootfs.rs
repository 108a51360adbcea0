//! The file system of an image: its layers, one over the other, as a tree of the store.
//!
//! By `layer.md` of the OCI image specification: `.wh.x` removes `x` of the layers below, `.wh..wh..opq` removes all
//! that they have in its folder. Owners, times and special files are left out: a container runs as one user.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use archive::{Expansion, Kind, Member, Plain, Tar};
use flate2::read::MultiGzDecoder;
use model::{Digest, KeyBuilder, RelPath, Tree, TreeEntry};
use oci::Descriptor;
use store::Store;

use super::error::LocalError;

/// Raise it when equal images give another tree.
const VERSION: u32 = 1;

/// Links that lead to links end somewhere within this many steps.
const MOST_LINKS: usize = 40;

/// What one layer may unpack to, and how much an image may hold; enough for the largest that people run.
const MOST_BYTES: u64 = 32 << 30;
const MOST_ENTRIES: usize = 1_000_000;
const LONGEST_PATH: usize = 4096;
const IN_MEMORY: u64 = 1 << 20;

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
        let blob = &blob(image, layer).ok_or_else(|| LocalError::NoBlob {
            service: service.to_owned(),
            layer: layer.digest.short().to_owned(),
        })?;
        files.apply(layer, blob, store)?;
    }
    let digest = store.put_tree(&files.into_tree()?)?;
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
fn reader(layer: &Descriptor, blob: &Digest, store: &Store) -> Result<Plain<Box<dyn Read>>, LocalError> {
    let expansion = Expansion::new(MOST_BYTES);
    let file = expansion.packed(store.open_blob(blob)?);
    let plain: Box<dyn Read> = match layer.media_type.rsplit(['+', '.']).next() {
        Some("gzip") => Box::new(MultiGzDecoder::new(file)),
        Some("tar") => Box::new(file),
        _ => {
            let media_type = layer.media_type.clone();
            return Err(LocalError::MediaType { layer: layer.digest.short().to_owned(), media_type });
        }
    };
    Ok(expansion.plain(plain))
}

/// The layers applied so far, by path. Paths are clean: see [`clean`].
#[derive(Default)]
struct Files {
    entries: BTreeMap<String, TreeEntry>,
    /// Paths that the layer at hand brought, which its own whiteouts leave alone.
    fresh: BTreeSet<String>,
}

impl Files {
    fn apply(&mut self, layer: &Descriptor, blob: &Digest, store: &Store) -> Result<(), LocalError> {
        let fail = |path: &str, source| LocalError::Layer {
            layer: layer.digest.short().to_owned(),
            path: path.to_owned(),
            source,
        };
        self.fresh.clear();
        let mut archive = Tar::new(reader(layer, blob, store)?);
        let mut name = "its start".to_owned();
        loop {
            let member = match archive.next_member() {
                Ok(None) => return Ok(()),
                Ok(Some(member)) => member,
                Err(error) => return Err(fail(&name, io::Error::other(error))),
            };
            name.clone_from(&member.name);
            self.member(&member, archive.content(), store).map_err(|error| fail(&name, error))?;
        }
    }

    fn member(&mut self, member: &Member, content: impl Read, store: &Store) -> io::Result<()> {
        if self.entries.len() >= MOST_ENTRIES {
            return Err(io::Error::other(format!("the image has more than {MOST_ENTRIES} entries")));
        }
        let path = self.place(&inside(&member.name)?)?;
        let (folder, last) = split(&path);
        match last.strip_prefix(".wh.") {
            Some("" | "." | "..") => Err(io::Error::other("it is a whiteout that names nothing")),
            Some(_) if !folder.is_empty() && self.entries.contains_key(folder) && !self.is_folder(folder) => {
                Err(io::Error::other(format!("it is a whiteout in `{folder}`, which is no folder")))
            }
            Some(hidden) => {
                self.hide(folder, hidden);
                Ok(())
            }
            None => {
                let content = self.content(&path, member, content, store)?;
                if path.is_empty() && content.is_some() {
                    return Err(io::Error::other("the root of an image must be a folder"));
                }
                content.into_iter().for_each(|content| self.insert(&path, content));
                Ok(())
            }
        }
    }

    /// The content of an entry; `None` for a folder that is there already, and for devices, which have no place here.
    fn content(&self, path: &str, member: &Member, content: impl Read, store: &Store) -> io::Result<Option<TreeEntry>> {
        match member.kind {
            Kind::File { executable } => {
                let (digest, size) = keep(content, store)?;
                Ok(Some(TreeEntry::File { digest, size, executable }))
            }
            Kind::Symlink => Ok(Some(TreeEntry::Symlink { target: member.target.clone() })),
            Kind::HardLink => {
                let target = self.place(&inside(&member.target)?)?;
                match self.entries.get(&target) {
                    Some(original @ (TreeEntry::File { .. } | TreeEntry::Symlink { .. })) => Ok(Some(original.clone())),
                    _ => Err(io::Error::other(format!("{target}, which it links to, is no file before it"))),
                }
            }
            Kind::Folder => Ok((!self.is_folder(path)).then_some(TreeEntry::EmptyFolder)),
            Kind::Device | Kind::Pipe => Ok(None),
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
    fn place(&self, path: &str) -> io::Result<String> {
        let mut place = path.to_owned();
        for _ in 0..MOST_LINKS {
            match self.follow_first_link(&place) {
                Some(next) => place = next,
                None => return Ok(place),
            }
        }
        Err(io::Error::other("the links on its way lead in a circle"))
    }

    fn follow_first_link(&self, path: &str) -> Option<String> {
        let parents: Vec<&str> = parents(path).collect();
        parents.into_iter().rev().find_map(|parent| {
            let Some(TreeEntry::Symlink { target }) = self.entries.get(parent) else { return None };
            let base = if target.starts_with('/') { "" } else { split(parent).0 };
            Some(clean(&format!("{base}/{target}{}", &path[parent.len()..])))
        })
    }

    fn into_tree(self) -> Result<Tree, LocalError> {
        let mut tree = Tree::default();
        for (path, entry) in self.entries {
            let clean = RelPath::new(&path).map_err(|error| LocalError::Layer {
                layer: "of the image".to_owned(),
                path: path.clone(),
                source: io::Error::other(error),
            })?;
            tree.entries.insert(clean, entry);
        }
        Ok(tree)
    }
}

/// Puts a content into the store; a small one without a file in between.
fn keep(mut content: impl Read, store: &Store) -> io::Result<(Digest, u64)> {
    let mut head = Vec::new();
    content.by_ref().take(IN_MEMORY).read_to_end(&mut head)?;
    if (head.len() as u64) < IN_MEMORY {
        return Ok((store.put_bytes(&head).map_err(io::Error::other)?, head.len() as u64));
    }
    store.put_reader(head.as_slice().chain(content)).map_err(io::Error::other)
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

/// The path of an entry. One that leads out of the image is a mistake or an attack, and engines differ in what they make
/// of it.
fn inside(name: &str) -> io::Result<String> {
    let mut depth = 0usize;
    for segment in name.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                depth =
                    depth.checked_sub(1).ok_or_else(|| io::Error::other(format!("`{name}` leads out of the image")))?
            }
            _ => depth += 1,
        }
    }
    match name.len() > LONGEST_PATH {
        true => Err(io::Error::other("its path is too long")),
        false => Ok(clean(name)),
    }
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
