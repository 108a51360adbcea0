//! Embeds the top-level folder `rules/` in the crate: a sorted table of paths and contents, which is the repository
//! `@rules`.
#![allow(clippy::disallowed_methods, reason = "a build script runs on the developer's machine, not in the engine")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let rules = manifest.join("../../rules");
    println!("cargo::rerun-if-changed={}", rules.display());
    let mut files = Vec::new();
    if rules.is_dir() {
        collect(&rules, "", &mut files)?;
    }
    files.sort();
    // The contents are copied to one file, so that an edit between this script and the compiler cannot tear the table.
    let mut contents = Vec::new();
    let mut table = String::from("static TABLE: &[(&str, std::ops::Range<usize>)] = &[\n");
    for (name, path) in files {
        let from = contents.len();
        contents.extend(fs::read(path)?);
        let _ = writeln!(table, "    ({name:?}, {from}..{}),", contents.len());
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("rules.bin"), contents)?;
    fs::write(out.join("rules.rs"), table)
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        println!("cargo::rerun-if-changed={}", entry.path().display());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push((name, fs::canonicalize(entry.path())?));
        }
    }
    Ok(())
}
