//! A file of tables: rows of bytes by dense ids, mapped into memory and read in place.
//!
//! The file begins with all tables as they were when it was made; what changed since is appended in segments, each with
//! a checksum, so that a small change costs a small write. A row of a segment replaces the row of the same id, or adds
//! one. Nothing is ever changed in place: a new whole file is renamed over the old one, which stays valid for those who
//! have mapped it. A file that is damaged or of another format counts as absent; a torn last segment is left out.
//!
//! The only file of the engine that maps memory.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use host::fs;
use memmap2::Mmap;
use model::Digest;

use crate::error::StoreError;
use crate::files::failed;

const MAGIC: &[u8; 8] = b"BLDTABL1";
const CHECK: usize = 16;
/// Per table in the head: offset, bytes, rows, checksum.
const ENTRY: usize = 8 + 8 + 4 + CHECK;
/// Table, id, length.
const ROW_HEAD: usize = 1 + 4 + 4;

/// Rows of bytes that are being put together.
#[derive(Debug, Default, Clone)]
pub struct Rows {
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

/// Rows that replace others, or come after them: (table, id, bytes).
#[derive(Debug, Default)]
pub struct RowChanges(Vec<u8>, u32);

/// A file of tables, open for reading.
#[derive(Debug)]
pub struct TableFile {
    path: PathBuf,
    map: Mmap,
    tables: Vec<Table>,
    /// Rows of segments.
    overlay: HashMap<(u8, u32), Range<usize>>,
    /// Where the last whole segment ends.
    end: usize,
    inode: u64,
    mtime: i128,
}

#[derive(Debug)]
struct Table {
    start: usize,
    length: usize,
    /// In the first part of the file.
    rows: u32,
    /// With those that segments added.
    all: u32,
    check: [u8; CHECK],
    checked: AtomicBool,
}

impl Rows {
    /// Adds a row; gives its id.
    pub fn push(&mut self, row: &[u8]) -> u32 {
        self.bytes.extend_from_slice(row);
        // Larger tables than 4 GiB are refused when they are written.
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        self.len() - 1
    }

    /// How many rows there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        if self.bytes.len() >= u32::MAX as usize {
            return None;
        }
        let mut encoded = Vec::with_capacity(self.ends.len() * 4 + self.bytes.len());
        self.ends.iter().for_each(|end| encoded.extend_from_slice(&end.to_le_bytes()));
        encoded.extend_from_slice(&self.bytes);
        Some(encoded)
    }
}

impl RowChanges {
    /// Puts a row in place of the one with this id, or after the last one.
    pub fn put(&mut self, table: u8, id: u32, row: &[u8]) {
        self.0.push(table);
        self.0.extend_from_slice(&id.to_le_bytes());
        self.0.extend_from_slice(&(row.len() as u32).to_le_bytes());
        self.0.extend_from_slice(row);
        self.1 += 1;
    }

    /// How many rows change.
    pub fn len(&self) -> u32 {
        self.1
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.1 == 0
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

impl TableFile {
    /// Writes a whole file in place of the one that may be there; gives its length. `None` when it would be too large.
    pub fn create(path: &Path, tables: &[Rows]) -> Result<Option<u64>, StoreError> {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&(tables.len() as u32).to_le_bytes());
        let mut offset = MAGIC.len() + 4 + tables.len() * ENTRY + CHECK;
        let mut bodies = Vec::with_capacity(tables.len());
        for rows in tables {
            let Some(body) = rows.encode() else { return Ok(None) };
            head.extend_from_slice(&(offset as u64).to_le_bytes());
            head.extend_from_slice(&(body.len() as u64).to_le_bytes());
            head.extend_from_slice(&rows.len().to_le_bytes());
            head.extend_from_slice(&check(&body));
            offset += body.len();
            bodies.push(body);
        }
        let sum = check(&head);
        head.extend_from_slice(&sum);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let parts: Vec<&[u8]> = std::iter::once(&head).chain(&bodies).map(Vec::as_slice).collect();
        fs::write_parts_atomic(path, &parts)?;
        Ok(Some(offset as u64))
    }

    /// Maps a file; `None` if there is none, or none that can be used.
    #[expect(unsafe_code, reason = "mapping a file")]
    pub fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = match fs::open(path) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = fs::stat_open(&file, path)?;
        let (inode, mtime) = (stat.inode, stat.mtime);
        // SAFETY: files of tables are only ever appended to or replaced as a whole, never cut or changed in place, so the
        // mapped bytes stay as they are.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| failed("map", path, source))?;
        let Some((tables, start)) = read_head(&map) else { return Ok(None) };
        let mut opened = Self { path: path.to_owned(), map, tables, overlay: HashMap::new(), end: start, inode, mtime };
        while opened.read_segment().is_some() {}
        Ok(Some(opened))
    }

