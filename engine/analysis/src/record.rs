//! How a configured target came about, and its rows in the state that is kept for the next command.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use loading::{Loader, Node};
use model::{Action, Artifact, ConfiguredTarget, Diagnostics, Label, TargetKey, Visibility};
use observation::{Observation, Question};
use script::Library;
use snapshot::{
    ActionRow, State, Table, TargetHead, TargetRow, Validity, Writer, encode_action, encode_attributes,
    encode_providers,
};

use crate::discover::{Unit, UnitKind};
use crate::evaluate::{Attributes, Evaluated};

/// One configured target with all that it depends on.
#[derive(Debug, Clone)]
pub struct UnitRecord {
    /// Which; an alias under its own key.
    pub key: TargetKey,
    /// What it depends on, each once.
    pub dependencies: Vec<TargetKey>,
    /// What its selects looked at.
    pub conditions: Vec<Label>,
    /// The .star file of its rule.
    pub rule: Option<Label>,
    /// Whether attributes of its rule may have patterns.
    pub patterns: bool,
    /// Who may depend on it.
    pub visibility: Visibility,
    /// Its value; of an alias, the actual target's.
    pub value: Arc<ConfiguredTarget>,
    /// Its actions.
    pub actions: Vec<Arc<Action>>,
    /// Its resolved attributes.
    pub attributes: Option<Attributes>,
}

impl UnitRecord {
    pub(crate) fn new(loader: &Loader, unit: &Unit, evaluated: Evaluated) -> Result<Self, Diagnostics> {
        let mut dependencies: Vec<TargetKey> = Vec::with_capacity(unit.edges.len());
        let mut seen: HashSet<&TargetKey> = HashSet::with_capacity(unit.edges.len());
        dependencies.extend(unit.edges.iter().map(|edge| &edge.to).filter(|to| seen.insert(to)).cloned());
        let (rule, patterns, visibility) = match &unit.kind {
            UnitKind::Source(_) => (None, false, loader.file_visibility(&unit.key.label)?),
            UnitKind::Output => (None, false, generator_visibility(loader, &unit.edges[0].label)?),
            UnitKind::Alias(target) => (Some(target.rule.file.clone()), false, target.visibility.clone()),
            UnitKind::Rule { target, schema, .. } => {
                let patterns = schema.attributes.values().any(|attribute| attribute.patterns);
                (Some(target.rule.file.clone()), patterns, target.visibility.clone())
            }
        };
        Ok(Self {
            key: unit.key.clone(),
            dependencies,
            conditions: unit.conditions.clone(),
            rule,
            patterns,
            visibility,
            value: evaluated.target,
            actions: evaluated.actions.into_iter().map(Arc::new).collect(),
            attributes: evaluated.attributes,
        })
    }

    /// All that other targets can depend on, as bytes.
    fn interface(&self, state: &mut State) -> Vec<u8> {
        let mut row = Writer::default();
        row.text(&self.value.kind).label(&self.value.key.label);
        match &self.value.key.configuration {
            None => row.byte(0),
            Some(configuration) => row.byte(1).digest(&configuration.digest()),
        };
        match &self.visibility {
            Visibility::Public => _ = row.byte(0),
            Visibility::Private => _ = row.byte(1),
            Visibility::Packages(list) => {
                row.byte(2).number(list.len() as u64);
                list.iter().for_each(|entry| _ = row.label(&entry.package).byte(u8::from(entry.subpackages)));
            }
        }
        row.bytes(&encode_providers(&self.value.providers, state));
        row.finish()
    }
}

fn generator_visibility(loader: &Loader, generator: &Label) -> Result<Visibility, Diagnostics> {
    match loader.node(generator)? {
        Node::Target(target, _) => Ok(target.visibility.clone()),
        _ => Ok(Visibility::Private),
    }
}

/// Writes what became of packages and targets into a state.
pub struct Ledger<'a> {
    /// Who loaded.
    pub loader: &'a Loader,
    /// Where it is written.
    pub state: &'a mut State,
    libraries: HashMap<Label, u32>,
}

impl<'a> Ledger<'a> {
    /// A ledger that goes on where the state is.
    pub fn new(loader: &'a Loader, state: &'a mut State) -> Self {
        let libraries = HashMap::new();
        let mut ledger = Self { loader, state, libraries };
        for id in 0..ledger.state.len(Table::Libraries) {
            if let Some(label) = snapshot::Reader::new(ledger.state.row(Table::Libraries, id)).label() {
                ledger.libraries.insert(label, id);
            }
        }
        ledger
    }

    /// The id of something that the loader saw; what it did not see itself is seen now.
    pub fn observe(&mut self, question: Question, path: &str) -> u32 {
        let observer = self.loader.observer();
        // What this command saw is newer than what the state has.
        if let Some(seen) = observer.get(question, path) {
            return self.state.put_observation(&seen);
        }
        if let Some(id) = self.state.observation_id(question, path) {
            return id;
        }
        observer.look(question, path, &loading::MARKS);
        let seen = observer.get(question, path);
        // What cannot be looked at has no answer, which no later look will confirm.
        let seen = seen.unwrap_or_else(|| Observation::unknown(question, Arc::from(path)));
        self.state.put_observation(&seen)
    }

