//! The directory of a zip file, read strictly: it must say the same as the headers before the contents.
//!
//! A zip file describes each entry twice, and readers differ in which they believe; a directory may be hidden behind another
//! one, or list a name twice. What they could understand differently is refused. The layout is PKWARE's APPNOTE.TXT.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use crate::archive::{ArchiveError, Limits};

/// Bytes of the end record, of an entry of the directory, of the header before a content; without their variable parts.
const END: usize = 22;
const ENTRY: usize = 46;
const LOCAL: usize = 30;

/// Flags of contents that are encrypted or patches of others.
const UNREADABLE: u16 = 1 | 1 << 5 | 1 << 6 | 1 << 13;

/// The flag of names in UTF-8.
const UTF8: u16 = 1 << 11;
/// The newest version of the format, ten times: 6.3.
const VERSION: u8 = 63;
/// The extra field that has the name once more, in UTF-8.
const UNICODE_PATH: u16 = 0x7075;

/// An entry of the directory.
struct Entry {
    name: Vec<u8>,
    extra: Vec<u8>,
    version: u8,
    checksum: u32,
    flags: u16,
    method: u16,
    packed: u64,
    size: u64,
    /// Where its header begins.
    offset: u64,
}

/// Checks the file and returns how many entries it has. Leaves the file at its start.
pub(crate) fn check(file: &mut File, limits: Limits) -> Result<usize, ArchiveError> {
    let entries = directory(file)?;
    if entries.len() > limits.entries {
        return Err(ArchiveError::TooLarge(format!("{} entries", limits.entries)));
    }
    let mut sizes: u64 = 0;
    for entry in &entries {
        let name = String::from_utf8_lossy(&entry.name);
        let wrong =
            |reason: &str| Err(ArchiveError::Ambiguous(format!("the entry `{name}` cannot be trusted: {reason}")));
        if entry.flags & UNREADABLE != 0 {
            return wrong("it is encrypted or a patch");
        }
        if !matches!(entry.method, 0 | 8) {
            return wrong("it is packed in a way that is not supported");
        }
        if entry.version > VERSION {
            return wrong("it needs a later version of the format");
        }
        if entry.name.ends_with(b"/") && (entry.size, entry.checksum) != (0, 0) {
            return wrong("it is a folder with content");
        }
        match extra_fields(&entry.extra) {
            None => return wrong("its extra fields are damaged"),
            Some(fields) if fields.contains(&UNICODE_PATH) => return wrong("it has two names"),
            Some(_) => {}
        }
        sizes = sizes.saturating_add(entry.size);
        if let Some(reason) = archive::Expansion::exceeded(sizes, length(file)?, limits.bytes) {
            return Err(ArchiveError::Bomb(reason));
        }
    }
    locals(file, &entries)?;
    file.rewind()?;
    Ok(entries.len())
}

fn length(file: &File) -> Result<u64, ArchiveError> {
    Ok(file.metadata()?.len())
}

