//! How long actions took when they last ran, by what they are called: they are the best guess for the next time, when
//! their keys are others.
//!
//! One file in the store, records of 16 bytes, appended at the end of an execution and read only by one that has to
//! choose. It orders work and nothing else, so that a lost or a wrong record costs time at most.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::fs::{self, FileError};
use model::{Action, KeyBuilder};

/// Identity (8 bytes), milliseconds (4), check (4).
const RECORD: usize = 16;
/// A file with fewer records is not worth writing anew.
const FEW: usize = 4096;

/// What an action is called in the file: its mnemonic and its first output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity(u64);

impl Identity {
    pub(crate) fn of(action: &Action) -> Self {
        let mut key = KeyBuilder::new("duration", 1);
        key.text(&action.mnemonic).text(action.outputs.first().map_or("", |output| output.path().as_str()));
        Self(first_bytes(key))
    }
}

fn first_bytes(key: KeyBuilder) -> u64 {
    key.finish().as_bytes()[..8].try_into().map(u64::from_le_bytes).unwrap_or_default()
}

/// The durations of one execution, to be kept.
#[derive(Debug, Default)]
pub(crate) struct Durations(Vec<u8>);

impl Durations {
    /// Notes a duration.
    pub(crate) fn note(&mut self, action: &Action, duration: Duration) {
        let milliseconds = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        self.0.extend(record(Identity::of(action), milliseconds));
    }

    /// Appends what was noted to the file, in one piece.
    pub(crate) fn keep(&mut self, path: &Path) -> Result<(), FileError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let noted = std::mem::take(&mut self.0);
        fs::write_all(&fs::open_append(path)?, path, &noted)
    }
}

/// Where the file lies in a store.
pub(crate) fn file(store: &store::Store) -> PathBuf {
    store.root().join("durations")
}

/// The last duration of each action, in milliseconds. A file that cannot be read is as good as none.
pub(crate) fn read(path: &Path) -> HashMap<Identity, u32> {
    let bytes = fs::read(path).unwrap_or_default();
    let found = parse(&bytes);
    let records = bytes.len() / RECORD;
    if records > FEW && records > 2 * found.len() {
        let compact: Vec<u8> = found.iter().flat_map(|(identity, time)| record(*identity, *time)).collect();
        // What another process appends just now is lost with it: a guess less. So is a file that cannot be written.
        let _ = fs::write_atomic(path, &compact);
    }
    found
}

fn record(identity: Identity, milliseconds: u32) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&identity.0.to_le_bytes());
    record[8..12].copy_from_slice(&milliseconds.to_le_bytes());
    record[12..].copy_from_slice(&check(identity, milliseconds).to_le_bytes());
    record
}

/// Tells a record from the middle of two.
fn check(identity: Identity, milliseconds: u32) -> u32 {
    let mixed = (identity.0 ^ u64::from(milliseconds)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).unwrap_or_default()
}

/// Later records win. After a record that a killed process left unfinished, the next whole one is looked for.
fn parse(bytes: &[u8]) -> HashMap<Identity, u32> {
    let mut found = HashMap::with_capacity(bytes.len() / RECORD);
    let mut at = 0;
    while let Some(record) = bytes[at..].first_chunk::<RECORD>() {
        let (identity, rest) = record.split_at(8);
        let (milliseconds, sum) = rest.split_at(4);
        let identity = Identity(identity.try_into().map(u64::from_le_bytes).unwrap_or_default());
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
        if check(identity, number(milliseconds)) == number(sum) {
            found.insert(identity, number(milliseconds));
            at += RECORD;
        } else {
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(records: &[(u64, u32)]) -> Vec<u8> {
        records.iter().flat_map(|(identity, time)| record(Identity(*identity), *time)).collect()
    }

    #[test]
    fn the_last_record_counts_and_torn_ones_cost_only_themselves() {
        let mut bytes = file_of(&[(1, 10), (2, 20), (1, 11)]);
        assert_eq!(parse(&bytes), HashMap::from([(Identity(1), 11), (Identity(2), 20)]));
        bytes.truncate(bytes.len() - 5);
        bytes.extend(file_of(&[(3, 30)]));
        assert_eq!(parse(&bytes), HashMap::from([(Identity(1), 10), (Identity(2), 20), (Identity(3), 30)]));
    }

    #[test]
    fn a_file_of_mostly_old_records_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("durations");
        let count = u32::try_from(FEW).unwrap() + 1;
        let records: Vec<(u64, u32)> = (0..count).map(|n| (u64::from(n % 3), n)).collect();
        std::fs::write(&path, file_of(&records)).unwrap();
        let found = read(&path);
        assert_eq!((found.len(), found[&Identity(u64::from((count - 1) % 3))]), (3, count - 1));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 3 * RECORD as u64);
        assert_eq!(read(&path), found);
        assert!(read(&folder.path().join("absent")).is_empty());
    }
}
