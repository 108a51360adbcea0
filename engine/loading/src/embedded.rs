//! The files of `rules/` as they were when the engine was built.

use std::collections::BTreeMap;

use observation::Entry;

include!(concat!(env!("OUT_DIR"), "/rules.rs"));

static CONTENTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rules.bin"));

/// The content of an embedded file.
pub(crate) fn read(path: &str) -> Option<&'static [u8]> {
    let at = TABLE.binary_search_by(|(name, _)| (*name).cmp(path)).ok()?;
    CONTENTS.get(TABLE[at].1.clone())
}

/// The entries of a folder, sorted by name; empty when there is no such folder.
pub(crate) fn list(folder: &str) -> Vec<Entry> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let from = TABLE.partition_point(|(name, _)| *name < prefix.as_str());
    let below = TABLE[from..].iter().map_while(|(name, _)| name.strip_prefix(prefix.as_str()));
    let mut entries = BTreeMap::new();
    for rest in below {
        match rest.split_once('/') {
            Some((name, _)) => entries.insert(name, true),
            None => entries.insert(rest, false),
        };
    }
    let entry = |(name, folder): (&str, bool)| Entry { name: name.to_owned(), folder, symlink: false, odd: false };
    entries.into_iter().map(entry).collect()
}
