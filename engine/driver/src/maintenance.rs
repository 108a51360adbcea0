//! `build clean` and `build info`.

use crate::error::Error;
use crate::outputs::FOLDER;
use crate::session::Session;

/// Removes the outputs shown in the workspace; with `expunge` also the store, which other workspaces of this user share.
pub fn clean(session: &Session, expunge: bool) -> Result<(), Error> {
    host::fs::remove_tree(&session.root.join(FOLDER))?;
    if expunge {
        host::fs::remove_tree(session.store.root())?;
    }
    Ok(())
}

/// Facts about the workspace and the machine: (name, value), sorted by name.
pub fn info(session: &Session) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    vec![
        fact("build-out", session.root.join(FOLDER).display().to_string()),
        fact("configuration", session.configuration.folder()),
        fact("platform", format!("{}/{}", session.exec_platform.os, session.exec_platform.arch)),
        fact("release", env!("CARGO_PKG_VERSION").to_owned()),
        fact("sandbox", sandbox_support()),
        fact("store", session.store.root().display().to_string()),
        fact("workspace", session.root.display().to_string()),
    ]
}

fn sandbox_support() -> String {
    match sandbox::support() {
        sandbox::Support::Available => "available".to_owned(),
        sandbox::Support::Missing(reason) => format!("missing: {reason}"),
    }
}
