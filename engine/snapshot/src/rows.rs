//! The rows of the tables, apart from the values inside of them.

use std::sync::Arc;

use model::{Digest, Label};
use observation::{Fingerprint, Observation, Question};

use crate::codec::{Reader, Writer};
use crate::state::{State, Table};
use crate::values::depset_parts;

/// What was asked for, and what it needs. There is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestRow {
    /// How many targets the patterns stand for; [`State::labels`] names them.
    pub count: u32,
    /// The configured targets requested, in the order of the labels, and after them what the command itself needs.
    pub targets: Vec<u32>,
    /// Observations that everything depends on: WORKSPACE.star, lockfiles.
    pub roots: Vec<u32>,
    /// Observations that the list of packages depends on.
    pub discovery: Vec<u32>,
    /// Artifacts that were to be made, sorted.
    pub wanted: Vec<u32>,
    /// How many actions these need.
    pub actions: u32,
    /// Whether all of `wanted` was made, from what the observations say.
    pub complete: bool,
    /// The shell's tree, if an action needs it.
    pub shell: Option<u32>,
    /// How often the store had been found damaged when all contents were last known to be there.
    pub damages: u64,
    /// Whether an output was made without a sandbox, on a machine that had none then.
    pub unsandboxed: bool,
}

/// An output where the user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRow {
    /// Relative to the workspace.
    pub path: Arc<str>,
    /// Which artifact.
    pub artifact: u32,
    /// What of it is shown.
    pub content: Digest,
    /// The state it was left in; change times mean nothing, since blobs are linked.
    pub fingerprint: Fingerprint,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRow {
    /// Its label, without `:name`.
    pub id: String,
    /// What its evaluation saw, sorted.
    pub observations: Vec<u32>,
    /// A digest of what patterns can tell of its targets: names, rules, tags.
    pub outline: Digest,
    /// Its targets with their stamps.
    pub targets: Vec<(Arc<str>, Digest)>,
    /// A digest of whom it exports its files to.
    pub exports: Digest,
    /// The package, encoded.
    pub package: Vec<u8>,
}

/// Whether the contents of an action's outputs are what it would make now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// They are unknown, or of other inputs.
    Invalid,
    /// They are.
    Valid,
}

/// What an artifact holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// A file: digest, size, executable.
    File(Digest, u64, bool),
    /// A tree, by its manifest.
    Tree(Digest),
}

impl Kept {
    /// The content's digest, which tells whether an output is shown as it is.
    pub fn digest(&self) -> Digest {
        match self {
            Self::File(digest, ..) | Self::Tree(digest) => *digest,
        }
    }
}

impl RequestRow {
    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Writer::default();
        row.number(u64::from(self.count))
            .ids(&self.targets)
            .ids(&self.roots)
            .ids(&self.discovery)
            .sorted_ids(&self.wanted);
        row.number(u64::from(self.actions)).byte(u8::from(self.complete));
        row.number(self.shell.map_or(0, |id| u64::from(id) + 1)).number(self.damages);
        row.byte(u8::from(self.unsandboxed));
        row.finish()
    }

    /// Reads the one row.
    pub fn read(state: &State) -> Option<Self> {
        let mut row = Reader::new(state.row(Table::Request, 0));
        Some(Self {
            count: row.id()?,
            targets: row.ids()?,
            roots: row.ids()?,
            discovery: row.ids()?,
            wanted: row.sorted_ids()?,
            actions: row.id()?,
            complete: row.byte()? != 0,
            shell: row.id()?.checked_sub(1),
            damages: row.number()?,
            unsandboxed: row.byte()? != 0,
        })
    }
}

fn put_fingerprint(row: &mut Writer, print: &Fingerprint) {
    let Fingerprint { device, inode, size, mtime, ctime, mode, linked, settled } = print;
    row.number(*device).number(*inode).number(*size);
    let flags = u64::from(*linked) << 1 | u64::from(*settled);
    row.raw(&mtime.to_le_bytes()).raw(&ctime.to_le_bytes()).number(u64::from(*mode) << 2 | flags);
}

