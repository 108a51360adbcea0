//! A random workspace of simple steps, and what each of them makes: computed here from the texts, without the engine.

use std::collections::{BTreeMap, HashSet};

use fastrand::Rng;

use super::operation::{Action, File, OPERATIONS, Operation, RULES};
use crate::files::{Files, Source};

/// The names of sources.
const SOURCES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A workspace and how it is built.
#[derive(Clone)]
pub struct Model {
    /// Contents and modes of sources by name.
    sources: BTreeMap<&'static str, (u32, bool)>,
    steps: Vec<Step>,
    /// What changes in BUILD.star and in the library without a meaning.
    comments: (u32, u32),
    /// The value of `--define mode=`.
    mode: Option<u32>,
    /// The number of the step that is built alone; else all are.
    only: Option<u32>,
}

#[derive(Clone)]
struct Step {
    /// Its name is made of it. A step reads lower ones.
    number: u32,
    operation: Operation,
    inputs: Vec<Input>,
    text: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Source(&'static str),
    Step(u32),
}

impl Model {
    /// A workspace of a few steps.
    pub fn new(dice: &mut Rng) -> Self {
        let sources = SOURCES.iter().map(|name| (*name, (dice.u32(..8), false))).collect();
        let mut model = Self { sources, steps: Vec::new(), comments: (0, 0), mode: None, only: None };
        for number in 0..dice.u32(5..9) {
            model.steps.push(Step::new(dice, number));
        }
        model
    }

    /// One random edit; says what it was.
    pub fn edit(&mut self, dice: &mut Rng) -> String {
        let (name, at) = (SOURCES[dice.usize(..SOURCES.len())], dice.usize(..self.steps.len()));
        let source = self.sources.get_mut(name).expect("all are there");
        match dice.u8(..16) {
            0..=5 => source.0 = dice.u32(..8),
            6 => source.1 = !source.1,
            7 => self.comments.0 = dice.u32(..100),
            8 => self.comments.1 = dice.u32(..100),
            9 => self.mode = [None, Some(0), Some(1)][dice.usize(..3)],
            10 => self.only = if self.only.is_none() { Some(self.steps[at].number) } else { None },
            11 => {
                let number = self.steps.iter().map(|step| step.number + 1).max().unwrap_or(0);
                self.steps.push(Step::new(dice, number));
            }
            12 if self.steps.len() > 3 => drop(self.steps.remove(at)),
            13 => self.steps[at] = Step::new(dice, self.steps[at].number),
            _ => self.steps[at].text = dice.u32(..4),
        }
        format!("source {name} = {:?}, step {at}, mode {:?}, only {:?}", self.sources[name], self.mode, self.only)
    }

    /// The arguments of the build.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["build".to_owned(), "--keep_going".to_owned()];
        arguments.extend(self.mode.map(|mode| format!("--define=mode={mode}")));
        arguments.push(self.wanted().map_or("//...".to_owned(), |step| format!("//p:s{}", step.number)));
        arguments
    }

    fn wanted(&self) -> Option<&Step> {
        self.step(self.only?)
    }

    fn step(&self, number: u32) -> Option<&Step> {
        self.steps.iter().find(|step| step.number == number)
    }

