//! What is asked and answered: points in time, and the paths that may have changed since.

/// A point in the life of one watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The watcher, by a random id.
    pub watcher: [u8; 16],
    /// How many changes it had seen.
    pub event: u64,
}

impl Token {
    /// The length of a token as bytes.
    pub const LENGTH: usize = 24;

    /// As bytes.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..16].copy_from_slice(&self.watcher);
        bytes[16..].copy_from_slice(&self.event.to_le_bytes());
        bytes
    }

    /// From bytes. All bytes are a token; one that no watcher gave is answered with [`Changes::Unknown`].
    pub fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Self {
        let (watcher, event) = bytes.split_at(16);
        let event = event.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
        Self { watcher: watcher.try_into().unwrap_or_default(), event }
    }
}

/// What may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Nothing may be assumed: another watcher, an overflow, a token of too long ago.
    Unknown,
    /// Only these, relative to the top of the workspace, sorted and distinct: files whose content or mode may differ,
    /// folders (the top is ``) whose entries may differ, and, with a `/` at the end, everything below a path. Ask with
    /// [`Changes::contains`].
    Paths(Vec<String>),
}

impl Changes {
    /// Whether a path, relative to the top of the workspace, may have changed.
    pub fn contains(&self, path: &str) -> bool {
        let Self::Paths(paths) = self else { return true };
        let listed = |wanted: &str| paths.binary_search_by(|listed| listed.as_str().cmp(wanted)).is_ok();
        let folders = path.match_indices('/').map(|(at, _)| &path[..=at]);
        listed(path) || folders.into_iter().any(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_contained_by_itself_or_by_a_folder_listed_with_all_below() {
        let paths = ["", "a", "b/", "c/d", "c/e/"].map(str::to_owned);
        let changes = Changes::Paths(paths.to_vec());
        for path in ["", "a", "b/x", "b/x/y", "c/d", "c/e/f"] {
            assert!(changes.contains(path), "{path}");
        }
        for path in ["a/x", "b", "bx", "c", "c/dx", "c/e"] {
            assert!(!changes.contains(path), "{path}");
        }
        assert!(Changes::Unknown.contains("anything"));
    }

    #[test]
    fn tokens_survive_as_bytes() {
        let token = Token { watcher: [7; 16], event: 1 << 40 };
        assert_eq!(Token::from_bytes(&token.to_bytes()), token);
    }
}
