//! Outputs in `build-out/`: what is there as it was left is not touched, everything else is placed again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use execution::Content;
use model::{ArtifactRoot, Digest, Event, Label, RelPath};
use observation::Fingerprint;
use snapshot::{ShownRow, Table};

use super::execute::content;
use super::{Kept, Plan};
use crate::build::BuildReport;
use crate::error::{Error, ErrorKind};
use crate::outputs;

impl Plan<'_> {
    /// Makes the default outputs of all requested targets and shows them in `build-out/`.
    pub(crate) async fn build(&self, listed: usize) -> Result<BuildReport, Error> {
        if let Some(report) = self.nothing_to_do(listed) {
            return Ok(report);
        }
        let wanted = self.wanted();
        let mut report = BuildReport::default();
        // A content that is gone from the store when it is to be shown is made again.
        for _ in 0..3 {
            let outcome = self.make(&wanted).await?;
            report.stats = outcome.stats;
            self.lock().row.wanted.clone_from(&wanted);
            if !outcome.failures.is_empty() {
                self.lock().row.complete = false;
                return Err(Error::reported(ErrorKind::Build));
            }
            let lost = self.show(&wanted)?;
            if lost.is_empty() {
                self.session.store.set_mended();
                let (complete, actions) = self.is_current(&wanted);
                let mut kept = self.lock();
                kept.row.complete = complete;
                kept.row.actions = actions as u32;
                drop(kept);
                report.targets = self.paths(&mut self.lock(), listed);
                return Ok(report);
            }
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

    /// Whether all outputs are shown as they were left. A folder that is as it was has the same entries; what somebody
    /// wrote into a read-only output, a check of the store finds (`build fsck`).
    fn is_shown(&self, kept: &mut Kept) -> bool {
        let folders =
            (0..kept.state.len(Table::ShownFolders)).filter_map(|id| Some((id, kept.state.shown_folder(id)?)));
        let doubtful: HashMap<String, u32> = folders
            .filter(|(_, (path, left))| observation::folder(&self.session.root.join(path)) != *left)
            .map(|(id, (path, _))| (path.to_owned(), id))
            .collect();
        if doubtful.is_empty() {
            return true;
        }
        let now: Vec<(u32, String, Fingerprint)> = doubtful
            .iter()
            .map(|(path, id)| (*id, path.clone(), observation::folder(&self.session.root.join(path))))
            .collect();
        let inside = |path: &str| path.rsplit_once('/').is_some_and(|(folder, _)| doubtful.contains_key(folder));
        let rows = (0..kept.state.len(Table::Shown)).filter_map(|id| kept.state.shown(id));
        let files: Vec<(&str, Fingerprint)> =
            rows.map(|(path, left, ..)| (path, left)).filter(|(path, _)| inside(path)).collect();
        if !observation::differing(&self.session.root, &files).is_empty() {
            return false;
        }
        now.iter().for_each(|(id, path, state)| kept.state.put_shown_folder(*id, path, state));
        true
    }

    /// Notes the folders in which outputs are shown.
    fn keep_folders(&self, kept: &mut Kept, shown: &[ShownRow]) {
        let folders: BTreeSet<&str> = shown.iter().filter_map(|row| Some(row.path.rsplit_once('/')?.0)).collect();
        let count = folders.len() as u32;
        for (id, folder) in folders.into_iter().enumerate() {
            let state = observation::folder(&self.session.root.join(folder));
            kept.state.put_shown_folder(id as u32, folder, &state);
        }
        (count..kept.state.len(Table::ShownFolders)).for_each(|id| kept.state.put(Table::ShownFolders, id, Vec::new()));
    }

    /// Rows of shown outputs that are not as they were left.
    fn different(&self, kept: &Kept) -> HashSet<u32> {
        let rows = (0..kept.state.len(Table::Shown)).filter_map(|id| Some((id, kept.state.shown(id)?)));
        let (ids, shown): (Vec<u32>, Vec<(&str, Fingerprint)>) =
            rows.map(|(id, (path, fingerprint, ..))| (id, (path, fingerprint))).unzip();
        let different = observation::differing(&self.session.root, &shown);
        different.into_iter().map(|index| ids[index]).collect()
    }

    /// Shows outputs; gives the paths of those whose content is gone.
    fn show(&self, wanted: &[u32]) -> Result<Vec<RelPath>, Error> {
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
            if let Some((row, _)) = shown.get(id).filter(|(_, own)| *own == digest)
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
        if let Err(error) = outputs::place(&self.session.store, &contents) {
            let lost = if error.is_missing_content { self.missing(kept, &placed, &next)? } else { Vec::new() };
            return if lost.is_empty() { Err(error) } else { Ok(lost) };
        }
        for (path, (index, _)) in &placed {
            next[*index].fingerprint = observation::shown(path);
        }
        // Looks at them go folder by folder.
        next.sort_by(|a, b| a.path.cmp(&b.path));
        self.keep_folders(kept, &next);
        let count = next.len() as u32;
        next.iter().enumerate().for_each(|(index, row)| kept.state.put(Table::Shown, index as u32, row.encode()));
        (count..kept.state.len(Table::Shown)).for_each(|id| kept.state.put(Table::Shown, id, Vec::new()));
        Ok(Vec::new())
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

fn digest_of(content: &Content) -> Digest {
    match content {
        Content::File { digest, .. } | Content::Tree(digest) => *digest,
    }
}