/// The entries of the directory, which must end where the end record begins.
fn directory(file: &mut File) -> Result<Vec<Entry>, ArchiveError> {
    let length = length(file)?;
    let tail = length.min((END + 0xffff) as u64);
    let bytes = read(file, length - tail, tail)?;
    let damaged = |reason: &str| ArchiveError::Damaged(reason.to_owned());
    let at = bytes.windows(4).rposition(|window| window == b"PK\x05\x06").filter(|at| at + END <= bytes.len());
    let at = at.ok_or_else(|| damaged("it is not a zip file"))?;
    let end = &bytes[at..];
    if at + END + usize::from(u16_at(end, 20)) != bytes.len() {
        return Err(ArchiveError::Layout("its end record is not at its end".to_owned()));
    }
    let (count, size, start) = (u64::from(u16_at(end, 10)), u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
    if count == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff {
        return Err(ArchiveError::Layout("it is of the zip64 format, which no package needs".to_owned()));
    }
    if start + size != length - tail + at as u64 {
        return Err(ArchiveError::Layout("its directory is not where its end record says".to_owned()));
    }
    let entries = entries(&read(file, start, size)?).ok_or_else(|| damaged("its directory is damaged"))?;
    if entries.len() as u64 != count {
        return Err(ArchiveError::Layout(format!("its directory has {} entries and declares {count}", entries.len())));
    }
    Ok(entries)
}

fn entries(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let fixed = bytes.get(..ENTRY).filter(|fixed| fixed.starts_with(b"PK\x01\x02"))?;
        let name = usize::from(u16_at(fixed, 28));
        let (extra, comment) = (usize::from(u16_at(fixed, 30)), usize::from(u16_at(fixed, 32)));
        entries.push(Entry {
            name: bytes.get(ENTRY..ENTRY + name)?.to_vec(),
            extra: bytes.get(ENTRY + name..ENTRY + name + extra)?.to_vec(),
            version: fixed[6],
            checksum: u32_at(fixed, 16),
            flags: u16_at(fixed, 8),
            method: u16_at(fixed, 10),
            packed: u32_at(fixed, 20).into(),
            size: u32_at(fixed, 24).into(),
            offset: u32_at(fixed, 42).into(),
        });
        bytes = bytes.get(ENTRY + name + extra + comment..)?;
    }
    Some(entries)
}

/// The kinds of the fields; none if one is longer than what is left. Fewer bytes than a field's header are padding.
fn extra_fields(mut bytes: &[u8]) -> Option<Vec<u16>> {
    let mut kinds = Vec::new();
    while bytes.len() >= 4 {
        kinds.push(u16_at(bytes, 0));
        bytes = bytes.get(4 + usize::from(u16_at(bytes, 2))..)?;
    }
    Some(kinds)
}

/// Checks the header before each content, and that no two contents share bytes.
fn locals(file: &mut File, entries: &[Entry]) -> Result<(), ArchiveError> {
    let mut places = Vec::new();
    for entry in entries {
        let header = read(file, entry.offset, LOCAL as u64)?;
        let wrong = |reason: &str| {
            let name = String::from_utf8_lossy(&entry.name);
            Err(ArchiveError::Ambiguous(format!("the entry `{name}` cannot be trusted: {reason}")))
        };
        if !header.starts_with(b"PK\x03\x04") {
            return wrong("its content is not where the directory says");
        }
        let (name, extra) = (u64::from(u16_at(&header, 26)), u64::from(u16_at(&header, 28)));
        if read(file, entry.offset + LOCAL as u64, name)? != entry.name {
            return wrong("it has two names");
        }
        if (u16_at(&header, 6) ^ entry.flags) & UTF8 != 0 && !entry.name.is_ascii() {
            return wrong("its name has two encodings");
        }
        if u16_at(&header, 8) != entry.method {
            return wrong("it is packed in two ways");
        }
        // With flag 3 the sizes follow the content; a writer that does not know them yet may leave room for large ones.
        let sizes = (u64::from(u32_at(&header, 18)), u64::from(u32_at(&header, 22)));
        let known = u16_at(&header, 6) & 8 == 0 && sizes != (u32::MAX.into(), u32::MAX.into());
        if known && sizes != (entry.packed, entry.size) {
            return wrong("it has two sizes");
        }
        places.push((entry.offset, entry.offset + LOCAL as u64 + name + extra + entry.packed, &entry.name));
    }
    places.sort_unstable();
    for pair in places.windows(2) {
        if pair[0].1 > pair[1].0 {
            let name = String::from_utf8_lossy(pair[1].2);
            let reason = format!("the entry `{name}` cannot be trusted: it shares bytes with another one");
            return Err(ArchiveError::Ambiguous(reason));
        }
    }
    Ok(())
}

fn read(file: &mut File, start: u64, size: u64) -> Result<Vec<u8>, ArchiveError> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    match bytes.len() as u64 == size {
        true => Ok(bytes),
        false => Err(ArchiveError::Damaged("it ends too early".to_owned())),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
