//! Outputs in `build-out/`: files that have not changed since they were shown are left alone, all others are placed again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use execution::Content;
use model::{ArtifactRoot, Digest, Event, KeyBuilder, Label, RelPath};
use observation::Fingerprint;
use snapshot::{ShownRow, Table};

use super::execute::content;
use super::{Kept, Plan};
use crate::build::BuildReport;
use crate::error::{Error, ErrorKind};
use crate::outputs;

/// How often outputs are made again that left the store before they were shown.
const TRIES: usize = 20;

impl Plan<'_> {
    /// Makes the default outputs of all requested targets and shows them in `build-out/`.
    pub(crate) async fn build(&self, listed: usize) -> Result<BuildReport, Error> {
        if let Some(report) = self.nothing_to_do(listed) {
            return Ok(report);
        }
        let wanted = self.wanted();
        // After a build that showed everything, only what is made now can differ from what is shown.
        let as_before = {
            let kept = &mut *self.lock();
            let as_before = kept.row.complete && kept.row.wanted == wanted;
            // Until it is done: the command may be stopped at any moment.
            kept.row.complete = false;
            as_before
        };
        let mut report = BuildReport::default();
        // A content that is gone from the store when it is to be shown is made again.
        for _ in 0..TRIES {
            let (outcome, needed) = self.make(&wanted).await?;
            report.stats = outcome.stats;
            self.lock().row.wanted.clone_from(&wanted);
            if !outcome.failures.is_empty() && !self.session.options.keep_going {
                return Err(Error::reported(ErrorKind::Build));
            }
            if !outcome.failures.is_empty() {
                let good = self.made(&wanted);
                if let Some(lost) = self.show(&good)? {
                    self.forget(&lost);
                    continue;
                }
                report.failed = true;
                report.targets = self.paths_of_made(&good, listed);
                return Ok(report);
            }
            let lost = if as_before { self.show_made()? } else { self.show(&wanted)? };
            let Some(lost) = lost else {
                self.session.store.set_mended();
                let mut kept = self.lock();
                kept.row.complete = true;
                kept.row.actions = needed as u32;
                drop(kept);
                report.targets = self.paths(&mut self.lock(), listed);
                return Ok(report);
            };
            self.forget(&lost);
        }
        Err(Error::new(ErrorKind::Environment, "outputs leave the store before they can be shown"))
    }

    /// Those of these artifacts that are made from what is there now; the others' targets failed.
    fn made(&self, wanted: &[u32]) -> Vec<u32> {
        let kept = &mut *self.lock();
        let Some(graph) = kept.graph() else { return Vec::new() };
        let is_made = |id: &u32| graph.maker(*id).is_none_or(|maker| kept.state.is_valid(maker));
        wanted.iter().copied().filter(is_made).collect()
    }

    /// The requested targets of which all is made, each with where its outputs are shown.
    fn paths_of_made(&self, made: &[u32], listed: usize) -> Vec<(Label, Vec<PathBuf>)> {
        let kept = &mut *self.lock();
        let made: HashSet<u32> = made.iter().copied().collect();
        let labels = kept.state.labels().unwrap_or_default().into_iter().zip(kept.row.targets.clone());
        let mut good: Vec<(Label, u32)> = labels.collect();
        good.retain(|(_, id)| kept.state.files(*id).is_some_and(|files| files.iter().all(|file| made.contains(file))));
        if good.len() > listed {
            return Vec::new();
        }
        good.into_iter().map(|(label, id)| (label, self.paths_of(kept, id))).collect()
    }

    /// The report of a build for which there is nothing to do.
    fn nothing_to_do(&self, listed: usize) -> Option<BuildReport> {
        let kept = &mut *self.lock();
        if !kept.row.complete || !kept.changed.is_empty() || !self.is_shown(kept) {
            return None;
        }
        let count = kept.row.actions as usize;
        self.session.reporter.report(Event::ActionsUnchanged { count });
        let mut report = BuildReport::default();
        report.stats.cached = count;
        report.targets = self.paths(kept, listed);
        Some(report)
    }

    /// The artifacts of the requested targets, sorted.
    fn wanted(&self) -> Vec<u32> {
        let kept = self.lock();
        let mut wanted: Vec<u32> = Vec::new();
        for id in &kept.row.targets {
            wanted.extend(kept.state.files(*id).unwrap_or_default());
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Whether all outputs are shown as they were left. A look at each, since somebody may have written into one; of a tree
    /// at its top folder only.
    fn is_shown(&self, kept: &Kept) -> bool {
        self.different(kept).is_empty()
    }

    /// Rows of shown outputs that are not as they were left, or were gone as soon as they were placed (`build clean`).
    fn different(&self, kept: &Kept) -> HashSet<u32> {
        let rows = (0..kept.state.len(Table::Shown)).filter_map(|id| Some((id, kept.state.shown(id)?)));
        let (ids, shown): (Vec<u32>, Vec<(&str, Fingerprint)>) =
            rows.map(|(id, (path, left, ..))| (id, (path, left))).unzip();
        let gone = shown.iter().enumerate().filter(|(_, (_, left))| left.is_absent()).map(|(index, _)| index);
        let different = observation::differing(&self.session.root, &shown);
        different.into_iter().chain(gone).map(|index| ids[index]).collect()
    }

    /// Shows the outputs that were made and those that are not as they were left. If a content was gone, gives the paths of
    /// those that still are.
    fn show_made(&self) -> Result<Option<Vec<RelPath>>, Error> {
        let kept = &mut *self.lock();
        let different = self.different(kept);
        let mut next: Vec<(u32, ShownRow)> = Vec::new();
        for id in 0..kept.state.len(Table::Shown) {
            let Some((path, fingerprint, artifact, _)) = kept.state.shown(id) else { continue };
            if (kept.made.contains(&artifact) || different.contains(&id))
                && let Some(content) = content(kept, artifact)
            {
                let (path, content) = (Arc::from(path), digest_of(&content));
                next.push((id, ShownRow { path, artifact, content, fingerprint }));
            }
        }
        let place = |(index, (_, row)): (usize, &(u32, ShownRow))| {
            Some((self.session.root.join(&*row.path), (index, content(kept, row.artifact)?)))
        };
        let placed: BTreeMap<PathBuf, (usize, Content)> = next.iter().enumerate().filter_map(place).collect();
        let contents = placed.iter().map(|(path, (_, content))| (path.clone(), content)).collect();
        if let Err(error) = outputs::place(&self.session.store, &self.session.outputs()?, &contents) {
            let rows: Vec<ShownRow> = next.into_iter().map(|(_, row)| row).collect();
            return if error.is_missing_content { self.missing(kept, &placed, &rows).map(Some) } else { Err(error) };
        }
        for (id, mut row) in next {
            row.fingerprint = observation::shown(&self.session.root.join(&*row.path));
            kept.state.put(Table::Shown, id, row.encode());
        }
        Ok(None)
    }

    /// Shows outputs. If a content was gone, gives the paths of those that still are.
    fn show(&self, wanted: &[u32]) -> Result<Option<Vec<RelPath>>, Error> {
        let kept = &mut *self.lock();
        let different = self.different(kept);
        let mut shown: HashMap<u32, (u32, Digest)> = HashMap::new();
        for id in 0..kept.state.len(Table::Shown) {
            match kept.state.shown(id) {
                Some((_, _, artifact, digest)) if !different.contains(&id) => _ = shown.insert(artifact, (id, digest)),
                _ => {}
            }
        }
        let mut next: Vec<ShownRow> = Vec::with_capacity(wanted.len());
        let mut placed: BTreeMap<PathBuf, (usize, Content)> = BTreeMap::new();
        for id in wanted {
            let Some(content) = content(kept, *id) else { continue };
            let digest = digest_of(&content);
            // What was made again may have taken the place of a damaged content, whose other name is what is shown.
            if let Some((row, _)) = shown.get(id).filter(|(_, own)| *own == digest && !kept.made.contains(id))
                && let Some((path, fingerprint, artifact, content)) = kept.state.shown(*row)
            {
                next.push(ShownRow { path: Arc::from(path), artifact, content, fingerprint });
                continue;
            }
            let Some(artifact) = kept.state.artifact(*id) else { continue };
            placed.insert(outputs::shown_at(&self.session.root, &artifact), (next.len(), content));
            let path = Arc::from(format!("{}/{}", outputs::FOLDER, artifact.short_path()));
            next.push(ShownRow { path, artifact: *id, content: digest, fingerprint: Fingerprint::absent() });
        }
        let contents = placed.iter().map(|(path, (_, content))| (path.clone(), content)).collect();
        if let Err(error) = outputs::place(&self.session.store, &self.session.outputs()?, &contents) {
            return if error.is_missing_content { self.missing(kept, &placed, &next).map(Some) } else { Err(error) };
        }
        for (path, (index, _)) in &placed {
            next[*index].fingerprint = observation::shown(path);
        }
        // Looks at them go folder by folder.
        next.sort_by(|a, b| a.path.cmp(&b.path));
        let count = next.len() as u32;
        next.iter().enumerate().for_each(|(index, row)| kept.state.put(Table::Shown, index as u32, row.encode()));
        (count..kept.state.len(Table::Shown)).for_each(|id| kept.state.put(Table::Shown, id, Vec::new()));
        Ok(None)
    }

    /// Which of the contents to be shown are gone from the store.
    fn missing(
        &self,
        kept: &mut Kept,
        placed: &BTreeMap<PathBuf, (usize, Content)>,
        rows: &[ShownRow],
    ) -> Result<Vec<RelPath>, Error> {
        let mut lost = Vec::new();
        for (index, content) in placed.values() {
            let is_there = match content {
                Content::File { digest, .. } => self.session.store.contains(digest),
                Content::Tree(digest) => self.session.store.is_usable(digest)?,
            };
            if !is_there && let Some(artifact) = kept.state.artifact(rows[*index].artifact) {
                lost.push(artifact.path().clone());
            }
        }
        Ok(lost)
    }

    /// The requested targets, each with where its outputs are shown; none if there are more than `listed`.
    fn paths(&self, kept: &mut Kept, listed: usize) -> Vec<(Label, Vec<PathBuf>)> {
        if kept.row.count as usize > listed {
            return Vec::new();
        }
        let labels = kept.state.labels().unwrap_or_default();
        let targets = kept.row.targets.clone();
        labels.into_iter().zip(targets).map(|(label, id)| (label, self.paths_of(kept, id))).collect()
    }

    fn paths_of(&self, kept: &mut Kept, target: u32) -> Vec<PathBuf> {
        let files = kept.state.files(target).unwrap_or_default();
        let artifacts = files.into_iter().filter_map(|id| kept.state.artifact(id));
        let outputs = artifacts.filter(|artifact| artifact.root() == ArtifactRoot::Output);
        outputs.map(|artifact| outputs::shown_at(&self.session.root, &artifact)).collect()
    }
}

/// A digest of all that is shown of a content: equal bytes with another mode are something else.
fn digest_of(content: &Content) -> Digest {
    let kind = match content {
        Content::File { digest, executable: false, .. } => return *digest,
        Content::File { executable: true, .. } => "executable",
        Content::Tree(_) => "tree",
    };
    let (Content::File { digest, .. } | Content::Tree(digest)) = content;
    KeyBuilder::new(kind, 1).digest(digest).finish()
}
