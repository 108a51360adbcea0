//! Runs the actions whose outputs may differ from what the state has, and notes what they made.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use execution::{Content, Known, Outcome};
use model::{Action, ActionKind, Artifact, ArtifactRoot, Event, RelPath};
use snapshot::{ActionGraph, Table, Validity};

use super::{Kept, Plan};
use crate::error::{Error, ErrorKind};
use crate::external;

/// How often actions are taken in whose outputs have left the store.
const TRIES: usize = 100;

impl Plan<'_> {
    /// Makes artifacts, with actions that the state does not have: those that run tests.
    pub(crate) async fn execute(&self, extra: &[Arc<Action>], wanted: &[Artifact]) -> Result<Outcome, Error> {
        let made: HashSet<&RelPath> = extra.iter().flat_map(|action| &action.outputs).map(Artifact::path).collect();
        let inputs = extra.iter().flat_map(|action| {
            let direct = action.inputs.to_list();
            let files = direct.iter().filter_map(|data| data.as_file().cloned()).collect::<Vec<_>>();
            files.into_iter().chain(action.other_inputs().cloned())
        });
        let needed: Vec<u32> = {
            let mut kept = self.lock();
            let all = wanted.iter().cloned().chain(inputs).filter(|artifact| !made.contains(artifact.path()));
            all.map(|artifact| kept.state.artifact_id(&artifact)).collect()
        };
        let (mut outcome, _) = self.run(extra, &needed, wanted).await?;
        let kept = self.lock();
        for artifact in wanted {
            if let Some(id) = kept.state.find(Table::Artifacts, artifact.path().as_str().as_bytes())
                && artifact.root() == ArtifactRoot::Output
                && let Some(content) = content(&kept, id)
            {
                outcome.contents.entry(artifact.path().clone()).or_insert(content);
            }
        }
        Ok(outcome)
    }

    /// Makes the artifacts with these rows; with how many actions they need in all.
    pub(super) async fn make(&self, wanted: &[u32]) -> Result<(Outcome, usize), Error> {
        self.run(&[], wanted, &[]).await
    }

    async fn run(&self, extra: &[Arc<Action>], needed: &[u32], wanted: &[Artifact]) -> Result<(Outcome, usize), Error> {
        for _ in 0..TRIES {
            let batch = self.batch(needed)?;
            let mut outcome = self.run_batch(&batch, extra, wanted).await?;
            if outcome.lost.is_empty() {
                let unchanged = batch.needed - batch.ids.len();
                outcome.stats.cached += unchanged;
                self.report(unchanged);
                return Ok((outcome, batch.needed));
            }
            self.forget(&outcome.lost);
        }
        Err(Error::new(ErrorKind::Environment, "contents leave the store faster than they can be made again"))
    }

    fn report(&self, unchanged: usize) {
        if unchanged > 0 {
            self.session.reporter.report(Event::ActionsUnchanged { count: unchanged });
        }
    }

    /// The actions to be run, as the executor takes them.
    fn batch(&self, needed: &[u32]) -> Result<Batch, Error> {
        let broken =
            || Error::new(ErrorKind::Internal, "the kept state of this request cannot be read").hint("build clean");
        let kept = &mut *self.lock();
        let graph = kept.graph().ok_or_else(broken)?;
        let changed = std::mem::take(&mut kept.changed);
        let stale = graph.stale(&kept.state, needed, &|artifact| changed.contains(&artifact)).ok_or_else(broken)?;
        // Also those that this command does not need: once the new content of a source is noted, nothing else tells that
        // they are not what they were.
        let all = stale.actions.iter().chain(&stale.others);
        all.for_each(|action| kept.state.set_validity(*action, Validity::Invalid));
        let mut batch = Batch { needed: stale.needed as usize, ids: stale.actions, ..Batch::default() };
        for id in &batch.ids {
            let action = analysis::action(&mut kept.state, *id).ok_or_else(broken)?;
            batch.outputs.extend(action.outputs.iter().cloned());
            batch.actions.push(Arc::new(action));
        }
        Ok(batch)
    }

    async fn run_batch(&self, batch: &Batch, extra: &[Arc<Action>], wanted: &[Artifact]) -> Result<Outcome, Error> {
        if batch.actions.is_empty() && extra.is_empty() && wanted.iter().all(|one| one.root() == ArtifactRoot::Output) {
            return Ok(Outcome::default());
        }
        self.check_endpoints(batch)?;
        let actions: Vec<Arc<Action>> = batch.actions.iter().chain(extra).cloned().collect();
        let mut all = batch.outputs.clone();
        let own: HashSet<&RelPath> = extra.iter().flat_map(|action| &action.outputs).map(Artifact::path).collect();
        let is_asked = |artifact: &&Artifact| artifact.root() == ArtifactRoot::Source || own.contains(artifact.path());
        all.extend(wanted.iter().filter(is_asked).cloned());
        let known = Arc::new(self.known(&actions));
        let executor = self.session.executor(self.sources()?, Some(known))?;
        let outcome = executor.execute(&actions, &all).await;
        if self.session.cancel.is_cancelled() {
            // What was made before is kept.
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        let outcome = outcome.map_err(|error| Error::caused(ErrorKind::Build, &error))?;
        self.note(batch, &outcome);
        Ok(outcome)
    }

    /// Before anything is downloaded: whether this machine knows where all of it comes from. With `--keep_going` what can
    /// be built is built.
    fn check_endpoints(&self, batch: &Batch) -> Result<(), Error> {
        if self.session.options.keep_going {
            return Ok(());
        }
        let fetched = |error: fetch::FetchError| external::failed(ErrorKind::Environment, &error);
        let mut needed = BTreeSet::new();
        for action in &batch.actions {
            if let ActionKind::Builtin { name, params } = &action.kind
                && &**name == "fetch"
            {
                needed.extend(fetch::ecosystems(params, &self.session.store).map_err(fetched)?);
            }
        }
        if needed.is_empty() { Ok(()) } else { self.session.endpoints()?.check(&needed).map_err(fetched) }
    }

    /// What the state has of the inputs of actions that others make.
    fn known(&self, actions: &[Arc<Action>]) -> Contents {
        let kept = self.lock();
        let mut contents = HashMap::new();
        let mut sets = HashSet::new();
        for action in actions {
            let mut open = vec![&*action.inputs];
            let mut add = |artifact: &Artifact| {
                let id = kept.state.find(Table::Artifacts, artifact.path().as_str().as_bytes());
                if artifact.root() == ArtifactRoot::Output
                    && let Some(content) = id.and_then(|id| content(&kept, id))
                {
                    contents.insert(artifact.path().clone(), content);
                }
            };
            action.other_inputs().for_each(&mut add);
            while let Some(set) = open.pop() {
                if sets.insert(std::ptr::from_ref(set)) {
                    set.direct.iter().filter_map(model::Data::as_file).for_each(&mut add);
                    open.extend(set.transitive.iter().map(|set| &**set));
                }
            }
        }
        Contents(contents)
    }

    /// Notes what actions made.
    fn note(&self, batch: &Batch, outcome: &Outcome) {
        let kept = &mut *self.lock();
        kept.row.unsandboxed |= outcome.unsandboxed;
        for (id, action) in batch.ids.iter().zip(&batch.actions) {
            let made: Option<Vec<_>> =
                action.outputs.iter().map(|output| Some((output, outcome.contents.get(output.path())?))).collect();
            let Some(made) = made else { continue };
            for (output, content) in made {
                let output = kept.state.artifact_id(output);
                let content = match content {
                    Content::File { digest, size, executable } => snapshot::Kept::File(*digest, *size, *executable),
                    Content::Tree(digest) => snapshot::Kept::Tree(*digest),
                };
                kept.state.put_content(output, &content);
                kept.made.insert(output);
            }
            kept.state.set_validity(*id, Validity::Valid);
        }
    }

    /// Marks the actions whose outputs have left the store, so that they run again.
    pub(super) fn forget(&self, lost: &[RelPath]) {
        let kept = &mut *self.lock();
        let Some(graph) = kept.graph() else { return };
        for path in lost {
            let artifact = kept.state.find(Table::Artifacts, path.as_str().as_bytes());
            if let Some(action) = artifact.and_then(|artifact| graph.maker(artifact)) {
                kept.state.set_validity(action, Validity::Invalid);
            }
        }
    }
}

impl Kept {
    pub(super) fn graph(&mut self) -> Option<Arc<ActionGraph>> {
        if self.graph.is_none() {
            self.graph = Some(Arc::new(ActionGraph::read(&self.state)?));
        }
        self.graph.clone()
    }
}

/// What the state has of an artifact.
pub(super) fn content(kept: &Kept, id: u32) -> Option<Content> {
    kept.state.content(id).map(|content| match content {
        snapshot::Kept::File(digest, size, executable) => Content::File { digest, size, executable },
        snapshot::Kept::Tree(digest) => Content::Tree(digest),
    })
}

/// Actions for the executor.
#[derive(Default)]
struct Batch {
    ids: Vec<u32>,
    actions: Vec<Arc<Action>>,
    outputs: Vec<Artifact>,
    needed: usize,
}

/// Contents of outputs from the state.
struct Contents(HashMap<RelPath, Content>);

impl Known for Contents {
    fn content(&self, artifact: &Artifact) -> Option<Content> {
        self.0.get(artifact.path()).cloned()
    }
}
