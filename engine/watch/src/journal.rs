//! What changed when: for each path, the number of the last change to it.

use std::collections::{BTreeSet, HashMap};

use crate::changes::Changes;

/// More paths than this are forgotten: to look at everything is then as good.
const MOST: usize = 100_000;

/// The changes seen so far.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// How many changes were noted.
    event: u64,
    last: HashMap<String, u64>,
    /// Changes up to this number are forgotten.
    forgotten: u64,
    /// Whether changes may have been missed: nothing can be said any more.
    lost: bool,
}

impl Journal {
    pub(crate) fn event(&self) -> u64 {
        self.event
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Notes a change.
    pub(crate) fn note(&mut self, path: String) {
        self.event += 1;
        self.last.insert(path, self.event);
        if self.last.len() > MOST {
            self.last.clear();
            self.forgotten = self.event;
        }
    }

    /// Notes that changes may have been missed.
    pub(crate) fn lose(&mut self) {
        self.event += 1;
        self.lost = true;
        self.last.clear();
    }

    /// What changed after the change of number `since`, with what always counts as changed.
    pub(crate) fn since(&self, since: u64, always: &BTreeSet<String>) -> Changes {
        if self.lost || since < self.forgotten || since > self.event {
            return Changes::Unknown;
        }
        let noted = self.last.iter().filter(|(_, event)| **event > since).map(|(path, _)| path.clone());
        let always = always.iter().flat_map(|path| [path.clone(), format!("{path}/")]);
        let mut paths: Vec<String> = noted.chain(always).collect();
        paths.sort_unstable();
        paths.dedup();
        Changes::Paths(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Changes {
        Changes::Paths(paths.iter().map(|path| (*path).to_owned()).collect())
    }

    #[test]
    fn changes_are_told_from_a_point_on_and_once() {
        let mut journal = Journal::default();
        ["b", "a", "b"].iter().for_each(|path| journal.note((*path).to_owned()));
        assert_eq!(journal.since(0, &BTreeSet::new()), paths(&["a", "b"]));
        assert_eq!(journal.since(2, &BTreeSet::new()), paths(&["b"]));
        assert_eq!(journal.since(3, &BTreeSet::from(["l".to_owned()])), paths(&["l", "l/"]));
        assert_eq!(journal.since(4, &BTreeSet::new()), Changes::Unknown, "a number that was never given");
    }

    #[test]
    fn too_many_paths_are_forgotten_and_losses_are_for_good() {
        let mut journal = Journal::default();
        (0..=MOST).for_each(|n| journal.note(n.to_string()));
        assert_eq!(journal.since(journal.event() - 1, &BTreeSet::new()), Changes::Unknown);
        assert_eq!(journal.since(journal.event(), &BTreeSet::new()), paths(&[]));
        journal.lose();
        assert_eq!(journal.since(journal.event(), &BTreeSet::new()), Changes::Unknown);
    }
}
