//! Archives that say little and become much: each is made when it is needed.

use super::attacks::{Attack, Carrier, Must};
use super::tar::{self, Member};
use super::zip::{self, Archive};

/// A stream of a tar file: its name, what the refusal says, how its bytes are made.
type Stream = (&'static str, &'static str, fn() -> Vec<u8>);
/// A zip file: its name, what must come of it, how it is made.
type Zip = (&'static str, Must, fn() -> Archive);

/// All of them.
pub fn bombs() -> Vec<Attack> {
    let streams: [Stream; 5] = [
        ("twenty gigabytes of zeros", "more than", || start(tar::file("zeros", "").declaring(20 << 30))),
        ("six hundred megabytes of zeros", "more than", || start(tar::file("zeros", "").declaring(600 << 20))),
        ("a long name of gigabytes", "too large", || {
            start(tar::member(b'L', "././@LongLink", "", "").declaring(4 << 30))
        }),
        ("an extended header of gigabytes", "too large", || start(tar::member(b'x', "x", "", "").declaring(4 << 30))),
        ("two hundred thousand members", "entries", || {
            (0..201_000).flat_map(|i| start(tar::file(format!("f{i}"), ""))).collect()
        }),
    ];
    let zips: [Zip; 4] = [
        ("three hundred megabytes of zeros", Must::Refuse("more than"), || {
            zip::archive(&[zip::file("zeros", vec![0; 300 << 20])])
        }),
        ("one content for a thousand members", Must::Refuse("cannot be trusted|more than"), || {
            let members: Vec<_> = (0..1000).map(|i| zip::file(format!("f{:03}", i), vec![0; 1 << 16])).collect();
            Archive { overlapping: true, ..zip::archive(&members) }
        }),
        ("a bomb that declares little", Must::Refuse(""), || {
            zip::archive(&[zip::Member { declared: Some(100), ..zip::file("zeros", vec![0; 300 << 20]) }])
        }),
        ("very many members", Must::Accept, || {
            zip::archive(&(0..20_000).map(|index| zip::file(format!("f{index}"), "")).collect::<Vec<_>>())
        }),
    ];
    let bomb = |kind, (name, text, bytes): (&str, _, _)| Attack {
        name: name.to_owned(),
        kind,
        carrier: Carrier::Bomb(bytes),
        must: Must::Refuse(text),
        escapes: false,
    };
    let large = |(name, must, archive): (&str, _, _)| Attack {
        name: name.to_owned(),
        kind: "wheel",
        carrier: Carrier::Large(archive),
        must,
        escapes: false,
    };
    // Images have very many files, so the last is none for them.
    let tars = ["deb", "layer"].into_iter().flat_map(|kind| {
        let count = if kind == "deb" { streams.len() } else { streams.len() - 1 };
        streams[..count].iter().map(move |stream| bomb(kind, *stream))
    });
    tars.chain(zips.into_iter().map(large)).collect()
}

/// The header of a member.
fn start(member: Member) -> Vec<u8> {
    tar::archive(&[member])[..512].to_vec()
}
