//! The members of a tar file, in order.

use std::io::{self, Read};

use crate::header::{self, BLOCK, Header};
use crate::pax::{self, Records};

/// A long name, a long link or an extended header must not be longer; none that a person makes is.
const MOST_EXTENSION: u64 = 1 << 20;

/// Why an archive was refused.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A member is damaged, or readers would understand it differently.
    #[error("the entry `{member}` cannot be trusted: {reason}")]
    Member {
        /// Its name.
        member: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file, which is executable or not.
    File {
        /// Whether any execute bit is set.
        executable: bool,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// Another name of an earlier file.
    HardLink,
    /// A device.
    Device,
    /// A pipe.
    Pipe,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, as the archive writes it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The target of a link, as the archive writes it; else empty.
    pub target: String,
    /// Bytes of its content.
    pub size: u64,
}

/// An archive that is read from its start to its end.
#[derive(Debug)]
pub struct Tar<R> {
    reader: R,
    /// Bytes of the member at hand that were not read.
    left: u64,
    /// Bytes that fill its last block.
    padding: u64,
    /// Whether the end was seen.
    ended: bool,
    /// The name of the member at hand, for errors.
    name: String,
}

/// The content of the member at hand.
#[derive(Debug)]
pub struct Content<'a, R>(&'a mut Tar<R>);

/// What headers before a member say of it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Option<Records>,
}

impl<R: Read> Tar<R> {
    /// An archive that begins where the reader is.
    pub fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0, ended: false, name: String::new() }
    }

    /// The next member; what was not read of the one at hand is passed over.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        let mut extensions = Extensions::default();
        let mut announced = false;
        while let Some(header) = self.header()? {
            self.name = lossy(&header.name);
            match header.kind {
                b'L' => set(&mut extensions.name, self.extension(&header)?).map_err(|reason| self.error(reason))?,
                b'K' => set(&mut extensions.link, self.extension(&header)?).map_err(|reason| self.error(reason))?,
                b'x' => {
                    let records = pax::parse(&self.bytes(&header)?).map_err(|reason| self.error(reason))?;
                    set(&mut extensions.records, records).map_err(|reason| self.error(reason))?;
                }
                b'g' => self.global(&header)?,
                _ => return self.member(header, extensions).map(Some),
            }
            announced |= header.kind != b'g';
        }
        match announced {
            true => Err(self.error("it announces an entry that does not come")),
            false => Ok(None),
        }
    }

    /// The content of the member that came last.
    pub fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    fn error(&self, reason: &'static str) -> TarError {
        TarError::Member { member: self.name.clone(), reason }
    }

    /// The next header; none at the end, which is a block of zeros or the end of the file.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let rest = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        if io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink())? < rest {
            return Err(self.error("the archive ends within it"));
        }
        let mut block = [0; BLOCK];
        let count = fill(&mut self.reader, &mut block)?;
        if count == 0 || (count == BLOCK && block.iter().all(|byte| *byte == 0)) {
            self.ended = true;
            return Ok(None);
        }
        self.name = lossy(block[..100].split(|byte| *byte == 0).next().unwrap_or_default());
        if count < BLOCK {
            return Err(self.error("the archive ends within its header"));
        }
        header::parse(&block).map(Some).map_err(|reason| self.error(reason))
    }

    /// The whole content of a header that only describes what follows.
    fn bytes(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        if header.size > MOST_EXTENSION {
            return Err(self.error("its extended header is too large"));
        }
        self.enter(header.size);
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A long name as GNU tar writes it: it ends with a zero byte.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let mut bytes = self.bytes(header)?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        match bytes.is_empty() || bytes.contains(&0) {
            true => Err(self.error("its long name is empty or holds a zero byte")),
            false => Ok(bytes),
        }
    }

    /// A header for all members: what it may say has no part in what is read here.
    fn global(&mut self, header: &Header) -> Result<(), TarError> {
        let records = pax::parse(&self.bytes(header)?).map_err(|reason| self.error(reason))?;
        match records.is_empty() {
            true => Ok(()),
            false => Err(self.error("a header for all members sets their path or size")),
        }
    }

    fn enter(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn member(&mut self, header: Header, extensions: Extensions) -> Result<Member, TarError> {
        let records = extensions.records.unwrap_or_default();
        let name = one(extensions.name, records.path).map_err(|reason| self.error(reason))?;
        let link = one(extensions.link, records.link).map_err(|reason| self.error(reason))?;
        let name = name.unwrap_or(header.name);
        self.name = lossy(&name);
        if records.size.is_some_and(|size| size != header.size) {
            return Err(self.error("its headers declare two sizes"));
        }
        let kind = kind(header.kind, header.mode, name.ends_with(b"/")).map_err(|reason| self.error(reason))?;
        if header.size > 0 && !matches!(kind, Kind::File { .. }) {
            return Err(self.error("it has content, and is no file"));
        }
        let is_link = matches!(kind, Kind::Symlink | Kind::HardLink);
        let target = if is_link { link.unwrap_or(header.link) } else { Vec::new() };
        if is_link && target.is_empty() {
            return Err(self.error("it links to nothing"));
        }
        let text = |bytes| String::from_utf8(bytes).map_err(|_| self.error("its name or target is not UTF-8"));
        let (name, target) = (text(name)?, text(target)?);
        self.enter(header.size);
        Ok(Member { name, kind, target, size: header.size })
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.0.left).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            // Some decompressors take it for an error to be asked for nothing.
            return Ok(0);
        }
        let count = self.0.reader.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within an entry"));
        }
        self.0.left -= count as u64;
        Ok(count)
    }
}

