//! Analysis that starts from what an earlier command found: only targets are evaluated again that depend on something
//! that changed, and of those that depend on them only if their interface changed as well.
//!
//! Whatever does not go smoothly here (an error, a cycle, another shell) gives `None`: then everything is analysed anew,
//! and what there is to say is said by that.

use std::collections::HashSet;
use std::sync::Arc;

use loading::Loader;
use model::{Action, ConfiguredTarget, Label, PackageId, Reporter, TargetKey};
use snapshot::{ActionRow, State, Table, TargetHead, TargetRow, Writer};

use crate::analysis::{Options, with_shell};
use crate::discover::{Discovery, Unit, UnitKind};
use crate::evaluate::{Evaluated, Evaluation, waits_for_shell};
use crate::record::{Ledger, UnitRecord};

/// A chain of dependencies longer than this is left to the analysis of everything.
const DEEPEST: usize = 10_000;

/// What changed since the state was kept.
#[derive(Debug, Default)]
pub struct Changes {
    /// Packages that were evaluated again and gave something else.
    pub packages: HashSet<PackageId>,
    /// Targets that are declared differently, are new or gone.
    pub targets: HashSet<Label>,
    /// Packages that export their files to others than before.
    pub exports: HashSet<PackageId>,
    /// Rows of .star files of rules that changed, or that load what changed.
    pub libraries: HashSet<u32>,
    /// Rows of observations that changed in a way that source files are other or none.
    pub observations: HashSet<u32>,
    /// Whether patterns may stand for other targets.
    pub patterns: bool,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Updated {
    /// The rows of the requested targets.
    pub requested: Vec<u32>,
    /// How many rules ran.
    pub evaluated: usize,
    /// How many rows were written: of rules, aliases and files.
    pub written: usize,
}

/// The targets that a state is brought up to date for.
#[derive(Debug, Clone, Copy)]
pub enum Requested<'a> {
    /// The same as before, by their rows.
    Rows(&'a [u32]),
    /// Perhaps others.
    Keys(&'a [TargetKey]),
}

/// Brings the state up to date for `requested`. `None` when it is better analysed anew; the state is then of no use.
pub fn update(
    loader: &Loader,
    state: &mut State,
    changes: &Changes,
    requested: Requested<'_>,
    shell: Option<u32>,
    (options, reporter): (&Options, &dyn Reporter),
) -> Option<Updated> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).stack_size(256 << 20).build().ok()?;
    pool.install(|| {
        let marks = marks(state, changes)?;
        let discovery = Discovery::new(loader, options.exec_configuration());
        let evaluation = Evaluation::new(loader, options, reporter);
        let mut update = Update {
            loader,
            ledger: Ledger::new(loader, state),
            marks,
            discovery,
            evaluation,
            shell,
            evaluated: 0,
            written: 0,
        };
        let rows = match requested {
            Requested::Rows(rows) => rows.iter().map(|id| update.ensure(*id, 0).map(|_| *id)).collect::<Option<_>>()?,
            Requested::Keys(keys) => keys.iter().map(|key| update.requested(key)).collect::<Option<_>>()?,
        };
        update.retire();
        Some(Updated { requested: rows, evaluated: update.evaluated, written: update.written })
    })
}

/// What is known of a target's row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Nothing it depends on changed.
    Same,
    /// Something that it depends on through others changed.
    Perhaps,
    /// Something that it depends on itself changed.
    Stale,
    /// It is being evaluated, or what it depends on.
    Open,
    /// It was evaluated and others see a difference.
    Changed,
}

