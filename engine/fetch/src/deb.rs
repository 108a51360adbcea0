//! Debian packages: an `ar` archive whose member `data.tar.*` is a tar of what would be installed.

use std::fs::File;
use std::io::{self, Read};

use archive::{Expansion, Kind, Tar};
use model::{RelPath, Tree};
use store::Store;

use crate::archive::{ArchiveError, Limits, Unpacker};

/// Enough for what `dpkg-deb` makes, too little to exhaust a machine.
const XZ_MEMORY: u64 = 256 << 20;
const ZSTD_WINDOW_LOG: u32 = 27;

/// What an `ar` archive begins with.
const MAGIC: &[u8] = b"!<arch>\n";
/// Bytes of the header of a member.
const HEADER: usize = 60;

/// Unpacks the package's files.
pub(crate) fn unpack(file: File, store: &Store, exclude: &[String], limits: Limits) -> Result<Tree, ArchiveError> {
    let mut package = io::BufReader::new(file);
    let mut magic = [0; MAGIC.len()];
    if package.read_exact(&mut magic).is_err() || magic != *MAGIC {
        return Err(ArchiveError::Damaged("it is not an `ar` archive".to_owned()));
    }
    let mut tree = None;
    // deb(5): these three, in this order. Names that begin with an underscore may stand between.
    let mut expected = ["debian-binary", "control.tar", "data.tar"].into_iter();
    let mut next = expected.next();
    while let Some((name, size)) = next_member(&mut package)? {
        let mut member = (&mut package).take(size);
        match next {
            Some(part) if has_part(&name, part) => {
                match part {
                    "debian-binary" => check_version(&mut member)?,
                    "data.tar" => tree = Some(unpack_data(&name, &mut member, store, exclude, limits)?),
                    _ => {}
                }
                next = expected.next();
            }
            Some(part) if !name.starts_with('_') => {
                return Err(ArchiveError::Layout(format!("its member `{name}` stands where `{part}` should")));
            }
            None if has_part(&name, "data.tar") => {
                return Err(ArchiveError::Layout("it has more than one member `data.tar`".to_owned()));
            }
            _ => {}
        }
        // Members begin at even places.
        io::copy(&mut member, &mut io::sink())?;
        if member.limit() > 0 {
            return Err(ArchiveError::Damaged(format!("it ends within its member `{name}`")));
        }
        io::copy(&mut (&mut package).take(size % 2), &mut io::sink())?;
    }
    tree.ok_or_else(|| ArchiveError::Layout(format!("it has no member `{}`", next.unwrap_or("data.tar"))))
}

/// Whether a member is this part of a package: `data.tar`, `data.tar.xz`.
fn has_part(name: &str, part: &str) -> bool {
    name.strip_prefix(part).is_some_and(|rest| match part {
        "control.tar" => matches!(rest, "" | ".gz" | ".xz" | ".zst"),
        // Which of its compressions can be read is another question.
        "data.tar" => rest.is_empty() || rest.starts_with('.'),
        _ => rest.is_empty(),
    })
}

/// Reads the member `debian-binary`: a line with the version of the format.
fn check_version(member: &mut impl Read) -> Result<(), ArchiveError> {
    let mut text = Vec::new();
    member.take(64).read_to_end(&mut text)?;
    let line = std::str::from_utf8(&text).ok().and_then(|text| Some(text.split_once('\n')?.0.to_owned()));
    match line.as_deref().and_then(|line| line.split_once('.')) {
        Some(("2", minor)) if !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(ArchiveError::Layout("it has not the version 2 of the format of packages".to_owned())),
    }
}

/// The name and the size of the next member of an `ar` archive, in the common form that packages have: `deb(5)`.
fn next_member(package: &mut impl Read) -> Result<Option<(String, u64)>, ArchiveError> {
    let mut header = Vec::with_capacity(HEADER);
    package.take(HEADER as u64).read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(&header).ok().filter(|text| text.len() == HEADER && text.ends_with("`\n"));
    let parts = text.and_then(|text| Some((text.get(..16)?.trim_end(), text.get(48..58)?.trim_end())));
    let member = parts.and_then(|(name, size)| {
        let is_number = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
        let name = name.strip_suffix('/').unwrap_or(name).to_owned();
        is_number.then(|| Some((name, size.parse().ok()?))).flatten()
    });
    member.map(Some).ok_or_else(|| ArchiveError::Damaged("the header of a member cannot be read".to_owned()))
}

fn unpack_data(
    name: &str,
    member: impl Read,
    store: &Store,
    exclude: &[String],
    limits: Limits,
) -> Result<Tree, ArchiveError> {
    // What no entry keeps is decompressed too: headers and padding.
    let expansion = Expansion::new(limits.bytes.saturating_add(1 << 30));
    let member = expansion.packed(member);
    let plain: Box<dyn Read + '_> = match name {
        "data.tar" => Box::new(member),
        "data.tar.gz" => Box::new(flate2::read::MultiGzDecoder::new(member)),
        "data.tar.xz" => {
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                .map_err(|error| ArchiveError::Damaged(error.to_string()))?;
            Box::new(liblzma::read::XzDecoder::new_stream(member, stream))
        }
        "data.tar.zst" => {
            let mut decoder = zstd::stream::read::Decoder::new(member)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        _ => {
            let reason = format!("its member `{name}` has a compression that is not supported");
            return Err(ArchiveError::Layout(reason));
        }
    };
    unpack_tar(expansion.plain(plain), Unpacker::new(store, exclude, limits))
}

fn unpack_tar(reader: impl Read, mut unpacker: Unpacker<'_>) -> Result<Tree, ArchiveError> {
    let mut archive = Tar::new(reader);
    while let Some(member) = archive.next_member()? {
        let name = installed(&member.name);
        if name.is_empty() && member.kind == Kind::Folder {
            continue;
        }
        let path = unpacker.path(name)?;
        match member.kind {
            Kind::File { executable } => unpacker.file(path, member.size, archive.content(), executable)?,
            Kind::Folder => unpacker.folder(path),
            Kind::Symlink => unpacker.symlink(path, &member.target)?,
            Kind::HardLink => {
                let original = RelPath::new(installed(&member.target)).map_err(|error| ArchiveError::Outside {
                    path: member.target.clone(),
                    reason: error.reason.into(),
                })?;
                unpacker.hard_link(path, &original)?;
            }
            Kind::Device => return Err(ArchiveError::Special(path.to_string(), "device")),
            Kind::Pipe => return Err(ArchiveError::Special(path.to_string(), "pipe")),
        }
    }
    unpacker.finish()
}

/// `./usr/bin/` is `usr/bin`.
fn installed(name: &str) -> &str {
    let name = if name == "." { "" } else { name.strip_prefix("./").unwrap_or(name) };
    name.strip_suffix('/').unwrap_or(name)
}
