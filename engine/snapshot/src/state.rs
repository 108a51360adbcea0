//! The tables of one request in memory: what its file holds, and what this command changed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use model::{Artifact, ArtifactRoot, Depset, Digest};
use store::{RowChanges, Rows, StoreError, TableFile};

use crate::codec::{Reader, Writer};
use crate::rows::Kept;

/// The tables; ids are per table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Table {
    /// One row: what the file is the state of. See [`State::open`].
    Identity,
    /// [`crate::RequestRow`], one row.
    Request,
    /// The labels that were requested, one row.
    Labels,
    /// Of a query: the text that answers it, one row.
    Answer,
    /// `observation::Observation`s.
    Observations,
    /// [`crate::ShownRow`].
    Shown,
    /// The file systems on which everything was seen, by a digest, one row.
    View,
    /// The point in a watcher's life at which everything was as the observations say, one row.
    Token,
    /// [`crate::PackageRow`].
    Packages,
    /// For a package: what its evaluation saw.
    Reads,
    /// For a configured target: its resolved attributes.
    Attributes,
    /// [`crate::TargetRow`].
    Targets,
    /// [`crate::ActionRow`].
    Actions,
    /// [`crate::Validity`] of the action with the same id.
    Validity,
    /// Artifacts: path, root, tree, owner.
    Artifacts,
    /// [`crate::Kept`] of the artifact with the same id; empty when unknown.
    Contents,
    /// Depsets: order, elements, ids of the sets included.
    Depsets,
    /// .star files that define rules: label, digest of the file and all it loads, its observations.
    Libraries,
    /// For an observation of a source file: the artifact that it is.
    Sources,
    /// For a configured target: the artifacts that it shows by default.
    Files,
    /// For each table with keys: (hash of the key, id), sorted; one row a table.
    Index,
}

const TABLES: usize = 21;

impl Table {
    /// What is read to know what an observation belongs to, and to replace it.
    pub const SMALL: [Self; 4] = [Self::Reads, Self::Libraries, Self::Sources, Self::Index];

    /// What is read to run actions and to show what they made.
    pub const OF_ACTIONS: [Self; 11] = [
        Self::Labels,
        Self::Targets,
        Self::Actions,
        Self::Validity,
        Self::Artifacts,
        Self::Contents,
        Self::Depsets,
        Self::Sources,
        Self::Files,
        Self::Attributes,
        Self::Index,
    ];

    /// All tables.
    pub const ALL: [Self; TABLES] = [
        Self::Identity,
        Self::Request,
        Self::Labels,
        Self::Answer,
        Self::Observations,
        Self::Shown,
        Self::View,
        Self::Token,
        Self::Packages,
        Self::Reads,
        Self::Attributes,
        Self::Targets,
        Self::Actions,
        Self::Validity,
        Self::Artifacts,
        Self::Contents,
        Self::Depsets,
        Self::Libraries,
        Self::Sources,
        Self::Files,
        Self::Index,
    ];
}

/// The tables whose rows begin with a key.
const KEYED: [Table; 5] = [Table::Artifacts, Table::Depsets, Table::Targets, Table::Packages, Table::Observations];

/// The rows of an index entry: hash and id.
const ENTRY: usize = 12;

/// The tables of a request.
#[derive(Debug, Default)]
pub struct State {
    file: Option<TableFile>,
    changed: HashMap<(u8, u32), Vec<u8>>,
    counts: [u32; TABLES],
    /// Keys of rows that the file's index does not have.
    added: HashMap<(u8, u64), Vec<u32>>,
    artifacts: HashMap<Artifact, u32>,
    decoded_artifacts: HashMap<u32, Artifact>,
    /// Sets that were encoded, by address, and kept so that no other set can take it.
    depsets: HashMap<usize, (u32, Arc<Depset>)>,
    decoded_depsets: HashMap<u32, Arc<Depset>>,
}

