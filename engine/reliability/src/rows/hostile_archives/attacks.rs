//! Archives that were made for one weakness each. Those that would write outside come with a twin that does not.

use super::tar::{self, Member};
use super::zip::{self, Archive};
use super::{bombs, odd_zips};

/// What an archive holds.
pub enum Carrier {
    /// Layers of an image, or the content of a Debian package, which takes the first.
    Tars(Vec<Vec<Member>>),
    /// A wheel or a module.
    Zip(Archive),
    /// These compressed bytes, and then zeros without an end; in the place of a tar.
    Bomb(fn() -> Vec<u8>),
    /// A zip that is too large to be made before it is needed.
    Large(fn() -> Archive),
}

/// What must come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// An error with this text.
    Refuse(&'static str),
    /// What the reference reader finds, or an error.
    Agree,
    /// Exactly what the reference reader finds.
    Accept,
}

/// An archive.
pub struct Attack {
    /// What it tries.
    pub name: String,
    /// The kind of package it is sent as.
    pub kind: &'static str,
    /// What it holds.
    pub carrier: Carrier,
    /// What must come of it.
    pub must: Must,
    /// Whether a careless program writes outside of its folder.
    pub escapes: bool,
}

/// Where an attack aims: a folder as it is reached from the place of unpacking, and by an absolute path.
#[derive(Debug, Clone)]
pub struct Aim {
    /// `../../outside`, or a folder inside for the harmless twin.
    pub up: String,
    /// `/.../outside`
    pub absolute: String,
}

impl Aim {
    /// The aim of the harmless twin.
    pub fn harmless() -> Self {
        Self { up: "inside".to_owned(), absolute: "inside".to_owned() }
    }
}

/// All attacks.
pub fn all(aim: &Aim) -> Vec<Attack> {
    let mut all = escapes(aim);
    all.extend(odd_members());
    all.extend(odd_whiteouts());
    all.extend(odd_zips::odd_zips());
    all.extend(bombs::bombs());
    all
}

/// Those that write outside, or, with a harmless aim, their twins.
pub fn escapes(aim: &Aim) -> Vec<Attack> {
    let mut all = Vec::new();
    for (name, members) in escaping_tars(aim) {
        for kind in ["deb", "layer"] {
            let carrier = Carrier::Tars(vec![members.clone()]);
            all.push(Attack { name: name.to_owned(), kind, carrier, must: Must::Agree, escapes: true });
        }
    }
    for (name, members) in escaping_zips(aim) {
        for kind in ["wheel", "module"] {
            let prefix = if kind == "module" { "m@v1/" } else { "" };
            let members: Vec<_> = members
                .iter()
                .map(|member| zip::Member { name: [prefix.as_bytes(), &member.name].concat(), ..member.clone() })
                .collect();
            // An absolute name below a module's folder is none.
            let escapes = !(kind == "module" && name.starts_with("an absolute"));
            let carrier = Carrier::Zip(zip::archive(&members));
            all.push(Attack { name: name.to_owned(), kind, carrier, must: Must::Agree, escapes });
        }
    }
    all
}

