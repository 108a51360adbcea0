//! Whether answers still hold. A stat for each path, relative to its folder; only where the stat cannot tell is the
//! question asked again.

use std::path::{Path, PathBuf};

use host::fs::OpenFolder;

use crate::answer::{Answer, Fingerprint, Question};
use crate::observer::ask;

/// Below this many claims, threads cost more than they save.
const WORTH_A_THREAD: usize = 1024;

/// An answer that is to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// What was asked.
    pub question: Question,
    /// About which path, as in an observation.
    pub path: &'a str,
    /// What was seen.
    pub answer: Answer,
    /// The state of the path then.
    pub fingerprint: Fingerprint,
}

/// What is known of a claim that a stat did not confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The answer is the same; its fingerprint is a new one.
    Renewed(Fingerprint),
    /// The answer is another; whether there is still something of the kind that was asked for.
    Changed {
        /// For a content: there is a file.
        present: bool,
    },
}

/// The result of checking many claims.
#[derive(Debug, Default)]
pub struct Verification {
    /// The claims that a stat did not confirm: index and verdict, by index.
    pub verdicts: Vec<(usize, Verdict)>,
    /// How many paths were looked at.
    pub stats: usize,
    /// How many files and folders had to be read.
    pub reads: usize,
}

/// Checks the claims, which should be sorted by path. `marks` are the file names that the search for packages looks at.
pub fn verify(root: &Path, claims: &[Claim<'_>], marks: &[&str]) -> Verification {
    let threads = if claims.len() < WORTH_A_THREAD { 1 } else { 2 };
    let length = claims.len().div_ceil(threads).max(1);
    let parts: Vec<Verification> = std::thread::scope(|scope| {
        let part = |(number, part)| scope.spawn(move || check(root, part, number * length, marks));
        let mut chunks = claims.chunks(length).enumerate();
        let first = chunks.next();
        let others: Vec<_> = chunks.map(part).collect();
        let own = first.map(|(_, part)| check(root, part, 0, marks));
        let joined =
            others.into_iter().map(|thread| thread.join().expect("a thread that only makes calls of the system"));
        own.into_iter().chain(joined).collect()
    });
    parts.into_iter().fold(Verification::default(), |mut all, part| {
        all.verdicts.extend(part.verdicts);
        all.stats += part.stats;
        all.reads += part.reads;
        all
    })
}

/// The state in which an output is left where the user sees it. The change time means nothing for it: linking a file
/// once more changes that.
pub fn shown(path: &Path) -> Fingerprint {
    let stat = host::fs::stat(path).ok();
    stat.map_or(Fingerprint::absent(), |stat| without_ctime(Fingerprint::of(&stat, 0)))
}

fn without_ctime(fingerprint: Fingerprint) -> Fingerprint {
    Fingerprint { ctime: 0, ..fingerprint }
}

/// Which of these outputs are not in the state they were left in, by index. Sorted paths are fastest.
pub fn differing(root: &Path, outputs: &[(&str, Fingerprint)]) -> Vec<usize> {
    let threads = if outputs.len() < WORTH_A_THREAD { 1 } else { 2 };
    let length = outputs.len().div_ceil(threads).max(1);
    let part = |(number, part): (usize, &[(&str, Fingerprint)])| {
        let mut stats = Stats { root, folder: None };
        let mut different = Vec::new();
        for (index, (path, fingerprint)) in part.iter().enumerate() {
            if !stats.stat(path).is_some_and(|now| without_ctime(now).same_state(fingerprint)) {
                different.push(number * length + index);
            }
        }
        different
    };
    std::thread::scope(|scope| {
        let mut chunks = outputs.chunks(length).enumerate();
        let first = chunks.next();
        let others: Vec<_> = chunks.map(|chunk| scope.spawn(move || part(chunk))).collect();
        let own = first.map(part);
        let joined =
            others.into_iter().map(|thread| thread.join().expect("a thread that only makes calls of the system"));
        own.into_iter().chain(joined).flatten().collect()
    })
}

fn check(root: &Path, claims: &[Claim<'_>], from: usize, marks: &[&str]) -> Verification {
    let mut result = Verification::default();
    let mut stats = Stats { root, folder: None };
    for (index, claim) in claims.iter().enumerate() {
        result.stats += 1;
        let now = stats.stat(claim.path);
        let same = now.is_some_and(|now| now.same_state(&claim.fingerprint));
        if same && claim.fingerprint.settled {
            continue;
        }
        result.reads += usize::from(claim.question != Question::Kind);
        let verdict = match ask(claim.question, &root.join(claim.path), marks) {
            Ok((answer, fingerprint)) if answer == claim.answer => Verdict::Renewed(fingerprint),
            Ok((_, fingerprint)) => Verdict::Changed { present: !fingerprint.is_absent() },
            // What cannot be looked at is reported by whoever needs it.
            Err(_) => Verdict::Changed { present: false },
        };
        if verdict != Verdict::Renewed(claim.fingerprint) {
            result.verdicts.push((from + index, verdict));
        }
    }
    result
}

/// Stats paths that come sorted, so that most are in the folder that is open already.
struct Stats<'a> {
    root: &'a Path,
    folder: Option<(String, Option<OpenFolder>)>,
}

impl Stats<'_> {
    /// The state of a path; `None` when it cannot be told.
    fn stat(&mut self, path: &str) -> Option<Fingerprint> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if self.folder.as_ref().is_none_or(|(open, _)| open != folder) {
            let whole: PathBuf = self.root.join(folder);
            self.folder = Some((folder.to_owned(), OpenFolder::open(&whole).ok()));
        }
        let Some((_, Some(open))) = &self.folder else {
            // The folder is gone, and so is what was in it.
            return Some(Fingerprint::absent());
        };
        let name = if name.is_empty() { "." } else { name };
        match open.stat(name) {
            Ok(Some(stat)) => Some(Fingerprint::of(&stat, 0)),
            Ok(None) => Some(Fingerprint::absent()),
            Err(_) => None,
        }
    }
}
