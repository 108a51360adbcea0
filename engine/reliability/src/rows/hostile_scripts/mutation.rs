//! Files made from sound ones by seeded changes: bytes flipped, pieces of others spliced in, repeated, cut out.

use fastrand::Rng;

use crate::attempt::{Attempt, Outcome};

/// Packages of one try; each has a file of its own.
const PACKAGES: usize = 12;

/// Sound files. What they load is in the workspace.
const SEEDS: [&str; 6] = [
    "load(\"//:lib.star\", \"f\", g = \"f\")\n\npackage(default_visibility = [\"//visibility:public\"])\n\nfilegroup(\n    name = \"a\",\n    \
     srcs = glob([\"*.txt\", \"**/x\"], exclude = [\"b*\"], allow_empty = True) + [\"c.txt\"],\n)\n\nf(1, b = \"two\")\n",
    "genrule(\n    name = \"g\",\n    srcs = [\"in.txt\", \"//a:b\", \"@r//c\"],\n    outs = [\"out/%s.txt\" % n for n in [\"x\", \"y\"]],\n    \
     cmd = \"cat $(SRCS) > $@\",\n    tags = [\"t\"] * 2,\n)\n",
    "x = {\"a\": [1, 2.5, 0x1f, 0o17, 0b1, True, None], 'b': (1,), \"c\": \"\"\"long\ntext\"\"\", \"d\": r\"raw\\n\"}\n\
     y = [k for k, v in x.items() if v and k != \"a\" or not k in \"bc\"]\nz = x[\"a\"][1:-1] if len(y) > 1 else -1 // 2 << 3 ^ ~4\n",
    "filegroup(name = \"s\", srcs = select({\"//conditions:default\": [], \":c\": [\"d\"]}) + [\"e\"])\n\nconfig_setting(name = \"c\", \
     define_values = {\"k\": \"v\"})\nalias(name = \"l\", actual = \":s\")\nexports_files([\"f\"])\n",
    "def f(a, b = 1, *args, **kwargs):\n    \"\"\"Text.\"\"\"\n    for i in range(3):\n        if i == a:\n            continue\n        elif b:\n            \
     break\n        else:\n            pass\n    return [lambda x: x + i for i in [1]]\n",
    "P = provider(fields = [\"a\"])\ndef _i(ctx):\n    o = ctx.actions.declare_file(ctx.label.name)\n    ctx.actions.write(o, \"x\")\n    return \
     [DefaultInfo(files = depset([o])), P(a = struct(b = json.encode({})))]\nr = rule(implementation = _i, attrs = {\"d\": attr.label_list(providers \
     = [P])})\n",
];

/// Pieces that mean something to the reader.
const PIECES: [&[u8]; 30] = [
    b"\"",
    b"'",
    b"\"\"\"",
    b"\\",
    b"(",
    b")",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\n",
    b"\t",
    b"    ",
    b"#",
    b"=",
    b"*",
    b"**",
    b"//",
    b":",
    b"@",
    b"..",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"lambda: ",
    b" if 1 else ",
    b"load(",
    b"99999999999999999999",
    b" for i in range(1 << 40)",
    b" * 99999999",
];

/// Makes a workspace of changed files and loads it.
pub fn load(attempt: &mut Attempt) -> Outcome {
    let workspace = attempt.workspace("w");
    workspace.write("lib.star", SEEDS[4]);
    let mut changed = Vec::new();
    for index in 0..PACKAGES {
        let text = change(&mut attempt.dice);
        let library = attempt.dice.u8(..4) == 0;
        if library {
            workspace.write(&format!("p{index}/l.star"), &text);
            workspace.write(&format!("p{index}/BUILD.star"), "load(\":l.star\", \"f\")\n");
        } else {
            workspace.write(&format!("p{index}/BUILD.star"), &text);
        }
        changed.push(text);
    }
    for (index, text) in changed.iter().enumerate() {
        let pattern = format!("//p{index}:all");
        let run = super::command(attempt, &workspace, &["query", &pattern])?;
        let folder = format!("p{index}/");
        let place = ["BUILD.star", "l.star"].map(|name| format!("{folder}{name}"));
        let located = place.iter().chain([&"lib.star".to_owned()]).any(|file| super::has_place(&run.stderr, file));
        let died = ![0, 1, 7].contains(&run.code) || run.stderr.contains("panicked at");
        if died || run.code != 0 && !located {
            let text = String::from_utf8_lossy(text);
            return Err(format!("exit code {}: {}\nfor the file:\n{text:?}", run.code, run.stderr));
        }
    }
    Ok(())
}

fn change(dice: &mut Rng) -> Vec<u8> {
    let mut text = SEEDS[dice.usize(..SEEDS.len())].as_bytes().to_vec();
    for _ in 0..dice.usize(1..6) {
        let at = dice.usize(..=text.len());
        let end = (at + dice.usize(1..40)).min(text.len());
        match dice.u8(..6) {
            0 if at < text.len() => text[at] ^= 1 << dice.u8(..8),
            1 => drop(text.drain(at..end)),
            2 => {
                let piece = text[at..end].repeat(dice.usize(1..200));
                text.splice(at..at, piece);
            }
            3 => {
                let other = SEEDS[dice.usize(..SEEDS.len())].as_bytes();
                let from = dice.usize(..other.len());
                let to = (from + dice.usize(1..80)).min(other.len());
                text.splice(at..at, other[from..to].iter().copied());
            }
            4 => {
                let piece = PIECES[dice.usize(..PIECES.len())].repeat(if dice.u8(..8) == 0 { 5000 } else { 1 });
                text.splice(at..at, piece);
            }
            _ => {
                text.splice(at..at, PIECES[dice.usize(..PIECES.len())].iter().copied());
            }
        }
    }
    text
}