fn escaping_tars(aim: &Aim) -> Vec<(&'static str, Vec<Member>)> {
    let Aim { up, absolute } = aim;
    let to = |name: &str| format!("{up}/{name}");
    let at = |name: &str| format!("{absolute}/{name}");
    let content = "written outside";
    let long = format!("{}{}", "./".repeat(60), to("long"));
    vec![
        ("a name that leads up", vec![tar::file(to("escaped"), content)]),
        (
            "a name that leads up from a folder",
            vec![tar::folder("a/"), tar::file(format!("a/../{}", to("escaped")), content)],
        ),
        ("a name that leads up behind dots", vec![tar::file(format!("./././{}", to("escaped")), content)]),
        ("an absolute name", vec![tar::file(at("escaped"), content)]),
        ("an absolute name of many slashes", vec![tar::file(format!("//{}", at("escaped")), content)]),
        ("a folder that leads up", vec![tar::folder(to("folder/"))]),
        ("an absolute folder", vec![tar::folder(at("folder/"))]),
        ("a file through a link", vec![tar::link("l", up), tar::file("l/escaped", content)]),
        ("a file through an absolute link", vec![tar::link("l", absolute), tar::file("l/escaped", content)]),
        ("a file through two links", vec![tar::link("k", up), tar::link("l", "k"), tar::file("l/escaped", content)]),
        ("a folder through a link", vec![tar::link("l", up), tar::folder("l/folder/")]),
        ("a link through a link", vec![tar::link("l", up), tar::link("l/escaped", "x")]),
        (
            "a link that climbs by way of another",
            vec![
                tar::folder("a/"),
                tar::folder("a/b/"),
                tar::link("a/b/c", "../.."),
                tar::link("l", format!("a/b/c/{up}")),
                tar::file("l/escaped", content),
            ],
        ),
        ("a file over a link", vec![tar::link("l", to("escaped")), tar::file("l", content)]),
        ("a file over an absolute link", vec![tar::link("l", at("escaped")), tar::file("l", content)]),
        ("a file over a hard link", vec![tar::hard("h", to("canary")), tar::file("h", content)]),
        ("a file over an absolute hard link", vec![tar::hard("h", at("canary")), tar::file("h", content)]),
        ("an extended header with a path", vec![tar::file("harmless", content).pax("path", to("escaped"))]),
        ("an extended header with an absolute path", vec![tar::file("harmless", content).pax("path", at("escaped"))]),
        (
            "an extended header with a target",
            vec![tar::link("l", "harmless").pax("linkpath", up), tar::file("l/escaped", content)],
        ),
        ("a long name", vec![tar::file("harmless", content).long_name(&long)]),
        ("a long target", vec![tar::link("l", "harmless").long_link(up), tar::file("l/escaped", content)]),
        ("a prefix", vec![Member { prefix: up.clone().into_bytes(), ..tar::file("escaped", content) }]),
    ]
}

fn escaping_zips(aim: &Aim) -> Vec<(&'static str, Vec<zip::Member>)> {
    let Aim { up, absolute } = aim;
    let content = "written outside";
    // One folder deeper, as a module's folder is one.
    vec![
        (
            "a name that leads up",
            vec![zip::file(format!("{up}/escaped"), content), zip::file(format!("../{up}/escaped"), content)],
        ),
        (
            "a name that leads up from a folder",
            vec![zip::file(format!("a/../{up}/escaped"), content), zip::file(format!("a/../../{up}/escaped"), content)],
        ),
        ("an absolute name", vec![zip::file(format!("{absolute}/escaped"), content)]),
        (
            "a name with backslashes",
            vec![
                zip::file(up.replace('/', "\\") + "\\escaped", content),
                zip::file("..\\".to_owned() + &up.replace('/', "\\") + "\\escaped", content),
            ],
        ),
        (
            "a file through a link",
            vec![
                zip::link("l", up),
                zip::file("l/escaped", content),
                zip::link("k", format!("../{up}")),
                zip::file("k/escaped", content),
            ],
        ),
    ]
}

