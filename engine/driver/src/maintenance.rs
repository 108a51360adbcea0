//! `build clean`, `build gc`, `build fsck` and `build info`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use host::fs::{FileError, FileKind};
use model::{Diagnostic, Digest, Event, Severity};
use store::{Collected, Findings, Limits};

use crate::error::{Error, ErrorKind};
use crate::outputs::{self, FOLDER};
use crate::session::Session;

/// Removes the outputs shown in the workspace, but not the state of local environments, which is no output; with `expunge`
/// also the store, which other workspaces of this user share.
pub fn clean(session: &Session, expunge: bool) -> Result<(), Error> {
    if expunge && session.store.is_used_by_others()? {
        let message = "other commands use the store; nothing was removed";
        return Err(Error::new(ErrorKind::Environment, message).hint("wait until they have ended, or end them"));
    }
    if remove_outputs(&session.root.join(FOLDER))? {
        let kept = outputs::state_folder(Path::new(FOLDER));
        let message = format!("the state of local environments stays; `rm -r {}` forgets it", kept.display());
        session.reporter.report(Event::Progress { phase: "clean".into(), message: message.into() });
    }
    if expunge {
        host::fs::remove_tree(session.store.root())?;
    }
    Ok(())
}

/// Removes a folder of outputs but for the state of local environments; whether there is one. Of a link, only the link
/// goes. What is in it is moved aside first, so that a build beside this finds each folder either as it was or gone, and
/// then makes it anew.
fn remove_outputs(folder: &Path) -> Result<bool, FileError> {
    let is_folder = |path: &Path| host::fs::lstat(path).is_ok_and(|stat| stat.kind == FileKind::Folder);
    let keeps = is_folder(folder) && is_folder(&outputs::state_folder(folder));
    let entries = if is_folder(folder) { host::fs::read_dir_with_odd_names(folder)? } else { Vec::new() };
    let name = format!(".removed-{}", std::process::id());
    let aside = folder.join(&name);
    // What has no proper name, or is in a folder that cannot be written to, is removed where it is.
    let is_odd = entries.iter().any(|entry| entry.is_odd);
    if !is_folder(folder) || is_odd || host::fs::create_dir_all(&aside).is_err() {
        return remove_in_place(folder, keeps);
    }
    let stays = |entry: &str| entry == name || (keeps && entry == outputs::STATE);
    for entry in entries.iter().filter(|entry| !stays(&entry.name)) {
        match host::fs::rename(&folder.join(&entry.name), &aside.join(&entry.name)) {
            Err(error) if !error.is_not_found() => return remove_in_place(folder, keeps),
            _ => {}
        }
    }
    host::fs::remove_tree(&aside)?;
    // A build may have put something there by now.
    host::fs::remove_if_empty(folder)?;
    Ok(keeps)
}

fn remove_in_place(folder: &Path, keeps: bool) -> Result<bool, FileError> {
    if !keeps {
        host::fs::remove_tree(folder)?;
        return Ok(false);
    }
    for entry in host::fs::read_dir(folder)? {
        if entry.name != outputs::STATE {
            host::fs::remove_tree(&folder.join(&entry.name))?;
        }
    }
    Ok(true)
}

/// How many bytes of contents a store may hold before the day's first command that stores something makes room.
const DEFAULT_SIZE: u64 = 50 << 30;
const DAY: i128 = 24 * 60 * 60 * 1_000_000_000;
/// What was kept of a request is of no use to anybody after so long.
const OLD_REQUEST: i128 = 30 * DAY;
/// The file in the store whose time says when room was last looked for.
const COLLECTED: &str = "collected";

/// Removes from the store what the limits do not let stay; without any, what is beyond the store's usual size.
pub fn gc(session: &Session, limits: &Limits) -> Result<Collected, Error> {
    let usual = limits.size.is_none() && limits.age.is_none();
    let size = if usual { Some(usual_size()?) } else { limits.size };
    let collected = session.store.gc_but(&Limits { size, ..*limits }, &in_use(session)?)?;
    if !limits.dry_run {
        forget_requests(
            session,
            limits.age.map_or(OLD_REQUEST, |age| i128::try_from(age.as_nanos()).unwrap_or(OLD_REQUEST)),
        )?;
    }
    Ok(collected)
}

/// The contents that states of requests name, with when the state was of use last. A build for which there is nothing to
/// do asks the store for no result, so that only the state's time tells that these were of use.
fn in_use(session: &Session) -> Result<HashMap<Digest, u64>, Error> {
    let mut contents = HashMap::new();
    for (file, time) in requests(session)? {
        let used = u64::try_from(time / 1_000_000_000).unwrap_or(0);
        for digest in snapshot::State::contents_named(&file) {
            let known = contents.entry(digest).or_insert(used);
            *known = used.max(*known);
        }
    }
    Ok(contents)
}

/// The files of all kept states, with when they were of use last.
fn requests(session: &Session) -> Result<Vec<(PathBuf, i128)>, Error> {
    let requests = session.store.root().join("requests");
    let mut found = Vec::new();
    if !host::fs::is_dir(&requests) {
        return Ok(found);
    }
    for workspace in host::fs::read_dir(&requests)? {
        let workspace = requests.join(workspace.name);
        for request in host::fs::read_dir(&workspace)? {
            let file = workspace.join(request.name);
            // One that is gone was replaced or removed meanwhile.
            found.extend(host::fs::lstat(&file).ok().map(|stat| (file, stat.mtime)));
        }
    }
    Ok(found)
}

