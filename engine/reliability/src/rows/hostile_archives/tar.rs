//! Tar archives byte by byte, so that they can say what no ordinary writer would.

/// One member, with what comes before it to change its meaning.
#[derive(Debug, Clone)]
pub struct Member {
    /// The kind: `0` a file, `1` a hard link, `2` a symbolic link, `5` a folder, ...
    pub kind: u8,
    /// The name in the header.
    pub name: Vec<u8>,
    /// The target of a link.
    pub link: Vec<u8>,
    /// The content.
    pub content: Vec<u8>,
    /// The mode.
    pub mode: u32,
    /// The size that the header declares, if it is not that of the content.
    pub declared: Option<u64>,
    /// Records of an extended header before it.
    pub pax: Vec<(&'static str, Vec<u8>)>,
    /// GNU's long name and long link before it.
    pub gnu: (Option<Vec<u8>>, Option<Vec<u8>>),
    /// The field that POSIX puts before the name.
    pub prefix: Vec<u8>,
    /// Bytes to put into the finished header, and whether its checksum counts them.
    pub patch: Option<(usize, Vec<u8>, bool)>,
}

/// A file.
pub fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Member {
    member(b'0', name, content, "")
}

/// A folder.
pub fn folder(name: impl AsRef<[u8]>) -> Member {
    Member { mode: 0o755, ..member(b'5', name, "", "") }
}

/// A symbolic link.
pub fn link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Member {
    member(b'2', name, "", target)
}

/// A hard link.
pub fn hard(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Member {
    member(b'1', name, "", target)
}

/// A member of any kind.
pub fn member(kind: u8, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Member {
    Member {
        kind,
        name: name.as_ref().to_vec(),
        link: target.as_ref().to_vec(),
        content: content.as_ref().to_vec(),
        mode: 0o644,
        declared: None,
        pax: Vec::new(),
        gnu: (None, None),
        prefix: Vec::new(),
        patch: None,
    }
}

impl Member {
    /// With a record of an extended header.
    pub fn pax(mut self, key: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key, value.as_ref().to_vec()));
        self
    }

    /// With a long name in GNU's way.
    pub fn long_name(mut self, name: impl AsRef<[u8]>) -> Self {
        self.gnu.0 = Some(name.as_ref().to_vec());
        self
    }

    /// With a long link in GNU's way.
    pub fn long_link(mut self, name: impl AsRef<[u8]>) -> Self {
        self.gnu.1 = Some(name.as_ref().to_vec());
        self
    }

    /// With bytes put into the header.
    pub fn patched(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.patch = Some((at, bytes.as_ref().to_vec(), true));
        self
    }

    /// With another size in the header.
    pub fn declaring(mut self, size: u64) -> Self {
        self.declared = Some(size);
        self
    }

    fn write(&self, archive: &mut Vec<u8>) {
        if !self.pax.is_empty() {
            let records: Vec<u8> = self.pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            archive.extend(header(&member(b'x', "PaxHeaders/x", &records, "")));
            padded(archive, &records);
        }
        for (kind, text) in [(b'L', &self.gnu.0), (b'K', &self.gnu.1)] {
            if let Some(text) = text {
                let text = [text.as_slice(), b"\0"].concat();
                archive.extend(gnu(header(&member(kind, "././@LongLink", &text, ""))));
                padded(archive, &text);
            }
        }
        archive.extend(header(self));
        padded(archive, &self.content);
    }
}

/// An archive of members.
pub fn archive(members: &[Member]) -> Vec<u8> {
    let mut bytes = Vec::new();
    members.iter().for_each(|member| member.write(&mut bytes));
    bytes.extend([0; 1024]);
    bytes
}

/// One record of an extended header: its own length, a key, a value.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn padded(archive: &mut Vec<u8>, content: &[u8]) {
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

fn header(member: &Member) -> Vec<u8> {
    let mut block = vec![0; 512];
    let put = |block: &mut Vec<u8>, at: usize, room: usize, bytes: &[u8]| {
        let length = bytes.len().min(room);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    put(&mut block, 0, 100, &member.name);
    put(&mut block, 100, 8, format!("{:07o}", member.mode).as_bytes());
    put(&mut block, 108, 8, b"0000000");
    put(&mut block, 116, 8, b"0000000");
    put(&mut block, 124, 12, &size_field(member.declared.unwrap_or(member.content.len() as u64)));
    put(&mut block, 136, 12, b"00000000000");
    block[156] = member.kind;
    put(&mut block, 157, 100, &member.link);
    put(&mut block, 257, 8, b"ustar\x0000");
    put(&mut block, 345, 155, &member.prefix);
    let mut counted = true;
    if let Some((at, bytes, counts)) = &member.patch {
        counted = *counts;
        if !counted {
            checksum(&mut block);
        }
        put(&mut block, *at, 512 - at, bytes);
    }
    if counted {
        checksum(&mut block);
    }
    block
}

/// Octal digits, or GNU's binary form for what does not fit.
fn size_field(size: u64) -> Vec<u8> {
    if size < 1 << 33 {
        return format!("{size:011o}").into_bytes();
    }
    [&[0x80, 0, 0, 0][..], &size.to_be_bytes()].concat()
}

fn gnu(mut block: Vec<u8>) -> Vec<u8> {
    block[257..265].copy_from_slice(b"ustar  \0");
    checksum(&mut block);
    block
}

fn checksum(block: &mut [u8]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
