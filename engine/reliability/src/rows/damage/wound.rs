//! One damage: to which file, in which way, and how it is inflicted.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::kept::{Class, Kept};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A bit is another one.
    Flip,
    /// A piece is zeros.
    Zero,
    /// The end is gone.
    Cut,
    /// Everything is gone.
    Empty,
    /// Bytes that nobody knows are at its end.
    Grow,
    /// It has changed places with another file of its class.
    Swap,
    /// It is gone.
    Lose,
    /// Another file has its name.
    Replace,
    /// Somebody may write to it, or run it, who should not.
    Mode,
}

const KINDS: [Kind; 9] =
    [Kind::Flip, Kind::Zero, Kind::Cut, Kind::Empty, Kind::Grow, Kind::Swap, Kind::Lose, Kind::Replace, Kind::Mode];

/// A damage.
#[derive(Debug)]
pub struct Wound {
    /// What the file is for.
    pub class: Class,
    /// What is done.
    pub kind: Kind,
    /// Whether its time is set back, as if nobody had written.
    pub silent: bool,
    /// The file.
    pub path: PathBuf,
    /// The one that it changes places with.
    pub other: Option<PathBuf>,
    /// Where `build-out` shows it.
    pub shown: Vec<PathBuf>,
}

impl Wound {
    /// Some damage to some file; each class and each kind is as likely as another.
    pub fn choose(kept: &Kept, dice: &mut Rng) -> Result<Self, String> {
        for _ in 0..1000 {
            let classes: Vec<_> = kept.files.iter().collect();
            let (class, files) = classes[dice.usize(..classes.len())];
            let (kind, silent) = (KINDS[dice.usize(..KINDS.len())], dice.bool());
            let path = files[dice.usize(..files.len())].clone();
            let size = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
            let other = (kind == Kind::Swap).then(|| files[dice.usize(..files.len())].clone());
            let needs_bytes = matches!(kind, Kind::Flip | Kind::Zero | Kind::Cut | Kind::Empty);
            let same = |other: &PathBuf| fs::read(other).ok() == fs::read(&path).ok();
            if (needs_bytes && size == 0) || other.as_ref().is_some_and(same) {
                continue;
            }
            let shown =
                [Some(&path), other.as_ref()].into_iter().flatten().flat_map(|path| shown(kept, path)).collect();
            return Ok(Self { class: *class, kind, silent, path, other, shown });
        }
        Err("nothing can be damaged".to_owned())
    }

    /// Whether a file of a tree that is shown is concerned, which is no output by itself.
    pub fn is_in_shown_tree(&self) -> bool {
        let is_output = |path: &PathBuf| self.shown.iter().any(|shown| path.ends_with(shown));
        !self.shown.is_empty() && ![Some(&self.path), self.other.as_ref()].into_iter().flatten().all(is_output)
    }

    /// Whether time and length of the file that is found by its name are as they were.
    pub fn is_silent(&self) -> bool {
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        match self.kind {
            Kind::Flip | Kind::Zero => self.silent,
            // Contents are sealed with one time.
            Kind::Swap => self.other.as_ref().is_some_and(|other| size(other) == size(&self.path)),
            Kind::Cut | Kind::Empty | Kind::Grow | Kind::Lose | Kind::Replace | Kind::Mode => false,
        }
    }

    /// Where `build-out` shows the file.
    pub fn shown_at(&self) -> &[PathBuf] {
        &self.shown
    }

    /// Does it, and sees to it that it is done.
    pub fn inflict(&self, dice: &mut Rng) -> Result<(), String> {
        let state = || Some((fs::metadata(&self.path).ok()?.mode(), fs::read(&self.path).ok()));
        let before = state();
        self.change(dice).map_err(|error| format!("cannot damage {}: {error}", self.path.display()))?;
        if state() == before {
            return Err("nothing was damaged".to_owned());
        }
        Ok(())
    }

    fn change(&self, dice: &mut Rng) -> std::io::Result<()> {
        let mut bytes = fs::read(&self.path)?;
        match self.kind {
            Kind::Flip => {
                let at = dice.usize(..bytes.len());
                bytes[at] ^= 1 << dice.u8(..8);
            }
            Kind::Zero => {
                // What is zero already is no damage.
                let at = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
                let from = dice.usize(..=at);
                bytes[from..=at].fill(0);
            }
            Kind::Cut => bytes.truncate(dice.usize(..bytes.len())),
            Kind::Empty => bytes.clear(),
            Kind::Grow => bytes.extend((0..dice.usize(1..200)).map(|_| dice.u8(..))),
            Kind::Lose => return fs::remove_file(&self.path),
            Kind::Mode => {
                let mode = fs::metadata(&self.path)?.mode();
                let changed = [mode ^ 0o111, mode ^ 0o222, mode ^ 0o4000][dice.usize(..3)];
                return fs::set_permissions(&self.path, Permissions::from_mode(changed | 0o600));
            }
            Kind::Swap => return exchange(&self.path, self.other.as_deref().expect("another file was chosen")),
            Kind::Replace => {
                fs::remove_file(&self.path)?;
                return fs::write(&self.path, [&bytes[..], b"something else"].concat());
            }
        }
        self.overwrite(&bytes)
    }

    /// Writes to the file in place, as a program does or as a disk does.
    fn overwrite(&self, bytes: &[u8]) -> std::io::Result<()> {
        let before = fs::metadata(&self.path)?;
        fs::set_permissions(&self.path, Permissions::from_mode(0o644))?;
        fs::write(&self.path, bytes)?;
        if self.silent {
            File::options().write(true).open(&self.path)?.set_modified(before.modified()?)?;
        }
        fs::set_permissions(&self.path, before.permissions())
    }
}

fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Paths below `build-out` at which a file is seen: by its inode, or as a part of a tree that is shown.
fn shown(kept: &Kept, path: &Path) -> Vec<PathBuf> {
    let inode = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let own = inode(path);
    let mut found = Vec::new();
    for entry in walk(&kept.outputs) {
        let below = entry.strip_prefix(&kept.outputs).unwrap_or(&entry).to_owned();
        let link = fs::read_link(&entry).ok();
        let seen = match &link {
            Some(target) => path.starts_with(target) || walk(target).iter().any(|file| inode(file) == own),
            None => inode(&entry) == own,
        };
        if seen {
            found.push(below);
        }
    }
    found
}

/// All files and links below a folder; links are not followed.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => found.extend(walk(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}