/// The marks of all rows before anything is evaluated.
fn marks(state: &State, changes: &Changes) -> Option<Vec<Mark>> {
    let encoded = |write: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::default();
        write(&mut writer);
        writer.finish()
    };
    let label = |label: &Label| encoded(&|writer| _ = writer.label(label));
    let package = |id: &PackageId| encoded(&|writer| _ = writer.text(id.repository()).text(id.path()));
    let targets: HashSet<Vec<u8>> = changes.targets.iter().map(label).collect();
    let packages: HashSet<Vec<u8>> = changes.packages.iter().map(package).collect();
    let exports: HashSet<Vec<u8>> = changes.exports.iter().map(package).collect();
    let count = state.len(Table::Targets);
    let mut marks = vec![Mark::Same; count as usize];
    let mut users: Vec<Vec<u32>> = vec![Vec::new(); count as usize];
    let mut open = Vec::new();
    for id in 0..count {
        if state.row(Table::Targets, id).is_empty() {
            continue;
        }
        let head = TargetHead::read(state, id)?;
        head.dependencies.iter().for_each(|dependency| {
            if let Some(users) = users.get_mut(*dependency as usize) {
                users.push(id);
            }
        });
        let mut conditions = head.conditions.1.clone();
        let mut condition_changed = false;
        for _ in 0..head.conditions.0 {
            let condition = conditions.label()?;
            condition_changed |= changes.packages.contains(condition.package());
        }
        // Files and outputs have no declaration of their own: what they are, their package decides.
        let undeclared = head.library.is_none() && !packages.is_empty() && packages.contains(head.package());
        let stale = (!targets.is_empty() && targets.contains(head.label))
            || undeclared
            || (!exports.is_empty() && exports.contains(head.package()))
            || head.library.is_some_and(|library| changes.libraries.contains(&library))
            || head.observations.iter().any(|seen| changes.observations.contains(seen))
            || (head.patterns && changes.patterns)
            || condition_changed;
        if stale {
            marks[id as usize] = Mark::Stale;
            open.push(id);
        }
    }
    while let Some(id) = open.pop() {
        for user in &users[id as usize] {
            if marks[*user as usize] == Mark::Same {
                marks[*user as usize] = Mark::Perhaps;
                open.push(*user);
            }
        }
    }
    Some(marks)
}

struct Update<'a> {
    loader: &'a Loader,
    ledger: Ledger<'a>,
    marks: Vec<Mark>,
    discovery: Discovery<'a>,
    evaluation: Evaluation<'a>,
    /// The artifact of the shell's tree.
    shell: Option<u32>,
    evaluated: usize,
    written: usize,
}