/// A short hash of a key.
fn key_hash(bytes: &[u8]) -> u64 {
    let digest = Digest::of(bytes);
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

impl State {
    /// Opens the state in `path`, if there is one of `identity`: of this version of the engine and this request.
    pub fn open(path: &Path, identity: &[u8]) -> Result<Option<Self>, StoreError> {
        let Some(file) = TableFile::open(path)? else { return Ok(None) };
        if !file.is_sound(Table::Identity as u8) || file.row(Table::Identity as u8, 0) != identity {
            return Ok(None);
        }
        let mut counts = [0; TABLES];
        counts.iter_mut().enumerate().for_each(|(table, count)| *count = file.rows(table as u8));
        Ok(Some(Self { file: Some(file), counts, ..Self::default() }))
    }

    /// The contents that a state names, whatever its request and whichever program wrote it. What cannot be read names
    /// nothing.
    pub fn contents_named(path: &Path) -> Vec<Digest> {
        let Ok(Some(file)) = TableFile::open(path) else { return Vec::new() };
        if !file.is_sound(Table::Contents as u8) {
            return Vec::new();
        }
        let mut counts = [0; TABLES];
        counts[Table::Contents as usize] = file.rows(Table::Contents as u8);
        let state = Self { file: Some(file), counts, ..Self::default() };
        let digest = |kept| match kept {
            Kept::File(digest, ..) | Kept::Tree(digest) => digest,
        };
        (0..state.len(Table::Contents)).filter_map(|artifact| state.content(artifact).map(digest)).collect()
    }

    /// An empty state.
    pub fn new(identity: &[u8]) -> Self {
        let mut state = Self::default();
        state.push(Table::Identity, identity.to_vec());
        state
    }

    /// Whether the tables are as they were written. To be asked before the rows of a table are read.
    pub fn is_sound(&self, tables: &[Table]) -> bool {
        self.file.as_ref().is_none_or(|file| tables.iter().all(|table| file.is_sound(*table as u8)))
    }

    /// Reads the keys of rows that were appended after the index was written. To be called once before keys are looked up.
    pub fn read_index(&mut self) {
        for table in KEYED {
            let known = u32::try_from(self.index_entries(table).len() / ENTRY).unwrap_or(u32::MAX);
            for id in known..self.counts[table as usize] {
                if let Some(hash) = self.hash_of(table, id) {
                    self.added.entry((table as u8, hash)).or_default().push(id);
                }
            }
        }
    }

    /// How many rows a table has.
    pub fn len(&self, table: Table) -> u32 {
        self.counts[table as usize]
    }

    /// A row; empty if there is none.
    pub fn row(&self, table: Table, id: u32) -> &[u8] {
        if !self.changed.is_empty()
            && let Some(row) = self.changed.get(&(table as u8, id))
        {
            return row;
        }
        self.file.as_ref().map_or(&[], |file| file.row(table as u8, id))
    }

    /// Replaces a row, if it differs. Keys must stay as they are.
    pub fn put(&mut self, table: Table, id: u32, row: Vec<u8>) {
        if self.row(table, id) != row || id >= self.counts[table as usize] {
            self.counts[table as usize] = self.counts[table as usize].max(id + 1);
            self.changed.insert((table as u8, id), row);
        }
    }

    /// Adds a row without a key.
    pub fn push(&mut self, table: Table, row: Vec<u8>) -> u32 {
        let id = self.counts[table as usize];
        self.counts[table as usize] += 1;
        self.changed.insert((table as u8, id), row);
        id
    }

    /// Adds a row with a key.
    pub fn push_keyed(&mut self, table: Table, row: Vec<u8>) -> u32 {
        let id = self.push(table, row);
        if let Some(hash) = self.hash_of(table, id) {
            self.added.entry((table as u8, hash)).or_default().push(id);
        }
        id
    }

    /// The row with this key.
    pub fn find(&self, table: Table, key: &[u8]) -> Option<u32> {
        let hash = key_hash(key);
        let is_it = |id: &u32| key_of(table, self.row(table, *id)).is_some_and(|own| own == key);
        if let Some(ids) = self.added.get(&(table as u8, hash))
            && let Some(id) = ids.iter().copied().find(is_it)
        {
            return Some(id);
        }
        let entries = self.index_entries(table);
        let count = entries.len() / ENTRY;
        let entry = |at: usize| -> (u64, u32) {
            let bytes = &entries[at * ENTRY..(at + 1) * ENTRY];
            let hash = bytes.first_chunk().map_or(0, |hash| u64::from_le_bytes(*hash));
            (hash, bytes.last_chunk().map_or(0, |id| u32::from_le_bytes(*id)))
        };
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = (low + high) / 2;
            if entry(middle).0 < hash { low = middle + 1 } else { high = middle }
        }
        (low..count).map(entry).take_while(|(own, _)| *own == hash).map(|(_, id)| id).find(is_it)
    }

    fn index_entries(&self, table: Table) -> &[u8] {
        self.file.as_ref().map_or(&[], |file| file.row(Table::Index as u8, table as u32))
    }

    fn hash_of(&self, table: Table, id: u32) -> Option<u64> {
        key_of(table, self.row(table, id)).map(key_hash)
    }

    /// The id of an artifact, which is added if it is new.
    pub fn artifact_id(&mut self, artifact: &Artifact) -> u32 {
        if let Some(id) = self.artifacts.get(artifact) {
            return *id;
        }
        let mut row = Writer::default();
        row.text(artifact.path().as_str());
        row.byte(u8::from(artifact.root() == ArtifactRoot::Output) | u8::from(artifact.is_tree()) << 1);
        row.label(artifact.owner());
        let found = self.find(Table::Artifacts, artifact.path().as_str().as_bytes());
        let id = match found {
            Some(id) => {
                self.put(Table::Artifacts, id, row.finish());
                id
            }
            None => self.push_keyed(Table::Artifacts, row.finish()),
        };
        self.artifacts.insert(artifact.clone(), id);
        id
    }

    /// An artifact by id.
    pub fn artifact(&mut self, id: u32) -> Option<Artifact> {
        if let Some(artifact) = self.decoded_artifacts.get(&id) {
            return Some(artifact.clone());
        }
        let mut row = Reader::new(self.row(Table::Artifacts, id));
        let path = row.path()?;
        let flags = row.byte()?;
        let owner = row.label()?;
        let artifact = match flags & 1 {
            1 => Artifact::output(path, flags & 2 != 0, &owner),
            _ => Artifact::source(&owner),
        };
        self.decoded_artifacts.insert(id, artifact.clone());
        Some(artifact)
    }

    /// The path of an artifact, and whether it is an output.
    pub fn artifact_path(&self, id: u32) -> Option<(&str, bool)> {
        let mut row = Reader::new(self.row(Table::Artifacts, id));
        Some((row.text()?, row.byte()? & 1 == 1))
    }

    pub(crate) fn known_depset(&self, set: &Arc<Depset>) -> Option<u32> {
        self.depsets.get(&(Arc::as_ptr(set) as usize)).map(|(id, _)| *id)
    }

    pub(crate) fn remember_depset(&mut self, set: &Arc<Depset>, id: u32) {
        self.depsets.insert(Arc::as_ptr(set) as usize, (id, Arc::clone(set)));
    }

    pub(crate) fn decoded_depset(&self, id: u32) -> Option<Arc<Depset>> {
        self.decoded_depsets.get(&id).cloned()
    }

    pub(crate) fn remember_decoded(&mut self, id: u32, set: &Arc<Depset>) {
        self.decoded_depsets.insert(id, Arc::clone(set));
        self.remember_depset(set, id);
    }

    /// Whether there is something to save.
    pub fn is_changed(&self) -> bool {
        !self.changed.is_empty() || self.file.is_none()
    }

    /// Writes what changed to `path`: appended to the file it came from if that is still as it was, else a new file.
    /// Gives the bytes written.
    pub fn save(&self, path: &Path) -> Result<u64, StoreError> {
        let mut changes = RowChanges::default();
        let mut changed: Vec<_> = self.changed.iter().collect();
        changed.sort_by_key(|(key, _)| **key);
        changed.into_iter().for_each(|((table, id), row)| changes.put(*table, *id, row));
        match &self.file {
            None => Ok(TableFile::create(path, &self.with_index(self.fresh_rows()))?.unwrap_or(0)),
            // Its time says when it was last of use, to a day.
            Some(file) if changes.is_empty() => file.touch().map(|()| 0),
            Some(file) if file.is_worn() => {
                Ok(TableFile::create(path, &self.with_index(file.merged(&changes)))?.unwrap_or(0))
            }
            // Whoever changed the file meanwhile knows other things; what is lost here is found again.
            Some(file) => Ok(if file.append(&changes)? { changes.bytes() as u64 } else { 0 }),
        }
    }

    fn fresh_rows(&self) -> Vec<Rows> {
        let mut tables = vec![Rows::default(); TABLES];
        for (table, rows) in tables.iter_mut().enumerate() {
            for id in 0..self.counts[table] {
                rows.push(self.changed.get(&(table as u8, id)).map_or(&[][..], Vec::as_slice));
            }
        }
        tables
    }

    fn with_index(&self, mut tables: Vec<Rows>) -> Vec<Rows> {
        let mut index = Rows::default();
        for number in 0..TABLES as u8 {
            let table = KEYED.into_iter().find(|table| *table as u8 == number);
            let mut entries: Vec<(u64, u32)> = match table {
                None => Vec::new(),
                Some(table) => (0..self.counts[table as usize])
                    // Every row has an entry, so that their number tells which rows came later.
                    .map(|id| (self.hash_of(table, id).unwrap_or(0), id))
                    .collect(),
            };
            entries.sort_unstable();
            let mut row = Vec::with_capacity(entries.len() * ENTRY);
            for (hash, id) in entries {
                row.extend_from_slice(&hash.to_le_bytes());
                row.extend_from_slice(&id.to_le_bytes());
            }
            index.push(&row);
        }
        tables[Table::Index as usize] = index;
        tables
    }

    /// Bytes of the file.
    pub fn file_size(&self) -> u64 {
        self.file.as_ref().map_or(0, TableFile::size)
    }
}

/// The key of a row: it stands first, with its length. Depsets are found by their whole row.
fn key_of(table: Table, row: &[u8]) -> Option<&[u8]> {
    if row.is_empty() {
        return None;
    }
    match table {
        Table::Depsets => Some(row),
        _ => Reader::new(row).bytes(),
    }
}
