//! Why a workspace cannot be watched.

use std::path::PathBuf;

use host::fs::FileError;

/// Nothing is watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The workspace has more folders than this user may watch.
    #[error("the machine's limit of watched folders is reached (fs.inotify.max_user_watches)")]
    TooManyFolders,
    /// This user has too many watchers.
    #[error("the machine's limit of watchers is reached (fs.inotify.max_user_instances)")]
    TooManyWatchers,
    /// Other machines may write to it without a word.
    #[error("the file system of {} does not tell of changes that other machines make", .0.display())]
    Remote(PathBuf),
    /// The kernel refused.
    #[error("cannot watch {}", path.display())]
    System {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl WatchError {
    /// What helps, if anything does.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooManyFolders => Some("raise it: `sysctl fs.inotify.max_user_watches=1048576`"),
            Self::TooManyWatchers => Some("raise it: `sysctl fs.inotify.max_user_instances=1024`"),
            Self::Remote(_) | Self::System { .. } | Self::File(_) => None,
        }
    }
}