fn kind(flag: u8, mode: u64, slash: bool) -> Result<Kind, &'static str> {
    match flag {
        // The oldest format has no folders but by their names.
        0 if slash => Ok(Kind::Folder),
        b'0' | b'7' | b'1' | b'2' if slash => Err("its name ends like that of a folder, and it is none"),
        0 | b'0' | b'7' => Ok(Kind::File { executable: mode & 0o111 != 0 }),
        b'1' => Ok(Kind::HardLink),
        b'2' => Ok(Kind::Symlink),
        b'5' => Ok(Kind::Folder),
        b'3' | b'4' => Ok(Kind::Device),
        b'6' => Ok(Kind::Pipe),
        b'S' => Err("it is a sparse file, which is not supported"),
        _ => Err("it is of an unknown kind"),
    }
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("two headers of one kind describe it"),
    }
}

/// The one of two that is given; both only if they are equal.
fn one(gnu: Option<Vec<u8>>, pax: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, &'static str> {
    match (gnu, pax) {
        (Some(gnu), Some(pax)) if gnu != pax => Err("two headers give it different names"),
        (gnu, pax) => Ok(pax.or(gnu)),
    }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Reads as much as there is, up to the buffer's length.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match reader.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and its content, padded.
    fn member(kind: u8, name: &str, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0000755");
        block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        block[156] = kind;
        if matches!(kind, b'1' | b'2') {
            block[157] = b'x';
        }
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block.extend(content);
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        block
    }

    fn listing(parts: &[Vec<u8>]) -> Result<Vec<String>, String> {
        let bytes = parts.concat();
        let mut tar = Tar::new(bytes.as_slice());
        let mut names = Vec::new();
        while let Some(member) = tar.next_member().map_err(|error| error.to_string())? {
            names.push(member.name);
        }
        Ok(names)
    }

    #[test]
    fn members_in_order_with_or_without_an_end() {
        let parts = [member(b'0', "a", b"content"), member(b'5', "d/", b""), member(b'2', "l", b"")];
        assert_eq!(listing(&parts).unwrap(), ["a", "d/", "l"]);
        let ended = [parts.concat(), vec![0; 1024], member(b'0', "behind", b"")];
        assert_eq!(listing(&ended).unwrap(), ["a", "d/", "l"]);
    }

    #[test]
    fn what_readers_understand_differently_is_refused() {
        let file = || member(b'0', "a", b"content");
        let error = |parts: &[Vec<u8>]| listing(parts).unwrap_err();
        assert!(error(&[member(b'x', "x", b"9 size=3\n"), file()]).contains("two sizes"));
        assert!(
            error(&[member(b'x', "x", b"10 path=b\n"), member(b'L', "L", b"c\0"), file()]).contains("different names")
        );
        assert!(error(&[member(b'x', "x", b"10 path=b\n")]).contains("does not come"));
        assert!(error(&[member(b'g', "g", b"10 path=b\n"), file()]).contains("for all members"));
        assert!(error(&[member(b'5', "d", b"content")]).contains("is no file"));
        assert!(error(&[member(b'0', "d/", b"")]).contains("ends like that of a folder"));
        assert!(error(&[member(b'S', "s", b"")]).contains("sparse"));
        assert!(error(&[file()[..700].to_vec(), Vec::new()]).contains("ends within it"));
        assert!(error(&[vec![0; 81]]).contains("ends within its header"));
        for (field, wrong) in [(108, "user"), (116, "group"), (136, "time"), (329, "device"), (337, "device")] {
            let mut odd = file();
            odd[field] = b'G';
            let sum: u64 =
                odd[..148].iter().chain(b"        ").chain(&odd[156..512]).map(|byte| u64::from(*byte)).sum();
            odd[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            assert!(error(&[odd]).contains(&format!("no valid {wrong}")), "{wrong}");
        }
        assert_eq!(listing(&[member(b'x', "x", b"10 path=b\n"), file()]).unwrap(), ["b"]);
    }
}
