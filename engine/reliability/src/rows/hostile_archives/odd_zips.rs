//! Zip files that readers could understand differently.

use super::attacks::{Attack, Carrier, Must};
use super::zip::{self, Archive};

/// All of them.
pub fn odd_zips() -> Vec<Attack> {
    let file = |name: &str, content: &str| zip::file(name, content);
    let refuse = Must::Refuse;
    let plain = zip::archive(&[file("a", "1"), file("b/c", "2")]);
    let hidden = zip::archive(&[file("hidden", "x")]);
    let mut all: Vec<(&str, Must, Archive)> = vec![
        (
            "ordinary members",
            Must::Accept,
            zip::archive(&[
                file("a", "1"),
                zip::Member { mode: 0o100_755, ..file("b/c", "2") },
                file("x-1.data/purelib/p/q", "3"),
                file("x-1.data/scripts/s", "4"),
            ]),
        ),
        ("a name twice", refuse("twice"), zip::archive(&[file("a", "1"), file("a", "2")])),
        (
            "a name twice, undeclared",
            refuse("declares"),
            Archive { count: Some(1), ..zip::archive(&[file("a", "1"), file("a", "2")]) },
        ),
        (
            "a name twice, behind zip64",
            refuse("zip64"),
            Archive { count: Some(0xffff), ..zip::archive(&[file("a", "1"), file("a", "2")]) },
        ),
        ("more members than there are", refuse("declares"), Archive { count: Some(9), ..plain.clone() }),
        (
            "another name before the content",
            refuse("two names"),
            zip::archive(&[zip::Member { local: Some(b"z".to_vec()), ..file("a", "1") }]),
        ),
        (
            "something before the archive",
            refuse("directory"),
            Archive { before: b"#!/bin/sh\n".to_vec(), ..plain.clone() },
        ),
        ("an archive before the archive", refuse("directory"), Archive { before: hidden.bytes(), ..plain.clone() }),
        ("an archive in the comment", Must::Agree, Archive { comment: hidden.bytes(), ..plain.clone() }),
        (
            "an end record in the comment",
            refuse("end"),
            Archive { comment: b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0x".to_vec(), ..plain.clone() },
        ),
        ("a comment", Must::Accept, Archive { comment: b"a comment".to_vec(), ..plain.clone() }),
        (
            "members that share bytes",
            refuse("cannot be trusted"),
            Archive { overlapping: true, ..zip::archive(&[file("a", "1"), file("b", "1")]) },
        ),
        ("an encrypted member", refuse("encrypted"), zip::archive(&[zip::Member { flags: 1, ..file("a", "1") }])),
        ("an unknown method", refuse("not supported"), zip::archive(&[zip::Member { method: 99, ..file("a", "1") }])),
        (
            "a smaller size than the content",
            Must::Agree,
            zip::archive(&[zip::Member { declared: Some(1), ..file("a", "1234567890") }]),
        ),
        (
            "a larger size than the content",
            Must::Agree,
            zip::archive(&[zip::Member { declared: Some(1000), ..file("a", "1234567890") }]),
        ),
        ("a wrong checksum", Must::Agree, zip::archive(&[zip::Member { crc: Some(1), ..file("a", "1") }])),
        ("a folder with content", refuse("folder"), zip::archive(&[file("a/", "1")])),
        (
            "a folder",
            Must::Accept,
            zip::archive(&[zip::Member { mode: 0o040_755, method: 0, ..file("a/", "") }, file("a/b", "1")]),
        ),
        ("a symbolic link", refuse("symbolic link"), zip::archive(&[zip::link("a", "/etc/passwd")])),
        ("a name with a zero byte", Must::Agree, zip::archive(&[file("a\0b", "1")])),
        ("a name of a drive", Must::Agree, zip::archive(&[file("C:/a", "1")])),
        ("a name of nothing", Must::Agree, zip::archive(&[file("", "1")])),
        (
            "a name that is no UTF-8",
            refuse("UTF-8"),
            zip::archive(&[zip::Member { flags: 0, ..zip::file([b'a', 0xff], "1") }]),
        ),
        ("a name with a line break", Must::Agree, zip::archive(&[file("a\nb", "1")])),
        (
            "a file and a folder of one name",
            refuse("both a file and a folder"),
            zip::archive(&[file("a", "1"), file("a/b", "2")]),
        ),
        (
            "another name in a further field",
            Must::Agree,
            zip::archive(&[zip::Member { extra: unicode_path(b"a", b"../../outside/escaped"), ..file("a", "1") }]),
        ),
        ("a long name", refuse("too long"), zip::archive(&[file(&"n".repeat(60_000), "1")])),
        ("nothing", Must::Agree, zip::archive(&[])),
        (
            "many members",
            Must::Accept,
            zip::archive(&(0..2000).map(|i| file(&format!("f{i}"), "")).collect::<Vec<_>>()),
        ),
    ];
    let only_wheel = ["scripts out of their folder", "scripts over a program"];
    all.push((only_wheel[0], Must::Agree, zip::archive(&[file("x.data/scripts/../../escaped", "1")])));
    all.push((only_wheel[1], refuse("twice"), zip::archive(&[file("bin/a", "1"), file("x.data/scripts/a", "2")])));
    let mut attacks = Vec::new();
    for (name, must, archive) in all {
        attacks.push(of_zip(name, "wheel", must, archive.clone()));
        if !only_wheel.contains(&name) {
            attacks.push(of_zip(name, "module", must, below(archive)));
        }
    }
    attacks.push(of_zip(
        "a member that is not below the module",
        "module",
        refuse("not below"),
        zip::archive(&[file("other/a", "1")]),
    ));
    attacks.push(of_zip(
        "a member beside the module",
        "module",
        Must::Agree,
        zip::archive(&[file("m@v1/../m@v2/a", "1")]),
    ));
    attacks
}

fn of_zip(name: &str, kind: &'static str, must: Must, archive: Archive) -> Attack {
    Attack { name: name.to_owned(), kind, carrier: Carrier::Zip(archive), must, escapes: false }
}

/// The same below the folder that a module has.
fn below(mut archive: Archive) -> Archive {
    for member in &mut archive.members {
        let prefix = |name: &[u8]| [b"m@v1/", name].concat();
        member.local = member.local.as_deref().map(prefix);
        member.name = prefix(&member.name);
    }
    archive
}

/// Info-ZIP's field for a name in Unicode.
fn unicode_path(name: &[u8], other: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    let size = u16::try_from(other.len() + 5).expect("a short name");
    [&0x7075u16.to_le_bytes()[..], &size.to_le_bytes(), &[1], &crc.sum().to_le_bytes(), other].concat()
}
