//! Debian packages: an `ar` archive whose member `data.tar.*` is a tar of what would be installed.

use std::fs::File;
use std::io::{self, Read};

use model::{RelPath, Tree};
use store::Store;
use tar::EntryType;

use crate::archive::{ArchiveError, Limits, Unpacker};

/// Enough for what `dpkg-deb` makes, too little to exhaust a machine.
const XZ_MEMORY: u64 = 256 << 20;
const ZSTD_WINDOW_LOG: u32 = 27;

/// Unpacks the package's files.
pub(crate) fn unpack(file: File, store: &Store, exclude: &[String], limits: Limits) -> Result<Tree, ArchiveError> {
    let mut package = ar::Archive::new(io::BufReader::new(file));
    while let Some(member) = package.next_entry() {
        let member = member?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        if !name.starts_with("data.tar") {
            continue;
        }
        return match name.as_str() {
            "data.tar" => unpack_tar(member, store, exclude, limits),
            "data.tar.gz" => unpack_tar(flate2::read::MultiGzDecoder::new(member), store, exclude, limits),
            "data.tar.xz" => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                    .map_err(|error| ArchiveError::Damaged(error.to_string()))?;
                unpack_tar(liblzma::read::XzDecoder::new_stream(member, stream), store, exclude, limits)
            }
            "data.tar.zst" => {
                let mut decoder = zstd::stream::read::Decoder::new(member)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                unpack_tar(decoder, store, exclude, limits)
            }
            _ => Err(ArchiveError::Layout(format!("its member `{name}` has a compression that is not supported"))),
        };
    }
    Err(ArchiveError::Layout("it has no member `data.tar`".to_owned()))
}

fn unpack_tar(reader: impl Read, store: &Store, exclude: &[String], limits: Limits) -> Result<Tree, ArchiveError> {
    let mut unpacker = Unpacker::new(store, exclude, limits);
    // Bounds what is decompressed even where no entry keeps it.
    let mut archive = tar::Archive::new(reader.take(limits.bytes.saturating_add(1 << 30)));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = text(&entry.path_bytes())?;
        let name = installed(&name);
        let kind = entry.header().entry_type();
        if name.is_empty() && kind == EntryType::Directory {
            continue;
        }
        let path = unpacker.path(name)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let executable = entry.header().mode()? & 0o111 != 0;
                unpacker.file(path, &mut entry, executable)?;
            }
            EntryType::Directory => unpacker.folder(path),
            EntryType::Symlink | EntryType::Link => {
                let link = entry
                    .link_name_bytes()
                    .ok_or_else(|| ArchiveError::Damaged(format!("`{path}` links to nothing")))?;
                let target = text(&link)?;
                if kind == EntryType::Symlink {
                    unpacker.symlink(path, &target)?;
                } else {
                    let original = RelPath::new(installed(&target))
                        .map_err(|error| ArchiveError::Outside { path: target.clone(), reason: error.reason.into() })?;
                    unpacker.hard_link(path, &original)?;
                }
            }
            EntryType::Char | EntryType::Block => return Err(ArchiveError::Special(path.to_string(), "device")),
            EntryType::Fifo => return Err(ArchiveError::Special(path.to_string(), "pipe")),
            _ => return Err(ArchiveError::Special(path.to_string(), "entry of an unknown kind")),
        }
    }
    unpacker.finish()
}

/// `./usr/bin/` is `usr/bin`.
fn installed(name: &str) -> &str {
    let name = if name == "." { "" } else { name.strip_prefix("./").unwrap_or(name) };
    name.strip_suffix('/').unwrap_or(name)
}

fn text(bytes: &[u8]) -> Result<String, ArchiveError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| ArchiveError::Damaged(format!("the name {:?} is not UTF-8", String::from_utf8_lossy(bytes))))
}
