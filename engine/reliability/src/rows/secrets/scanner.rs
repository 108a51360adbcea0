//! Finds secrets in bytes, files and folders; what is compressed is looked into.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use super::canary::{self, Canary, ENCODINGS, Needle};

/// Looks for many needles at once.
pub struct Scanner {
    canaries: Vec<Canary>,
    needles: Vec<Needle>,
    /// Which pairs of bytes begin a needle.
    begins: Vec<bool>,
    by_start: HashMap<[u8; 4], Vec<usize>>,
}

/// What was found: secret and form by index.
pub type Found = BTreeSet<(usize, usize)>;

/// No archive of a try is larger inside.
const LIMIT: u64 = 256 << 20;
const DEPTH: usize = 4;

impl Scanner {
    /// A scanner for all forms of the secrets.
    pub fn new(canaries: &[Canary]) -> Self {
        let needles = canary::needles(canaries);
        let mut begins = vec![false; 1 << 16];
        let mut by_start: HashMap<[u8; 4], Vec<usize>> = HashMap::new();
        for (index, needle) in needles.iter().enumerate() {
            let start: [u8; 4] = needle.bytes[..4].try_into().expect("needles are longer");
            begins[pair(&needle.bytes)] = true;
            by_start.entry(start).or_default().push(index);
        }
        Self { canaries: canaries.to_vec(), needles, begins, by_start }
    }

    /// What is in the bytes, and in what they hold in compressed form.
    pub fn bytes(&self, bytes: &[u8]) -> Found {
        let mut found = Found::new();
        self.into(bytes, DEPTH, &mut found);
        found
    }

    fn into(&self, bytes: &[u8], depth: usize, found: &mut Found) {
        for at in 0..bytes.len().saturating_sub(4) {
            if self.begins[pair(&bytes[at..])]
                && let Some(candidates) = self.by_start.get(&bytes[at..at + 4])
            {
                let fits = candidates.iter().map(|index| &self.needles[*index]);
                let fits = fits.filter(|needle| bytes[at..].starts_with(&needle.bytes));
                found.extend(fits.map(|needle| (needle.canary, needle.encoding)));
            }
        }
        if depth > 0 {
            unpacked(bytes).iter().for_each(|inner| self.into(inner, depth - 1, found));
        }
    }

    /// What lies below a folder, but for paths that end in one of `except`: a line for each finding.
    pub fn folder(&self, folder: &Path, except: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        self.visit(folder, except, &mut lines);
        lines
    }

    fn visit(&self, path: &Path, except: &[&str], lines: &mut Vec<String>) {
        let Ok(metadata) = std::fs::symlink_metadata(path) else { return };
        if except.iter().any(|ending| path.ends_with(ending)) {
            return;
        }
        self.report(&format!("the name {}", path.display()), path.to_string_lossy().as_bytes(), lines);
        if metadata.is_dir() {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.for_each(|entry| self.visit(&entry.path(), except, lines));
        } else if metadata.is_file() {
            self.report(&path.display().to_string(), &std::fs::read(path).unwrap_or_default(), lines);
        } else if let Ok(target) = std::fs::read_link(path) {
            self.report(&format!("the link {}", path.display()), target.to_string_lossy().as_bytes(), lines);
        }
    }

    /// Adds a line for each finding in the bytes at `place`.
    pub fn report(&self, place: &str, bytes: &[u8], lines: &mut Vec<String>) {
        for (canary, encoding) in self.bytes(bytes) {
            lines.push(format!("{} ({}) in {place}", self.canaries[canary].name, ENCODINGS[encoding]));
        }
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// What compressed bytes hold.
fn unpacked(bytes: &[u8]) -> Vec<Vec<u8>> {
    let all = |reader: &mut dyn Read| {
        let mut inner = Vec::new();
        // What is damaged is looked at as far as it can be read.
        let _ = reader.take(LIMIT).read_to_end(&mut inner);
        inner
    };
    match bytes {
        [0x1f, 0x8b, ..] => vec![all(&mut flate2::read::MultiGzDecoder::new(bytes))],
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            zstd::stream::read::Decoder::new(bytes).map(|mut reader| vec![all(&mut reader)]).unwrap_or_default()
        }
        [b'P', b'K', 3, 4, ..] => {
            let Ok(mut archive) = zip::ZipArchive::new(std::io::Cursor::new(bytes)) else { return Vec::new() };
            let entries = (0..archive.len()).collect::<Vec<_>>().into_iter();
            entries.filter_map(|index| archive.by_index(index).ok().map(|mut entry| all(&mut entry))).collect()
        }
        _ => Vec::new(),
    }
}
