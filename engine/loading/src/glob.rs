//! `glob()`: Bazel's meanings. `*` matches within a segment, `**` any number of whole segments; folders that are
//! packages of their own are never entered; results are sorted. Links to folders of the repository are entered, unless they
//! lead to a folder that they lie in.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use model::{Diagnostics, PackageId};
use observation::Entry;
use script::PackageContext;

use crate::packages::{BUILD_FILE, PackageFilter};
use crate::source_tree::SourceTree;

/// A parsed pattern: how it matches folders, and files. A `**` at its end stands for what is in a folder, never for a file
/// that has the folder's place.
struct Pattern {
    folders: Vec<String>,
    files: Vec<String>,
}

/// Answers the globs of one package.
pub(crate) struct Globber<'a> {
    pub(crate) tree: &'a SourceTree,
    pub(crate) package: &'a PackageId,
    pub(crate) filter: PackageFilter<'a>,
    /// The folders that were listed.
    pub(crate) listed: RefCell<BTreeSet<String>>,
}

struct Walk<'a> {
    globber: &'a Globber<'a>,
    include: Vec<Pattern>,
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
    subpackages: BTreeSet<String>,
    /// What matches, but has a name that no label can be.
    odd: BTreeSet<String>,
}

impl PackageContext for Globber<'_> {
    fn glob(&self, include: &[String], exclude: &[String], exclude_directories: bool) -> Result<Vec<String>, String> {
        let exclude = parse_all(exclude)?;
        let walk = self.walk(parse_all(include)?)?;
        let mut found = walk.files;
        if !exclude_directories {
            found.extend(walk.folders);
        }
        found.retain(|path| !exclude.iter().any(|pattern| pattern.matches(path)));
        match walk.odd.iter().find(|path| !exclude.iter().any(|pattern| pattern.matches(path))) {
            Some(odd) => Err(format!(
                "`{odd}` matches, but its name is not UTF-8, and no label can name it: rename it, or leave it out: \
                 `exclude = [\"{}\"]`",
                odd.replace(char::REPLACEMENT_CHARACTER, "*")
            )),
            None => Ok(found.into_iter().collect()),
        }
    }

    fn subpackages(&self, include: &[String], exclude: &[String]) -> Result<Vec<String>, String> {
        let exclude = parse_all(exclude)?;
        let mut found = self.walk(parse_all(include)?)?.subpackages;
        found.retain(|path| !exclude.iter().any(|pattern| pattern.matches(path)));
        Ok(found.into_iter().collect())
    }
}

impl Globber<'_> {
    fn walk(&self, include: Vec<Pattern>) -> Result<Walk<'_>, String> {
        let (files, folders, subpackages, odd) = Default::default();
        let mut walk = Walk { globber: self, include, files, folders, subpackages, odd };
        walk.folder("", &mut Vec::new()).map_err(|errors: Diagnostics| errors.messages())?;
        Ok(walk)
    }
}