    /// Takes the next segment in, if it is whole.
    fn read_segment(&mut self) -> Option<()> {
        let (length, rest) = self.map.get(self.end..)?.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (sum, rest) = rest.split_first_chunk::<CHECK>()?;
        let body = rest.get(..length)?;
        if check(body) != *sum {
            return None;
        }
        let start = self.end + 4 + CHECK;
        let mut at = 0;
        while at < length {
            let head: &[u8; ROW_HEAD] = body.get(at..)?.first_chunk()?;
            let table = head[0];
            let id = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
            let size = u32::from_le_bytes([head[5], head[6], head[7], head[8]]) as usize;
            at += ROW_HEAD;
            let known = self.tables.get_mut(table as usize)?;
            known.all = known.all.max(id + 1);
            self.overlay.insert((table, id), start + at..start + at + size);
            at += size;
        }
        self.end = start + length;
        Some(())
    }

    /// How many rows a table has.
    pub fn rows(&self, table: u8) -> u32 {
        self.tables.get(table as usize).map_or(0, |table| table.all)
    }

    /// A row; empty if there is none with this id.
    pub fn row(&self, table: u8, id: u32) -> &[u8] {
        if !self.overlay.is_empty()
            && let Some(range) = self.overlay.get(&(table, id))
        {
            return self.map.get(range.clone()).unwrap_or_default();
        }
        let Some(table) = self.tables.get(table as usize).filter(|table| id < table.rows) else { return &[] };
        let bytes = &self.map[table.start..table.start + table.length];
        let end = |index: u32| -> usize {
            let at = index as usize * 4;
            bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes) as usize
        };
        let base = table.rows as usize * 4;
        let start = if id == 0 { 0 } else { end(id - 1) };
        bytes.get(base + start..base + end(id)).unwrap_or_default()
    }

    /// Whether a table is as it was written. Rows of a table that was not asked for this may be anything.
    pub fn is_sound(&self, table: u8) -> bool {
        let Some(table) = self.tables.get(table as usize) else { return false };
        if table.checked.load(Ordering::Relaxed) {
            return true;
        }
        let sound = check(&self.map[table.start..table.start + table.length]) == table.check;
        table.checked.store(sound, Ordering::Relaxed);
        sound
    }

    /// Appends rows. `false` when the file is no longer as it was opened: another process has changed or replaced it,
    /// or its end is torn. Then nothing is written.
    pub fn append(&self, changes: &RowChanges) -> Result<bool, StoreError> {
        if changes.is_empty() {
            return Ok(true);
        }
        let path = &self.path;
        let Ok(length) = u32::try_from(changes.0.len()) else { return Ok(false) };
        let file = fs::open_append(path)?;
        file.lock().map_err(|source| failed("lock", path, source))?;
        let now = fs::stat_open(&file, path)?;
        let current = fs::stat(path).is_ok_and(|stat| stat.inode == self.inode);
        if !current || now.inode != self.inode || now.size != self.end as u64 {
            return Ok(false);
        }
        let mut segment = length.to_le_bytes().to_vec();
        segment.extend_from_slice(&check(&changes.0));
        segment.extend_from_slice(&changes.0);
        fs::write_all(&file, path, &segment)?;
        Ok(true)
    }

    /// Sets the file's time to now, if it is more than a day old.
    pub fn touch(&self) -> Result<(), StoreError> {
        let day = 24 * 60 * 60 * 1_000_000_000;
        if self.mtime + day > host::clock::now() {
            return Ok(());
        }
        Ok(fs::touch(&self.path)?)
    }

    /// Whether so much was appended that a whole new file would be better.
    pub fn is_worn(&self) -> bool {
        let first: usize = self.tables.iter().map(|table| table.length).sum();
        self.map.len() > (first + first / 2).max(1 << 20) || self.end != self.map.len()
    }

    /// All tables as they are with the segments, and with `changes`, for a new whole file.
    pub fn merged(&self, changes: &RowChanges) -> Vec<Rows> {
        let mut newest: HashMap<(u8, u32), &[u8]> = HashMap::new();
        let mut counts: Vec<u32> = self.tables.iter().map(|table| table.all).collect();
        let mut rest = &changes.0[..];
        while let Some((head, after)) = rest.split_first_chunk::<ROW_HEAD>() {
            let id = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
            let size = u32::from_le_bytes([head[5], head[6], head[7], head[8]]) as usize;
            newest.insert((head[0], id), &after[..size]);
            if let Some(count) = counts.get_mut(head[0] as usize) {
                *count = (*count).max(id + 1);
            }
            rest = &after[size..];
        }
        let rows = |(table, count): (usize, &u32)| {
            let table = table as u8;
            let mut rows = Rows::default();
            for id in 0..*count {
                rows.push(newest.get(&(table, id)).copied().unwrap_or_else(|| self.row(table, id)));
            }
            rows
        };
        counts.iter().enumerate().map(rows).collect()
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.map.len() as u64
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    check.copy_from_slice(&Digest::of(bytes).as_bytes()[..CHECK]);
    check
}

