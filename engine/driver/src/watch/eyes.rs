//! How changes are noticed: by the kernel's word, or where that is not to be had, by looking.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Cancel;
use watch::{Changes, Poller, Skip, Token, Watcher};

use super::{Rounds, WatchRequest};
use crate::session::Session;

/// After the last of several changes: editors write more than once.
const SETTLE: Duration = Duration::from_millis(50);
/// How often is looked where nothing tells of changes.
const INTERVAL: Duration = Duration::from_secs(1);

/// A watcher or a poller.
pub(super) enum Eyes {
    Watcher(Watcher),
    Poller(Poller),
}

impl Eyes {
    /// Watches the workspace of a session.
    pub(super) fn open(session: &Session, request: &WatchRequest, rounds: &dyn Rounds) -> Self {
        if let Some(folder) = session.watcher_socket().parent() {
            // A folder that cannot be made leaves the watcher without a socket, which it does without.
            let _ = host::fs::create_dir_all(folder);
        }
        let skip = skip(session, request);
        match Watcher::start(&session.root, Arc::clone(&skip), &session.watcher_socket()) {
            Ok(watcher) => Self::Watcher(watcher),
            Err(error) => {
                let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
                rounds.say(&format!("{error}; looking at all files every second instead{hint}"));
                Self::Poller(Poller::start(&session.root, skip))
            }
        }
    }

    /// Now, for a later wait. A poller knows by itself what it saw last.
    pub(super) fn now(&self) -> Option<Token> {
        match self {
            Self::Watcher(watcher) => Some(watcher.token()),
            Self::Poller(_) => None,
        }
    }

    /// Waits until something changed, or it is cancelled. Whether these eyes are no longer good.
    pub(super) fn wait(&mut self, since: Option<Token>, cancel: &Cancel) -> bool {
        match (self, since) {
            (Self::Watcher(watcher), Some(since)) => match watcher.wait(&since, SETTLE, cancel) {
                Some(Changes::Unknown) => true,
                Some(changes) => changes.contains(loading::WORKSPACE_FILE),
                None => false,
            },
            (Self::Watcher(_), None) => true,
            (Self::Poller(poller), _) => {
                poller.wait(INTERVAL, cancel);
                false
            }
        }
    }
}

fn skip(session: &Session, request: &WatchRequest) -> Skip {
    // A WORKSPACE.star that is wrong ignores nothing; the round says what is wrong with it.
    let workspace = session.loader().ok().map(|loader| loader.workspace().clone());
    let inside = |path: &PathBuf| path.strip_prefix(&session.root).ok().map(|path| path.to_string_lossy().into_owned());
    let own: Vec<String> = request.own_files.iter().filter_map(inside).collect();
    Arc::new(move |path: &str| {
        workspace.as_ref().map_or(path == ".git" || path == "build-out", |workspace| workspace.skips(path))
            || own.iter().any(|file| file == path)
    })
}
