//! From a folder of a Go module to the text of the package's BUILD.star.

use std::collections::{BTreeMap, BTreeSet};

use model::{Tree, TreeEntry};
use store::Store;

use crate::error::FetchError;
use crate::go_source::{self, Head, Target};
use crate::starlark::{self, Call};

/// The platforms that generated packages tell apart.
const PLATFORMS: [(&str, &str); 4] = [("linux", "amd64"), ("linux", "arm64"), ("darwin", "amd64"), ("darwin", "arm64")];

/// Raise it when the same folder gives another text than before.
pub(crate) const VERSION: u32 = 2;

/// A package to be described.
pub(crate) struct GoPackage<'a> {
    /// The repository's name, without `@`.
    pub repository: &'a str,
    pub importpath: &'a str,
    /// The label of the module's tree.
    pub module: &'a str,
    /// The module's folder of the package; empty for its root.
    pub folder: &'a str,
    /// The language version of the module.
    pub go: &'a str,
    /// The release whose tags hold.
    pub release: u32,
}

/// What is compiled on one platform.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Selection {
    srcs: Vec<String>,
    asm: Vec<String>,
    deps: Vec<String>,
}

/// The text; `None` if the folder holds no Go package.
pub(crate) fn build_file(package: &GoPackage<'_>, tree: &Tree, store: &Store) -> Result<Option<String>, FetchError> {
    let fail = |reason: String| FetchError::Package {
        package: format!("@{}//{}", package.repository, package.importpath),
        reason,
        hint: None,
    };
    let mut heads = BTreeMap::new();
    let mut headers = Vec::new();
    for (name, digest) in files_in(tree, package.folder) {
        if name.ends_with(".h") {
            headers.push(name.to_owned());
        }
        let assembly = name.ends_with(".s");
        if !(assembly || name.ends_with(".go")) || name.ends_with("_test.go") || name.starts_with(['_', '.']) {
            continue;
        }
        let text = store.read(digest)?;
        let head = go_source::read(&String::from_utf8_lossy(&text), assembly);
        let head = match head {
            Ok(head) => head,
            // What no platform compiles may be anything, such as a template.
            Err(_) if !PLATFORMS.iter().any(|(os, arch)| target(package, os, arch).takes_name(name)) => continue,
            Err(reason) => return Err(fail(format!("{name}: {reason}"))),
        };
        heads.insert(name.to_owned(), head);
    }
    let mut name = None;
    let mut selections = Vec::new();
    for (os, arch) in PLATFORMS {
        selections.push(select(package, &heads, &target(package, os, arch), &mut name).map_err(fail)?);
    }
    let Some(name) = name else { return Ok(None) };
    if selections.iter().all(|selection| selection.asm.is_empty()) {
        headers.clear();
    }
    Ok(Some(text(package, &name, &selections, &headers)))
}

fn target<'a>(package: &GoPackage<'_>, os: &'a str, arch: &'a str) -> Target<'a> {
    Target { os, arch, release: package.release }
}

/// The files right in a folder of a tree.
fn files_in<'a>(tree: &'a Tree, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a model::Digest)> {
    tree.entries.iter().filter_map(move |(path, entry)| {
        let rest = match folder {
            "" => path.as_str(),
            folder => path.as_str().strip_prefix(folder)?.strip_prefix('/')?,
        };
        match entry {
            TreeEntry::File { digest, .. } if !rest.contains('/') => Some((rest, digest)),
            _ => None,
        }
    })
}

fn select(
    package: &GoPackage<'_>,
    heads: &BTreeMap<String, Head>,
    target: &Target<'_>,
    name: &mut Option<String>,
) -> Result<Selection, String> {
    let mut selection = Selection::default();
    let mut deps = BTreeSet::new();
    for (file, head) in heads {
        let wanted = target.takes_name(file) && head.constraint.as_ref().is_none_or(|all| all.holds(target));
        if !wanted || head.package == "documentation" || head.imports.iter().any(|import| import == "C") {
            continue;
        }
        if file.ends_with(".s") {
            selection.asm.push(file.clone());
            continue;
        }
        match name {
            Some(name) if *name != head.package => {
                return Err(format!("{file} is of package `{}`, other files are of `{name}`", head.package));
            }
            _ => *name = Some(head.package.clone()),
        }
        selection.srcs.push(file.clone());
        let external = head.imports.iter().filter(|import| !is_standard(import));
        deps.extend(external.map(|import| format!("@{}//{import}", package.repository)));
    }
    if selection.srcs.is_empty() {
        selection.asm.clear();
    }
    selection.deps = deps.into_iter().collect();
    Ok(selection)
}

