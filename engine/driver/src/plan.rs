//! What a command needs done, brought up to date from the state that an earlier command kept.
//!
//! A [`Plan`] is opened for a request: targets, and the settings they are built with. Unless its state says that nothing
//! changed, packages are loaded and targets analysed again as far as they may differ, or all of them when there is no
//! state; in every case the rows of the state are what is worked with afterwards. [`Plan::execute`] then runs the actions
//! whose outputs may differ. Nothing here trusts a state that it cannot confirm: a state only ever saves work.

mod changes;
mod execute;
mod fresh;
mod look;
mod request;
mod show;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use loading::Loader;
use model::{ConfiguredTarget, Data, Event, TargetKey};
use observation::{Observation, Question, Verdict};
use sandbox::Support;
use snapshot::{ActionGraph, RequestRow, State, Table};

use crate::error::Error;
use crate::session::Session;
use crate::sources::WorkspaceSources;

pub(crate) use changes::{Known, put_packages, renew, stale_packages};
pub(crate) use fresh::folder_and_name;
pub(crate) use look::Watched;
pub(crate) use request::Request;

/// What a command needs done.
pub(crate) struct Plan<'a> {
    session: &'a Session,
    path: PathBuf,
    watched: Watched,
    kept: Mutex<Kept>,
    /// Set when packages were loaded by another loader than the session's.
    loader: OnceLock<Arc<Loader>>,
    sources: OnceLock<Arc<WorkspaceSources>>,
    /// Whether a part of what was requested cannot be analysed, which was said already.
    is_part: bool,
}

/// The state and what this command found out about it.
struct Kept {
    state: State,
    row: RequestRow,
    /// Source artifacts whose content differs from what the state has.
    changed: HashSet<u32>,
    /// The edges of the action graph, once they were needed: rows of actions do not change any more then.
    graph: Option<Arc<ActionGraph>>,
    /// Outputs whose content this command noted.
    made: HashSet<u32>,
    /// Counts of the work done, for the event at the end.
    work: Work,
}

/// What bringing a request up to date took.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    stats: usize,
    reads: usize,
    packages: usize,
    targets: usize,
}

/// What a look at the files told of a state.
enum Found {
    /// It is as if it had been made now; only contents of sources may differ.
    Current,
    /// Packages or .star files differ, or may: rows of observations.
    Differs(changes::Seen),
    /// It is of no use.
    Useless,
}

impl<'a> Plan<'a> {
    /// Loads and analyses what the request needs, as far as that is not known.
    pub(crate) fn open(session: &'a Session, request: &Request) -> Result<Self, Error> {
        let identity = request.identity(session);
        let path = request.path(session);
        let mut work = Work::default();
        // A state that cannot be opened is as good as none; one that cannot be written is reported then.
        let opened = State::open(&path, &identity).ok().flatten();
        let watched = Watched::ask(session, opened.as_ref());
        if let Some(mut state) = opened
            && let Some(mut row) = request::read(&state)
        {
            let mut changed = HashSet::new();
            let mut found = look(session, &watched, &mut state, &row, &mut changed, &mut work);
            if row.damages != session.store.damages() && recheck(session, &mut state, &mut row).is_none() {
                found = Found::Useless;
            }
            if row.unsandboxed {
                // What needs no action any more must not be shown either.
                session.check_sandbox()?;
            }
            if row.unsandboxed && sandbox::support() == &Support::Available && redo(&mut state, &mut row).is_none() {
                found = Found::Useless;
            }
            match found {
                Found::Current => return Ok(Self::new(session, path, watched, Kept::of(state, row, changed, work))),
                Found::Differs(seen) => {
                    if let Some(updated) = changes::update(session, request, (state, row), &seen, &mut work)? {
                        let (state, row, loader) = updated;
                        let plan = Self::new(session, path, watched, Kept::of(state, row, changed, work));
                        _ = plan.loader.set(loader);
                        return Ok(plan);
                    }
                }
                Found::Useless => {}
            }
        }
        let (state, mut row, wrong) = fresh::analyse(session, request, &identity, &mut work)?;
        row.damages = session.store.damages();
        let plan = Self::new(session, path, watched, Kept::of(state, row, HashSet::new(), work));
        // It may take long until the end tells them.
        wrong.iter().for_each(|error| session.reporter.report(Event::Diagnosed(error.clone())));
        Ok(Self { is_part: !wrong.is_empty(), ..plan })
    }