    /// What a step reads that is there.
    fn inputs<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = Input> + 'a {
        let is_there = |input: &Input| match input {
            Input::Source(_) => true,
            Input::Step(number) => self.step(*number).is_some(),
        };
        step.inputs.iter().copied().filter(is_there)
    }

    /// The files of the workspace.
    pub fn files(&self) -> Files {
        let mut files = Files::new();
        for (name, (value, executable)) in &self.sources {
            files.insert(format!("p/{name}"), Source::File(text(*value), *executable));
        }
        let mut build = format!("load(\"//rules:defs.star\", \"copy\", \"pair\", \"write\")\n# {}\n", self.comments.0);
        self.steps.iter().for_each(|step| build.push_str(&self.declaration(step)));
        files.insert("p/BUILD.star".to_owned(), Source::text(build));
        files.insert("rules/BUILD.star".to_owned(), Source::text(""));
        files.insert("rules/defs.star".to_owned(), Source::text(format!("{RULES}# {}\n", self.comments.1)));
        files.insert("WORKSPACE.star".to_owned(), Source::text("workspace(name = \"w\")\n"));
        files
    }

    fn declaration(&self, step: &Step) -> String {
        let Step { number, text, operation, .. } = step;
        let srcs: Vec<String> = self.inputs(step).map(|input| format!("\"{}\"", input.name())).collect();
        let srcs = srcs.join(", ");
        let rule = match operation {
            Operation::Pair => "pair",
            Operation::Write => "write",
            Operation::Copy => "copy",
            _ => {
                let second = if *operation == Operation::Two { format!(", \"s{number}.2\"") } else { String::new() };
                let command = operation.command().replace("TEXT", &text.to_string());
                return format!(
                    "genrule(name = \"s{number}\", srcs = [{srcs}], outs = [\"s{number}.1\"{second}], cmd = \"{command}\")\n"
                );
            }
        };
        format!("{rule}(name = \"s{number}\", srcs = [{srcs}], text = \"{text}\")\n")
    }

    /// The actions that what is wanted needs, each after those that it needs, with what they read and make.
    pub fn actions(&self) -> Vec<Action> {
        let (mut made, mut actions) = (BTreeMap::new(), Vec::new());
        for step in &self.steps {
            let own = self.actions_of(step, &made);
            made.insert(step.number, own.iter().flat_map(|action| action.outputs.clone()).collect::<Vec<File>>());
            actions.extend(own);
        }
        let paths = |files: &[File]| files.iter().map(|(path, ..)| path.clone()).collect::<Vec<String>>();
        let wanted = self.wanted().map(|step| paths(&made[&step.number]));
        let Some(wanted) = wanted else { return actions };
        let mut needed: HashSet<String> = wanted.into_iter().collect();
        let mut found = Vec::new();
        // Later steps read earlier ones. What a target names and its actions do not read is not needed.
        for action in actions.into_iter().rev() {
            if action.outputs.iter().any(|(path, ..)| needed.contains(path)) {
                needed.extend(paths(&action.inputs));
                found.push(action);
            }
        }
        found.reverse();
        found
    }

    fn actions_of(&self, step: &Step, made: &BTreeMap<u32, Vec<File>>) -> Vec<Action> {
        let inputs: Vec<File> = self
            .inputs(step)
            .flat_map(|input| match input {
                Input::Step(number) => made[&number].clone(),
                Input::Source(name) => {
                    let (value, executable) = self.sources[name];
                    vec![(format!("p/{name}"), executable, text(value))]
                }
            })
            .collect();
        let output = |suffix: &str| format!("out/{:?}/p/s{}.{suffix}", self.mode, step.number);
        step.operation.actions(step.number, step.text, inputs, &output)
    }
}

impl Input {
    fn name(self) -> String {
        match self {
            Self::Source(name) => name.to_owned(),
            Self::Step(number) => format!(":s{number}"),
        }
    }
}

impl Step {
    fn new(dice: &mut Rng, number: u32) -> Self {
        let mut inputs = Vec::new();
        for _ in 0..dice.usize(1..4) {
            let input = match dice.bool() && number > 0 {
                true => Input::Step(dice.u32(..number)),
                false => Input::Source(SOURCES[dice.usize(..SOURCES.len())]),
            };
            if !inputs.contains(&input) {
                inputs.push(input);
            }
        }
        Self { number, operation: OPERATIONS[dice.usize(..OPERATIONS.len())], inputs, text: dice.u32(..4) }
    }
}

/// The content of a source. Some have the same lines in another order, the same first line, or as many lines.
fn text(value: u32) -> String {
    let (first, second) = if value.is_multiple_of(2) { ("x", "y") } else { ("y", "x") };
    match value {
        0 => String::new(),
        7 => "only\n".to_owned(),
        _ => format!("{first}\n{second}\n{}\n", value / 4),
    }
}