fn odd_members() -> Vec<Attack> {
    let deep = "d/".repeat(5000);
    let refuse = |text| Must::Refuse(text);
    let long = "n".repeat(70_000);
    let mut all: Vec<(&str, Must, Vec<Member>)> = vec![
        ("ordinary members", Must::Accept, ordinary()),
        (
            "a path twice in an extended header",
            refuse("twice"),
            vec![tar::file("a", "1").pax("path", "b").pax("path", "c")],
        ),
        (
            "a path in GNU's and in POSIX's way",
            refuse("different names"),
            vec![tar::file("a", "1").pax("path", "b").long_name("c")],
        ),
        (
            "a size that hides a member",
            refuse("two sizes"),
            vec![tar::file("a", tar::archive(&[tar::file("hidden", "x")])).declaring(0).pax("size", "2048")],
        ),
        (
            "a size that shows a hidden member",
            refuse("two sizes"),
            vec![tar::file("a", tar::archive(&[tar::file("hidden", "x")])).pax("size", "0")],
        ),
        ("an extended size that is no number", refuse("size"), vec![tar::file("a", "1").pax("size", "-1")]),
        ("a size of many digits", refuse("size"), vec![tar::file("a", "1").pax("size", "99999999999999999999999999")]),
        ("a size of eight exabytes", Must::Agree, vec![tar::file("a", "1").declaring(u64::MAX / 2)]),
        (
            "a size beyond all numbers",
            refuse("size"),
            vec![tar::file("a", "1").patched(124, [0x80, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255])],
        ),
        ("a negative size", refuse("size"), vec![tar::file("a", "1").patched(124, [0xff; 12])]),
        ("a size that is no number", refuse("size"), vec![tar::file("a", "1").patched(124, b"0x000000001\0")]),
        ("a mode that is no number", refuse("mode"), vec![tar::file("a", "1").patched(100, b"rwxr-xr\0")]),
        (
            "a wrong checksum",
            refuse("checksum"),
            vec![Member { patch: Some((0, b"b".to_vec(), false)), ..tar::file("a", "1") }],
        ),
        (
            "a sparse file of eight exabytes",
            refuse("sparse"),
            vec![Member { kind: b'S', ..tar::file("a", "1").patched(257, b"ustar  \0") }],
        ),
        (
            "a sparse file of POSIX",
            refuse("sparse"),
            vec![
                tar::file("a", "1")
                    .pax("GNU.sparse.major", "1")
                    .pax("GNU.sparse.minor", "0")
                    .pax("GNU.sparse.realsize", "999999999999"),
            ],
        ),
        (
            "an extended header of another encoding",
            refuse("encoding"),
            vec![tar::file("a", "1").pax("hdrcharset", "BINARY")],
        ),
        ("a path with a zero byte", refuse("zero byte"), vec![tar::file("a", "1").pax("path", "a\0b")]),
        ("a path with a line break", Must::Agree, vec![tar::file("a", "1").pax("path", "a\nb")]),
        ("a path with an escape sequence", Must::Agree, vec![tar::file("a\x1b[2Jb", "1")]),
        ("a path with a backslash", Must::Agree, vec![tar::file("a\\b", "1")]),
        ("a path that is no UTF-8", refuse("UTF-8"), vec![tar::file([b'a', 0xff], "1")]),
        ("a target that is no UTF-8", refuse("UTF-8"), vec![tar::link("l", [b'a', 0xff])]),
        ("a path of seventy thousand letters", refuse("too long"), vec![tar::file("a", "1").pax("path", &long)]),
        ("a path of five thousand folders", refuse("too long"), vec![tar::file("a", "1").pax("path", deep + "f")]),
        ("a name of nothing", Must::Agree, vec![tar::file("", "1")]),
        ("the root as a file", Must::Agree, vec![tar::file(".", "1")]),
        ("the root as a link", Must::Agree, vec![tar::link("./", "etc")]),
        ("the root as a link to itself", Must::Agree, vec![tar::link(".", "."), tar::file("a", "1")]),
        ("a file whose name ends like a folder's", refuse("folder"), vec![tar::file("a/", "1")]),
        ("a folder with content", refuse("content"), vec![Member { content: b"x".repeat(600), ..tar::folder("a/") }]),
        ("a link with content", refuse("content"), vec![Member { content: b"x".repeat(600), ..tar::link("a", "b") }]),
        ("a folder of the oldest format", Must::Agree, vec![tar::member(0, "a/", "", ""), tar::file("a/b", "1")]),
        (
            "a prefix in a header of GNU",
            refuse("differently"),
            vec![Member { prefix: b"p".to_vec(), ..tar::file("a", "1").patched(257, b"ustar  \0") }],
        ),
        ("a file and a folder of one name", Must::Agree, vec![tar::file("a", "1"), tar::file("a/b", "2")]),
        ("a folder that becomes a file", Must::Agree, vec![tar::file("a/b", "1"), tar::file("a", "2")]),
        ("a name twice", Must::Agree, vec![tar::file("a", "1"), tar::file("a", "2")]),
        ("a name twice in two forms", Must::Agree, vec![tar::file("a", "1"), tar::file("./a", "2")]),
        ("a name twice, in another case", Must::Accept, vec![tar::file("a", "1"), tar::file("A", "2")]),
        ("a name that looks like another", Must::Accept, vec![tar::file("é", "1"), tar::file("e\u{301}", "2")]),
        ("a name with doubled slashes", Must::Agree, vec![tar::file("a//b", "1")]),
        ("a name with dots inside", Must::Agree, vec![tar::file("a/./b", "1")]),
        ("a hard link to nothing", refuse("is not a file before it|no file before it"), vec![tar::hard("a", "b")]),
        ("a hard link to itself", refuse("is not a file before it|no file before it"), vec![tar::hard("a", "a")]),
        (
            "a hard link to a folder",
            refuse("is not a file before it|no file before it"),
            vec![tar::folder("b/"), tar::hard("a", "b")],
        ),
        (
            "a hard link to what comes later",
            refuse("is not a file before it|no file before it"),
            vec![tar::hard("a", "b"), tar::file("b", "1")],
        ),
        ("hard links in a row", Must::Accept, vec![tar::file("a", "1"), tar::hard("b", "a"), tar::hard("c", "b")]),
        ("links in a circle", Must::Accept, vec![tar::link("a", "b"), tar::link("b", "a")]),
        (
            "a file through links in a circle",
            Must::Agree,
            vec![tar::link("a", "b"), tar::link("b", "a"), tar::file("a/x", "1")],
        ),
        ("a link to nothing", refuse("nothing"), vec![tar::link("a", "")]),
        ("a device", Must::Agree, vec![tar::member(b'4', "sda", "", "")]),
        ("a terminal", Must::Agree, vec![tar::member(b'3', "tty", "", "")]),
        ("a pipe", Must::Agree, vec![tar::member(b'6', "pipe", "", "")]),
        ("an unknown kind", refuse("unknown"), vec![tar::member(b'Z', "a", "1", "")]),
        ("a volume header", refuse("unknown"), vec![tar::member(b'V', "a", "", "")]),
        (
            "a header for all that sets a path",
            refuse("for all"),
            vec![tar::member(b'g', "g", tar::record("path", b"x"), ""), tar::file("a", "1")],
        ),
        (
            "a header for all with a comment",
            Must::Accept,
            vec![tar::member(b'g', "g", tar::record("comment", b"x"), ""), tar::file("a", "1")],
        ),
        (
            "a header that announces nothing",
            refuse("announces"),
            vec![tar::file("a", "1"), tar::member(b'x', "x", tar::record("path", b"b"), "")],
        ),
        (
            "two headers that announce one member",
            refuse("two headers"),
            vec![tar::member(b'x', "x", tar::record("path", b"b"), ""), tar::file("a", "1").pax("path", "c")],
        ),
        (
            "an extended header that is cut off",
            refuse("damaged"),
            vec![tar::member(b'x', "x", b"20 path=a\n", ""), tar::file("a", "1")],
        ),
        (
            "bits for other users",
            Must::Accept,
            vec![Member { mode: 0o6755, ..tar::file("a", "1") }, Member { mode: 0o4644, ..tar::file("b", "1") }],
        ),
    ];
    let mut cut = tar::archive(&[tar::file("a", "x".repeat(5000))]);
    cut.truncate(2000);
    all.push(("an archive in an archive, cut off", Must::Accept, vec![tar::file("inner.tar", cut)]));
    all.into_iter()
        .flat_map(|(name, must, members)| {
            ["deb", "layer"].map(|kind| {
                let carrier = Carrier::Tars(vec![members.clone()]);
                Attack { name: name.to_owned(), kind, carrier, must, escapes: false }
            })
        })
        .collect()
}