    fn new(session: &'a Session, path: PathBuf, watched: Watched, kept: Kept) -> Self {
        let (loader, sources) = Default::default();
        Self { session, path, watched, kept: Mutex::new(kept), loader, sources, is_part: false }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many targets the request's patterns stand for.
    pub(crate) fn count(&self) -> usize {
        self.lock().row.count as usize
    }

    /// The configured target of a label of the request, by its place among them.
    pub(crate) fn requested(&self, index: usize) -> Option<Arc<ConfiguredTarget>> {
        let mut kept = self.lock();
        let id = *kept.row.targets.get(index)?;
        analysis::target(&mut kept.state, id).map(Arc::new)
    }

    /// A configured target that was reached.
    pub(crate) fn target(&self, key: &TargetKey) -> Option<Arc<ConfiguredTarget>> {
        let mut kept = self.lock();
        let id = kept.state.target_id(key)?;
        analysis::target(&mut kept.state, id).map(Arc::new)
    }

    /// The resolved attributes of a target; `None` for files.
    pub(crate) fn attributes_of(&self, key: &TargetKey) -> Option<BTreeMap<Arc<str>, Data>> {
        let mut kept = self.lock();
        let id = kept.state.target_id(key)?;
        let row = kept.state.row(Table::Attributes, id).to_vec();
        if row.is_empty() {
            return None;
        }
        snapshot::decode_attributes(&row, &mut kept.state)
    }

    /// The loader that this command works with.
    fn loader(&self) -> Result<&Arc<Loader>, Error> {
        match self.loader.get() {
            Some(loader) => Ok(loader),
            None => self.session.loader(),
        }
    }

    /// Who reads source files for this command.
    fn sources(&self) -> Result<Arc<WorkspaceSources>, Error> {
        let loader = self.loader()?;
        Ok(Arc::clone(self.sources.get_or_init(|| Arc::new(WorkspaceSources::new(self.session, loader)))))
    }

    /// The target with the shell's tree, if the request has it.
    pub(crate) fn shell(&self) -> Option<Arc<ConfiguredTarget>> {
        self.requested(self.count())
    }

    /// Whether a part of what was requested cannot be analysed.
    pub(crate) fn is_part(&self) -> bool {
        self.is_part
    }

    /// Keeps the state at the end of a command. An error of the command comes before one of that.
    pub(crate) fn end<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        let saved = self.save();
        let value = result?;
        saved.map(|()| value)
    }

    /// Keeps the state for the next command. Whatever the command came to, what it found out is true.
    pub(crate) fn save(&self) -> Result<(), Error> {
        if self.is_part {
            // The next command must find out again what is wrong.
            return Ok(());
        }
        let mut kept = self.lock();
        self.keep_sources(&mut kept);
        let row = kept.row.encode();
        kept.state.put(Table::Request, 0, row);
        self.watched.note(self.session, &mut kept.state);
        let written = kept.state.save(&self.path)?;
        let Work { stats, reads, packages, targets } = kept.work;
        self.session.reporter.report(Event::Refreshed { stats, reads, packages, targets, written });
        Ok(())
    }

    /// Replaces what is known of source files by what was read of them.
    fn keep_sources(&self, kept: &mut Kept) {
        for seen in self.sources.get().map(|sources| sources.take()).unwrap_or_default() {
            kept.state.put_observation(&seen);
        }
        // What nobody read is looked at now, so that the next command can tell whether it changed.
        let unknown = Observation::unknown(Question::Content, Arc::from("")).answer;
        let paths: Vec<String> = (0..kept.state.len(Table::Observations))
            .filter_map(|id| kept.state.claim(id))
            .filter(|claim| claim.question == Question::Content && claim.answer == unknown)
            .map(|claim| claim.path.to_owned())
            .collect();
        for path in paths {
            // One that is gone by now stays unknown, which the next command finds out.
            let seen = observation::look(&self.session.root, Question::Content, &path, &loading::MARKS);
            if let Some(seen) = seen.filter(|seen| !seen.fingerprint.is_absent()) {
                kept.work.reads += 1;
                kept.state.put_observation(&seen);
            }
        }
    }
}

