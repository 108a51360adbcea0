//! Which contents a result needs: found by looking at its bytes, whoever wrote them.
//!
//! A value of the memo table belongs to another crate; what it holds is known by form. Thirty-two bytes are a digest, and
//! so is every run of 64 hexadecimal digits in a text. What looks like one and names nothing in the store is nothing.
//! A content that is named and reads as a manifest of a tree needs the tree's files. To keep too much is no fault.

use std::collections::{HashMap, HashSet};

use host::fs;
use model::{Digest, Tree, TreeEntry};
use rayon::prelude::*;

use crate::blobs::Store;

const HEX: usize = 64;

/// The digests that a value may name.
pub(crate) fn named(value: &[u8]) -> Vec<Digest> {
    if let Ok(bytes) = <[u8; 32]>::try_from(value) {
        return vec![Digest::from_bytes(bytes)];
    }
    let runs = value.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() == HEX);
    runs.filter_map(|run| std::str::from_utf8(run).ok()?.parse().ok()).collect()
}

/// The files of those contents that are manifests of trees.
pub(crate) fn trees(store: &Store, digests: &HashSet<Digest>) -> HashMap<Digest, Vec<Digest>> {
    let files = |digest: &Digest| {
        let path = store.blob_path(digest, false).ok()?;
        let file = fs::open(&path).ok()?;
        // Manifests are JSON; most contents are told apart by their first byte.
        if fs::read_at(&file, &path, 0, 1).ok()? != b"{" {
            return None;
        }
        let tree = Tree::from_bytes(&fs::read(&path).ok()?).ok()?;
        let digest_of = |entry: &TreeEntry| match entry {
            TreeEntry::File { digest, .. } => Some(*digest),
            TreeEntry::Symlink { .. } | TreeEntry::EmptyFolder => None,
        };
        Some(tree.entries.values().filter_map(digest_of).collect())
    };
    digests.par_iter().filter_map(|digest| Some((*digest, files(digest)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_by_their_form() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(named(a.as_bytes()), [a]);
        let text = format!(r#"{{"outputs":[["x",{{"Tree":"{}"}}]],"log":"{}"}}"#, a.to_hex(), b.to_hex());
        assert_eq!(named(text.as_bytes()), [a, b]);
        assert_eq!(named(format!("{}0", a.to_hex()).as_bytes()), []);
        assert_eq!(named(&a.to_hex().as_bytes()[1..]), []);
    }
}
