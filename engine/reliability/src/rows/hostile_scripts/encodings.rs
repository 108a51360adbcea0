//! Files that are no text, or that show something else than they say.

use super::file::Hostile;

pub fn all() -> Vec<Hostile> {
    let mut all = not_text();
    all.extend(odd_characters());
    all.extend(syntax());
    all
}

fn bytes(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn not_text() -> Vec<Hostile> {
    let program = std::fs::read("/proc/self/exe").unwrap_or_default();
    let start = program[..program.len().min(100_000)].to_vec();
    let utf16: Vec<u8> = "\u{feff}x = 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide: Vec<u8> = "x = 1\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let all_bytes: Vec<u8> = (0..=255).collect();
    vec![
        Hostile::build("a program", start.clone()).at("BUILD.star"),
        Hostile::library("a program as a library", start).at("lib.star"),
        Hostile::build("a byte that is no UTF-8 in line 3", bytes(&[b"x = 1\ny = 2\nz = \"a", &[0xff], b"\"\n"]))
            .at("BUILD.star:3"),
        Hostile::library("a byte that is no UTF-8 in a library", bytes(&[b"x = 1\n# ", &[0xc3], b"\n"]))
            .at("lib.star:2"),
        Hostile::build("a byte that is no UTF-8 in WORKSPACE.star", "")
            .with("WORKSPACE.star", bytes(&[b"workspace(name = \"w\")\n\n", &[0x80]]))
            .at("WORKSPACE.star:3"),
        Hostile::build("a lockfile that is no UTF-8", "filegroup(name = \"x\", srcs = [\"@pip//a\"])\n")
            .with("WORKSPACE.star", "workspace(name = \"w\")\npip_lock(name = \"pip\", lock = \"//:lock\")\n")
            .with("lock", bytes(&[b"a==1.0 \\\n", &[0xfe, 0xff]]))
            .by(&["build", "//:x"])
            .says("line 2, column 1"),
        Hostile::build("UTF-16", utf16),
        Hostile::build("UTF-16 without a mark", wide),
        Hostile::build("an overlong encoding", bytes(&[b"x = \"", &[0xc0, 0xaf], b"\"\n"])).at("BUILD.star:1"),
        Hostile::build("a surrogate", bytes(&[b"x = \"", &[0xed, 0xa0, 0x80], b"\"\n"])).at("BUILD.star:1"),
        Hostile::build("a character cut off by the end", bytes(&[b"x = \"", &[0xf0, 0x9f, 0x98]])).at("BUILD.star:1"),
        Hostile::build("every byte", all_bytes).at("BUILD.star:2"),
        Hostile::build("zero bytes", vec![0; 100_000]).at("BUILD.star:1"),
        Hostile::build("a zero byte in a text", "x = \"a\0b\"\nfilegroup(name = x)\n").at("BUILD.star:2"),
        Hostile::build("a zero byte in a comment", "# a\0b\nwrong\n").at("BUILD.star:2"),
        Hostile::build("a zero byte in a name", "a\0b = 1\n").at("BUILD.star:1"),
    ]
}

fn odd_characters() -> Vec<Hostile> {
    vec![
        Hostile::build("a byte order mark", "\u{feff}filegroup(name = \"x\")\n").loads(),
        Hostile::build("two byte order marks", "\u{feff}\u{feff}x = 1\n").at("BUILD.star:1"),
        Hostile::build("a byte order mark in the middle", "x = 1\n\u{feff}y = 2\n").at("BUILD.star:2"),
        Hostile::build("line breaks of Windows", "filegroup(\r\n    name = \"x\",\r\n)\r\n").loads(),
        Hostile::build("an error after line breaks of Windows", "x = 1\r\n\r\nwrong\r\n").at("BUILD.star:3"),
        Hostile::build("line breaks of old Macs", "x = 1\rwrong\r").at("BUILD.star"),
        Hostile::build("other line breaks", "x = 1\u{2028}wrong = 2\n").at("BUILD.star:1"),
        Hostile::build("a form feed", "\u{c}x = 1\nwrong\n").at("BUILD.star"),
        Hostile::build("a space that does not break", "x\u{a0}= 1\n").at("BUILD.star:1"),
        Hostile::build("a space without width", "x\u{200b} = 1\n").at("BUILD.star:1"),
        Hostile::build("a letter that looks like another", "\u{430} = 1\nx = a\n").at("BUILD.star"),
        Hostile::build("text that runs backwards", "x = \"\u{202e}\" + 1 # \u{202c}\n").at("BUILD.star:1"),
        Hostile::build("a name of emoji", "\u{1f600} = 1\n").at("BUILD.star:1"),
        Hostile::build("marks upon marks", format!("x = \"a{}\" + 1\n", "\u{301}".repeat(10_000))).at("BUILD.star:1"),
        Hostile::build("escape sequences of a terminal", "x = \"\u{1b}[2J\u{1b}]0;title\u{7}\" + 1\n")
            .at("BUILD.star:1"),
        Hostile::build("tabs and spaces", "x = [\n\t 1,\n \t2,\n]\nwrong\n").at("BUILD.star:2"),
        Hostile::library("a tab and spaces in one block", "def f():\n\tx = 1\n        y = 2\n").at("lib.star"),
        Hostile::build("a bad escape", "x = \"\\q\\u12\\N{x}\"\n").at("BUILD.star:1"),
        Hostile::build("a bad escape before a long character", "x = f\"\\U\u{feff}abs\"\n").at("BUILD.star:1"),
        Hostile::build("a bad escape before a long character at the end", "f\"\\x\u{e9}abs").at("BUILD.star:1"),
        Hostile::build("an escape of no character", "x = \"\\U00110000\"\n").at("BUILD.star:1"),
        Hostile::build("an escape of a surrogate", "x = \"\\ud800\"\n").at("BUILD.star:1"),
    ]
}

fn syntax() -> Vec<Hostile> {
    vec![
        Hostile::build("a lone bracket", ")").at("BUILD.star:1"),
        Hostile::build("an open bracket", "(").at("BUILD.star:1"),
        Hostile::build("a backslash at the end", "x = 1 \\").at("BUILD.star"),
        Hostile::build("an open text", "x = \"").at("BUILD.star:1"),
        Hostile::build("an open long text", "x = '''\n\n").at("BUILD.star"),
        Hostile::build("an indent at the start", "  x = 1\n").at("BUILD.star:1"),
        Hostile::build("def", "def f():\n    pass\n").at("BUILD.star:1"),
        Hostile::build("class", "class A:\n    pass\n").at("BUILD.star:1"),
        Hostile::build("import", "import os\n").at("BUILD.star:1"),
        Hostile::build("exec", "exec(\"1\")\n").at("BUILD.star:1"),
        Hostile::build("open", "x = open(\"/etc/passwd\")\n").at("BUILD.star:1"),
        Hostile::build("the insides of a function", "x = len.__class__.__bases__\n").at("BUILD.star:1"),
        Hostile::build("a spread of arguments", "filegroup(*[1])\n").at("BUILD.star:1"),
        Hostile::build("a load of nothing", "load()\n").at("BUILD.star:1"),
        Hostile::build("a load of a number", "load(1, 2)\n").at("BUILD.star:1"),
        Hostile::build("an octal number", "x = 0777\n").at("BUILD.star:1"),
        Hostile::build("a number that is none", "x = 0x\n").at("BUILD.star:1"),
        Hostile::build("a float of many digits", format!("x = 1.{}e999999999 + \"\"\n", "0".repeat(10_000)))
            .at("BUILD.star:1"),
        Hostile::build("an argument twice", "filegroup(name = \"a\", name = \"b\")\n").at("BUILD.star:1"),
        Hostile::library("a parameter twice", "def f(a, a):\n    pass\n").at("lib.star:1"),
        Hostile::library("return outside", "return 1\ndef f():\n    pass\n").at("lib.star:1"),
        Hostile::library("break outside", "def f():\n    break\n").at("lib.star:2"),
        Hostile::build("an empty package() twice", "package()\npackage()\n").at("BUILD.star:2"),
    ]
}
