//! What a test left, where people and CI systems look for it: `build-out/testlogs/<package>/<name>/` with `test.log`,
//! `test.xml` (JUnit) and `test.outputs/`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use execution::{Content, Outcome};
use model::{Artifact, TreeEntry};

use super::runner::{TestFiles, XML};
use super::{TestResult, junit};
use crate::error::Error;
use crate::outputs;
use crate::session::Session;

/// Shows the files of one test; what an earlier run left there goes.
pub(super) fn show(session: &Session, outcome: &Outcome, files: &TestFiles, result: &TestResult) -> Result<(), Error> {
    let below = session.outputs()?;
    let folder = below.join("testlogs").join(result.label.exec_path());
    store::make_way(&below, &folder)?;
    let store = &session.store;
    let file = |bytes: &[u8]| -> Result<Content, Error> {
        let digest = store.put_bytes(bytes)?;
        Ok(Content::File { digest, size: bytes.len() as u64, executable: false })
    };
    let content = |artifact: &Artifact| {
        let left = outcome.failures.iter().flat_map(|failure| &failure.left);
        let mut left = left.filter(|(path, _)| path == artifact.path()).map(|(_, content)| content);
        outcome.contents.get(artifact.path()).or_else(|| left.next()).cloned()
    };
    let log = match outcome.contents.get(files.log.path()) {
        Some(log) => log.clone(),
        None => file(result.log.as_bytes())?,
    };
    let own = match content(&files.results) {
        Some(Content::Tree(tree)) => own_report(session, &tree)?,
        _ => None,
    };
    let xml = match own {
        Some(report) => report,
        None => file(junit::report(result).as_bytes())?,
    };
    let mut shown: BTreeMap<PathBuf, &Content> = BTreeMap::new();
    shown.insert(folder.join("test.log"), &log);
    shown.insert(folder.join(XML), &xml);
    let written = content(&files.outputs).filter(|tree| !is_empty(session, tree));
    match &written {
        Some(tree) => drop(shown.insert(folder.join("test.outputs"), tree)),
        None => host::fs::remove_tree(&folder.join("test.outputs"))?,
    }
    outputs::place(store, &below, &shown)
}

/// The report that the test's own runner wrote.
fn own_report(session: &Session, tree: &model::Digest) -> Result<Option<Content>, Error> {
    let tree = session.store.tree(tree)?;
    let found = tree.entries.iter().find(|(path, _)| path.as_str() == XML);
    Ok(found.and_then(|(_, entry)| match entry {
        TreeEntry::File { digest, size, .. } if *size > 0 => {
            Some(Content::File { digest: *digest, size: *size, executable: false })
        }
        _ => None,
    }))
}

fn is_empty(session: &Session, content: &Content) -> bool {
    let Content::Tree(digest) = content else { return true };
    session.store.tree(digest).is_ok_and(|tree| tree.entries.is_empty())
}