/// Only packages of the standard library have no dot in their first segment.
fn is_standard(import: &str) -> bool {
    !import.split('/').next().is_some_and(|first| first.contains('.'))
}

fn text(package: &GoPackage<'_>, name: &str, selections: &[Selection], headers: &[String]) -> String {
    let rule = if name == "main" { "go_external_binary" } else { "go_external_library" };
    let target = package.importpath.rsplit('/').next().unwrap_or(package.importpath);
    let mut call = Call::new(rule);
    call.text("name", target)
        .text("importpath", package.importpath)
        .text("package_name", name)
        .text("module", package.module)
        .text("folder", package.folder)
        .text("go_version", package.go)
        .text("release", &format!("1.{}", package.release))
        .value("srcs", per_platform(selections, |selection| &selection.srcs))
        .value("asm_srcs", per_platform(selections, |selection| &selection.asm))
        .list("headers", headers)
        .value("deps", per_platform(selections, |selection| &selection.deps));
    format!(
        "load(\"@rules//go:defs.star\", \"{rule}\")\n\npackage(default_visibility = [\"//visibility:public\"])\n\n{}",
        call.finish()
    )
}

/// A plain list where all platforms agree, else a select.
fn per_platform(selections: &[Selection], of: impl Fn(&Selection) -> &Vec<String>) -> String {
    let first = selections.first().map(&of);
    if selections.iter().all(|selection| Some(of(selection)) == first) {
        return starlark::list(first.map_or(&[], Vec::as_slice));
    }
    let branches = PLATFORMS.iter().zip(selections).map(|((os, arch), selection)| {
        format!("        \"@rules//platforms:{os}_{arch}\": {},\n", starlark::list(of(selection)))
    });
    format!("select({{\n{}    }})", branches.collect::<String>())
}

#[cfg(test)]
mod tests {
    use model::RelPath;

    use super::*;

    fn described(files: &[(&str, &str)], folder: &str) -> Result<Option<String>, FetchError> {
        let folder_of_store = tempfile::tempdir().unwrap();
        let store = Store::open(folder_of_store.path()).unwrap();
        let mut tree = Tree::default();
        for (path, text) in files {
            let digest = store.put_bytes(text.as_bytes()).unwrap();
            let entry = TreeEntry::File { digest, size: text.len() as u64, executable: false };
            tree.insert(RelPath::new(path).unwrap(), entry).unwrap();
        }
        let importpath = if folder.is_empty() { "m.x/m".to_owned() } else { format!("m.x/m/{folder}") };
        let package = GoPackage {
            repository: "go",
            importpath: &importpath,
            module: "@go//:modules/m.x/m@v1.0.0",
            folder,
            go: "1.24",
            release: 26,
        };
        build_file(&package, &tree, &store)
    }

    #[test]
    fn a_package_that_differs_by_platform() {
        let files = [
            ("a/a.go", "package a\nimport (\"fmt\"; \"x.y/z\")\n"),
            ("a/a_linux.go", "package a\nimport \"m.x/m/linux\"\n"),
            ("a/a_amd64.s", "TEXT"),
            ("a/asm.h", ""),
            ("a/a_test.go", "package a_test\n"),
            ("a/gen.go", "//go:build ignore\n\npackage main\n"),
            ("a/cgo.go", "package a\nimport \"C\"\n"),
            ("a/b/c.go", "package c\n"),
        ];
        insta::assert_snapshot!(described(&files, "a").unwrap().unwrap());
    }

    #[test]
    fn folders_without_a_package() {
        assert_eq!(described(&[("a/a_windows.go", "package a\n"), ("a/x.txt", "")], "a").unwrap(), None);
        let error = described(&[("a.go", "package a\n"), ("b.go", "package b\n")], "").unwrap_err().to_string();
        assert_eq!(error, "@go//m.x/m: b.go is of package `b`, other files are of `a`");
    }
}