impl Update<'_> {
    fn requested(&mut self, key: &TargetKey) -> Option<u32> {
        let key = self.discovery.key_of(&key.label, key.configuration.as_ref()).ok()?;
        self.row_of(&key, 0)
    }

    /// The row of a target, up to date.
    fn row_of(&mut self, key: &TargetKey, depth: usize) -> Option<u32> {
        match self.ledger.state.target_id(key) {
            Some(id) => self.ensure(id, depth).map(|_| id),
            None => self.evaluate(key, depth).map(|(id, _)| id),
        }
    }

    /// Brings a row up to date; whether others see a difference.
    fn ensure(&mut self, id: u32, depth: usize) -> Option<bool> {
        if depth > DEEPEST {
            return None;
        }
        match self.marks.get(id as usize)? {
            Mark::Same => return Some(false),
            Mark::Changed => return Some(true),
            Mark::Open => return None,
            Mark::Stale => {}
            Mark::Perhaps => {
                self.marks[id as usize] = Mark::Open;
                let dependencies = TargetHead::read(self.ledger.state, id)?.dependencies;
                let mut changed = false;
                for dependency in dependencies {
                    changed |= self.ensure(dependency, depth + 1)?;
                }
                if !changed {
                    self.marks[id as usize] = Mark::Same;
                    return Some(false);
                }
            }
        }
        self.marks[id as usize] = Mark::Open;
        let key = TargetRow::read(self.ledger.state, id)?.key;
        let (_, changed) = self.evaluate(&key, depth)?;
        self.marks[id as usize] = if changed { Mark::Changed } else { Mark::Same };
        Some(changed)
    }

    /// Removes the rows that are out of date and that nothing requested needs any more. Should something need them again,
    /// nothing would tell that they are.
    fn retire(&mut self) {
        for id in 0..self.marks.len() as u32 {
            if matches!(self.marks[id as usize], Mark::Stale | Mark::Perhaps) {
                self.ledger.retire(id);
            }
        }
    }

    /// Evaluates a target and writes its row.
    fn evaluate(&mut self, key: &TargetKey, depth: usize) -> Option<(u32, bool)> {
        if depth > DEEPEST {
            return None;
        }
        let unit = self.discovery.unit(key).ok()?;
        let mut dependencies = Vec::with_capacity(unit.edges.len());
        let mut seen = HashSet::with_capacity(unit.edges.len());
        for edge in &unit.edges {
            let id = self.row_of(&edge.to, depth + 1)?;
            self.provide(&edge.to, id, matches!(unit.kind, UnitKind::Output))?;
            if seen.insert(id) {
                dependencies.push(id);
            }
        }
        let evaluated = self.with_shell(self.evaluation.evaluate(&unit).ok()?)?;
        self.write(&unit, evaluated, dependencies)
    }

    fn write(&mut self, unit: &Unit, evaluated: Evaluated, dependencies: Vec<u32>) -> Option<(u32, bool)> {
        self.written += 1;
        self.evaluated += usize::from(matches!(unit.kind, UnitKind::Rule { .. }));
        let kept = Evaluated {
            target: Arc::clone(&evaluated.target),
            actions: evaluated.actions.clone(),
            attributes: evaluated.attributes.clone(),
        };
        let record = UnitRecord::new(self.loader, unit, evaluated).ok()?;
        let (id, changed) = self.ledger.target(&record, dependencies).ok()?;
        if self.marks.len() <= id as usize {
            self.marks.resize(id as usize + 1, Mark::Same);
        }
        self.evaluation.done.insert(unit.key.clone(), kept);
        Some((id, changed))
    }

    fn with_shell(&mut self, evaluated: Evaluated) -> Option<Evaluated> {
        if !evaluated.actions.iter().any(waits_for_shell) {
            return Some(evaluated);
        }
        let shell = self.ledger.state.artifact(self.shell?)?;
        let actions = evaluated.actions.into_iter().map(|action| with_shell(action, &shell)).collect();
        Some(Evaluated { actions, ..evaluated })
    }

    /// Gives the evaluation the value of a target from its row, with its actions where they are needed.
    fn provide(&mut self, key: &TargetKey, id: u32, with_actions: bool) -> Option<()> {
        if self.evaluation.done.get(key).is_some_and(|known| !with_actions || !known.actions.is_empty()) {
            return Some(());
        }
        let target = Arc::new(target(self.ledger.state, id)?);
        let mut kept = Vec::new();
        if with_actions {
            for id in TargetHead::read(self.ledger.state, id)?.actions {
                kept.push(action(self.ledger.state, id)?);
            }
        }
        self.evaluation.done.insert(key.clone(), Evaluated { target, actions: kept, attributes: None });
        Some(())
    }
}

/// A configured target from its row.
pub fn target(state: &mut State, id: u32) -> Option<ConfiguredTarget> {
    let row = TargetRow::read(state, id)?;
    let mut interface = snapshot::Reader::new(&row.interface);
    let kind = Arc::from(interface.text()?);
    let label = interface.label()?;
    let configured = interface.byte()? != 0;
    let mut configuration = None;
    if configured {
        let digest = interface.digest()?;
        configuration = row.key.configuration.clone().filter(|own| own.digest() == digest);
        // An alias may lead to a target in another configuration, which only that target's row has.
        configuration.as_ref()?;
    }
    // The visibility is not part of the value.
    if interface.byte()? == 2 {
        for _ in 0..interface.length()? {
            interface.label()?;
            interface.byte()?;
        }
    }
    let providers = snapshot::decode_providers(interface.bytes()?, state)?;
    Some(ConfiguredTarget { key: TargetKey { label, configuration }, kind, providers })
}

/// An action from its row.
pub fn action(state: &mut State, id: u32) -> Option<Action> {
    let row = ActionRow::read(state, id)?;
    let owner = TargetRow::read(state, row.target)?.key;
    let inputs = snapshot::depset(row.inputs, state)?;
    let outputs = row.outputs.iter().map(|id| state.artifact(*id)).collect::<Option<_>>()?;
    snapshot::decode_action(&row.action, &owner, inputs, outputs, state)
}