    /// Several ids, sorted.
    pub fn observe_all(&mut self, questions: &[(Question, String)]) -> Vec<u32> {
        let mut ids: Vec<u32> = questions.iter().map(|(question, path)| self.observe(*question, path)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The id of the .star file of a rule.
    pub fn library(&mut self, file: &Label) -> Result<u32, Diagnostics> {
        if let Some(id) = self.libraries.get(file) {
            return Ok(*id);
        }
        let library = self.loader.library(file)?;
        let row = self.library_row(&library);
        let id = self.state.push(Table::Libraries, row);
        self.libraries.insert(file.clone(), id);
        Ok(id)
    }

    /// The row of a .star file.
    pub fn library_row(&mut self, library: &Library) -> Vec<u8> {
        let reads = self.observe_all(&self.loader.library_reads(library));
        let mut row = Writer::default();
        row.label(library.label()).digest(&library.digest()).sorted_ids(&reads);
        row.finish()
    }

    /// Writes a target and its actions. `ids` are the rows of its dependencies; gives its own, and whether others can see
    /// a difference to what was there.
    pub fn target(&mut self, unit: &UnitRecord, ids: Vec<u32>) -> Result<(u32, bool), Diagnostics> {
        let known = self.state.target_id(&unit.key);
        let before = known.and_then(|id| TargetRow::read(self.state, id));
        let id = known.unwrap_or_else(|| self.state.len(Table::Targets));
        let library = unit.rule.as_ref().map(|file| self.library(file)).transpose()?;
        let files: Vec<Artifact> =
            unit.value.default_info().files.to_list().iter().filter_map(|data| data.as_file().cloned()).collect();
        let observations = match (&unit.key.configuration, files.first()) {
            (None, Some(file)) => self.source(file),
            _ => Vec::new(),
        };
        let files: Vec<u32> = files.iter().map(|file| self.state.artifact_id(file)).collect();
        let actions = self.actions(id, unit, before.as_ref().map_or(&[][..], |before| &before.actions));
        let row = TargetRow {
            key: unit.key.clone(),
            dependencies: ids,
            conditions: unit.conditions.clone(),
            observations,
            library,
            patterns: unit.patterns,
            actions,
            interface: unit.interface(self.state),
        };
        let attributes = unit.attributes.as_ref().map_or(Vec::new(), |some| encode_attributes(some, self.state));
        let changed = before.is_none_or(|before| before.interface != row.interface);
        match known {
            Some(id) => self.state.put(Table::Targets, id, row.encode()),
            None => _ = self.state.push_keyed(Table::Targets, row.encode()),
        }
        self.state.put_files(id, &files);
        self.state.put(Table::Attributes, id, attributes);
        Ok((id, changed))
    }

    /// Removes a target and its actions.
    pub fn retire(&mut self, target: u32) {
        let actions = TargetHead::read(self.state, target).map_or(Vec::new(), |head| head.actions);
        for action in actions {
            self.state.put(Table::Actions, action, Vec::new());
            self.state.set_validity(action, Validity::Invalid);
        }
        for table in [Table::Targets, Table::Files, Table::Attributes] {
            self.state.put(table, target, Vec::new());
        }
    }

    /// What was seen to know that a label is a source file: the file, and that no package is between. That there is a file
    /// is part of the observation of its content, which is made when the content is needed.
    fn source(&mut self, file: &Artifact) -> Vec<u32> {
        let mut questions = self.loader.source_questions(file.owner()).into_iter();
        let Some((_, path)) = questions.next() else { return Vec::new() };
        let content = match self.state.observation_id(Question::Content, &path) {
            Some(id) => id,
            None => self.state.put_observation(&Observation::unknown(Question::Content, Arc::from(path))),
        };
        let artifact = self.state.artifact_id(file);
        self.state.put_source(content, artifact);
        let others: Vec<(Question, String)> = questions.collect();
        let mut ids = self.observe_all(&others);
        ids.push(content);
        ids
    }

    /// Rows for the actions of a target, in place of those it had. An action that is as before keeps what is known of its
    /// outputs.
    fn actions(&mut self, target: u32, unit: &UnitRecord, before: &[u32]) -> Vec<u32> {
        let mut ids = Vec::with_capacity(unit.actions.len());
        for (index, action) in unit.actions.iter().enumerate() {
            let row = self.action(target, action).encode();
            let id = match before.get(index) {
                Some(id) => *id,
                None => self.state.push(Table::Actions, Vec::new()),
            };
            if self.state.row(Table::Actions, id) != row {
                self.state.put(Table::Actions, id, row);
                self.state.set_validity(id, Validity::Invalid);
            }
            ids.push(id);
        }
        for id in before.iter().skip(unit.actions.len()) {
            self.state.put(Table::Actions, *id, Vec::new());
            self.state.set_validity(*id, Validity::Invalid);
        }
        ids
    }

    fn action(&mut self, target: u32, action: &Action) -> ActionRow {
        let encoded = encode_action(action, self.state);
        let inputs = snapshot::depset_id(&action.inputs, self.state);
        let others = action.other_inputs().map(|artifact| self.state.artifact_id(artifact)).collect();
        let outputs = action.outputs.iter().map(|artifact| self.state.artifact_id(artifact)).collect();
        ActionRow { target, inputs, others, outputs, action: encoded }
    }
}
