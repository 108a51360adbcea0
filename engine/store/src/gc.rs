//! Collection of garbage: results that were not used for long go, and the contents that only they need.
//!
//! Results are ordered by their last use. From the latest on, each keeps its contents until the limit of size is
//! reached; what is older, or beyond the limit of age, goes with the contents that nothing kept needs. A content that no
//! result names (a source file, say) is an item of its own, as old as its last link.
//!
//! While it removes, no process can open the store (`gate.rs`). Beside processes at work, only what was last used before
//! the first of them began can go, and no source file: what a process finds instead of storing it again counts as used
//! then. A use may wait in memory for a day that has begun (`memo.rs`); what is missed for it counts as lost where it is
//! needed, and is made again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::fs::{self, FileKind};
use model::Digest;
use rayon::prelude::*;

use crate::blobs::Store;
use crate::error::StoreError;
use crate::gate::Gate;
use crate::memo::{PRECISION, seconds};
use crate::references;

/// A file takes whole blocks of this many bytes.
const BLOCK: u64 = 4096;

/// What is to be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// At most so many bytes of contents.
    pub size: Option<u64>,
    /// Nothing that was not used for so long.
    pub age: Option<Duration>,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What a collection removed, or would have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Results that were removed.
    pub results: usize,
    /// Contents that were removed.
    pub blobs: usize,
    /// The bytes that they took.
    pub bytes: u64,
    /// Folders of trees that were removed.
    pub trees: usize,
    /// The bytes of the contents that stay.
    pub kept: u64,
    /// Whether something stays only because other processes are at work.
    pub beside_others: bool,
}

/// The files of a content.
#[derive(Default)]
struct Blob {
    files: Vec<PathBuf>,
    bytes: u64,
    /// When it was made or linked last, in seconds.
    used: u64,
}

/// What stays or goes as a whole.
struct Item {
    used: u64,
    /// Unless it is a content by itself.
    key: Option<Digest>,
    blobs: Vec<Digest>,
}

/// What goes.
#[derive(Default)]
struct Victims {
    keys: Vec<Digest>,
    live: HashSet<Digest>,
    kept: u64,
    beside_others: bool,
}

impl Store {
    /// Removes what the limits do not let stay. Other processes may be at work.
    pub fn gc(&self, limits: &Limits) -> Result<Collected, StoreError> {
        self.gc_but(limits, &HashMap::new())
    }

    /// The same when more is known of the use of contents than the store knows itself: when they were of use last, in
    /// seconds since the epoch. It counts as a use of the results that name them.
    pub fn gc_but(&self, limits: &Limits, in_use: &HashMap<Digest, u64>) -> Result<Collected, StoreError> {
        self.flush();
        let gate = Gate::close(self.root(), &self.0.waiting)?;
        let oldest = self.0.scratch.oldest_other()?;
        // Times of files may be some milliseconds behind the clock.
        let protected = oldest.map(|start| u64::try_from(start / 1_000_000_000).unwrap_or(0).saturating_sub(1));
        // In this order: the manifest of a folder that is found is found too, unless somebody removed it.
        let folders = self.entries("trees")?;
        let (mut blobs, inodes) = self.blobs()?;
        add_folders(&mut blobs, &inodes, &folders);
        let mut items = self.items(&blobs, &folders, protected.is_some())?;
        for item in items.iter_mut().filter(|item| item.key.is_some()) {
            let uses = item.blobs.iter().filter_map(|digest| in_use.get(digest));
            item.used = uses.map(|used| used + PRECISION).fold(item.used, u64::max);
        }
        let victims = choose(items, &blobs, limits, protected);
        let dead: Vec<&Blob> =
            blobs.iter().filter(|(digest, _)| !victims.live.contains(*digest)).map(|(_, blob)| blob).collect();
        let mut collected = Collected {
            results: victims.keys.len(),
            blobs: dead.len(),
            bytes: dead.iter().map(|blob| blob.bytes).sum(),
            kept: victims.kept,
            beside_others: victims.beside_others,
            trees: 0,
        };
        let trees = dead_trees(&folders, &victims.live);
        collected.trees = trees.len();
        if !limits.dry_run {
            self.0.memo.remove_all(&victims.keys)?;
            trees.par_iter().try_for_each(|path| self.remove_aside(path))?;
            let files = dead.par_iter().flat_map(|blob| &blob.files);
            files.try_for_each(|path| match fs::remove_file(path) {
                Err(error) if !error.is_not_found() => Err(error),
                _ => Ok(()),
            })?;
            if oldest.is_none() {
                self.remove_left_over()?;
            }
        }
        drop(gate);
        Ok(collected)
    }

