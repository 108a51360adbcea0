//! Outputs in `build-out/`: what is there as it was left is not touched, everything else is placed again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
            if !outcome.failures.is_empty() {
                return Err(Error::reported(ErrorKind::Build));
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

    /// Whether all outputs are shown as they were left.
    fn is_shown(&self, kept: &mut Kept) -> bool {
        let doubtful = self.doubtful(kept);
        if doubtful.is_empty() {
            return true;
        }
        if !self.different(kept, &doubtful).is_empty() {
            return false;
        }
        doubtful.iter().for_each(|(path, (id, now))| kept.state.put_shown_folder(*id, path, now));
        true
    }

    /// Folders that are not as they were left, with their rows and what they are now. A folder that is as it was has the
    /// same entries; what somebody wrote into a read-only output, a check of the store finds (`build fsck`).
    fn doubtful(&self, kept: &Kept) -> HashMap<String, (u32, Fingerprint)> {
        let folders =
            (0..kept.state.len(Table::ShownFolders)).filter_map(|id| Some((id, kept.state.shown_folder(id)?)));
        let folders = folders.map(|(id, (path, left))| (id, path, left, observation::folder(&self.session.root, path)));
        let doubtful = folders.filter(|(_, _, left, now)| left != now);
        doubtful.map(|(id, path, _, now)| (path.to_owned(), (id, now))).collect()
    }

    /// Rows of shown outputs in these folders that are not as they were left.
    fn different(&self, kept: &Kept, folders: &HashMap<String, (u32, Fingerprint)>) -> HashSet<u32> {
        let inside = |path: &str| path.rsplit_once('/').is_some_and(|(folder, _)| folders.contains_key(folder));
        let rows = (0..kept.state.len(Table::Shown)).filter_map(|id| Some((id, kept.state.shown(id)?)));
        let (ids, shown): (Vec<u32>, Vec<(&str, Fingerprint)>) =
            rows.filter(|(_, (path, ..))| inside(path)).map(|(id, (path, left, ..))| (id, (path, left))).unzip();
        let different = observation::differing(&self.session.root, &shown);
        different.into_iter().map(|index| ids[index]).collect()
    }

    /// Notes the state of the folders in which something was placed, or that were in doubt.
    fn keep_folders(&self, kept: &mut Kept, shown: &[ShownRow], touched: &HashSet<String>) {
        let known: HashMap<String, Fingerprint> = (0..kept.state.len(Table::ShownFolders))
            .filter_map(|id| kept.state.shown_folder(id))
            .map(|(path, left)| (path.to_owned(), left))
            .collect();
        let folders: BTreeSet<&str> = shown.iter().filter_map(|row| Some(row.path.rsplit_once('/')?.0)).collect();
        let count = folders.len() as u32;
        for (id, folder) in folders.into_iter().enumerate() {
            let state = match known.get(folder).filter(|_| !touched.contains(folder)) {
                Some(state) => *state,
                None => observation::folder(&self.session.root, folder),
            };
            kept.state.put_shown_folder(id as u32, folder, &state);
        }
        (count..kept.state.len(Table::ShownFolders)).for_each(|id| kept.state.put(Table::ShownFolders, id, Vec::new()));
    }

    /// Shows the outputs that were made and those that are not as they were left. If a content was gone, gives the paths of
    /// those that still are.
    fn show_made(&self) -> Result<Option<Vec<RelPath>>, Error> {
        let kept = &mut *self.lock();
        let doubtful = self.doubtful(kept);
        let different = self.different(kept, &doubtful);
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
        let mut touched: HashSet<String> = doubtful.into_keys().collect();
        for (id, mut row) in next {
            touched.extend(row.path.rsplit_once('/').map(|(folder, _)| folder.to_owned()));
            row.fingerprint = observation::shown(&self.session.root.join(&*row.path));
            kept.state.put(Table::Shown, id, row.encode());
        }
        for id in 0..kept.state.len(Table::ShownFolders) {
            let Some((path, _)) = kept.state.shown_folder(id).filter(|(path, _)| touched.contains(*path)) else {
                continue;
            };
            let (path, now) = (path.to_owned(), observation::folder(&self.session.root, path));
            kept.state.put_shown_folder(id, &path, &now);
        }
        Ok(None)
    }

    /// Shows outputs. If a content was gone, gives the paths of those that still are.
    fn show(&self, wanted: &[u32]) -> Result<Option<Vec<RelPath>>, Error> {
        let kept = &mut *self.lock();
        let doubtful = self.doubtful(kept);
        let different = self.different(kept, &doubtful);
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
        let mut touched: HashSet<String> = doubtful.into_keys().collect();
        let names = placed.keys().filter_map(|path| path.strip_prefix(&self.session.root).ok()?.parent());
        touched.extend(names.map(|folder| folder.to_string_lossy().into_owned()));
        self.keep_folders(kept, &next, &touched);
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
