//! The rows of configured targets and of their actions.

use std::sync::Arc;

use model::{Configuration, Label, TargetKey};

use crate::codec::{Reader, Writer};
use crate::state::{State, Table};

/// A configured target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// Which.
    pub key: TargetKey,
    /// What it was found to depend on.
    pub dependencies: Vec<u32>,
    /// Labels of the conditions of its selects.
    pub conditions: Vec<Label>,
    /// What was seen to know that it is a source file.
    pub observations: Vec<u32>,
    /// The .star file of its rule.
    pub library: Option<u32>,
    /// Whether its attributes have patterns.
    pub patterns: bool,
    /// Its actions, in order.
    pub actions: Vec<u32>,
    /// What other targets can depend on: kind, visibility, whose key it has, providers.
    pub interface: Vec<u8>,
}

/// An action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRow {
    /// The configured target that declared it.
    pub target: u32,
    /// The depset of its inputs.
    pub inputs: u32,
    /// Inputs that the depset does not hold.
    pub others: Vec<u32>,
    /// What it makes.
    pub outputs: Vec<u32>,
    /// The rest, encoded.
    pub action: Vec<u8>,
}

/// The key of a configured target as bytes.
pub(crate) fn target_key_bytes(key: &TargetKey) -> Vec<u8> {
    let mut bytes = Writer::default();
    bytes.label(&key.label);
    if let Some(configuration) = &key.configuration {
        let json = serde_json::to_vec(&**configuration).unwrap_or_default();
        bytes.bytes(&json);
    }
    bytes.finish()
}

fn read_target_key(bytes: &[u8]) -> Option<TargetKey> {
    let mut row = Reader::new(bytes);
    let label = row.label()?;
    let configuration = match row.rest() {
        [] => None,
        _ => Some(Arc::new(serde_json::from_slice::<Configuration>(row.bytes()?).ok()?)),
    };
    Some(TargetKey { label, configuration })
}

impl TargetRow {
    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Writer::default();
        row.bytes(&target_key_bytes(&self.key)).ids(&self.dependencies).ids(&self.observations).ids(&self.actions);
        row.number(self.library.map_or(0, |id| u64::from(id) + 1)).byte(u8::from(self.patterns));
        row.number(self.conditions.len() as u64);
        self.conditions.iter().for_each(|label| _ = row.label(label));
        row.bytes(&self.interface);
        row.finish()
    }

    /// Reads a row.
    pub fn read(state: &State, id: u32) -> Option<Self> {
        let mut row = Reader::new(state.row(Table::Targets, id));
        let key = read_target_key(row.bytes()?)?;
        let (dependencies, observations, actions) = (row.ids()?, row.ids()?, row.ids()?);
        let library = row.id()?.checked_sub(1);
        let patterns = row.byte()? != 0;
        let conditions = (0..row.length()?).map(|_| row.label()).collect::<Option<_>>()?;
        let interface = row.bytes()?.to_vec();
        Some(Self { key, dependencies, conditions, observations, library, patterns, actions, interface })
    }
}

/// What of a target's row tells whether it must be evaluated again, read in place.
#[derive(Debug)]
pub struct TargetHead<'a> {
    /// Its label, encoded as [`Writer::label`] does.
    pub label: &'a [u8],
    /// Whether it has a configuration: source files have none.
    pub configured: bool,
    /// What it depends on.
    pub dependencies: Vec<u32>,
    /// What was seen to know that it is a source file.
    pub observations: Vec<u32>,
    /// Its actions.
    pub actions: Vec<u32>,
    /// The .star file of its rule.
    pub library: Option<u32>,
    /// Whether attributes of its rule may have patterns.
    pub patterns: bool,
    /// How many conditions follow, and their labels, encoded.
    pub conditions: (usize, Reader<'a>),
}

impl<'a> TargetHead<'a> {
    /// Reads the first parts of a row.
    pub fn read(state: &'a State, id: u32) -> Option<Self> {
        let mut row = Reader::new(state.row(Table::Targets, id));
        let key = row.bytes()?;
        let mut label = Reader::new(key);
        for _ in 0..3 {
            label.bytes()?;
        }
        let label_length = key.len() - label.rest().len();
        let (dependencies, observations, actions) = (row.ids()?, row.ids()?, row.ids()?);
        let library = row.id()?.checked_sub(1);
        let patterns = row.byte()? != 0;
        let count = row.length()?;
        let configured = label_length < key.len();
        let label = &key[..label_length];
        Some(Self {
            label,
            configured,
            dependencies,
            observations,
            actions,
            library,
            patterns,
            conditions: (count, row),
        })
    }

    /// Its package, encoded as the first two parts of a label.
    pub fn package(&self) -> &'a [u8] {
        let mut label = Reader::new(self.label);
        match (label.bytes(), label.bytes()) {
            (Some(_), Some(_)) => &self.label[..self.label.len() - label.rest().len()],
            _ => &[],
        }
    }
}

impl State {
    /// The id of a configured target.
    pub fn target_id(&self, key: &TargetKey) -> Option<u32> {
        self.find(Table::Targets, &target_key_bytes(key))
    }

    /// The id of a package, by its label without `:name`.
    pub fn package_id(&self, id: &str) -> Option<u32> {
        self.find(Table::Packages, id.as_bytes())
    }
}

impl ActionRow {
    /// The row.
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Writer::default();
        row.number(u64::from(self.target)).number(u64::from(self.inputs)).ids(&self.others).ids(&self.outputs);
        row.bytes(&self.action);
        row.finish()
    }

    /// Reads a row.
    pub fn read(state: &State, id: u32) -> Option<Self> {
        let mut row = Reader::new(state.row(Table::Actions, id));
        let (target, inputs) = (row.id()?, row.id()?);
        Some(Self { target, inputs, others: row.ids()?, outputs: row.ids()?, action: row.bytes()?.to_vec() })
    }
}