    /// Whether another process has the store open.
    pub fn is_used_by_others(&self) -> Result<bool, StoreError> {
        Ok(self.0.scratch.oldest_other()?.is_some())
    }

    /// All contents with their files, and the inodes of these.
    fn blobs(&self) -> Result<(HashMap<Digest, Blob>, HashSet<u64>), StoreError> {
        let mut blobs: HashMap<Digest, Blob> = HashMap::new();
        let mut inodes = HashSet::new();
        let entries = self.entries("blobs")?;
        let stats: Vec<_> = entries.into_par_iter().map(|(path, name)| (fs::lstat(&path), path, name)).collect();
        for (stat, path, name) in stats {
            let digest = name.strip_suffix(".x").unwrap_or(&name).parse::<Digest>();
            let (Ok(stat), Ok(digest)) = (stat, digest) else { continue };
            let blob = blobs.entry(digest).or_default();
            let time = stat.ctime.max(stat.born.unwrap_or(0)) / 1_000_000_000;
            blob.files.push(path);
            inodes.insert(stat.inode);
            blob.bytes += stat.size.max(1).next_multiple_of(BLOCK);
            blob.used = blob.used.max(u64::try_from(time).unwrap_or(0));
        }
        Ok((blobs, inodes))
    }

    /// All that stays or goes as a whole; source files as if they were used now if `sources` are to be kept.
    fn items(
        &self,
        blobs: &HashMap<Digest, Blob>,
        folders: &[(PathBuf, String)],
        sources: bool,
    ) -> Result<Vec<Item>, StoreError> {
        let present = |digests: Vec<Digest>| -> Vec<Digest> {
            digests.into_iter().filter(|digest| blobs.contains_key(digest)).collect()
        };
        let mut items = Vec::new();
        let results: Vec<(Digest, u64, Vec<Digest>)> =
            self.0.memo.map(|key, used, value| (*key, used, present(references::named(value))))?;
        let mut needed: HashSet<Digest> = results.iter().flat_map(|(_, _, digests)| digests).copied().collect();
        let made: HashSet<Digest> = folders.iter().filter_map(|(_, name)| name.parse().ok()).collect();
        let made = made.into_iter().filter(|digest| blobs.contains_key(digest) && !needed.contains(digest));
        let made: HashSet<Digest> = made.collect();
        let trees = references::trees(self, &needed.union(&made).copied().collect());
        // Folders of trees that no result names: inputs put together for an action.
        for digest in made {
            let mut digests = present(trees.get(&digest).cloned().unwrap_or_default());
            digests.push(digest);
            needed.extend(&digests);
            items.push(Item { used: blobs[&digest].used, key: None, blobs: digests });
        }
        for (key, used, mut digests) in results {
            let files: Vec<Digest> = digests.iter().filter_map(|digest| trees.get(digest)).flatten().copied().collect();
            digests.extend(present(files));
            needed.extend(&digests);
            items.push(Item { used: used + PRECISION, key: Some(key), blobs: digests });
        }
        let known = if sources { self.0.sources.digests() } else { HashSet::new() };
        let now = seconds();
        for (digest, blob) in blobs.iter().filter(|(digest, _)| !needed.contains(*digest)) {
            let used = if known.contains(digest) { now } else { blob.used };
            items.push(Item { used, key: None, blobs: vec![*digest] });
        }
        Ok(items)
    }

