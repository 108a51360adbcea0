//! The built-in action `fetch`: from parameters to a tree of the store, downloaded once and then found by its key.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Digest, RelPath, Reporter, Tree, TreeEntry};
use store::Store;

use crate::archive::{ArchiveError, Exclude, Limits, check, relative_target};
use crate::endpoints::{Ecosystem, Endpoints};
use crate::error::FetchError;
use crate::params::{Merge, Params};
use crate::{debian, go_module, pypi};

/// What a `fetch` action gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// One file.
    File {
        /// Its content.
        digest: Digest,
        /// Bytes.
        size: u64,
    },
    /// A tree of the store.
    Tree(Digest),
}

/// What every kind of package needs to be fetched.
pub(crate) struct Context<'a> {
    pub store: &'a Store,
    pub endpoints: &'a Endpoints,
    pub reporter: &'a dyn Reporter,
    pub limits: Limits,
}

/// Fetches what `params` describe, unless the store has it. Blocks; may be called on any thread.
pub fn run(
    params: &serde_json::Value,
    store: &Store,
    endpoints: &Endpoints,
    reporter: &dyn Reporter,
) -> Result<Fetched, FetchError> {
    let context = Context { store, endpoints, reporter, limits: Limits::default() };
    tree(&Params::parse(params)?, &context).map(Fetched::Tree)
}

/// Which kinds of packages a fetch has to ask for. What the store has needs no endpoint.
pub fn ecosystems(params: &serde_json::Value, store: &Store) -> Result<BTreeSet<Ecosystem>, FetchError> {
    let mut needed = BTreeSet::new();
    let mut open = vec![Params::parse(params)?];
    while let Some(params) = open.pop() {
        if kept(&params, store)?.is_some() {
            continue;
        }
        match params {
            Params::Go(_) => drop(needed.insert(Ecosystem::Go)),
            Params::Pypi(_) => drop(needed.insert(Ecosystem::Pypi)),
            Params::Debian(_) => drop(needed.insert(Ecosystem::Debian)),
            Params::Merge(merge) => open.extend(merge.parts),
        }
    }
    Ok(needed)
}

/// The tree that the store has for these parameters.
fn kept(params: &Params, store: &Store) -> Result<Option<Digest>, FetchError> {
    let known = store.memo_get(&params.key())?.and_then(|bytes| Some(Digest::from_bytes(bytes.try_into().ok()?)));
    Ok(match known {
        Some(digest) if store.contains_tree(&digest)? => Some(digest),
        _ => None,
    })
}

/// The digest of the tree.
pub(crate) fn tree(params: &Params, context: &Context<'_>) -> Result<Digest, FetchError> {
    let key = params.key();
    if let Some(digest) = kept(params, context.store)? {
        return Ok(digest);
    }
    let made = match params {
        Params::Go(module) => go_module::fetch(module, context)?,
        Params::Pypi(wheel) => pypi::fetch(wheel, context)?,
        Params::Debian(package) => debian::fetch(package, context)?,
        Params::Merge(parts) => merge(parts, context)?,
    };
    let digest = context.store.put_tree(&made)?;
    context.store.memo_put(&key, digest.as_bytes())?;
    Ok(digest)
}

/// How many packages are fetched at a time.
const PARALLEL: usize = 6;

/// Fetches the parts side by side. Their errors are found again, and in order, by whoever needs them.
fn prefetch(parts: &[Params], context: &Context<'_>) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(parts.len()) {
            scope.spawn(|| {
                while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if tree(part, context).is_err() {
                        next.store(parts.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

fn merge(merge: &Merge, context: &Context<'_>) -> Result<Tree, FetchError> {
    let mut all = Tree::default();
    let exclude = Exclude(&merge.exclude);
    let mut empty = Vec::new();
    prefetch(&merge.parts, context);
    for part in &merge.parts {
        let archive = |error: ArchiveError| FetchError::archive(&part.describe(), error);
        let tree = context.store.tree(&tree(part, context)?)?;
        for (path, entry) in tree.entries {
            if exclude.covers(path.as_str()) {
                continue;
            }
            if entry == TreeEntry::EmptyFolder {
                empty.push(path);
                continue;
            }
            all.insert(path, entry).map_err(|error| archive(error.into()))?;
        }
    }
    let wrong = |error: ArchiveError| FetchError::archive("the merged tree", error);
    for (path, target) in &merge.links {
        let path = RelPath::new(path).map_err(|error| FetchError::Parameters(error.to_string()))?;
        let target = relative_target(&path, target).map_err(wrong)?;
        all.insert(path, TreeEntry::Symlink { target }).map_err(|error| wrong(error.into()))?;
    }
    for folder in empty {
        let below = format!("{folder}/");
        let next = all.entries.range(folder.clone()..).map(|(path, _)| path.as_str());
        let used = next.take_while(|path| path.starts_with(folder.as_str())).any(|path| path.starts_with(&below));
        if !used {
            all.insert(folder, TreeEntry::EmptyFolder).map_err(|error| wrong(error.into()))?;
        }
    }
    check(&all).map_err(wrong)?;
    Ok(all)
}
