//! Archives that want more than a package may have.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use tar::{EntryType, Header};
use zip::write::SimpleFileOptions;

use super::*;
use crate::{deb, zip_archive};

const SMALL: Limits = Limits { bytes: 10_000, entries: 5, path: 64 };

#[test]
fn links_stay_inside() {
    let target = |path: &str, target: &str| relative_target(&RelPath::new(path).unwrap(), target).ok();
    assert_eq!(target("a/b", "../c").unwrap(), "../c");
    assert_eq!(target("lib64/ld.so", "/lib/x/ld.so").unwrap(), "../lib/x/ld.so");
    assert_eq!(target("a", "/b").unwrap(), "b");
    for (path, bad) in [("a", "../x"), ("a/b", "../../x"), ("a/b", "/../x"), ("a/b", "c/../../../x"), ("a", "")] {
        assert_eq!(target(path, bad), None, "{path} -> {bad}");
    }
}

#[test]
fn exclusions() {
    let patterns = ["usr/share".to_owned(), "*_test.go".to_owned(), "**/testdata".to_owned()];
    let covered = |path| Exclude(&patterns).covers(path);
    assert!(covered("usr/share/x") && covered("usr/share") && covered("a/b_test.go") && covered("a/testdata/c"));
    assert!(!covered("usr/shared") && !covered("a/test.go") && !covered("usr/lib"));
}

/// What comes of an archive written by `write` and unpacked by `unpack`: the tree's entries, or the error.
fn outcome(
    write: impl FnOnce(&Path),
    unpack: impl FnOnce(File, &Store) -> Result<Tree, ArchiveError>,
) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let path = folder.path().join("archive");
    write(&path);
    let tree = unpack(File::open(path).unwrap(), &store).map_err(|error| error.to_string())?;
    Ok(tree
        .entries
        .iter()
        .map(|(path, entry)| match entry {
            TreeEntry::File { size, executable, .. } => format!("{path} {size}{}", if *executable { " x" } else { "" }),
            TreeEntry::Symlink { target } => format!("{path} -> {target}"),
            TreeEntry::EmptyFolder => format!("{path}/"),
        })
        .collect())
}

/// One entry of a tar: kind, name, content or link target. Names are written as they are, checked by nobody.
type Member<'a> = (EntryType, &'a str, &'a [u8]);