    /// Removes what earlier layouts, failed actions and killed writers left. Only while nobody else is at work.
    fn remove_left_over(&self) -> Result<(), StoreError> {
        fs::remove_tree(&self.root().join("memo"))?;
        fs::remove_tree(&self.root().join("debug"))?;
        remove_unfinished(self.root(), &["blobs", "trees", "tmp"])
    }
}

/// Removes files whose writers were killed before they could give them their names, in a folder and those below it. In
/// the folders that are left out nothing is written so, and there is much.
fn remove_unfinished(folder: &Path, left_out: &[&str]) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder)? {
        let path = folder.join(&entry.name);
        match entry.is_folder {
            true if left_out.contains(&entry.name.as_str()) => {}
            true => remove_unfinished(&path, &[])?,
            false if entry.name.starts_with(fs::TEMPORARY) => fs::remove_file(&path)?,
            false => {}
        }
    }
    Ok(())
}

/// Counts with a manifest what its folder holds by itself: files that are no links to contents, be it that the contents
/// were lost or that the file system has no links.
fn add_folders(blobs: &mut HashMap<Digest, Blob>, inodes: &HashSet<u64>, folders: &[(PathBuf, String)]) {
    let sizes: Vec<u64> = folders.par_iter().map(|(path, _)| own_bytes(path, inodes)).collect();
    for ((_, name), bytes) in folders.iter().zip(sizes) {
        if let Some(blob) = name.parse().ok().and_then(|digest: Digest| blobs.get_mut(&digest)) {
            blob.bytes += bytes;
        }
    }
}

/// The bytes of files below a folder that are none of the contents.
fn own_bytes(folder: &Path, inodes: &HashSet<u64>) -> u64 {
    // What cannot be looked at, somebody is just removing.
    let entries = fs::read_dir(folder).unwrap_or_default();
    let bytes = entries.iter().map(|entry| {
        let path = folder.join(&entry.name);
        if entry.is_folder {
            return own_bytes(&path, inodes);
        }
        let own = fs::lstat(&path).ok().filter(|stat| stat.kind == FileKind::File && !inodes.contains(&stat.inode));
        own.map_or(0, |stat| stat.size.max(1).next_multiple_of(BLOCK))
    });
    bytes.sum()
}

/// Folders of trees whose manifest goes.
fn dead_trees<'a>(folders: &'a [(PathBuf, String)], live: &HashSet<Digest>) -> Vec<&'a PathBuf> {
    let dead = |name: &str| !name.parse::<Digest>().is_ok_and(|digest| live.contains(&digest));
    folders.iter().filter(|(_, name)| dead(name)).map(|(path, _)| path).collect()
}

/// Goes through the items from the latest used on, and keeps those that the limits allow.
fn choose(mut items: Vec<Item>, blobs: &HashMap<Digest, Blob>, limits: &Limits, protected: Option<u64>) -> Victims {
    items.sort_by_key(|item| (std::cmp::Reverse(item.used), item.key));
    let oldest = limits.age.map_or(0, |age| seconds().saturating_sub(age.as_secs()));
    let room = limits.size.unwrap_or(u64::MAX);
    let mut victims = Victims::default();
    let mut full = false;
    for item in items {
        let new: HashSet<Digest> =
            item.blobs.iter().filter(|digest| !victims.live.contains(*digest)).copied().collect();
        let bytes: u64 = new.iter().filter_map(|digest| blobs.get(digest)).map(|blob| blob.bytes).sum();
        let precision = if item.key.is_some() { PRECISION } else { 0 };
        // What needs no room of its own goes by its age only.
        full |= victims.kept + bytes > room;
        let goes = (full && bytes > 0) || item.used - precision.min(item.used) < oldest;
        let in_use = protected.is_some_and(|start| item.used >= start);
        victims.beside_others |= goes && in_use;
        if goes && !in_use {
            victims.keys.extend(item.key);
        } else {
            victims.kept += bytes;
            victims.live.extend(new);
        }
    }
    victims
}

impl Collected {
    /// Whether there was nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.results + self.blobs + self.trees == 0
    }
}

#[cfg(test)]
mod tests;