/// Removes what was kept of requests that nobody made for so long. They are analysed anew, should they come again.
fn forget_requests(session: &Session, age: i128) -> Result<(), Error> {
    let now = host::clock::now();
    for (file, time) in requests(session)? {
        if now - time > age {
            match host::fs::remove_file(&file) {
                // Somebody else was faster.
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Makes room in a store that has grown beyond its usual size. Looks once a day; a failure is a warning, since what the
/// command was to do is done.
pub fn gc_if_due(session: &Session) {
    let event = match gc_of_the_day(session) {
        Ok(collected) if collected.is_empty() => return,
        Ok(collected) => {
            let message = format!("{} freed in the store", size_text(collected.bytes));
            Event::Progress { phase: Arc::from("gc"), message: Arc::from(message) }
        }
        Err(error) => {
            let mut warning = Diagnostic::error("cannot make room in the store");
            warning.severity = Severity::Warning;
            warning.notes.extend(error.diagnostics.into_iter().map(|diagnostic| diagnostic.message));
            Event::Diagnosed(warning)
        }
    };
    session.reporter.report(event);
}

fn gc_of_the_day(session: &Session) -> Result<Collected, Error> {
    let note = session.store.root().join(COLLECTED);
    let last = host::fs::stat(&note).map_or(0, |stat| stat.mtime);
    if host::clock::now() - last < DAY {
        return Ok(Collected::default());
    }
    host::fs::write(&note, b"")?;
    if last == 0 {
        // A new store; its first day is not over.
        return Ok(Collected::default());
    }
    gc(session, &Limits::default())
}

/// Checks everything in the store and removes what is damaged.
pub fn fsck(session: &Session, quick: bool) -> Result<Findings, Error> {
    let checked = |done: usize, all: usize| {
        let message = format!("{done} of {all} contents");
        session.reporter.report(Event::Progress { phase: Arc::from("fsck"), message: Arc::from(message) });
    };
    Ok(session.store.fsck(quick, &checked)?)
}

fn usual_size() -> Result<u64, Error> {
    let Some(text) = host::env::var("BUILD_STORE_MAX_SIZE") else { return Ok(DEFAULT_SIZE) };
    parse_size(&text).ok_or_else(|| {
        let message = format!("BUILD_STORE_MAX_SIZE is `{text}`, which is not a size");
        Error::new(ErrorKind::Environment, message).hint("for example `BUILD_STORE_MAX_SIZE=20G`")
    })
}

/// A number of bytes: `20G`, `512M`, `1000`.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let shift = match unit.trim_end_matches(['i', 'B', 'b']) {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// A time: `30d`, `12h`, `2w`; at least a unit is needed.
pub fn parse_age(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Bytes for people: `1.5 GiB`.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
pub fn size_text(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// Facts about the workspace and the machine: (name, value), sorted by name. Sizes of the store are looked up only if
/// `wanted` is one of them, or nothing in particular is wanted: they cost a look at every file.
pub fn info(session: &Session, wanted: Option<&str>) -> Result<Vec<(String, String)>, Error> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let measured = wanted.is_none_or(|name| name.starts_with("store-"));
    let sizes = if measured { session.store.sizes()? } else { store::Sizes::default() };
    let blobs = format!("{} in {} files", size_text(sizes.blob_bytes), sizes.blobs);
    Ok(vec![
        fact("build-out", session.root.join(outputs::FOLDER).display().to_string()),
        fact("configuration", session.configuration.folder()),
        fact("platform", format!("{}/{}", session.exec_platform.os, session.exec_platform.arch)),
        fact("release", env!("CARGO_PKG_VERSION").to_owned()),
        fact("sandbox", sandbox_support()),
        fact("store", session.store.root().display().to_string()),
        fact("store-contents", blobs),
        fact("store-results", size_text(sizes.memo_bytes)),
        fact("store-size", size_text(sizes.blob_bytes + sizes.memo_bytes)),
        fact("store-trees", format!("{} folders of links", sizes.trees)),
        fact("workspace", session.root.display().to_string()),
    ])
}

fn sandbox_support() -> String {
    match sandbox::support() {
        sandbox::Support::Available => "available".to_owned(),
        sandbox::Support::Missing(obstacle) => format!("missing: {}; {}", obstacle.reason, obstacle.hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_read_and_shown() {
        assert_eq!(parse_size("20G"), Some(20 << 30));
        assert_eq!((parse_size("512MiB"), parse_size("7")), (Some(512 << 20), Some(7)));
        assert_eq!(
            (parse_size(""), parse_size("G"), parse_size("1X"), parse_size("99999999T")),
            (None, None, None, None)
        );
        assert_eq!(parse_age("30d"), Some(Duration::from_secs(30 * 86400)));
        assert_eq!((parse_age("30"), parse_age("d"), parse_age("-1d")), (None, None, None));
        assert_eq!(size_text(1023), "1023 bytes");
        assert_eq!(size_text(3 << 29), "1.5 GiB");
    }
}
