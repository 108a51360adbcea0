//! A tree as a tar archive in one canonical form: sorted, every folder once and before its content, times zero, no names of
//! users. POSIX ustar headers; a PAX header only where a path does not fit.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use ::tar::{Builder, EntryType, Header};
use model::{Digest, RelPath, Tree, TreeEntry};

use crate::layer::Owner;

/// Folders in which everybody may make files; a tree knows no modes of folders.
const EVERYBODYS: [&str; 2] = ["tmp", "var/tmp"];

/// Writes the archive; `open` gives the content of a file.
pub(crate) fn write<W: Write, R: Read>(
    tree: &Tree,
    owner: Owner,
    out: W,
    mut open: impl FnMut(&Digest) -> io::Result<R>,
) -> io::Result<W> {
    let mut archive = Builder::new(out);
    for (path, entry) in with_folders(tree) {
        let mut header = header(owner);
        match entry {
            None | Some(TreeEntry::EmptyFolder) => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(if EVERYBODYS.contains(&path.as_str()) { 0o1777 } else { 0o755 });
                append(&mut archive, header, &format!("{path}/"), "", io::empty())?;
            }
            Some(TreeEntry::Symlink { target }) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                append(&mut archive, header, path.as_str(), target, io::empty())?;
            }
            Some(TreeEntry::File { digest, size, executable }) => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(if *executable { 0o755 } else { 0o644 });
                header.set_size(*size);
                let content = Exactly { inner: open(digest)?, left: *size };
                append(&mut archive, header, path.as_str(), "", content)?;
            }
        }
    }
    archive.into_inner()
}

/// All entries with the folders they imply. A folder's path is a prefix of its entries' paths, so it sorts before them.
fn with_folders(tree: &Tree) -> BTreeMap<RelPath, Option<&TreeEntry>> {
    let mut all = BTreeMap::new();
    for (path, entry) in &tree.entries {
        let mut folder = path.parent();
        while let Some(parent) = folder.filter(|parent| !parent.as_str().is_empty()) {
            folder = parent.parent();
            all.entry(parent).or_insert(None);
        }
        all.insert(path.clone(), Some(entry));
    }
    all
}

fn header(owner: Owner) -> Header {
    let mut header = Header::new_ustar();
    header.set_mtime(0);
    header.set_uid(owner.uid);
    header.set_gid(owner.gid);
    header.set_size(0);
    header
}

fn append(
    archive: &mut Builder<impl Write>,
    mut header: Header,
    path: &str,
    link: &str,
    content: impl Read,
) -> io::Result<()> {
    let mut extended: Vec<(&str, &[u8])> = Vec::new();
    if !path.is_ascii() || header.set_path(path).is_err() {
        extended.push(("path", path.as_bytes()));
        set_truncated(&mut header.as_ustar_mut().expect("the header was made as ustar").name, path);
    }
    if !link.is_empty() {
        // Written byte by byte: `set_link_name` would change the path's form.
        let field = &mut header.as_ustar_mut().expect("the header was made as ustar").linkname;
        if !link.is_ascii() || link.len() > field.len() {
            extended.push(("linkpath", link.as_bytes()));
        }
        set_truncated(field, link);
    }
    if !extended.is_empty() {
        archive.append_pax_extensions(extended)?;
    }
    header.set_cksum();
    archive.append(&header, content)
}

/// What an old reader sees that does not know PAX: the beginning of the path, in ASCII.
fn set_truncated(field: &mut [u8], text: &str) {
    field.fill(0);
    for (byte, character) in field.iter_mut().zip(text.chars()) {
        *byte = u8::try_from(character).ok().filter(u8::is_ascii).unwrap_or(b'_');
    }
}

/// Fails when a file is shorter or longer than its entry says, instead of writing a damaged archive.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) if count > 0 || left == 0 || buffer.is_empty() => {
                self.left = left;
                Ok(count)
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a file of the store does not have its recorded size")),
        }
    }
}
