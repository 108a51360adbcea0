//! Versions of Python packages (PEP 440), as far as markers compare them: local labels are left out.

use std::cmp::Ordering;

/// A version that can be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    epoch: u64,
    /// Without zeros at the end.
    release: Vec<u64>,
    /// How many numbers were written.
    written: usize,
    /// `a`, `b` or `rc` with a number; `None` is later than each.
    pre: Option<(u8, u64)>,
    post: Option<u64>,
    dev: Option<u64>,
}

impl Version {
    /// `None` for what is no version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let text = text.split('+').next()?;
        let (epoch, text) =
            text.split_once('!').map_or(Some((0, text)), |(epoch, rest)| Some((epoch.parse().ok()?, rest)))?;
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let numbers = text[..end].trim_end_matches('.');
        let mut release = numbers.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let written = release.len();
        while release.last() == Some(&0) {
            release.pop();
        }
        let mut version = Self { epoch, release, written, pre: None, post: None, dev: None };
        version.suffixes(&text[numbers.len()..])?;
        Some(version)
    }

    fn suffixes(&mut self, mut rest: &str) -> Option<()> {
        loop {
            rest = rest.trim_start_matches(['.', '-', '_']);
            if rest.is_empty() {
                return Some(());
            }
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (kind, after) = rest.split_at(letters);
            let after = after.trim_start_matches(['.', '-', '_']);
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            let number = if digits == 0 { 0 } else { after[..digits].parse().ok()? };
            match kind {
                "a" | "alpha" => self.pre = Some((0, number)),
                "b" | "beta" => self.pre = Some((1, number)),
                "rc" | "c" | "pre" | "preview" => self.pre = Some((2, number)),
                "post" | "rev" | "r" | "" => self.post = Some(number),
                "dev" => self.dev = Some(number),
                _ => return None,
            }
            rest = &after[digits..];
        }
    }

    /// Whether it begins as `family` does: `3.11.2` is of `3.11`.
    pub(crate) fn is_of(&self, family: &Self) -> bool {
        let part = |version: &Self, index: usize| version.release.get(index).copied().unwrap_or(0);
        self.epoch == family.epoch && (0..family.written).all(|index| part(self, index) == part(family, index))
    }

    /// What `~=` keeps: the version without its last number.
    pub(crate) fn family(&self) -> Self {
        let written = self.written.saturating_sub(1).max(1);
        let release = self.release.iter().copied().take(written).collect();
        Self { epoch: self.epoch, release, written, pre: None, post: None, dev: None }
    }

    /// A development release comes first, then candidates, the release, and what follows it.
    fn rank(&self) -> (u8, u64, u64, u64) {
        let (stage, number) = match self.pre {
            Some((kind, number)) => (kind + 1, number),
            None if self.post.is_none() && self.dev.is_some() => (0, 0),
            None => (4, 0),
        };
        (stage, number, self.post.map_or(0, |post| post + 1), self.dev.unwrap_or(u64::MAX))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |version: &Self| (version.epoch, version.release.clone(), version.rank());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let sorted =
            ["1.dev1", "1a1", "1.0b2", "1rc1", "1.0.0", "1.post1", "1.1.dev0", "1.1", "1.9", "1.10", "2", "1!0.1"];
        for pair in sorted.windows(2) {
            let [first, second] = pair else { unreachable!("windows of two") };
            assert!(Version::parse(first) < Version::parse(second), "{first} < {second}");
        }
        let equal = |a: &str, b: &str| Version::parse(a).unwrap().cmp(&Version::parse(b).unwrap()) == Ordering::Equal;
        assert!(equal("1", "1.0.0") && equal("v1.0+local", "1") && equal("1.0-1", "1.post1"));
        for text in ["", "x86_64", "win32", "1.x", "linux", "..", "99999999999999999999"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