fn get_fingerprint(row: &mut Reader<'_>) -> Option<Fingerprint> {
    let (device, inode, size) = (row.number()?, row.number()?, row.number()?);
    let mtime = i64::from_le_bytes(row.raw(8)?.try_into().ok()?);
    let ctime = i64::from_le_bytes(row.raw(8)?.try_into().ok()?);
    let mode = row.number()?;
    let (linked, settled) = (mode & 2 != 0, mode & 1 != 0);
    Some(Fingerprint { device, inode, size, mtime, ctime, mode: (mode >> 2) as u32, linked, settled })
}

/// The question as one byte, then the path.
fn observation_key(question: Question, path: &str) -> Vec<u8> {
    std::iter::once(question as u8).chain(path.bytes()).collect()
}

/// The row of an observation.
pub(crate) fn encode_observation(observation: &Observation) -> Vec<u8> {
    let mut row = Writer::default();
    row.bytes(&observation_key(observation.question, &observation.path)).digest(&observation.answer);
    put_fingerprint(&mut row, &observation.fingerprint);
    row.finish()
}

impl State {
    /// An observation in place: what a check of it needs.
    pub fn claim(&self, id: u32) -> Option<observation::Claim<'_>> {
        let mut row = Reader::new(self.row(Table::Observations, id));
        let (question, path) = row.bytes()?.split_first()?;
        let question = Question::of(*question)?;
        let path = std::str::from_utf8(path).ok()?;
        let answer = row.digest()?;
        Some(observation::Claim { question, path, answer, fingerprint: get_fingerprint(&mut row)? })
    }

    /// The id of an observation.
    pub fn observation_id(&self, question: Question, path: &str) -> Option<u32> {
        self.find(Table::Observations, &observation_key(question, path))
    }

    /// Adds an observation, or replaces the answer to the same question.
    pub fn put_observation(&mut self, observation: &Observation) -> u32 {
        let row = encode_observation(observation);
        match self.observation_id(observation.question, &observation.path) {
            Some(id) => {
                self.put(Table::Observations, id, row);
                id
            }
            None => self.push_keyed(Table::Observations, row),
        }
    }

    /// A shown output in place: path, fingerprint, artifact, digest of the content.
    pub fn shown(&self, id: u32) -> Option<(&str, Fingerprint, u32, Digest)> {
        let mut row = Reader::new(self.row(Table::Shown, id));
        let (path, fingerprint) = (row.text()?, get_fingerprint(&mut row)?);
        Some((path, fingerprint, row.id()?, row.digest()?))
    }

    /// The targets that the request's patterns stand for.
    pub fn labels(&self) -> Option<Vec<Label>> {
        let mut row = Reader::new(self.row(Table::Labels, 0));
        (0..row.length()?).map(|_| row.label()).collect()
    }

    /// Notes the targets that the request's patterns stand for.
    pub fn put_labels(&mut self, labels: &[Label]) {
        let mut row = Writer::default();
        row.number(labels.len() as u64);
        labels.iter().for_each(|label| _ = row.label(label));
        self.put(Table::Labels, 0, row.finish());
    }

    /// The source artifact whose content an observation is.
    pub fn source_of(&self, observation: u32) -> Option<u32> {
        Reader::new(self.row(Table::Sources, observation)).id()
    }

    /// Notes that an observation is the content of a source artifact.
    pub fn put_source(&mut self, observation: u32, artifact: u32) {
        let mut row = Writer::default();
        row.number(u64::from(artifact));
        self.put(Table::Sources, observation, row.finish());
    }

    /// The artifacts that a configured target shows by default.
    pub fn files(&self, target: u32) -> Option<Vec<u32>> {
        Reader::new(self.row(Table::Files, target)).ids()
    }

    /// Notes the artifacts that a configured target shows by default.
    pub fn put_files(&mut self, target: u32, files: &[u32]) {
        let mut row = Writer::default();
        row.ids(files);
        self.put(Table::Files, target, row.finish());
    }

    /// The observations that packages and .star files were made from.
    pub fn loaded(&self) -> Option<std::collections::HashSet<u32>> {
        let mut loaded = std::collections::HashSet::new();
        for id in 0..self.len(Table::Packages) {
            loaded.extend(PackageRow::observations(self, id)?);
        }
        for id in 0..self.len(Table::Libraries) {
            let mut row = Reader::new(self.row(Table::Libraries, id));
            row.label()?;
            row.digest()?;
            loaded.extend(row.sorted_ids()?);
        }
        Some(loaded)
    }

    /// The content of an artifact, if it is known.
    pub fn content(&self, artifact: u32) -> Option<Kept> {
        let mut row = Reader::new(self.row(Table::Contents, artifact));
        Some(match row.byte()? {
            0 => Kept::File(row.digest()?, row.number()?, false),
            1 => Kept::File(row.digest()?, row.number()?, true),
            _ => Kept::Tree(row.digest()?),
        })
    }

    /// Notes the content of an artifact.
    pub fn put_content(&mut self, artifact: u32, content: &Kept) {
        let mut row = Writer::default();
        match content {
            Kept::File(digest, size, executable) => _ = row.byte(u8::from(*executable)).digest(digest).number(*size),
            Kept::Tree(digest) => _ = row.byte(2).digest(digest),
        }
        self.put(Table::Contents, artifact, row.finish());
    }

    /// Whether an action's outputs hold what it would make.
    pub fn is_valid(&self, action: u32) -> bool {
        self.row(Table::Validity, action) == [1]
    }

    /// Notes whether they do.
    pub fn set_validity(&mut self, action: u32, validity: Validity) {
        self.put(Table::Validity, action, vec![u8::from(validity == Validity::Valid)]);
    }

    /// The sets that a depset includes; calls `each` with the artifacts it holds itself.
    pub fn depset_parts(&self, id: u32, each: impl FnMut(u32)) -> Option<Vec<u32>> {
        depset_parts(self.row(Table::Depsets, id), each)
    }
}

