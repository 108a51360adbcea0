//! Zip archives byte by byte: each member is described twice, and the two may disagree.

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::Write;

/// One member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name in the directory.
    pub name: Vec<u8>,
    /// Its name before its content, if that is another one.
    pub local: Option<Vec<u8>>,
    /// The content.
    pub content: Vec<u8>,
    /// The Unix mode, with the kind of file.
    pub mode: u32,
    /// The method: 0 stored, 8 deflated.
    pub method: u16,
    /// General flags.
    pub flags: u16,
    /// The size that is declared, if it is not that of the content.
    pub declared: Option<u32>,
    /// The checksum, if it is a wrong one.
    pub crc: Option<u32>,
    /// Further fields in the directory.
    pub extra: Vec<u8>,
}

/// A file.
pub fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Member {
    Member {
        name: name.as_ref().to_vec(),
        local: None,
        content: content.as_ref().to_vec(),
        mode: 0o100_644,
        method: 8,
        flags: 0x800,
        declared: None,
        crc: None,
        extra: Vec::new(),
    }
}

/// A symbolic link.
pub fn link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Member {
    Member { mode: 0o120_777, method: 0, ..file(name, target) }
}

/// A whole archive.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    /// Its members.
    pub members: Vec<Member>,
    /// What stands before it.
    pub before: Vec<u8>,
    /// The comment at its end.
    pub comment: Vec<u8>,
    /// The number of members that the end declares.
    pub count: Option<u16>,
    /// Whether all members of the directory share the content of the first.
    pub overlapping: bool,
}

/// An archive of members.
pub fn archive(members: &[Member]) -> Archive {
    Archive { members: members.to_vec(), ..Archive::default() }
}

impl Archive {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.before.clone();
        let mut directory = Vec::new();
        let mut first = None;
        for member in &self.members {
            let offset = match first {
                Some(offset) if self.overlapping => offset,
                _ => {
                    let offset = bytes.len() - self.before.len();
                    bytes.extend(member.local());
                    offset
                }
            };
            first.get_or_insert(offset);
            directory.extend(member.central(offset));
        }
        let start = bytes.len() - self.before.len();
        bytes.extend(&directory);
        let count = self.count.unwrap_or(u16::try_from(self.members.len()).unwrap_or(u16::MAX));
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        bytes.extend(count.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(small(directory.len()).to_le_bytes());
        bytes.extend(small(start).to_le_bytes());
        bytes.extend(u16::try_from(self.comment.len()).unwrap_or(0).to_le_bytes());
        bytes.extend(&self.comment);
        bytes
    }
}

impl Member {
    fn packed(&self) -> Vec<u8> {
        if self.method != 8 {
            return self.content.clone();
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&self.content).and_then(|()| encoder.finish()).expect("memory does not fail")
    }

    /// What both descriptions say alike: from the version that is needed to the sizes.
    fn common(&self) -> Vec<u8> {
        let mut crc = Crc::new();
        crc.update(&self.content);
        let mut bytes = Vec::new();
        for field in [20, self.flags, self.method, 0, 0x21] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(self.crc.unwrap_or(crc.sum()).to_le_bytes());
        bytes.extend(small(self.packed().len()).to_le_bytes());
        bytes.extend(self.declared.unwrap_or(small(self.content.len())).to_le_bytes());
        bytes
    }

    fn local(&self) -> Vec<u8> {
        let name = self.local.as_ref().unwrap_or(&self.name);
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend(self.common());
        bytes.extend(short(name).to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(name);
        bytes.extend(self.packed());
        bytes
    }

    fn central(&self, offset: usize) -> Vec<u8> {
        let mut bytes = b"PK\x01\x02\x14\x03".to_vec();
        bytes.extend(self.common());
        bytes.extend(short(&self.name).to_le_bytes());
        bytes.extend(short(&self.extra).to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend((self.mode << 16).to_le_bytes());
        bytes.extend(small(offset).to_le_bytes());
        bytes.extend(&self.name);
        bytes.extend(&self.extra);
        bytes
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn short(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX)
}
