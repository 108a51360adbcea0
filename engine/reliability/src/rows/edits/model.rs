//! A random workspace as a value: packages with sources and targets, a chain of libraries, settings of the command line.

use std::collections::BTreeMap;

use fastrand::Rng;

/// How many packages there may be.
pub const PACKAGES: usize = 4;

/// The names that sources may have within a package.
pub const SOURCES: [&str; 10] =
    ["a.txt", "b.txt", "c.txt", "d.dat", "l.txt", "sub/n.txt", "sub/deep/m.txt", "gen.in", "d.dat/x.txt", "folder"];

/// A workspace and how it is built.
#[derive(Clone)]
pub struct Model {
    /// Packages `p0`, `p1`, ... that are there.
    pub packages: Vec<Option<Package>>,
    /// The constant at the bottom of the chain of libraries.
    pub constant: u32,
    /// Which of the rules' variants is there.
    pub variant: u32,
    /// What changes in the libraries without a meaning.
    pub comment: u32,
    /// A package that WORKSPACE.star excludes.
    pub ignored: Option<usize>,
    /// The value of `--define mode=`.
    pub mode: Option<u32>,
    /// Whether to build with `-c opt`.
    pub optimised: bool,
    /// The package that is built alone; else all are.
    pub only: Option<usize>,
}

/// A package.
#[derive(Clone, Default)]
pub struct Package {
    /// Its sources by name.
    pub sources: BTreeMap<String, Content>,
    /// Its targets; their names are made of kind and place.
    pub targets: Vec<Target>,
    /// Whether the folder `sub` is a package of its own.
    pub nested: bool,
    /// Whether others may use it.
    pub public: bool,
    /// What is written at the end of BUILD.star.
    pub comment: u32,
    /// Whether BUILD.star cannot be read.
    pub broken: bool,
}

/// What a source is.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Some lines, made of a number; and whether the file can be executed.
    Lines(u32, bool),
    /// A link to another source of the package, or of the next one.
    Link(String),
}

/// A target.
#[derive(Clone)]
pub struct Target {
    /// Its rule.
    pub kind: Kind,
    /// Its name's number: never used for another target of the package.
    pub number: u32,
    /// What it reads.
    pub srcs: Vec<Srcs>,
    /// A number in its command.
    pub text: u32,
}

/// The rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Names, modes and contents of all inputs, by a process.
    Cat,
    /// Their lines, sorted.
    Sort,
    /// How many lines they have: seldom differs.
    Count,
    /// Two files and one of them without content.
    Two,
    /// Fails for some numbers.
    Fails,
    /// A script, for `Tool`.
    Script,
    /// Runs the scripts among its inputs.
    Tool,
    /// Writes a text with the paths of its inputs and links them.
    Thing,
    /// A folder with its inputs, some of them executable.
    Tree,
    /// The same folder under another name, composed and not copied.
    TreeCopy,
    /// A file or a folder, at a path or below it: what was there before is in the way.
    Shape,
    /// A group of files.
    Group,
    /// Another name for the first label it reads.
    Alias,
    /// A macro of the package's own library: a target for each file of a glob.
    Macro,
}

/// A part of what a target reads.
#[derive(Clone)]
pub enum Srcs {
    /// A source by its name.
    Name(&'static str),
    /// Files that match, without others.
    Glob(&'static str, Option<&'static str>),
    /// A target of a package, by its place.
    Target(usize, usize),
    /// A source for a setting, another one else.
    Select(&'static str, &'static str, &'static str),
}

const KINDS: [Kind; 14] = [
    Kind::Cat,
    Kind::Sort,
    Kind::Count,
    Kind::Two,
    Kind::Fails,
    Kind::Script,
    Kind::Tool,
    Kind::Thing,
    Kind::Tree,
    Kind::TreeCopy,
    Kind::Shape,
    Kind::Group,
    Kind::Alias,
    Kind::Macro,
];

const GLOBS: [(&str, Option<&str>); 7] = [
    ("*/*.txt", None),
    ("*.txt", None),
    ("*.txt", Some("b.*")),
    ("**/*.txt", None),
    ("**/*.txt", Some("sub/**")),
    ("**", Some("BUILD.star")),
    ("sub/**/*.txt", None),
];

/// A setting for `select`, by the label of its condition.
const CONDITIONS: [&str; 3] = ["//rules:fast", "//rules:slow", "//rules:opt"];

impl Model {
    /// A workspace of a few packages.
    pub fn new(dice: &mut Rng) -> Self {
        let mut model = Self {
            packages: vec![None; PACKAGES],
            constant: 0,
            variant: 0,
            comment: 0,
            ignored: None,
            mode: None,
            optimised: false,
            only: None,
        };
        for index in 0..PACKAGES - 1 {
            model.packages[index] = Some(Package::new(dice, index));
        }
        model
    }
}

impl Package {
    /// A package that reads itself and earlier ones.
    pub fn new(dice: &mut Rng, index: usize) -> Self {
        let mut package = Self { public: true, ..Self::default() };
        for (place, name) in SOURCES.iter().enumerate() {
            if place < 3 || dice.u8(..4) == 0 {
                package.put(name, Content::any(dice));
            }
        }
        for _ in 0..dice.usize(2..5) {
            package.targets.push(Target::new(dice, index, &package));
        }
        package
    }

    /// Writes a source. A file and a folder of one name exclude each other.
    pub fn put(&mut self, name: &str, content: Content) {
        let is_below = |path: &str, folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.sources.retain(|other, _| !is_below(other, name) && !is_below(name, other));
        self.sources.insert(name.to_owned(), content);
    }

    /// A number for a new target.
    fn number(&self) -> u32 {
        self.targets.iter().map(|target| target.number + 1).max().unwrap_or(0)
    }
}

impl Content {
    /// Some lines; few enough different ones for files to be equal now and then.
    pub fn any(dice: &mut Rng) -> Self {
        Self::Lines(dice.u32(..12), dice.u8(..5) == 0)
    }

    /// The text of lines.
    pub fn text(value: u32) -> String {
        // Sorting and counting give equal results for some different texts.
        match value {
            0 => String::new(),
            _ if value.is_multiple_of(2) => format!("line {}\nend\n", value / 4),
            _ => format!("end\nline {}\n", value / 4),
        }
    }
}

impl Target {
    /// A target that mostly reads what is there.
    pub fn new(dice: &mut Rng, package: usize, own: &Package) -> Self {
        let kind = KINDS[dice.usize(..KINDS.len())];
        let srcs = (0..dice.usize(1..4)).map(|_| Srcs::any(dice, package, own.targets.len())).collect();
        Self { kind, number: own.number(), srcs, text: dice.u32(..20) }
    }
}

impl Srcs {
    /// Something to read: earlier targets of the package or of an earlier one, so that circles are rare.
    pub fn any(dice: &mut Rng, package: usize, earlier: usize) -> Self {
        match dice.u8(..10) {
            0 | 1 => Self::Name(SOURCES[dice.usize(..3)]),
            2..=4 => {
                let (pattern, exclude) = GLOBS[dice.usize(..GLOBS.len())];
                Self::Glob(pattern, exclude)
            }
            5 => Self::Select(CONDITIONS[dice.usize(..3)], SOURCES[dice.usize(..3)], SOURCES[dice.usize(..3)]),
            6 if package > 0 => Self::Target(dice.usize(..package), dice.usize(..3)),
            _ if earlier > 0 => Self::Target(package, dice.usize(..earlier)),
            _ => Self::Name(SOURCES[dice.usize(..3)]),
        }
    }
}
