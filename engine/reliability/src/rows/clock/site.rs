//! A package whose output holds all that its sources say, and edits of it that file times do not tell.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

/// A package: where it is, and what its files say.
pub struct Site {
    folder: PathBuf,
    outside: PathBuf,
    source: u32,
    behind: [u32; 2],
    linked: usize,
    inside: [u32; 2],
    text: u32,
    constant: u32,
    name: u32,
    executable: bool,
    /// The fault that was injected last.
    pub last: &'static str,
}

/// An edit, and how the files are before it.
pub struct Fault {
    /// What is done.
    pub name: &'static str,
    prepare: fn(&Site),
    inject: fn(&mut Site, &mut Rng) -> Result<(), String>,
}

/// All faults.
pub const FAULTS: [Fault; 16] = [
    Fault { name: "written in place", prepare: nothing, inject: in_place },
    Fault { name: "renamed over", prepare: nothing, inject: renamed_over },
    Fault { name: "modified in the future", prepare: |site| site.date(10 * YEAR), inject: in_place },
    Fault { name: "modified in 2300", prepare: |site| site.date_at(330 * YEAR), inject: in_place },
    Fault { name: "modified in 1970", prepare: |site| site.date_at(0), inject: in_place },
    Fault { name: "modified before 1970", prepare: |site| site.date_at(-YEAR), inject: in_place },
    Fault { name: "renamed over by an older file", prepare: nothing, inject: older },
    Fault { name: "exchanged with another file", prepare: nothing, inject: exchanged },
    Fault { name: "written by another name", prepare: hard_link, inject: by_another_name },
    Fault { name: "BUILD.star written in place", prepare: nothing, inject: build_file },
    Fault { name: "a library written in place", prepare: nothing, inject: library },
    Fault { name: "a file in a glob renamed", prepare: nothing, inject: globbed },
    Fault { name: "a link led elsewhere", prepare: nothing, inject: led_elsewhere },
    Fault { name: "written behind a link", prepare: nothing, inject: behind_link },
    Fault { name: "a folder exchanged", prepare: nothing, inject: folder_exchanged },
    Fault { name: "made executable", prepare: nothing, inject: made_executable },
];

const YEAR: i64 = 365 * 86_400;

impl Fault {
    /// Puts the files in the state before the edit.
    pub fn prepare(&self, site: &Site) {
        (self.prepare)(site);
    }

    /// Makes the edit. An error if it shows in size or modification time, or in no content.
    pub fn inject(&self, site: &mut Site, dice: &mut Rng) -> Result<(), String> {
        site.last = self.name;
        (self.inject)(site, dice).map_err(|error| format!("the edit was not made: {}: {error}", self.name))
    }
}

