//! Whether symbolic links stay in their tree. The one check for what archives bring, what actions leave, and what is
//! composed of both: composing may give a link another way to go.

use crate::path::RelPath;
use crate::tree::{Tree, TreeEntry, TreeError};

/// More links than these in a row are a circle, as for the kernel.
const MOST: usize = 40;

/// What the target of a link counts from when it begins with `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absolute {
    /// The machine on which the tree is looked at: such a link leads out.
    Machine,
    /// The tree's own root, as in an image.
    Tree,
}

impl Tree {
    /// Checks that no link leads out of the tree, neither by its target nor by way of other links. Links that lead to
    /// nothing, or in a circle, stay inside.
    pub fn check_links(&self, absolute: Absolute) -> Result<(), TreeError> {
        for (path, entry) in &self.entries {
            if let TreeEntry::Symlink { target } = entry
                && self.leads_out(path, absolute)
            {
                return Err(TreeError::LeadsOut { path: path.clone(), target: target.clone() });
            }
        }
        Ok(())
    }

    /// Follows a path as the kernel does: `..` counts from where a link has led, not from where it is written.
    fn leads_out(&self, path: &RelPath, absolute: Absolute) -> bool {
        let mut place: Vec<&str> = Vec::new();
        let mut rest: Vec<&str> = path.as_str().split('/').rev().collect();
        let mut links = 0;
        while let Some(segment) = rest.pop() {
            match segment {
                "" | "." => {}
                ".." if place.pop().is_none() => return true,
                ".." => {}
                name => place.push(name),
            }
            let here = RelPath::new(&place.join("/")).ok().and_then(|here| self.entries.get(&here));
            if let Some(TreeEntry::Symlink { target }) = here {
                links += 1;
                if links > MOST {
                    return false;
                }
                match (target.starts_with('/'), absolute) {
                    (true, Absolute::Machine) => return true,
                    (true, Absolute::Tree) => place.clear(),
                    (false, _) => drop(place.pop()),
                }
                rest.extend(target.split('/').rev());
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(links: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, target) in links {
            tree.entries.insert(RelPath::new(path).unwrap(), TreeEntry::Symlink { target: (*target).to_owned() });
        }
        tree
    }

    /// The link at the first path, in each tree of links.
    #[test]
    fn links_are_followed_as_the_kernel_does() {
        let out: [&[(&str, &str)]; 7] = [
            &[("a", "..")],
            &[("a", "/etc/passwd")],
            &[("d/a", "../../x")],
            &[("a", "b/../../../x"), ("b", "d/e")],
            // By way of a link that leads up, which alone stays inside.
            &[("a/b/c", "up/../../x"), ("a/b/up", "../..")],
            &[("a/b/c", "one/x"), ("a/b/one", "two/.."), ("a/b/two", "../..")],
            &[("a/b/c", "nothing/../../../../x")],
        ];
        for links in out {
            assert!(tree(links).check_links(Absolute::Machine).is_err(), "{links:?}");
        }
        let inside: [&[(&str, &str)]; 6] = [
            &[("a", "b")],
            &[("a", ".")],
            &[("d/e/a", "../../x")],
            // `..` counts from where the link leads: `deep/f` is two below the root.
            &[("a", "deep/../x"), ("deep", "e/f")],
            &[("a", "b"), ("b", "a")],
            &[("d/a", "./..//d/./b")],
        ];
        for links in inside {
            assert!(tree(links).check_links(Absolute::Machine).is_ok(), "{links:?}");
        }
    }

    #[test]
    fn in_an_image_a_slash_is_its_root() {
        for links in [&[("usr/a", "/etc/x")][..], &[("a", "/"), ("b/c", "../a/b")]] {
            assert!(tree(links).check_links(Absolute::Tree).is_ok(), "{links:?}");
        }
        for links in [&[("usr/a", "/../x")][..], &[("d/a", "/b/.."), ("b", "/..")]] {
            assert!(tree(links).check_links(Absolute::Tree).is_err(), "{links:?}");
        }
    }

    #[test]
    fn two_trees_may_lead_out_together() {
        let (one, two) = (tree(&[("a/b/c", "up/../../x")]), tree(&[("up", "../..")]));
        assert!(one.check_links(Absolute::Machine).is_ok(), "`up` is nothing yet");
        let mut both = one.clone();
        both.insert_tree(&RelPath::new("a/b").unwrap(), &two).unwrap();
        let error = both.check_links(Absolute::Machine).unwrap_err();
        assert!(error.to_string().contains("leads out of"), "{error}");
    }
}
