//! Archives made from sound ones by seeded changes: fields of headers replaced, members repeated, renamed, linked anew, and
//! bytes flipped in the finished file.

use fastrand::Rng;

use crate::attempt::Attempt;

use super::attacks::{Must, ordinary};
use super::package::{self, Package};
use super::tar::{self, Member};
use super::zip;
use super::{Site, compare, reference};

/// Archives of one try.
const ARCHIVES: usize = 20;

const NAMES: [&str; 24] = [
    "a",
    "b",
    "a/b",
    "a/b/c",
    "./a",
    "a/",
    "a//b",
    "/a",
    "../a",
    "a/../b",
    ".",
    "..",
    "",
    "l",
    "l/x",
    "l/../x",
    ".wh.a",
    "a/.wh..wh..opq",
    "é",
    "A",
    "a\\b",
    "a b",
    "usr/lib/x",
    "usr/bin/program",
];

/// Makes archives, unpacks them, and compares: what each was.
pub fn batch(attempt: &mut Attempt) -> Result<Vec<&'static str>, String> {
    let site = Site::make(attempt);
    let folder = attempt.folder().join("site/archives");
    let mut packages = Vec::new();
    for index in 0..ARCHIVES {
        let (kind, files) = archive(&mut attempt.dice);
        packages.push(Package::of(kind, &files, &folder, &format!("g{index}")));
    }
    let before = site.around();
    let found = site.unpack(attempt, &packages)?;
    if site.around() != before {
        return Err("something outside was written".to_owned());
    }
    let reference = reference::list(&packages)?;
    let mut verdicts = Vec::new();
    for ((found, reference), package) in found.iter().zip(&reference).zip(&packages) {
        let verdict = compare(found, reference, Must::Agree).map_err(|error| {
            let kept = std::env::temp_dir().join(format!("hostile-archive-{}-{}", attempt.index, package.kind));
            let _ = std::fs::copy(&package.paths[0], &kept);
            format!("{} (kept as {}): {error}", package.kind, kept.display())
        })?;
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

fn archive(dice: &mut Rng) -> (&'static str, Vec<Vec<u8>>) {
    match dice.u8(..4) {
        0 => ("deb", vec![debian(dice)]),
        1 => (
            "layer",
            (0..dice.usize(1..4)).map(|_| package::gzip(&flipped(tar::archive(&members(dice)), dice, 512))).collect(),
        ),
        2 => ("wheel", vec![zipped(dice, "")]),
        _ => ("module", vec![zipped(dice, "m@v1/")]),
    }
}

fn debian(dice: &mut Rng) -> Vec<u8> {
    let data = flipped(tar::archive(&members(dice)), dice, 512);
    let package = match dice.u8(..4) {
        0 => package::debian("data.tar", &data),
        1 => package::debian("data.tar.gz", &package::gzip(&data)),
        2 => package::debian("data.tar.zst", &zstd::encode_all(data.as_slice(), 1).expect("memory does not fail")),
        _ => {
            let mut packed = Vec::new();
            let mut encoder = liblzma::read::XzEncoder::new(data.as_slice(), 1);
            std::io::copy(&mut encoder, &mut packed).expect("memory does not fail");
            package::debian("data.tar.xz", &packed)
        }
    };
    if dice.u8(..6) == 0 { flipped(package, dice, 60) } else { package }
}

fn members(dice: &mut Rng) -> Vec<Member> {
    let mut members = if dice.bool() { ordinary() } else { Vec::new() };
    for _ in 0..dice.usize(1..8) {
        let name = NAMES[dice.usize(..NAMES.len())];
        let other = NAMES[dice.usize(..NAMES.len())];
        let mut member = match dice.u8(..8) {
            0 => tar::folder(name),
            1 => tar::link(name, other),
            2 => tar::hard(name, other),
            _ => tar::file(name, other),
        };
        match dice.u8(..16) {
            0 => member = member.pax("path", other),
            1 => member = member.pax("linkpath", other),
            2 => member = member.pax("size", dice.u16(..20).to_string()),
            3 => member = member.long_name(other),
            4 => member = member.long_link(other),
            5 => member.kind = dice.u8(..),
            6 => member.mode = dice.u32(..0o10000),
            7 => member.prefix = other.as_bytes().to_vec(),
            8 => member = member.patched(dice.usize(..512), [dice.u8(..)]),
            9 => member = member.declaring(dice.u64(..2000)),
            10 => member = member.pax("path", other).pax("path", name),
            _ => {}
        }
        members.insert(dice.usize(..=members.len()), member);
    }
    members
}

fn zipped(dice: &mut Rng, prefix: &str) -> Vec<u8> {
    let mut archive = zip::Archive::default();
    for _ in 0..dice.usize(1..8) {
        let name = format!("{prefix}{}", NAMES[dice.usize(..NAMES.len())]);
        let mut member = zip::file(&name, NAMES[dice.usize(..NAMES.len())].repeat(dice.usize(..50)));
        match dice.u8(..14) {
            0 => member.local = Some(NAMES[dice.usize(..NAMES.len())].into()),
            1 => member.mode = dice.u32(..1 << 16),
            2 => member.method = [0, 8, 12, 99][dice.usize(..4)],
            3 => member.flags = dice.u16(..),
            4 => member.declared = Some(dice.u32(..100)),
            5 => member.crc = Some(dice.u32(..)),
            6 => member.extra = (0..dice.usize(..30)).map(|_| dice.u8(..)).collect(),
            7 => {
                member.name =
                    format!("{prefix}x-1.data/{}/{name}", ["purelib", "scripts", "data"][dice.usize(..3)]).into_bytes()
            }
            _ => {}
        }
        archive.members.push(member);
    }
    match dice.u8(..12) {
        0 => archive.before = vec![b'x'; dice.usize(..100)],
        1 => archive.comment = vec![b'P'; dice.usize(..100)],
        2 => archive.count = Some(dice.u16(..10)),
        3 => archive.overlapping = true,
        _ => {}
    }
    let end = archive.bytes().len().max(1);
    flipped(archive.bytes(), dice, end)
}

/// Sometimes with bits flipped or an end cut off, within the first `room` bytes or anywhere.
fn flipped(mut bytes: Vec<u8>, dice: &mut Rng, room: usize) -> Vec<u8> {
    match dice.u8(..5) {
        0 => {
            for _ in 0..dice.usize(1..4) {
                let within = if dice.bool() { room.min(bytes.len()) } else { bytes.len() };
                let at = dice.usize(..within);
                bytes[at] ^= 1 << dice.u8(..8);
            }
        }
        1 if dice.bool() => bytes.truncate(dice.usize(..bytes.len())),
        _ => {}
    }
    bytes
}