impl Kept {
    fn of(state: State, row: RequestRow, changed: HashSet<u32>, work: Work) -> Self {
        Self { state, row, changed, graph: None, made: HashSet::new(), work }
    }
}

/// The store was found damaged since the state was kept: looks at all contents, and forgets what is gone or shown.
fn recheck(session: &Session, state: &mut State, row: &mut RequestRow) -> Option<()> {
    if !state.is_sound(&Table::OF_ACTIONS) {
        return None;
    }
    row.damages = session.store.damages();
    row.complete = false;
    let graph = ActionGraph::read(state)?;
    for artifact in 0..state.len(Table::Contents) {
        let is_there = match state.content(artifact) {
            None => true,
            Some(snapshot::Kept::File(digest, ..)) => session.store.contains(&digest),
            Some(snapshot::Kept::Tree(digest)) => session.store.is_usable(&digest).unwrap_or(false),
        };
        if !is_there && let Some(maker) = graph.maker(artifact) {
            state.set_validity(maker, snapshot::Validity::Invalid);
        }
    }
    (0..state.len(Table::Shown)).for_each(|id| state.put(Table::Shown, id, Vec::new()));
    Some(())
}

/// The machine can make sandboxes now, and could not when something of the state was made: every action is looked up again,
/// and those whose results are not hermetic run.
fn redo(state: &mut State, row: &mut RequestRow) -> Option<()> {
    if !state.is_sound(&Table::OF_ACTIONS) {
        return None;
    }
    (row.unsandboxed, row.complete) = (false, false);
    (0..state.len(Table::Validity)).for_each(|action| state.set_validity(action, snapshot::Validity::Invalid));
    Some(())
}

/// Checks what the state was made from. Files whose time stamps changed and nothing else are noted in the state.
fn look(
    session: &Session,
    watched: &Watched,
    state: &mut State,
    row: &RequestRow,
    changed: &mut HashSet<u32>,
    work: &mut Work,
) -> Found {
    if !state.is_sound(&[Table::Request, Table::Observations, Table::Shown]) {
        return Found::Useless;
    }
    let count = state.len(Table::Observations);
    let claims: Option<Vec<_>> = (0..count).map(|id| state.claim(id)).collect();
    let Some(claims) = claims else { return Found::Useless };
    let verification = watched.verify(session, &claims);
    work.stats += verification.stats;
    work.reads += verification.reads;
    let mut seen = changes::Seen::default();
    let mut renewed = Vec::new();
    let mut loaded = None;
    if !verification.verdicts.is_empty() && !state.is_sound(&Table::SMALL) {
        return Found::Useless;
    }
    for (index, verdict) in &verification.verdicts {
        let claim = &claims[*index];
        let id = *index as u32;
        match verdict {
            Verdict::Renewed(fingerprint) => renewed.push(Observation {
                question: claim.question,
                path: Arc::from(claim.path),
                answer: claim.answer,
                fingerprint: *fingerprint,
            }),
            Verdict::Changed { present } => {
                if row.roots.contains(&id) {
                    return Found::Useless;
                }
                let source = state.source_of(id);
                changed.extend(source);
                if source.is_some() && loaded.is_none() {
                    loaded = state.loaded();
                }
                // The new content of a source that is still there concerns its actions only.
                let is_loaded = loaded.as_ref().is_some_and(|loaded| loaded.contains(&id));
                if source.is_none() || !present || is_loaded {
                    seen.observations.insert(id);
                }
            }
        }
    }
    let (dirty, differs) = (!row.complete || !changed.is_empty(), !seen.observations.is_empty());
    if (dirty && !state.is_sound(&Table::OF_ACTIONS)) || (differs && !state.is_sound(&Table::ALL)) {
        return Found::Useless;
    }
    state.read_index();
    renewed.iter().for_each(|observation| _ = state.put_observation(observation));
    if differs { Found::Differs(seen) } else { Found::Current }
}
