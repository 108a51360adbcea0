//! One record of the memo log: a fixed header with its own check, then the value, padded to eight bytes.
//!
//! The header's check tells a record from what a crash or a fault left there; the value's check is looked at when the
//! value is read, so that opening a log costs its length in headers and not in hashing. Records begin at multiples of
//! eight, so that reading goes on behind damage at the next header that is whole.

use model::{Digest, KeyBuilder};

pub(crate) const HEADER: usize = 80;
const ALIGN: usize = 8;
const MAGIC: u32 = 0x4d_45_4d_4f;
const CHECKED: usize = 72;

/// What a record says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has this value from now on.
    Put = 1,
    /// It was used.
    Use = 2,
    /// It has no value from now on.
    Remove = 3,
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) key: Digest,
    /// When, in seconds since the epoch.
    pub(crate) stamp: u64,
    /// Bytes of the value.
    pub(crate) length: u32,
    check: [u8; 16],
}

impl Record {
    /// The record that gives `key` a value.
    pub(crate) fn put(key: &Digest, stamp: u64, value: &[u8]) -> Self {
        // A value is a list of outputs; one beyond four gigabytes would not fit memory, and fails its check.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        Self { kind: Kind::Put, key: *key, stamp, length, check: check(key, value) }
    }

    /// A record without a value.
    pub(crate) fn of(kind: Kind, key: &Digest, stamp: u64) -> Self {
        Self { kind, key: *key, stamp, length: 0, check: [0; 16] }
    }

    /// Whether this is the value that was put.
    pub(crate) fn fits(&self, value: &[u8]) -> bool {
        value.len() == self.length as usize && check(&self.key, value) == self.check
    }

    /// Bytes in the log.
    pub(crate) fn size(&self) -> u64 {
        (HEADER + (self.length as usize).next_multiple_of(ALIGN)) as u64
    }

    /// Appends the record with its value.
    pub(crate) fn encode(&self, value: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&(self.kind as u32).to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.stamp.to_le_bytes());
        out.extend_from_slice(self.key.as_bytes());
        out.extend_from_slice(&self.check);
        let header = Digest::of(&out[start..start + CHECKED]);
        out.extend_from_slice(&header.as_bytes()[..HEADER - CHECKED]);
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(ALIGN), 0);
    }

    /// The header at the start of `bytes`, if it is whole.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if number(0)? != MAGIC || Digest::of(bytes.get(..CHECKED)?).as_bytes()[..8] != *bytes.get(CHECKED..HEADER)? {
            return None;
        }
        let kind = match number(4)? {
            1 => Kind::Put,
            2 => Kind::Use,
            3 => Kind::Remove,
            _ => return None,
        };
        let stamp = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
        let key: [u8; 32] = bytes.get(24..56)?.try_into().ok()?;
        let check = bytes.get(56..CHECKED)?.try_into().ok()?;
        Some(Self { kind, key: Digest::from_bytes(key), stamp, length: number(8)?, check })
    }
}

/// Whether a tail of the log is the beginning of a record: what a writer leaves that is killed while it writes. Nothing
/// that it was told to be kept is lost with it.
pub(crate) fn is_unfinished(tail: &[u8]) -> bool {
    match Record::decode(tail) {
        Some(record) => record.size() > tail.len() as u64,
        None => tail.len() < HEADER && MAGIC.to_le_bytes().iter().zip(tail).all(|(expected, byte)| expected == byte),
    }
}

/// The whole records in a piece of the log, with where each begins, and where the last of them ends.
pub(crate) fn scan(bytes: &[u8]) -> (Vec<(u64, Record)>, u64) {
    let (mut records, mut at, mut end) = (Vec::new(), 0, 0);
    while at + HEADER <= bytes.len() {
        match Record::decode(&bytes[at..]) {
            Some(record) if at as u64 + record.size() <= bytes.len() as u64 => {
                records.push((at as u64, record));
                at += HEADER + (record.length as usize).next_multiple_of(ALIGN);
                end = at as u64;
            }
            _ => at += ALIGN,
        }
    }
    (records, end)
}

/// Covers the key too, so that a value under a wrong key does not count.
fn check(key: &Digest, value: &[u8]) -> [u8; 16] {
    let digest = KeyBuilder::new("memo", 2).digest(key).bytes(value).finish();
    let mut check = [0; 16];
    check.copy_from_slice(&digest.as_bytes()[..16]);
    check
}
