//! A hostile file: what it is, how it is loaded, and what must come of it.

use std::os::unix::fs::symlink;

use crate::workspace::Workspace;

use super::{encodings, graphs, loops, memory, shapes};

/// What a run must end with.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// An error at this file, or at this `file:line`.
    At(&'static str),
    /// An error with this text, where there is no file to name.
    Says(&'static str),
    /// No error.
    Loads,
}

/// What stands at a path.
pub enum Content {
    /// A file.
    Bytes(Vec<u8>),
    /// A link.
    Link(&'static str),
    /// A pipe that nobody writes to.
    Pipe,
    /// A folder.
    Folder,
    /// A file that is so many bytes long and holds nothing.
    Hole(u64),
}

/// A workspace with a hostile file in it.
pub struct Hostile {
    /// What it tries.
    pub name: &'static str,
    /// What stands where.
    pub files: Vec<(&'static str, Content)>,
    /// How the program is called.
    pub arguments: Vec<&'static str>,
    /// What must come of it.
    pub expected: Expected,
}

impl Hostile {
    /// A BUILD.star at the root, listed by a query; an error in it is expected.
    pub fn build(name: &'static str, text: impl Into<Vec<u8>>) -> Self {
        let files = vec![("BUILD.star", Content::Bytes(text.into()))];
        Self { name, files, arguments: vec!["query", "//..."], expected: Expected::At("BUILD.star") }
    }

    /// A library with a function `f` that a BUILD.star calls; an error in the library is expected.
    pub fn library(name: &'static str, text: impl Into<Vec<u8>>) -> Self {
        let build = "load(\"//:lib.star\", \"f\")\nf()\n";
        Self::build(name, build).with("lib.star", text).at("lib.star")
    }

    /// With another file.
    pub fn with(self, path: &'static str, text: impl Into<Vec<u8>>) -> Self {
        self.holding(path, Content::Bytes(text.into()))
    }

    /// With something else than a file at a path.
    pub fn holding(mut self, path: &'static str, content: Content) -> Self {
        self.files.retain(|(other, _)| *other != path);
        self.files.push((path, content));
        self
    }

    /// With an error expected at this place.
    pub fn at(mut self, place: &'static str) -> Self {
        self.expected = Expected::At(place);
        self
    }

    /// With an error of this text expected.
    pub fn says(mut self, text: &'static str) -> Self {
        self.expected = Expected::Says(text);
        self
    }

    /// With no error expected.
    pub fn loads(mut self) -> Self {
        self.expected = Expected::Loads;
        self
    }

    /// With another command.
    pub fn by(mut self, arguments: &[&'static str]) -> Self {
        self.arguments = arguments.to_vec();
        self
    }

    /// Puts the files into a workspace.
    pub fn write(&self, workspace: &Workspace) -> Result<(), String> {
        for (path, content) in &self.files {
            let full = workspace.root().join(path);
            std::fs::create_dir_all(full.parent().expect("below the root")).map_err(|error| error.to_string())?;
            if full.exists() {
                std::fs::remove_file(&full).map_err(|error| format!("{path} cannot be replaced: {error}"))?;
            }
            let written = match content {
                Content::Bytes(bytes) => std::fs::write(&full, bytes),
                Content::Link(target) => symlink(target, &full),
                Content::Pipe => nix::unistd::mkfifo(&full, nix::sys::stat::Mode::S_IRWXU).map_err(Into::into),
                Content::Folder => std::fs::create_dir(&full),
                Content::Hole(size) => std::fs::File::create(&full).and_then(|file| file.set_len(*size)),
            };
            written.map_err(|error| format!("{path} cannot be written: {error}"))?;
        }
        Ok(())
    }
}

/// All hostile files that were written by hand.
pub fn all() -> Vec<Hostile> {
    [loops::all(), memory::all(), shapes::all(), encodings::all(), graphs::all()].into_iter().flatten().collect()
}

/// Large files that mean no harm; each is a control.
pub fn honest() -> Vec<Hostile> {
    let targets: String = (0..5000)
        .map(|index| {
            format!("filegroup(\n    name = \"t{index}\",\n    srcs = glob([\"*.txt\"]),\n    tags = [\"a\"],\n)\n\n")
        })
        .collect();
    let table: String = (0..20_000).map(|index| format!("    \"key{index}\": [{index}, \"value\"],\n")).collect();
    vec![
        Hostile::build("five thousand targets load", targets).with("a.txt", "").loads(),
        Hostile::build("ten thousand targets of a comprehension load", "[filegroup(name = \"t%d\" % i) for i in range(10000)]\n").loads(),
        Hostile::library("a large table loads", format!("TABLE = {{\n{table}}}\ndef f():\n    return len(TABLE) * 3\n")).loads(),
        Hostile::library(
            "a long computation loads",
            "def f():\n    s = 0\n    t = \"\"\n    l = []\n    for i in range(100000):\n        s += i * 2 % 7\n        \
             l += [i]\n    for i in range(2000):\n        t += \"%d,\" % i\n    return \",\".join([t] * 20) + str(l * 2)\n",
        )
        .loads(),
    ]
}