fn read_head(map: &[u8]) -> Option<(Vec<Table>, usize)> {
    let count = u32::from_le_bytes(map.strip_prefix(MAGIC)?.first_chunk::<4>().copied()?) as usize;
    let length = MAGIC.len() + 4 + count.checked_mul(ENTRY)?;
    let head = map.get(..length)?;
    if map.get(length..length + CHECK)? != check(head) {
        return None;
    }
    let mut end = length + CHECK;
    let mut tables = Vec::with_capacity(count);
    for entry in head[MAGIC.len() + 4..].chunks_exact(ENTRY) {
        let number = |at: usize| entry[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        let start = usize::try_from(number(0)?).ok()?;
        let length = usize::try_from(number(8)?).ok()?;
        let rows = u32::from_le_bytes(entry[16..20].try_into().ok()?);
        let check = entry[20..].try_into().ok()?;
        end = start.checked_add(length).filter(|end| *end <= map.len())?;
        tables.push(Table { start, length, rows, all: rows, check, checked: AtomicBool::new(false) });
    }
    Some((tables, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[&str]) -> Rows {
        let mut rows = Rows::default();
        texts.iter().for_each(|text| _ = rows.push(text.as_bytes()));
        rows
    }

    fn all(file: &TableFile, table: u8) -> Vec<String> {
        (0..file.rows(table)).map(|id| String::from_utf8(file.row(table, id).to_vec()).unwrap()).collect()
    }

    fn made(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("x/tables");
        TableFile::create(&path, &[rows(&["a", "", "ccc"]), rows(&[])]).unwrap();
        path
    }

    #[test]
    fn segments_replace_and_add_rows_and_merge_into_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(&folder);
        let first = TableFile::open(&path).unwrap().unwrap();
        let mut changes = RowChanges::default();
        changes.put(0, 1, b"bb");
        changes.put(1, 0, b"new");
        assert!(first.append(&changes).unwrap());
        let second = TableFile::open(&path).unwrap().unwrap();
        assert_eq!(
            (all(&second, 0), all(&second, 1)),
            (vec!["a".into(), "bb".into(), "ccc".into()], vec!["new".into()])
        );
        assert_eq!(all(&first, 0), ["a", "", "ccc"], "what was mapped before stays");
        let mut more = RowChanges::default();
        more.put(0, 3, b"d");
        TableFile::create(&path, &second.merged(&more)).unwrap();
        let third = TableFile::open(&path).unwrap().unwrap();
        assert_eq!(all(&third, 0), ["a", "bb", "ccc", "d"]);
        assert!(third.is_sound(0) && third.is_sound(1));
        assert!(!second.append(&changes).unwrap(), "the file was replaced");
    }

    #[test]
    fn of_two_that_append_the_later_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(&folder);
        let (one, two) = (TableFile::open(&path).unwrap().unwrap(), TableFile::open(&path).unwrap().unwrap());
        let mut changes = RowChanges::default();
        changes.put(0, 0, b"one");
        assert!(one.append(&changes).unwrap());
        assert!(!two.append(&changes).unwrap());
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(&folder);
        let mut changes = RowChanges::default();
        changes.put(0, 1, b"bb");
        TableFile::open(&path).unwrap().unwrap().append(&changes).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let good = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            TableFile::open(&path)
                .unwrap()
                .filter(|file| file.is_sound(0) && file.is_sound(1))
                .map(|file| all(&file, 0))
        };
        let (before, after) =
            (vec!["a".to_owned(), String::new(), "ccc".into()], vec!["a".to_owned(), "bb".into(), "ccc".into()]);
        for cut in 0..whole.len() {
            let seen = good(&whole[..cut]);
            assert!(seen.is_none() || seen.as_ref() == Some(&before), "cut at {cut}: {seen:?}");
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let seen = good(&bytes);
            assert!(seen.is_none() || seen.as_ref() == Some(&before), "bit {bit}: {seen:?}");
        }
        assert_eq!(good(&whole), Some(after));
    }
}
