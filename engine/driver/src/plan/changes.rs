//! A state of which parts may no longer hold: packages that saw something else are evaluated again, and what came out
//! differently goes to the analysis.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use analysis::{Changes, Ledger, Requested};
use loading::{KnownPackages, Loader};
use model::{Digest, Label, Package, PackageId};
use snapshot::{PackageRow, Reader, RequestRow, State, Table};

use super::fresh::put_package;
use super::{Request, Work};
use crate::error::Error;
use crate::session::Session;

/// What was seen to differ.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Rows of observations.
    pub(super) observations: HashSet<u32>,
}

/// The state, brought up to date, with the loader that did it. `None` when everything must be looked at anew.
pub(super) fn update(
    session: &Session,
    request: &Request,
    (mut state, mut row): (State, RequestRow),
    seen: &Seen,
    work: &mut Work,
) -> Result<Option<(State, RequestRow, Arc<Loader>)>, Error> {
    let Some(stale) = stale_packages(&state, &seen.observations) else { return Ok(None) };
    let Some(known) = Known::of(session, request, &stale) else { return Ok(None) };
    let known = Arc::new(known);
    let loader = Arc::new(session.new_loader()?.with_known(known));
    let Some(mut changes) = evaluate(&loader, &stale) else { return Ok(None) };
    changes.observations = seen.observations.clone();
    let Some(()) = libraries(&mut state, &loader, seen, &mut changes) else { return Ok(None) };
    let searched = row.discovery.iter().any(|id| seen.observations.contains(id));
    changes.patterns |= searched || (request.means_files() && !changes.packages.is_empty());
    // What goes wrong here is told by a look at everything.
    let labels = changes.patterns.then(|| request.labels(session, &loader)).transpose();
    let Ok(labels) = labels else { return Ok(None) };
    let keys = labels.as_ref().map(|labels| request.keys(session, &loader, labels));
    let requested = match &keys {
        Some(keys) => Requested::Keys(keys),
        None => Requested::Rows(&row.targets),
    };
    let options = session.analysis_options(&loader);
    let how = (&options, &*session.reporter);
    let Some(updated) = analysis::update(&loader, &mut state, &changes, requested, row.shell, how) else {
        return Ok(None);
    };
    work.packages += loader.evaluated().len();
    work.targets += updated.evaluated;
    put_packages(&loader, &mut state);
    let mut ledger = Ledger::new(&loader, &mut state);
    for (question, path) in loader.searched() {
        let id = ledger.observe(question, &path);
        if !row.discovery.contains(&id) {
            row.discovery.push(id);
        }
    }
    renew(session, &loader, &mut state, &seen.observations);
    row.complete = row.complete && updated.written == 0 && updated.requested == row.targets;
    row.targets = updated.requested;
    if let Some(labels) = labels {
        row.count = labels.len() as u32;
        state.put_labels(&labels);
    }
    Ok(Some((state, row, loader)))
}

/// Writes the rows of all packages that a loader evaluated.
pub(crate) fn put_packages(loader: &Loader, state: &mut State) {
    let mut ledger = Ledger::new(loader, state);
    let mut evaluated = loader.evaluated();
    evaluated.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    evaluated.iter().for_each(|(package, reads)| put_package(&mut ledger, package, reads));
}

/// The packages that saw something which differs now. `None` if a row cannot be read.
pub(crate) fn stale_packages(state: &State, seen: &HashSet<u32>) -> Option<Vec<PackageRow>> {
    let mut stale = Vec::new();
    for id in 0..state.len(Table::Packages) {
        let observations = PackageRow::observations(state, id)?;
        if observations.iter().any(|id| seen.contains(id)) {
            stale.push(PackageRow::read(state, id)?);
        }
    }
    Some(stale)
}

/// Evaluates the packages and compares. `None` if one has an error, which is better told by a look at everything.
fn evaluate(loader: &Loader, stale: &[PackageRow]) -> Option<Changes> {
    let mut changes = Changes::default();
    for row in stale {
        let before = snapshot::decode_package(&row.package)?;
        let package = loader.package(&before.id).ok()?;
        compare(row, &package, &mut changes);
    }
    Some(changes)
}

fn compare(row: &PackageRow, package: &Package, changes: &mut Changes) {
    let stamps: HashMap<&str, &Digest> = row.targets.iter().map(|(name, stamp)| (&**name, stamp)).collect();
    let mut differs = false;
    for (name, target) in &package.targets {
        if stamps.get(&**name).is_none_or(|stamp| **stamp != snapshot::target_stamp(target)) {
            changes.targets.insert(target.label.clone());
            differs = true;
        }
    }
    for name in stamps.keys().filter(|name| !package.targets.contains_key(**name)) {
        changes.targets.extend(package.id.label(name));
        differs = true;
    }
    changes.patterns |= super::fresh::outline(package) != row.outline;
    if super::fresh::exports(package) != row.exports {
        changes.exports.insert(package.id.clone());
    }
    if differs {
        changes.packages.insert(package.id.clone());
    }
}

/// The .star files of rules that differ. Whether a rule is a test, patterns can tell.
fn libraries(state: &mut State, loader: &Loader, seen: &Seen, changes: &mut Changes) -> Option<()> {
    for id in 0..state.len(Table::Libraries) {
        let mut row = Reader::new(state.row(Table::Libraries, id));
        let (file, digest, observations): (Label, Digest, Vec<u32>) = (row.label()?, row.digest()?, row.sorted_ids()?);
        if !observations.iter().any(|id| seen.observations.contains(id)) {
            continue;
        }
        let library = loader.library(&file).ok()?;
        if library.digest() != digest {
            changes.libraries.insert(id);
            changes.patterns = true;
        }
        // What it loads may be other files now.
        let row = Ledger::new(loader, state).library_row(&library);
        state.put(Table::Libraries, id, row);
    }
    Some(())
}

/// Replaces the answers that differ by those of now.
pub(crate) fn renew(session: &Session, loader: &Loader, state: &mut State, seen: &HashSet<u32>) {
    for id in seen {
        let Some(claim) = state.claim(*id) else { continue };
        let (question, path) = (claim.question, Arc::<str>::from(claim.path));
        // What the loader saw was put there already; a source's answer is replaced when its content is read.
        if loader.observer().get(question, &path).is_some() || state.source_of(*id).is_some() {
            continue;
        }
        if let Some(observation) = observation::look(&session.root, question, &path, &loading::MARKS) {
            state.put_observation(&observation);
        }
    }
}

/// Packages of the state that nothing changed for, decoded when they are asked for.
pub(crate) struct Known {
    state: Mutex<State>,
    stale: HashSet<String>,
}

impl Known {
    /// A second look at the same file, since the first is being changed.
    pub(crate) fn of(session: &Session, request: &Request, stale: &[PackageRow]) -> Option<Self> {
        let identity = request.identity(session);
        let mut state = State::open(&request.path(session), &identity).ok()??;
        if !state.is_sound(&[Table::Packages, Table::Index]) {
            return None;
        }
        state.read_index();
        Some(Self { state: Mutex::new(state), stale: stale.iter().map(|row| row.id.clone()).collect() })
    }
}

impl KnownPackages for Known {
    fn package(&self, id: &PackageId) -> Option<Package> {
        let name = id.to_string();
        if self.stale.contains(&name) {
            return None;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let row = PackageRow::read(&state, state.package_id(&name)?)?;
        snapshot::decode_package(&row.package)
    }
}
