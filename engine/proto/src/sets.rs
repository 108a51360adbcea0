//! Descriptor sets, read no further than needed: the names of their files and what these import publicly.

use std::collections::{BTreeMap, BTreeSet};

use model::{Diagnostic, Diagnostics};
use prost::Message;

/// A `FileDescriptorSet` whose files are left encoded.
#[derive(Clone, PartialEq, prost::Message)]
struct EncodedSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// The beginning of a `FileDescriptorProto`.
#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    dependency: Vec<String>,
    #[prost(int32, repeated, packed = "false", tag = "10")]
    public_dependency: Vec<i32>,
}

/// The descriptor set of a dependency.
pub(crate) struct DependencySet {
    /// The label of the target that makes it, as a user would add it to `deps`.
    pub label: String,
    /// Whether it is one of the target's own `deps`.
    pub direct: bool,
    /// An encoded `FileDescriptorSet`.
    pub bytes: Vec<u8>,
}

/// A file of a dependency.
pub(crate) struct KnownFile {
    /// The label of the target that has it.
    pub label: String,
    /// Whether that target is one of `deps`.
    pub direct: bool,
    /// What it imports publicly.
    pub exports: Vec<String>,
}

/// The files of all dependencies by import path.
pub(crate) struct Index(pub BTreeMap<String, KnownFile>);

impl Index {
    /// Reads the sets. That two targets have a file by one path is an error: which of them is meant?
    pub(crate) fn of(sets: &[DependencySet]) -> Result<Self, Diagnostics> {
        let mut files: BTreeMap<String, KnownFile> = BTreeMap::new();
        let mut errors = Vec::new();
        for set in sets {
            for head in heads(&set.bytes).map_err(|error| unreadable(&set.label, &error))? {
                match files.get(&head.name) {
                    Some(other) => errors.push(conflict(&head.name, &other.label, &set.label)),
                    None => {
                        let known = KnownFile { label: set.label.clone(), direct: set.direct, exports: exports(&head) };
                        files.insert(head.name, known);
                    }
                }
            }
        }
        if errors.is_empty() { Ok(Self(files)) } else { Err(Diagnostics(errors)) }
    }

    /// What `deps` have, and what their files import publicly.
    pub(crate) fn importable(&self) -> BTreeSet<&str> {
        let direct = self.0.iter().filter(|(_, file)| file.direct);
        let mut found: BTreeSet<&str> = direct.map(|(path, _)| path.as_str()).collect();
        let mut open: Vec<&str> = found.iter().copied().collect();
        while let Some(path) = open.pop() {
            let exports = self.0.get(path).map(|file| file.exports.as_slice()).unwrap_or_default();
            open.extend(exports.iter().map(String::as_str).filter(|export| found.insert(export)));
        }
        found
    }
}

/// The names of the files in an encoded set.
pub(crate) fn names(set: &[u8]) -> Result<BTreeSet<String>, Diagnostics> {
    let heads = heads(set).map_err(|error| unreadable("the set of well-known types", &error))?;
    Ok(heads.into_iter().map(|head| head.name).collect())
}

fn heads(set: &[u8]) -> Result<Vec<Head>, prost::DecodeError> {
    EncodedSet::decode(set)?.file.iter().map(|file| Head::decode(file.as_slice())).collect()
}

fn exports(head: &Head) -> Vec<String> {
    let named = |index: &i32| head.dependency.get(usize::try_from(*index).ok()?).cloned();
    head.public_dependency.iter().filter_map(named).collect()
}

fn unreadable(label: &str, error: &prost::DecodeError) -> Diagnostics {
    Diagnostics(vec![Diagnostic::error(format!("`{label}` gives no descriptor set: {error}"))])
}

fn conflict(path: &str, one: &str, other: &str) -> Diagnostic {
    Diagnostic::error(format!("`{one}` and `{other}` both have a file with the import path `{path}`"))
        .hint("depend on one of them, or set `strip_import_prefix` or `import_prefix` of the other")
}
