//! The lowest layer of an image without a base: what every program may expect of a file system, so that the image runs
//! alike wherever it is started. Runtimes add some of it, but each of them something else.
//!
//! It holds who the users are, an empty /tmp and the folder that the image starts in. It holds no certificates and no time zones: those change with the time,
//! and an image that needs them names their package in its base.

use model::{RelPath, Tree, TreeEntry};
use store::Store;

use crate::error::OciError;
use crate::layer::{Layer, LayerContent, LayerEntry, LayerRequest, Owner, layer};

/// The users of every image: name, user and group.
const USERS: [(&str, u32); 3] = [("root", 0), ("nonroot", 65532), ("nobody", 65534)];

const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

/// The layer for an image that starts as `user` (a number or a name, and perhaps a group after `:`) in a folder.
pub(crate) fn foundation(user: &str, workdir: &str, store: &Store) -> Result<Layer, OciError> {
    let (passwd, group) = accounts(user)?;
    let mut entries = Vec::new();
    for (target, text) in [("etc/passwd", passwd), ("etc/group", group), ("etc/nsswitch.conf", NSSWITCH.to_owned())] {
        let digest = store.put_bytes(text.as_bytes())?;
        let content = LayerContent::File { digest, size: text.len() as u64, executable: false };
        entries.push(LayerEntry { target: target.to_owned(), content });
    }
    let mut empty = Tree::default();
    for folder in ["tmp", workdir.trim_matches('/')].into_iter().filter(|folder| !folder.is_empty()) {
        let path = RelPath::new(folder).map_err(|error| {
            OciError::Parameter(format!("the working folder `{workdir}` cannot be made: {}", error.reason))
        })?;
        empty.insert(path, TreeEntry::EmptyFolder)?;
    }
    entries.push(LayerEntry { target: "/".to_owned(), content: LayerContent::Tree(store.put_tree(&empty)?) });
    layer(&LayerRequest { entries, owner: Owner::default() }, store)
}

/// `/etc/passwd` and `/etc/group`, with an entry for the user that starts.
fn accounts(user: &str) -> Result<(String, String), OciError> {
    let (own, own_group) = user.split_once(':').unwrap_or((user, ""));
    let unknown = |name: &str| {
        OciError::Parameter(format!(
            "the user `{user}` cannot be resolved: the image has no base that knows `{name}`; give numbers, as `1000:1000`, \
             or one of root, nonroot, nobody"
        ))
    };
    let number = |name: &str, default: u32| match (name, USERS.iter().find(|(known, _)| *known == name)) {
        ("", _) => Ok(default),
        (_, Some((_, number))) => Ok(*number),
        (name, None) => name.parse().map_err(|_| unknown(name)),
    };
    let uid = number(own, 0)?;
    let gid = number(own_group, uid)?;
    let mut passwd = String::new();
    let mut group = String::new();
    for (name, id) in USERS {
        let home = if id == 0 { "/root" } else { "/tmp" };
        passwd += &format!("{name}:x:{id}:{id}:{name}:{home}:/sbin/nologin\n");
        group += &format!("{name}:x:{id}:\n");
    }
    if USERS.iter().all(|(_, known)| *known != uid) {
        passwd += &format!("user:x:{uid}:{gid}:user:/tmp:/sbin/nologin\n");
    }
    if USERS.iter().all(|(_, known)| *known != gid) {
        group += &format!("user:x:{gid}:\n");
    }
    Ok((passwd, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_that_starts_has_an_entry() {
        let last = |user: &str| {
            let (passwd, group) = accounts(user).unwrap();
            (passwd.lines().last().unwrap().to_owned(), group.lines().last().unwrap().to_owned())
        };
        let nobody = ("nobody:x:65534:65534:nobody:/tmp:/sbin/nologin".to_owned(), "nobody:x:65534:".to_owned());
        for user in ["", "0", "65532:65532", "nonroot", "root:nobody"] {
            assert_eq!(last(user), nobody, "{user}");
        }
        let passwd = |uid, gid| format!("user:x:{uid}:{gid}:user:/tmp:/sbin/nologin");
        assert_eq!(last("1000:1001"), (passwd(1000, 1001), "user:x:1001:".to_owned()));
        assert_eq!(last("1000"), (passwd(1000, 1000), "user:x:1000:".to_owned()));
        assert_eq!(last("1000:nobody"), (passwd(1000, 65534), nobody.1.clone()));
        for unknown in ["postgres", "1000:staff", "-1", "4294967296"] {
            let error = accounts(unknown).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the user `{unknown}` cannot be resolved")), "{error}");
        }
    }
}