impl Site {
    /// A package in a folder of the workspace; `outside` is a folder on the same file system.
    pub fn new(folder: PathBuf, outside: &Path, dice: &mut Rng) -> Self {
        let mut number = || dice.u32(10_000..100_000);
        let (behind, inside) = ([number(), number()], [number(), number()]);
        let (source, text, constant, name) = (number(), number(), number(), number());
        let outside = outside.join(folder.file_name().expect("a package"));
        let (linked, executable, last) = (0, false, "nothing");
        let site = Self { folder, outside, source, behind, linked, inside, text, constant, name, executable, last };
        site.write();
        site
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn write(&self) {
        for folder in ["t", "d", "spare", "g"] {
            fs::create_dir_all(self.at(folder)).expect("a folder of the try");
        }
        fs::create_dir_all(&self.outside).expect("a folder of the try");
        let put = |path: &str, text: String| fs::write(self.at(path), text).expect("a file of the try");
        put("s.txt", line(self.source));
        put("t/0.txt", line(self.behind[0]));
        put("t/1.txt", line(self.behind[1]));
        put("d/e.txt", line(self.inside[0]));
        put("spare/e.txt", line(self.inside[1]));
        put(&format!("g/{}", self.name), String::new());
        put("lib.star", self.library());
        put("BUILD.star", self.build_file());
        symlink("t/0.txt", self.at("l.txt")).expect("a link of the try");
    }

    fn library(&self) -> String {
        format!("CONSTANT = \"{}\"\n", self.constant)
    }

    fn build_file(&self) -> String {
        format!(
            "load(\":lib.star\", \"CONSTANT\")\nNAMES = \" \".join(glob([\"g/*\"]))\nFILES = [\"s.txt\", \"l.txt\", \
             \"d/e.txt\"]\ngenrule(name = \"o\", srcs = FILES, outs = [\"o.txt\"], cmd = \"(cat $(SRCS); if [ -x \
             $(location s.txt) ]; then echo x; else echo -; fi; echo {} \" + CONSTANT + \" \" + NAMES + \") > $@\")\n",
            self.text
        )
    }

    /// What its output must hold.
    pub fn expected(&self) -> String {
        let Self { source, behind, linked, inside, text, constant, name, executable, .. } = self;
        let mode = if *executable { "x" } else { "-" };
        format!("{source}\n{}\n{}\n{mode}\n{text} {constant} g/{name}\n", behind[*linked], inside[0])
    }

    fn date(&self, later: i64) {
        let now = fs::metadata(self.at("s.txt")).expect("it was written").mtime();
        self.date_at(now + later);
    }

    fn date_at(&self, seconds: i64) {
        set_times(&self.at("s.txt"), seconds, 5).expect("an own file");
    }

    /// Sets the modification time of what is edited most to anything.
    pub fn touch(&self, seconds: i64) {
        for path in ["s.txt", "BUILD.star", "lib.star", "d/e.txt", "t/0.txt", "g", "."] {
            set_times(&self.at(path), seconds, 7).expect("an own file");
        }
    }

    /// Injects any fault that can be injected again and again.
    pub fn edit(&mut self, dice: &mut Rng) -> Result<(), String> {
        let again = [0, 1, 7, 9, 10, 11, 13, 14];
        FAULTS[again[dice.usize(..again.len())]].inject(self, dice)
    }
}

fn line(number: u32) -> String {
    format!("{number}\n")
}

fn another(number: u32, dice: &mut Rng) -> u32 {
    // Never the same, and as many digits.
    10_000 + (number - 10_000 + dice.u32(1..90_000)) % 90_000
}

fn nothing(_: &Site) {}

fn hard_link(site: &Site) {
    fs::hard_link(site.at("s.txt"), site.outside.join("s.txt")).expect("the same file system");
}

fn set_times(path: &Path, seconds: i64, nanoseconds: i64) -> Result<(), String> {
    let time = TimeSpec::new(seconds, nanoseconds);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)
        .map_err(|error| error.to_string())
}

/// Changes what lies at a path, and takes its old modification time back. An error if its size is another one.
fn unseen(path: &Path, change: impl FnOnce() -> std::io::Result<()>) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let before = fs::symlink_metadata(path).map_err(text)?;
    change().map_err(text)?;
    set_times(path, before.mtime(), before.mtime_nsec())?;
    let after = fs::symlink_metadata(path).map_err(text)?;
    let of = |file: &fs::Metadata| (file.len(), file.mtime(), file.mtime_nsec());
    // The size of a folder says nothing.
    if before.is_dir() || of(&before) == of(&after) {
        return Ok(());
    }
    Err(format!("{}: size and time were {:?} and are {:?}", path.display(), of(&before), of(&after)))
}

fn rewrite(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Err(format!("{} holds that already", path.display()));
    }
    unseen(path, || fs::write(path, text))
}

fn in_place(site: &mut Site, dice: &mut Rng) -> Result<(), String> {
    site.source = another(site.source, dice);
    rewrite(&site.at("s.txt"), &line(site.source))
}