impl Walk<'_> {
    /// Visits a folder, named relative to the package; `above` are the real paths of the folders that lead to it.
    fn folder(&mut self, folder: &str, above: &mut Vec<PathBuf>) -> Result<(), Diagnostics> {
        let whole = join(self.globber.package.path(), folder);
        let entries = self.globber.tree.list(&whole)?;
        self.globber.listed.borrow_mut().insert(whole.clone());
        if !folder.is_empty() {
            let is_package = entries.iter().any(|entry| entry.name == BUILD_FILE && !entry.folder);
            let found = if is_package { &mut self.subpackages } else { &mut self.folders };
            if self.include.iter().any(|pattern| pattern.matches(folder)) {
                found.insert(folder.to_owned());
            }
            if is_package {
                return Ok(());
            }
        }
        for entry in entries {
            let path = join(folder, &entry.name);
            if entry.odd {
                let matches = |pattern: &Pattern| match entry.folder {
                    true => pattern.may_match_below(&path),
                    false => pattern.matches_file(&path),
                };
                if self.include.iter().any(matches) {
                    self.odd.insert(path);
                }
            } else if !entry.folder {
                if self.include.iter().any(|pattern| pattern.matches_file(&path)) {
                    self.files.insert(path);
                }
            } else if !self.globber.filter.skips(&join(&whole, &entry.name))
                && self.include.iter().any(|pattern| pattern.may_match_below(&path))
            {
                self.enter(&path, &entry, above)?;
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// Visits a folder below one that was visited, unless a link to it would lead out of the repository or around for ever.
    fn enter(&mut self, folder: &str, entry: &Entry, above: &mut Vec<PathBuf>) -> Result<(), Diagnostics> {
        let place = join(self.globber.package.path(), folder);
        if !entry.symlink && above.is_empty() {
            return self.folder(folder, above);
        }
        let Some(real) = self.globber.tree.real(&place) else { return Ok(()) };
        let from = place.rsplit_once('/').map_or("", |(parent, _)| parent);
        let is_around =
            self.globber.tree.real(from).is_none_or(|from| from.starts_with(&real)) || above.contains(&real);
        if entry.symlink && is_around {
            return Ok(());
        }
        above.push(real);
        let visited = self.folder(folder, above);
        above.pop();
        visited
    }
}

fn parse_all(patterns: &[String]) -> Result<Vec<Pattern>, String> {
    patterns.iter().map(|pattern| Pattern::parse(pattern)).collect()
}

/// `folder/name`, or the one that is not empty.
pub(crate) fn join(folder: &str, name: &str) -> String {
    match (folder.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => folder.to_owned(),
        _ => format!("{folder}/{name}"),
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let fail = |reason: &str| Err(format!("the glob pattern `{}` {reason}", text.escape_debug()));
        if text.starts_with('/') {
            return fail("is absolute; patterns are relative to the package");
        }
        if text.contains(char::is_control) {
            return fail("has a control character, which no file here may have in its name");
        }
        for segment in text.split('/') {
            match segment {
                "" => return fail("has an empty segment"),
                "." | ".." => return fail("has a `.` or `..` segment; a glob cannot leave its package"),
                "**" => {}
                _ if segment.contains("**") => return fail("has `**` as part of a segment; it must stand alone"),
                _ if segment.contains('?') => return fail("has `?`, which globs do not know; use `*`"),
                _ => {}
            }
        }
        let folders: Vec<String> = text.split('/').map(str::to_owned).collect();
        let mut files = folders.clone();
        if text.ends_with("**") {
            files.push("*".to_owned());
        }
        Ok(Self { folders, files })
    }

    fn matches(&self, path: &str) -> bool {
        let segments: Vec<&str> = path.split('/').collect();
        matches_segments(&self.folders, &segments)
    }

    fn matches_file(&self, path: &str) -> bool {
        let segments: Vec<&str> = path.split('/').collect();
        matches_segments(&self.files, &segments)
    }

    /// Whether something in this folder, or the folder itself, could match.
    fn may_match_below(&self, folder: &str) -> bool {
        let mut pattern = self.folders.iter();
        for segment in folder.split('/') {
            match pattern.next() {
                Some(next) if next == "**" => return true,
                Some(next) if matches_segment(next, segment) => {}
                _ => return false,
            }
        }
        true
    }
}

/// Each `**` first stands for nothing, and for one segment more whenever the rest does not match. Only the last one seen
/// has to be tried again: what an earlier one could take more of, this one can take as well.
fn matches_segments(pattern: &[String], path: &[&str]) -> bool {
    let (mut part, mut segment) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while segment < path.len() {
        match pattern.get(part) {
            Some(any) if any == "**" => {
                part += 1;
                retry = Some((part, segment));
            }
            Some(one) if matches_segment(one, path[segment]) => (part, segment) = (part + 1, segment + 1),
            _ => match &mut retry {
                Some((after, from)) => {
                    *from += 1;
                    (part, segment) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[part..].iter().all(|any| any == "**")
}

/// `*` for any characters. As in Bazel, only a lone `*` matches a leading dot.
fn matches_segment(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    if text.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let parts: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn patterns_match_as_in_bazel() {
        for (pattern, path) in [
            ("*.go", "a.go"),
            ("a*b*c", "aXbYbZc"),
            ("**", "a/b/c"),
            ("**/*.go", "a.go"),
            ("**/*.go", "x/y/a.go"),
            ("a/**/z", "a/z"),
            ("a/**/z", "a/b/c/z"),
            ("*", ".hidden"),
            ("x.go", "x.go"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [("*.go", "x/a.go"), ("*.go", ".a.go"), ("a*a", "a"), ("a/*", "a/b/c"), ("x.go", "x.goo"), ("*", "a/b")]
        {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_file_is_not_what_is_in_a_folder_of_its_name() {
        let files = |pattern: &str, path: &str| Pattern::parse(pattern).unwrap().matches_file(path);
        for (pattern, path) in [("**", "a"), ("*/**", "d/a"), ("d/**", "d/e/.a"), ("d/**/**", "d/a"), ("**/a", "a")] {
            assert!(files(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [("*/**", "a"), ("a/**", "a"), ("d/**", "d"), ("d/*/**", "d/a"), ("a/**/**", "a")] {
            assert!(!files(pattern, path), "{pattern} {path}");
        }
        assert!(matches("d/**", "d"), "the folder itself, where folders are asked for");
    }

    /// What a pattern means, without regard to time.
    fn means(pattern: &[String], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((first, rest)), _) if first == "**" => (0..=path.len()).any(|skip| means(rest, &path[skip..])),
            (Some((first, rest)), Some((segment, below))) => matches_segment(first, segment) && means(rest, below),
            _ => false,
        }
    }

    /// All sequences of at most `length` of these.
    fn sequences(of: &[&'static str], length: usize) -> Vec<Vec<&'static str>> {
        let mut all = vec![Vec::new()];
        for begin in 0.. {
            let Some(sequence) = all.get(begin).cloned() else { break };
            if sequence.len() < length {
                all.extend(of.iter().map(|next| [sequence.as_slice(), &[*next]].concat()));
            }
        }
        all
    }

    #[test]
    fn folders_match_as_they_mean() {
        let paths = sequences(&["a", "b"], 5);
        for pattern in sequences(&["a", "b", "*", "**"], 5) {
            let pattern: Vec<String> = pattern.into_iter().map(str::to_owned).collect();
            for path in &paths {
                assert_eq!(matches_segments(&pattern, path), means(&pattern, path), "{pattern:?} {path:?}");
            }
        }
    }

    #[test]
    fn many_folders_of_any_depth_do_not_take_long() {
        let pattern = Pattern::parse(&format!("{}nothing", "**/*a*/".repeat(40))).unwrap();
        assert!(!pattern.matches(&format!("{}a", "a/".repeat(200))));
    }

    #[test]
    fn wrong_patterns_say_why() {
        for bad in ["/a", "a//b", "../x", "a**b", "?.go", "", "a\0b", "a\n"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn folders_that_cannot_match_are_not_entered() {
        let may = |pattern: &str, folder: &str| Pattern::parse(pattern).unwrap().may_match_below(folder);
        assert!(!may("*.go", "src"));
        assert!(may("src/*.go", "src"));
        assert!(!may("src/*.go", "lib"));
        assert!(may("**/*.go", "src/a/b"));
    }
}
