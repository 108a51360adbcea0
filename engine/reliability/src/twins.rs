//! Two builds of the same from nothing, compared by what the stores say and by the files shown.

use std::collections::BTreeMap;

use crate::attempt::Outcome;
use crate::place::Place;
use crate::results;
use crate::workspace::entries;

/// A build with fewer actions tells nothing.
const FEWEST: usize = 10;

/// An error that names what differs between two places where the same was built from nothing.
pub fn same(here: &Place, there: &Place) -> Outcome {
    let (ours, theirs) = (results::of(&here.store)?, results::of(&there.store)?);
    if ours.len() < FEWEST {
        return Err(format!("{} results are too few to say anything", ours.len()));
    }
    differing("key", &ours, &theirs)?;
    let shown = |place: &Place| {
        let found = entries(&place.root.join("build-out"));
        found.into_iter().map(|(path, entry)| (path.display().to_string(), entry)).collect::<BTreeMap<_, _>>()
    };
    differing("file", &shown(here), &shown(there))
}

fn differing<V: PartialEq + std::fmt::Debug>(
    what: &str,
    ours: &BTreeMap<String, V>,
    theirs: &BTreeMap<String, V>,
) -> Outcome {
    // First what is in both and differs: it is the cause of what follows from it.
    for (name, value) in ours {
        if let Some(other) = theirs.get(name).filter(|other| *other != value) {
            return Err(format!("the {what} {name} has other outputs: {value:?} and {other:?}"));
        }
    }
    let only_in = |here: &BTreeMap<String, V>, there: &BTreeMap<String, V>, place: &str| {
        let found = here.iter().find(|(name, _)| !there.contains_key(*name));
        found.map_or(Ok(()), |(name, value)| Err(format!("the {what} {name} ({value:?}) is only in the {place} build")))
    };
    only_in(ours, theirs, "plain")?;
    only_in(theirs, ours, "other")
}
