//! Words of a command line that nobody knows before directories are made: `args.add_all([directory])` stands for the files
//! in it, as in Bazel.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;

/// What one call of `add_all` or `add_joined` gives, if directories are among its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expansion {
    /// Where its words are inserted: before which argument, or at which byte of a text.
    pub at: usize,
    /// The values in their order.
    pub values: Vec<ArgumentValue>,
    /// How they become words.
    pub layout: Layout,
}

/// A value of an expansion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArgumentValue {
    /// A word.
    Word(String),
    /// The paths of all files in a directory, sorted.
    Files(Artifact),
}

/// How values become words. Formats hold `%s` once, and `%%` for a percent sign.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// A word before all others.
    pub name: Option<String>,
    /// The format of each word.
    pub format_each: Option<String>,
    /// A word before each word.
    pub before_each: Option<String>,
    /// All as one word: what stands between them, and the format of the whole.
    pub joined: Option<(String, Option<String>)>,
    /// Whether equal words count once.
    pub uniquify: bool,
    /// Whether there is nothing at all where there is no value.
    pub omit_if_empty: bool,
    /// A word after all others.
    pub terminate_with: Option<String>,
}

impl Expansion {
    /// The directories whose files are meant.
    pub fn directories(&self) -> impl Iterator<Item = &Artifact> {
        self.values.iter().filter_map(|value| match value {
            ArgumentValue::Files(directory) => Some(directory),
            ArgumentValue::Word(_) => None,
        })
    }

    /// The words; `files` gives the paths of the files in a directory.
    pub fn words<E>(&self, mut files: impl FnMut(&Artifact) -> Result<Vec<String>, E>) -> Result<Vec<String>, E> {
        let mut words = Vec::new();
        for value in &self.values {
            match value {
                ArgumentValue::Word(word) => words.push(word.clone()),
                ArgumentValue::Files(directory) => words.extend(files(directory)?),
            }
        }
        Ok(self.layout.lay_out(words))
    }
}

impl Layout {
    /// The words of a command line for these values.
    pub fn lay_out(&self, mut values: Vec<String>) -> Vec<String> {
        if self.uniquify {
            let mut seen = BTreeSet::new();
            values.retain(|word| seen.insert(word.clone()));
        }
        if values.is_empty() && self.omit_if_empty {
            return Vec::new();
        }
        let each = values.into_iter().map(|word| formatted(self.format_each.as_deref(), word));
        let mut words: Vec<String> = self.name.iter().cloned().collect();
        match &self.joined {
            Some((separator, format)) => {
                let whole = each.collect::<Vec<_>>().join(separator);
                words.push(formatted(format.as_deref(), whole));
            }
            None => words.extend(each.flat_map(|word| self.before_each.iter().cloned().chain([word]))),
        }
        words.extend(self.terminate_with.clone());
        words
    }
}

/// The word in its format.
fn formatted(format: Option<&str>, word: String) -> String {
    let Some(format) = format else { return word };
    format.split("%%").map(|part| part.replace("%s", &word)).collect::<Vec<_>>().join("%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Label;
    use crate::path::RelPath;

    fn words(layout: Layout, values: &[&str], files: &[&str]) -> String {
        let owner = Label::absolute("//p:t").unwrap();
        let directory = Artifact::output(RelPath::new("d").unwrap(), true, &owner);
        let values = values.iter().map(|value| match *value {
            "d" => ArgumentValue::Files(directory.clone()),
            word => ArgumentValue::Word(word.to_owned()),
        });
        let expansion = Expansion { at: 0, values: values.collect(), layout };
        let files = |_: &Artifact| Ok::<_, ()>(files.iter().map(|file| format!("d/{file}")).collect());
        expansion.words(files).unwrap().join(" ")
    }

    #[test]
    fn a_directory_stands_for_its_files() {
        let some = |text: &str| Some(text.to_owned());
        let all = || Layout { omit_if_empty: true, ..Layout::default() };
        assert_eq!(words(all(), &["a", "d", "b"], &["x", "y"]), "a d/x d/y b");
        let each = Layout { name: some("-n"), before_each: some("-b"), format_each: some("<%s%%>"), ..all() };
        assert_eq!(words(each.clone(), &["d"], &["x", "y"]), "-n -b <d/x%> -b <d/y%>");
        assert_eq!(words(each, &["d"], &[]), "", "an empty directory is no value");
        let kept = Layout { name: some("-n"), terminate_with: some("--"), omit_if_empty: false, ..Layout::default() };
        assert_eq!(words(kept, &["d"], &[]), "-n --");
        let joined = Layout { joined: Some((",".to_owned(), some("-j=%s"))), uniquify: true, ..all() };
        assert_eq!(words(joined, &["d", "d/x"], &["x", "y"]), "-j=d/x,d/y");
    }
}