fn deb_of(members: &[Member<'_>], xz: bool) -> Result<Vec<String>, String> {
    let mut tar = tar::Builder::new(Vec::new());
    for (kind, name, content) in members {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if name.ends_with('x') { 0o4755 } else { 0o644 });
        let link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if link {
            header.as_gnu_mut().unwrap().linkname[..content.len()].copy_from_slice(content);
        }
        let content: &[u8] = if link { &[] } else { content };
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let (name, data) = if xz {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(&tar).unwrap();
        ("data.tar.xz", encoder.finish().unwrap())
    } else {
        ("data.tar.zst", zstd::encode_all(tar.as_slice(), 1).unwrap())
    };
    let write = |path: &Path| {
        let members = [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz", b""), (name, &data)];
        std::fs::write(path, ar_of(&members)).unwrap();
    };
    outcome(write, |file, store| deb::unpack(file, store, &[], SMALL))
}

fn ar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut package = ar::Builder::new(Vec::new());
    for (name, data) in members {
        package.append(&ar::Header::new(name.as_bytes().to_vec(), data.len() as u64), *data).unwrap();
    }
    package.into_inner().unwrap()
}

#[test]
fn the_members_of_a_debian_package_have_an_order() {
    let tar = tar::Builder::new(Vec::new()).into_inner().unwrap();
    let part = |name: &'static str, content: &'static [u8]| (name, content);
    let (version, control) = (part("debian-binary", b"2.0\n"), part("control.tar.xz", b"c"));
    let data = ("data.tar", tar.as_slice());
    let of = |members: &[(&str, &[u8])]| {
        outcome(
            |path| std::fs::write(path, ar_of(members)).unwrap(),
            |file, store| deb::unpack(file, store, &[], SMALL),
        )
    };
    for good in
        [vec![version, control, data], vec![version, ("_extra", b"x"), control, ("_more", b""), data, ("end", b"")]]
    {
        assert_eq!(of(&good).unwrap(), Vec::<String>::new());
    }
    let version_2 = "it has not the version 2 of the format of packages";
    for (bad, reason) in [
        (vec![control, data], "its member `control.tar.xz` stands where `debian-binary` should"),
        (vec![version, data], "its member `data.tar` stands where `control.tar` should"),
        (vec![version, ("control.tar.x", b""), data], "its member `control.tar.x` stands where `control.tar` should"),
        (vec![version, control, ("xata.tar", &tar), data], "its member `xata.tar` stands where `data.tar` should"),
        (vec![version, control], "it has no member `data.tar`"),
        (vec![version, control, data, data], "it has more than one member `data.tar`"),
        (vec![("debian-binary", b"3.0\n"), control, data], version_2),
        (vec![("debian-binary", b"2.0"), control, data], version_2),
        (vec![("debian-binary", b"2.x\n"), control, data], version_2),
    ] {
        assert_eq!(of(&bad).unwrap_err(), reason);
    }
    let whole = ar_of(&[version, control, ("data.tar", &[0; 2048])]);
    let cut = |path: &Path| std::fs::write(path, &whole[..whole.len() - 100]).unwrap();
    let error = outcome(cut, |file, store| deb::unpack(file, store, &[], SMALL)).unwrap_err();
    assert!(error.contains("ends within its member `data.tar`"), "{error}");
}

#[test]
fn a_debian_package() {
    let members: [Member<'_>; 5] = [
        (EntryType::Directory, "./", b""),
        (EntryType::Directory, "./var/empty/", b""),
        (EntryType::Regular, "./bin/x", b"abc"),
        (EntryType::Symlink, "./bin/l", b"/lib/y"),
        (EntryType::Link, "./bin/hx", b"./bin/x"),
    ];
    let expected = ["bin/hx 3 x", "bin/l -> ../lib/y", "bin/x 3 x", "var/empty/"];
    assert_eq!(deb_of(&members, true).unwrap(), expected);
    assert_eq!(deb_of(&members, false).unwrap(), expected);
}

#[test]
fn hostile_debian_packages() {
    let error = |members: &[Member<'_>]| deb_of(members, true).unwrap_err();
    let file = EntryType::Regular;
    assert_eq!(error(&[(file, "/etc/x", b"")]), "the entry `/etc/x` leads out of the archive: it is absolute");
    assert_eq!(error(&[(file, "./../x", b"")]), "the entry `../x` leads out of the archive: it has a `..` segment");
    assert_eq!(error(&[(file, "a", b""), (file, "a", b"b")]), "the entry `a` comes twice");
    assert_eq!(
        error(&[(EntryType::Symlink, "a/l", b"../../etc/passwd")]),
        "the entry `a/l` leads out of the archive: it links to `../../etc/passwd`"
    );
    assert_eq!(
        error(&[(EntryType::Symlink, "l", b"d"), (file, "l/x", b"")]),
        "`l` is both a file and a folder",
        "a file through a link"
    );
    assert_eq!(
        error(&[(EntryType::Link, "h", b"/etc/shadow")]),
        "the entry `/etc/shadow` leads out of the archive: it is absolute"
    );
    assert_eq!(
        error(&[(EntryType::Link, "h", b"no")]),
        "the entry `h` is a hard link to `no`, which is not a file before it"
    );
    assert_eq!(
        error(&[(EntryType::Block, "dev/sda", b"")]),
        "the entry `dev/sda` is a device, which a package must not bring"
    );
    assert_eq!(error(&[(EntryType::Fifo, "p", b"")]), "the entry `p` is a pipe, which a package must not bring");
    assert_eq!(error(&[(file, "big", &[0; 10_001])]), "it unpacks to more than 10000 bytes");
    assert_eq!(error(&[(file, "a", &[0; 6_000]), (file, "b", &[0; 6_000])]), "it unpacks to more than 10000 bytes");
    let many: Vec<String> = (0..6).map(|index| index.to_string()).collect();
    let many: Vec<Member<'_>> = many.iter().map(|name| (file, name.as_str(), b"".as_slice())).collect();
    assert_eq!(error(&many), "it unpacks to more than 5 entries");
    assert_eq!(error(&[(file, &"n".repeat(65), b"")]).split(": ").nth(1).unwrap(), "its path is too long");
}

#[test]
fn what_is_no_debian_package() {
    let unpack = |file, store: &Store| deb::unpack(file, store, &[], SMALL);
    let of = |bytes: &[u8]| outcome(|path| std::fs::write(path, bytes).unwrap(), unpack).unwrap_err();
    assert!(of(b"no archive at all").starts_with("the archive is damaged"), "{}", of(b"no archive at all"));
    assert_eq!(of(b"!<arch>\n"), "it has no member `debian-binary`");
}

fn zip_of(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, mode, content) in entries {
        let options = SimpleFileOptions::default().unix_permissions(*mode);
        match mode & 0o170_000 {
            0o120_000 => writer.add_symlink(*name, std::str::from_utf8(content).unwrap(), options).unwrap(),
            _ => {
                writer.start_file(*name, options).unwrap();
                writer.write_all(content).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

fn unzipped(bytes: &[u8]) -> Result<Vec<String>, String> {
    let place = |entry: &zip_archive::Entry<'_>| Ok((entry.name.to_owned(), entry.executable));
    outcome(
        |path| std::fs::write(path, bytes).unwrap(),
        |file, store| zip_archive::unpack(file, store, &[], SMALL, &place),
    )
}

#[test]
fn zips() {
    let good = zip_of(&[("a/b", 0o644, b"abc"), ("c", 0o755, b"")]);
    assert_eq!(unzipped(&good).unwrap(), ["a/b 3", "c 0 x"]);
    let error = |entries: &[(&str, u32, &[u8])]| unzipped(&zip_of(entries)).unwrap_err();
    assert!(error(&[("../a", 0o644, b"")]).contains("leads out of the archive"));
    assert!(error(&[("/a", 0o644, b"")]).contains("leads out of the archive"));
    assert!(error(&[("a\\..\\b", 0o644, b"")]).contains("backslash"));
    assert_eq!(error(&[("l", 0o120_777, b"/etc")]), "the entry `l` is a symbolic link, which a package must not bring");
    assert_eq!(error(&[("bomb", 0o644, &[0; 10_001])]), "it unpacks to more than 10000 bytes");
    assert_eq!(error(&[("a", 0o644, b""), ("a/b", 0o644, b"")]), "`a` is both a file and a folder");
    let twice = zip_of(&[("a1", 0o644, b""), ("a2", 0o644, b"")]);
    let twice = replace(twice, b"a2", b"a1");
    assert_eq!(unzipped(&twice).unwrap_err(), "its directory lists a name twice");
    assert!(unzipped(&good[..good.len() - 30]).is_err());
    assert!(unzipped(b"").is_err());
}

fn replace(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    for at in 0..bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

proptest::proptest! {
    /// Whatever comes, an archive is refused or gives a tree: nothing panics, nothing is written elsewhere.
    #[test]
    fn damaged_archives_never_panic(cut in 0usize..200, flip in 0usize..200, bits in 1u8..) {
        let mut bytes = zip_of(&[("a/b", 0o644, b"abcabcabcabc"), ("c", 0o755, b"")]);
        let at = flip % bytes.len();
        bytes[at] ^= bits;
        let end = bytes.len() - cut % 20;
        let _ = unzipped(&bytes[..end]);
    }
}

#[test]
fn a_link_that_climbs_by_way_of_another() {
    let folder = EntryType::Directory;
    let link = EntryType::Symlink;
    let members: [Member<'_>; 3] = [(folder, "a/b/", b""), (link, "a/b/c", b"../.."), (link, "l", b"a/b/c/../outside")];
    assert_eq!(
        deb_of(&members, true).unwrap_err(),
        "the entry `l` leads out of the archive: it links to `a/b/c/../outside`, by way of another link"
    );
    let circle: [Member<'_>; 2] = [(link, "a", b"b"), (link, "b", b"a")];
    assert!(deb_of(&circle, true).is_ok(), "a circle leads nowhere");
}

/// What the directory says of a zip's entries is what the headers before their contents say.
#[test]
fn zips_that_readers_understand_differently() {
    let good = zip_of(&[("a1", 0o644, b"abc"), ("b1", 0o644, b"abc")]);
    let first = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what).unwrap();
    let mut renamed = good.clone();
    let at = first(&renamed, b"a1");
    renamed[at..at + 2].copy_from_slice(b"zz");
    assert_eq!(unzipped(&renamed).unwrap_err(), "the entry `a1` cannot be trusted: it has two names");
    let before = [b"#!/bin/sh\n".as_slice(), &good].concat();
    assert_eq!(unzipped(&before).unwrap_err(), "its directory is not where its end record says");
    let mut large = good.clone();
    let end = large.len() - 22;
    large[end + 8..end + 12].copy_from_slice(&[0xff; 4]);
    assert!(unzipped(&large).unwrap_err().contains("zip64"));
    assert_eq!(unzipped(&[good.as_slice(), b"x"].concat()).unwrap_err(), "its end record is not at its end");
    let changed = |bytes: &[u8], at: usize, value: u8| {
        let (mut bytes, entry) = (bytes.to_vec(), first(bytes, b"PK\x01\x02"));
        bytes[entry + at] = value;
        unzipped(&bytes).unwrap_err()
    };
    assert_eq!(changed(&good, 6, 84), "the entry `a1` cannot be trusted: it needs a later version of the format");
    let folder = zip_of(&[("a/", 0o755, b"")]);
    assert_eq!(unzipped(&folder).unwrap(), Vec::<String>::new());
    assert_eq!(changed(&folder, 16, 1), "the entry `a/` cannot be trusted: it is a folder with content");
    let accent = zip_of(&[("\u{e9}", 0o644, b"")]);
    assert_eq!(unzipped(&accent).unwrap(), ["\u{e9} 0"]);
    assert!(changed(&accent, 9, 0).contains("its name has two encodings"));
}

#[test]
fn extra_fields_of_zips() {
    let with = |field: &[u8]| {
        let mut bytes = zip_of(&[("a1", 0o644, b"")]);
        let entry = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        bytes[entry + 30] = u8::try_from(field.len()).unwrap();
        let name_end = entry + 46 + 2;
        let end = bytes.len() - 22;
        bytes[end + 12] += u8::try_from(field.len()).unwrap();
        bytes.splice(name_end..name_end, field.iter().copied());
        unzipped(&bytes)
    };
    assert_eq!(with(b"").unwrap(), ["a1 0"]);
    assert_eq!(with(b"XX\x01\0x").unwrap(), ["a1 0"]);
    assert!(with(b"UT\x09\0x").unwrap_err().contains("extra fields are damaged"));
    assert!(with(b"up\x06\0\x01\0\0\0\0b").unwrap_err().contains("it has two names"));
}