fn renamed_over(site: &mut Site, dice: &mut Rng) -> Result<(), String> {
    site.source = another(site.source, dice);
    let (path, new) = (site.at("s.txt"), site.outside.join("new"));
    unseen(&path, || fs::write(&new, line(site.source)).and_then(|()| fs::rename(&new, &path)))
}

fn older(site: &mut Site, dice: &mut Rng) -> Result<(), String> {
    site.source = another(site.source, dice);
    let (path, new) = (site.at("s.txt"), site.outside.join("new"));
    fs::write(&new, line(site.source)).map_err(|error| error.to_string())?;
    let before = fs::metadata(&path).map_err(|error| error.to_string())?;
    set_times(&new, before.mtime() - 86_400, 0)?;
    fs::rename(&new, &path).map_err(|error| error.to_string())
}

fn exchanged(site: &mut Site, _: &mut Rng) -> Result<(), String> {
    let (one, two) = (site.at("s.txt"), site.at("d/e.txt"));
    let time = fs::metadata(&one).map_err(|error| error.to_string())?;
    unseen(&two, || exchange(&one, &two, &site.outside.join("third")))?;
    set_times(&one, time.mtime(), time.mtime_nsec())?;
    std::mem::swap(&mut site.source, &mut site.inside[0]);
    Ok(())
}

fn exchange(one: &Path, two: &Path, third: &Path) -> std::io::Result<()> {
    fs::rename(one, third)?;
    fs::rename(two, one)?;
    fs::rename(third, two)
}

fn by_another_name(site: &mut Site, dice: &mut Rng) -> Result<(), String> {
    site.source = another(site.source, dice);
    rewrite(&site.outside.join("s.txt"), &line(site.source))
}

fn build_file(site: &mut Site, dice: &mut Rng) -> Result<(), String> {
    site.text = another(site.text, dice);
    rewrite(&site.at("BUILD.star"), &site.build_file())
}

fn library(site: &mut Site, dice: &mut Rng) -> Result<(), String> {
    site.constant = another(site.constant, dice);
    rewrite(&site.at("lib.star"), &site.library())
}

fn globbed(site: &mut Site, dice: &mut Rng) -> Result<(), String> {
    let old = site.at(&format!("g/{}", site.name));
    site.name = another(site.name, dice);
    unseen(&site.at("g"), || fs::rename(old, site.at(&format!("g/{}", site.name))))
}

fn led_elsewhere(site: &mut Site, _: &mut Rng) -> Result<(), String> {
    let path = site.at("l.txt");
    // Both lead to files of one size and one time.
    let time = fs::metadata(site.at("t/0.txt")).map_err(|error| error.to_string())?;
    set_times(&site.at("t/1.txt"), time.mtime(), time.mtime_nsec())?;
    site.linked = 1;
    unseen(&path, || fs::remove_file(&path).and_then(|()| symlink("t/1.txt", &path)))
}

fn behind_link(site: &mut Site, dice: &mut Rng) -> Result<(), String> {
    site.behind[0] = another(site.behind[0], dice);
    rewrite(&site.at("t/0.txt"), &line(site.behind[0]))
}

fn folder_exchanged(site: &mut Site, _: &mut Rng) -> Result<(), String> {
    let time = fs::metadata(site.at("d/e.txt")).map_err(|error| error.to_string())?;
    set_times(&site.at("spare/e.txt"), time.mtime(), time.mtime_nsec())?;
    let third = site.outside.join("third");
    unseen(&site.at("d"), || exchange(&site.at("d"), &site.at("spare"), &third))?;
    site.inside.swap(0, 1);
    Ok(())
}

fn made_executable(site: &mut Site, _: &mut Rng) -> Result<(), String> {
    let path = site.at("s.txt");
    site.executable = true;
    unseen(&path, || File::open(&path)?.set_permissions(fs::Permissions::from_mode(0o755)))
}