/// Members of every sound kind.
pub fn ordinary() -> Vec<Member> {
    let long = format!("{}file", "long/".repeat(40));
    vec![
        tar::folder("./"),
        tar::folder("./usr/"),
        tar::folder("./usr/empty/"),
        Member { mode: 0o755, ..tar::file("./usr/bin/program", "program") },
        tar::file("./usr/share/text", "text".repeat(500)),
        tar::file("./usr/share/nothing", ""),
        tar::link("./usr/lib64", "lib"),
        tar::link("./usr/bin/absolute", "/usr/bin/program"),
        tar::hard("./usr/bin/again", "./usr/bin/program"),
        tar::file("short", "long").pax("path", &long).pax("mtime", "1.5"),
        tar::file("short", "gnu").long_name(format!("gnu/{long}")),
        Member { prefix: b"prefix/of".to_vec(), ..tar::file("name", "prefixed") },
        tar::file("ünïcödé", "text"),
    ]
}

fn odd_whiteouts() -> Vec<Attack> {
    let below = || {
        vec![
            tar::file("a/x", "1"),
            tar::file("a/y", "1"),
            tar::file("b", "1"),
            tar::link("l", "a"),
            tar::link("up", "/"),
        ]
    };
    let of = |name: &str, must, above: Vec<Member>| Attack {
        name: name.to_owned(),
        kind: "layer",
        carrier: Carrier::Tars(vec![below(), above]),
        must,
        escapes: false,
    };
    let hide = |name: &str| tar::file(name, "");
    vec![
        of("a whiteout", Must::Accept, vec![hide("a/.wh.x")]),
        of("a whiteout of a folder", Must::Accept, vec![hide(".wh.a")]),
        of("an opaque folder", Must::Accept, vec![hide("a/.wh..wh..opq"), tar::file("a/z", "2")]),
        of("an opaque folder after its content", Must::Accept, vec![tar::file("a/z", "2"), hide("a/.wh..wh..opq")]),
        of("an opaque root", Must::Accept, vec![hide(".wh..wh..opq"), tar::file("z", "2")]),
        of("a whiteout of nothing", Must::Accept, vec![hide("a/.wh.nothing")]),
        of("a whiteout without a name", Must::Refuse("whiteout"), vec![hide("a/.wh.")]),
        of("a whiteout without a name at the root", Must::Refuse("whiteout"), vec![hide(".wh.")]),
        of("a whiteout of the folder itself", Must::Refuse("whiteout"), vec![hide("a/.wh..")]),
        of("a whiteout of the folder above", Must::Refuse("whiteout"), vec![hide("a/.wh...")]),
        of("a whiteout that leads up", Must::Agree, vec![hide(".wh.../../../x")]),
        of("a whiteout through a link", Must::Accept, vec![hide("l/.wh.x")]),
        of("a whiteout through a link to the root", Must::Accept, vec![hide("up/.wh.b")]),
        of("a whiteout of a link", Must::Accept, vec![hide(".wh.l")]),
        of("a whiteout in a file", Must::Agree, vec![hide("b/.wh.x")]),
        of("a whiteout that is a folder", Must::Agree, vec![tar::folder("a/.wh.x/")]),
        of("a whiteout that is a link", Must::Agree, vec![tar::link("a/.wh.x", "/etc")]),
        of("a whiteout and its file in one layer", Must::Accept, vec![tar::file("b", "2"), hide(".wh.b")]),
        of(
            "a hard link to what a whiteout hid",
            Must::Refuse("no file before it"),
            vec![hide(".wh.b"), tar::hard("c", "b")],
        ),
    ]
}