impl ShownRow {
    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Writer::default();
        row.text(&self.path);
        put_fingerprint(&mut row, &self.fingerprint);
        row.number(u64::from(self.artifact)).digest(&self.content);
        row.finish()
    }
}

impl PackageRow {
    /// The row.
    fn encode(&self) -> Vec<u8> {
        let mut row = Writer::default();
        row.text(&self.id).digest(&self.outline).digest(&self.exports);
        row.number(self.targets.len() as u64);
        self.targets.iter().for_each(|(name, stamp)| _ = row.text(name).digest(stamp));
        row.bytes(&self.package);
        row.finish()
    }

    /// Reads a row.
    pub fn read(state: &State, id: u32) -> Option<Self> {
        let mut row = Reader::new(state.row(Table::Packages, id));
        let observations = Self::observations(state, id)?;
        let id = row.text()?.to_owned();
        let (outline, exports) = (row.digest()?, row.digest()?);
        let targets =
            (0..row.length()?).map(|_| Some((Arc::from(row.text()?), row.digest()?))).collect::<Option<_>>()?;
        Some(Self { id, observations, outline, exports, targets, package: row.bytes()?.to_vec() })
    }

    /// Only what the package's evaluation saw.
    pub fn observations(state: &State, id: u32) -> Option<Vec<u32>> {
        Reader::new(state.row(Table::Reads, id)).sorted_ids()
    }

    /// Writes the row, in place of the one for the same package.
    pub fn put(&self, state: &mut State) {
        let id = match state.package_id(&self.id) {
            Some(id) => {
                state.put(Table::Packages, id, self.encode());
                id
            }
            None => state.push_keyed(Table::Packages, self.encode()),
        };
        let mut reads = Writer::default();
        reads.sorted_ids(&self.observations);
        state.put(Table::Reads, id, reads.finish());
    }
}
