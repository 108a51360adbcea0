//! `build query`: questions about the target graph. Loads packages, analyses nothing.
//!
//! An answer is kept with all that was seen of the workspace to find it. While that is the same, so is the answer; else
//! only the packages are evaluated again that saw something different.

use std::collections::HashSet;
use std::sync::Arc;

use loading::{Loader, QueryFormat};
use model::Event;
use observation::{Observation, Verdict};
use snapshot::{State, Table};

use crate::error::{Error, ErrorKind};
use crate::plan::{Known, Request, Watched, folder_and_name, put_packages, renew, stale_packages};
use crate::session::Session;

/// Answers a query; the text is the command's standard output.
pub fn query(session: &Session, expression: &str, output: QueryFormat) -> Result<String, Error> {
    let request = Request::query(expression, &format!("{output:?}"));
    let identity = request.identity(session);
    let path = request.path(session);
    let mut stats = 0;
    let kept = State::open(&path, &identity).ok().flatten();
    let watched = Watched::ask(session, kept.as_ref());
    let kept = kept.and_then(|state| look(session, &watched, state, &mut stats));
    let (mut state, changed) = match kept {
        Some((mut state, changed)) if changed.is_empty() => {
            if let Ok(answer) = std::str::from_utf8(state.row(Table::Answer, 0)) {
                let answer = answer.to_owned();
                watched.note(session, &mut state);
                return finish(session, &mut state, &path, stats, 0).map(|()| answer);
            }
            (State::new(&identity), HashSet::new())
        }
        Some(kept) => kept,
        None => (State::new(&identity), HashSet::new()),
    };
    let loader = loader(session, &request, &state, &changed)?;
    let failed = |error| Error::of(ErrorKind::Query, error);
    let result = loading::query(&loader, expression, &session.package).map_err(failed)?;
    let answer = result.render(&loader, output).map_err(failed)?;
    let mut seen = loader.observer().all();
    // Later looks at them go folder by folder.
    seen.sort_by(|a, b| folder_and_name(&a.path).cmp(&folder_and_name(&b.path)));
    seen.iter().for_each(|observation| _ = state.put_observation(observation));
    put_packages(&loader, &mut state);
    session.roots()?.iter().for_each(|root| _ = state.put_observation(root));
    renew(session, &loader, &mut state, &changed);
    state.put(Table::Answer, 0, answer.clone().into_bytes());
    watched.note(session, &mut state);
    finish(session, &mut state, &path, stats, loader.evaluated().len())?;
    Ok(answer)
}

/// The state with the rows of observations that changed; `None` if it is of no use.
fn look(session: &Session, watched: &Watched, mut state: State, stats: &mut usize) -> Option<(State, HashSet<u32>)> {
    if !state.is_sound(&[Table::Observations, Table::Answer]) {
        return None;
    }
    let claims = (0..state.len(Table::Observations)).map(|id| state.claim(id)).collect::<Option<Vec<_>>>()?;
    let verification = watched.verify(session, &claims);
    *stats = verification.stats;
    let mut changed = HashSet::new();
    let mut renewed = Vec::new();
    for (index, verdict) in verification.verdicts {
        let claim = &claims[index];
        match verdict {
            Verdict::Renewed(fingerprint) => {
                let (question, path, answer) = (claim.question, Arc::from(claim.path), claim.answer);
                renewed.push(Observation { question, path, answer, fingerprint });
            }
            Verdict::Changed { .. } => _ = changed.insert(u32::try_from(index).ok()?),
        }
    }
    if (!changed.is_empty() || !renewed.is_empty()) && !state.is_sound(&Table::ALL) {
        return None;
    }
    state.read_index();
    renewed.iter().for_each(|observation| _ = state.put_observation(observation));
    Some((state, changed))
}

/// A loader that evaluates only packages which saw something different.
fn loader(session: &Session, request: &Request, state: &State, changed: &HashSet<u32>) -> Result<Arc<Loader>, Error> {
    let fresh = session.new_loader()?;
    let roots = session.roots()?;
    let is_root = |id: &u32| state.claim(*id).is_some_and(|claim| roots.iter().any(|root| *root.path == *claim.path));
    if changed.is_empty() || changed.iter().any(is_root) {
        return Ok(Arc::new(fresh));
    }
    let known = stale_packages(state, changed).and_then(|stale| Known::of(session, request, &stale));
    Ok(Arc::new(match known {
        Some(known) => fresh.with_known(Arc::new(known)),
        None => fresh,
    }))
}

fn finish(
    session: &Session,
    state: &mut State,
    path: &std::path::Path,
    stats: usize,
    packages: usize,
) -> Result<(), Error> {
    let written = state.save(path)?;
    session.reporter.report(Event::Refreshed { stats, reads: 0, packages, targets: 0, written });
    Ok(())
}
