//! Bytes of a row: numbers as LEB128, texts and lists by their length.

use model::{Digest, Label, RelPath};

/// Puts a row together.
#[derive(Debug, Default, Clone)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// The row.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// What was written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    /// A number.
    pub fn number(&mut self, mut number: u64) -> &mut Self {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    /// A number that may be negative.
    pub fn signed(&mut self, number: i64) -> &mut Self {
        self.number(((number << 1) ^ (number >> 63)) as u64)
    }

    /// Bytes with their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes whose length is known to the reader.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A digest.
    pub fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.raw(digest.as_bytes())
    }

    /// A label.
    pub fn label(&mut self, label: &Label) -> &mut Self {
        self.text(label.package().repository()).text(label.package().path()).text(label.name())
    }

    /// Ids with their count.
    pub fn ids(&mut self, ids: &[u32]) -> &mut Self {
        self.number(ids.len() as u64);
        for id in ids {
            self.number(u64::from(*id));
        }
        self
    }

    /// Ids in ascending order, by their distances.
    pub fn sorted_ids(&mut self, ids: &[u32]) -> &mut Self {
        self.number(ids.len() as u64);
        let mut last = 0;
        for id in ids {
            self.number(u64::from(id.wrapping_sub(last)));
            last = *id;
        }
        self
    }
}

/// Takes a row apart. Each part is `None` when the row is not what was expected.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of a row.
    pub fn new(row: &'a [u8]) -> Self {
        Self(row)
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A number that may be negative.
    pub fn signed(&mut self) -> Option<i64> {
        self.number().map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// The length of a list, which cannot have more elements than there are bytes left.
    pub fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|length| *length <= self.0.len())
    }

    /// Bytes with their length.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.raw(length)
    }

    /// So many bytes.
    pub fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A digest.
    pub fn digest(&mut self) -> Option<Digest> {
        Some(Digest::from_bytes(self.raw(32)?.try_into().ok()?))
    }

    /// A label.
    pub fn label(&mut self) -> Option<Label> {
        let (repository, path, name) = (self.text()?, self.text()?, self.text()?);
        model::PackageId::new(repository, path).ok()?.label(name).ok()
    }

    /// A path.
    pub fn path(&mut self) -> Option<RelPath> {
        RelPath::new(self.text()?).ok()
    }

    /// An id.
    pub fn id(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    /// Ids with their count.
    pub fn ids(&mut self) -> Option<Vec<u32>> {
        (0..self.length()?).map(|_| self.id()).collect()
    }

    /// Ids in ascending order.
    pub fn sorted_ids(&mut self) -> Option<Vec<u32>> {
        let mut last = 0_u32;
        (0..self.length()?)
            .map(|_| {
                last = last.wrapping_add(self.id()?);
                Some(last)
            })
            .collect()
    }
}
