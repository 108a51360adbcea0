//! The index of source files: which content a file had when its stat was last seen.
//!
//! `sources` is a log of records of fixed length, each with a checksum, appended under a lock by whole records; the
//! last record of an inode counts. A torn or foreign record is skipped and costs one more hash. The log is rewritten
//! when most of it is stale.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use host::fs::{self, FileError, FileStat};
use model::Digest;

use crate::waiting::Waiting;

const LENGTH: usize = 88;
const STALE: usize = 4096;

/// Records by device and inode.
#[derive(Default)]
pub(crate) struct Index {
    records: HashMap<(u64, u64), Record>,
    read: usize,
    pending: Vec<Record>,
}

/// One source file as it was seen.
#[derive(Clone, Copy)]
pub(crate) struct Record {
    pub(crate) stat: FileStat,
    pub(crate) digest: Digest,
}

impl Index {
    /// Reads the log; an unreadable one is empty.
    pub(crate) fn load(path: &Path) -> Self {
        Self::load_checked(path).0
    }

    /// The same, and how many pieces are no records.
    pub(crate) fn load_checked(path: &Path) -> (Self, usize) {
        let bytes = fs::read(path).unwrap_or_default();
        let mut index = Self { read: bytes.len() / LENGTH, ..Self::default() };
        let mut whole = 0;
        for record in bytes.chunks_exact(LENGTH).filter_map(Record::decode) {
            index.records.insert(record.key(), record);
            whole += 1;
        }
        // The beginning of a record at the end is what a killed writer leaves, and no damage.
        (index, bytes.len() / LENGTH - whole)
    }

    /// How many files are known.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Writes the log with the records that count.
    pub(crate) fn rewrite(&self, path: &Path) -> Result<(), FileError> {
        fs::write_atomic(path, &encode(self.records.values()))
    }

    /// The content of the file with this very stat.
    pub(crate) fn get(&self, stat: &FileStat) -> Option<Digest> {
        let record = self.records.get(&(stat.device, stat.inode))?;
        (fields(&record.stat) == fields(stat)).then_some(record.digest)
    }

    /// All contents.
    pub(crate) fn digests(&self) -> HashSet<Digest> {
        self.records.values().map(|record| record.digest).collect()
    }

    /// Notes a file; returns how many records wait to be written.
    pub(crate) fn insert(&mut self, record: Record) -> usize {
        self.records.insert(record.key(), record);
        self.pending.push(record);
        self.pending.len()
    }

    /// Writes what is new.
    pub(crate) fn flush(&mut self, path: &Path, waiting: &Waiting) -> Result<(), FileError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.read += pending.len();
        if self.read > 2 * self.records.len() + STALE {
            self.read = self.records.len();
            return self.rewrite(path);
        }
        let file = open_locked(path, waiting)?;
        let length = fs::stat_open(&file, path)?.size;
        let whole = length - length % LENGTH as u64;
        fs::set_len(&file, path, whole)?;
        fs::write_all(&file, path, &encode(pending.iter()))
    }
}

/// Opens and locks the log; again if it was replaced meanwhile.
fn open_locked(path: &Path, waiting: &Waiting) -> Result<File, FileError> {
    loop {
        let file = fs::open_append(path)?;
        waiting.lock(&file, path)?;
        if fs::stat(path).is_ok_and(|now| fs::stat_open(&file, path).is_ok_and(|own| own.inode == now.inode)) {
            return Ok(file);
        }
    }
}

fn encode<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<u8> {
    records.flat_map(Record::encode).collect()
}

/// All of a stat that tells one state of a file from another. The number of links is not: blobs may be linked.
fn fields(stat: &FileStat) -> [u64; 6] {
    let time = |nanoseconds: i128| nanoseconds as i64 as u64;
    [stat.device, stat.inode, stat.size, time(stat.mtime), time(stat.ctime), u64::from(stat.mode)]
}

impl Record {
    fn key(&self) -> (u64, u64) {
        (self.stat.device, self.stat.inode)
    }

    fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        for (index, field) in fields(&self.stat).into_iter().enumerate() {
            bytes[index * 8..index * 8 + 8].copy_from_slice(&field.to_le_bytes());
        }
        bytes[48..80].copy_from_slice(self.digest.as_bytes());
        let check = Digest::of(&bytes[..80]);
        bytes[80..].copy_from_slice(&check.as_bytes()[..8]);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if Digest::of(&bytes[..80]).as_bytes()[..8] != bytes[80..] {
            return None;
        }
        let number = |index: usize| {
            let field: Option<[u8; 8]> = bytes.get(index * 8..index * 8 + 8)?.try_into().ok();
            field.map(u64::from_le_bytes)
        };
        let time = |index| number(index).map(|value| i128::from(value as i64));
        let digest: [u8; 32] = bytes.get(48..80)?.try_into().ok()?;
        let stat = FileStat {
            owner: 0,
            device: number(0)?,
            inode: number(1)?,
            size: number(2)?,
            mtime: time(3)?,
            ctime: time(4)?,
            mode: u32::try_from(number(5)?).ok()?,
            links: 1,
            kind: fs::FileKind::File,
            born: None,
        };
        Some(Self { stat, digest: Digest::from_bytes(digest) })
    }
}
