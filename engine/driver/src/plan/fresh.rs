//! A request that nothing is known of: everything is loaded and analysed, and written into a new state.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use analysis::{Analysis, Ledger};
use loading::{Loader, Matched};
use model::{Data, Diagnostic, Diagnostics, Digest, KeyBuilder, Label, Package, TargetKey};
use observation::{Observation, Question};
use snapshot::{PackageRow, RequestRow, State, Writer, encode_package, target_stamp};

use super::{Request, Work};
use crate::error::{Error, ErrorKind};
use crate::session::Session;

/// The state of the request, and what is wrong with the rest of it where it is to go on.
pub(super) fn analyse(
    session: &Session,
    request: &Request,
    identity: &[u8],
    work: &mut Work,
) -> Result<(State, RequestRow, Vec<Diagnostic>), Error> {
    let loader = session.loader()?;
    let Matched { mut labels, mut wrong } = request.matched(session, loader)?;
    if !wrong.is_empty() && !session.options.keep_going {
        return Err(Error::of(ErrorKind::Build, Diagnostics(wrong)));
    }
    let keys = request.keys(session, loader, &labels);
    let analysis = analysis::analyse(loader, &keys, &session.analysis_options(loader), &*session.reporter)
        .map_err(|error| Error::of(ErrorKind::Build, error))?;
    if !analysis.wrong.is_empty() {
        let good: HashSet<Label> = analysis.requested.iter().map(|key| key.label.clone()).collect();
        labels.retain(|label| loader.resolve(label).is_ok_and(|label| good.contains(&label)));
        wrong.extend(analysis.wrong.iter().filter(|error| !wrong.contains(error)).cloned().collect::<Vec<_>>());
    }
    work.packages += loader.evaluated().len();
    work.targets += analysis.attributes.len();
    let mut state = State::new(identity);
    let row = write(session.roots()?, loader, &mut state, labels, &analysis)
        .map_err(|error| Error::of(ErrorKind::Build, error))?;
    Ok((state, row, wrong))
}

fn write(
    roots: &[Observation],
    loader: &Loader,
    state: &mut State,
    labels: Vec<Label>,
    analysis: &Analysis,
) -> Result<RequestRow, model::Diagnostics> {
    let mut ledger = Ledger::new(loader, state);
    sort_observations(&mut ledger, loader, analysis);
    let roots = roots.iter().map(|root| ledger.state.put_observation(root)).collect();
    let discovery = ledger.observe_all(&loader.searched());
    let mut evaluated = loader.evaluated();
    evaluated.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    evaluated.iter().for_each(|(package, reads)| put_package(&mut ledger, package, reads));
    let mut ids: HashMap<&TargetKey, u32> = HashMap::with_capacity(analysis.units.len());
    for unit in &analysis.units {
        let dependencies = unit.dependencies.iter().filter_map(|key| ids.get(key).copied()).collect();
        let (id, _) = ledger.target(unit, dependencies)?;
        ids.insert(&unit.key, id);
    }
    let targets = analysis.requested.iter().filter_map(|key| ids.get(key).copied()).collect();
    let shell = analysis.shell.as_ref().map(|shell| ledger.state.artifact_id(shell));
    ledger.state.put_labels(&labels);
    let count = labels.len() as u32;
    Ok(RequestRow { count, targets, roots, discovery, shell, ..RequestRow::default() })
}

/// Adds all observations in the order of their paths, so that later looks at them go folder by folder.
fn sort_observations(ledger: &mut Ledger<'_>, loader: &Loader, analysis: &Analysis) {
    let mut questions: Vec<(Question, String)> = loader.searched();
    questions.extend(loader.evaluated().into_iter().flat_map(|(_, reads)| reads));
    let mut sources: HashSet<String> = HashSet::new();
    for unit in analysis.units.iter().filter(|unit| unit.key.configuration.is_none()) {
        let mut about = loader.source_questions(&unit.key.label).into_iter();
        if let Some((_, path)) = about.next() {
            questions.push((Question::Content, path.clone()));
            sources.insert(path);
        }
        questions.extend(about);
    }
    questions.sort_by(|a, b| folder_and_name(&a.1).cmp(&folder_and_name(&b.1)).then(a.0.cmp(&b.0)));
    questions.dedup();
    for (question, path) in questions {
        match question == Question::Content
            && sources.contains(&path)
            && loader.observer().get(question, &path).is_none()
        {
            // Its content is read when it is needed.
            true => _ = ledger.state.put_observation(&Observation::unknown(question, Arc::from(path))),
            false => _ = ledger.observe(question, &path),
        }
    }
}

/// The order in which looks at many paths open each folder once.
pub(crate) fn folder_and_name(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Writes the row of a package.
pub(super) fn put_package(ledger: &mut Ledger<'_>, package: &Package, reads: &[(Question, String)]) {
    let row = PackageRow {
        id: package.id.to_string(),
        observations: ledger.observe_all(reads),
        outline: outline(package),
        exports: exports(package),
        targets: package.targets.iter().map(|(name, target)| (Arc::clone(name), target_stamp(target))).collect(),
        package: encode_package(package),
    };
    row.put(ledger.state);
}

/// A digest of all that patterns can tell of a package's targets.
pub(super) fn outline(package: &Package) -> Digest {
    let mut key = KeyBuilder::new("outline", 1);
    for target in package.targets.values() {
        key.text(target.label.name()).text(&target.rule.file.to_string()).text(&target.rule.name);
        if &*target.rule.name == "test_suite" {
            key.digest(&target_stamp(target));
        }
        let tags = target.attributes.get("tags").and_then(model::Configurable::plain).and_then(Data::as_list);
        let tags = tags.unwrap_or_default();
        key.sequence(tags.len());
        tags.iter().filter_map(Data::as_str).for_each(|tag| _ = key.text(tag));
    }
    key.finish()
}

/// A digest of whom a package exports its files to, and of the names of its outputs.
pub(super) fn exports(package: &Package) -> Digest {
    let mut row = Writer::default();
    for (name, visibility) in &package.exported_files {
        row.text(name).text(&format!("{visibility:?}"));
    }
    for target in package.targets.values() {
        row.text(target.label.name());
        target.outputs.iter().for_each(|output| _ = row.text(output));
    }
    Digest::of(row.as_bytes())
}
