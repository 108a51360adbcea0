//! Where the compiler finds an import: among the sources, in the sets of dependencies, or among the well-known types.

use std::collections::BTreeMap;

use prost::Message;
use protox::file::{File, FileResolver, GoogleFileResolver};

/// Files of the sources and of all dependencies, by import path.
pub(crate) struct Resolver {
    files: BTreeMap<String, File>,
    well_known: GoogleFileResolver,
}

/// A `FileDescriptorSet` whose files are left encoded, so that custom options in them survive.
#[derive(Clone, PartialEq, prost::Message)]
struct EncodedSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

impl Resolver {
    /// The well-known types only. (`GoogleFileResolver::default()` would have none.)
    pub(crate) fn new() -> Self {
        Self { files: BTreeMap::new(), well_known: GoogleFileResolver::new() }
    }

    /// Adds a file; the first of a name stays.
    pub(crate) fn add(&mut self, file: File) {
        self.files.entry(file.name().to_owned()).or_insert(file);
    }
}

impl FileResolver for Resolver {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.files.get(name) {
            Some(file) => Ok(file.clone()),
            None => self.well_known.open_file(name),
        }
    }
}

/// Whether the file comes with the compiler.
pub(crate) fn is_well_known(name: &str) -> bool {
    name.starts_with("google/protobuf/") && GoogleFileResolver::new().open_file(name).is_ok()
}

/// The files of an encoded `FileDescriptorSet`.
pub(crate) fn files_of(set: &[u8]) -> Result<Vec<File>, prost::DecodeError> {
    let set = EncodedSet::decode(set)?;
    set.file.into_iter().map(|file| File::decode_file_descriptor_proto(file.as_slice())).collect()
}

/// One set of the given encoded files.
pub(crate) fn encode_set(files: Vec<Vec<u8>>) -> Vec<u8> {
    EncodedSet { file: files }.encode_to_vec()
}
