//! A random action with the contents of what it reads, and the same as JSON for the second implementation.

use std::collections::BTreeMap;
use std::sync::Arc;

use execution::Content;
use fastrand::Rng;
use model::{
    Action, ActionKind, ArgumentValue, Artifact, Configuration, Data, Depset, Digest, Expansion, Label, Layout, Limits,
    Network, Platform, RelPath, Resources, Spawn, TargetKey,
};
use serde_json::{Value, json};

/// An action, what its inputs hold, and the version of its built-in function.
#[derive(Clone)]
pub struct Case {
    /// The action.
    pub action: Action,
    /// By path, what its inputs hold.
    pub contents: BTreeMap<RelPath, Content>,
    /// The version of its built-in function.
    pub version: Option<u32>,
}

/// How many kinds of actions there are.
pub const KINDS: u64 = 5;

impl Case {
    /// A random action of a kind.
    pub fn new(dice: &mut Rng, kind: u64) -> Self {
        let mut contents = BTreeMap::new();
        let inputs: Vec<Artifact> = (0..dice.usize(3..7)).map(|number| input(dice, number, &mut contents)).collect();
        let outputs: Vec<Artifact> = (0..dice.usize(1..4)).map(|number| output(dice, number)).collect();
        let kind = match kind % KINDS {
            0 => ActionKind::Spawn(spawn(dice, &inputs, &outputs)),
            1 => {
                let (content, executable) = (Arc::from(text(dice)), dice.bool());
                ActionKind::Write { content, expansions: expansions(dice, &inputs), executable }
            }
            2 => ActionKind::Copy { source: inputs[0].clone() },
            3 => {
                let entry = |artifact: &Artifact| (text(dice), artifact.clone());
                ActionKind::Tree { entries: inputs.iter().map(entry).collect() }
            }
            _ => ActionKind::Builtin { name: Arc::from(word(dice)), params: params(dice, 3) },
        };
        let version = matches!(kind, ActionKind::Builtin { .. }).then(|| dice.u32(..5));
        let (mnemonic, progress) = (Arc::from(word(dice)), Arc::from(text(dice)));
        let inputs = Arc::new(Depset::of(inputs.into_iter().map(Data::File).collect()));
        let action = Action { owner: owner("//p:t", "fastbuild"), mnemonic, progress, inputs, outputs, kind };
        Self { action, contents, version }
    }

    /// The engine's key.
    pub fn key(&self) -> Digest {
        let content = |artifact: &Artifact| self.contents[artifact.path()].clone();
        execution::action_key(&self.action, content, self.version)
    }

    /// What the second implementation is told. It is not told what plays no part.
    pub fn to_json(&self) -> Value {
        let mut value = match &self.action.kind {
            ActionKind::Spawn(spawn) => spawn_to_json(spawn),
            ActionKind::Write { content, expansions, executable } => {
                let expansions = expansions_to_json(expansions);
                json!({"kind": "write", "content": content, "expansions": expansions, "executable": executable})
            }
            ActionKind::Copy { source } => json!({"kind": "copy", "source": source.path()}),
            ActionKind::Tree { entries } => {
                let entries: Vec<Value> = entries.iter().map(|(place, it)| json!([place, it.path()])).collect();
                json!({"kind": "tree", "entries": entries})
            }
            ActionKind::Builtin { name, params } => {
                json!({"kind": "builtin", "name": name, "params": params, "version": self.version.unwrap_or(0)})
            }
        };
        let outputs = self.action.outputs.iter().map(|output| json!([output.path(), output.is_tree()]));
        value["outputs"] = outputs.collect();
        value["inputs"] =
            self.inputs().iter().map(|path| json!([path, content_to_json(&self.contents[path])])).collect();
        value
    }

    /// Paths of all that it reads, in the order in which they are named, with repetitions.
    fn inputs(&self) -> Vec<RelPath> {
        let mut inputs: Vec<RelPath> = Vec::new();
        for data in self.action.inputs.to_list() {
            inputs.extend(data.as_file().map(|artifact| artifact.path().clone()));
        }
        inputs.extend(self.action.other_inputs().map(|artifact| artifact.path().clone()));
        inputs
    }
}

fn spawn_to_json(spawn: &Spawn) -> Value {
    let path = |artifact: &Option<Artifact>| artifact.as_ref().map(|artifact| artifact.path().clone());
    json!({
        "kind": "spawn",
        "argv": spawn.argv,
        "expansions": expansions_to_json(&spawn.expansions),
        "env": spawn.env,
        "root": path(&spawn.root),
        "network": spawn.network == Network::Host,
        "stdin": path(&spawn.stdin),
        "stdout": path(&spawn.stdout),
        "test": spawn.test,
        "executable_outputs": spawn.executable_outputs,
        "limits": [spawn.limits.memory, spawn.limits.cpu_time, spawn.limits.processes],
    })
}

fn expansions_to_json(expansions: &[Expansion]) -> Vec<Value> {
    let value = |value: &ArgumentValue| match value {
        ArgumentValue::Word(word) => json!({"Word": word}),
        ArgumentValue::Files(directory) => json!({"Files": directory.path()}),
    };
    let expansion = |expansion: &Expansion| {
        let values: Vec<Value> = expansion.values.iter().map(value).collect();
        json!({"at": expansion.at, "values": values, "layout": expansion.layout})
    };
    expansions.iter().map(expansion).collect()
}

fn content_to_json(content: &Content) -> Value {
    match content {
        Content::File { digest, executable: true, .. } => json!({"is": "executable", "digest": digest}),
        Content::File { digest, .. } => json!({"is": "file", "digest": digest}),
        Content::Tree(digest) => json!({"is": "tree", "digest": digest}),
    }
}

/// A target under settings.
pub fn owner(label: &str, mode: &str) -> TargetKey {
    let mut configuration = Configuration::new(Platform::host());
    configuration.compilation_mode = Arc::from(mode);
    TargetKey { label: self::label(label), configuration: Some(Arc::new(configuration)) }
}

/// A label that is well formed.
pub fn label(text: &str) -> Label {
    Label::absolute(text).expect("it is written here")
}

/// A path that is well formed.
pub fn path(text: &str) -> RelPath {
    RelPath::new(text).expect("it is written here")
}

/// A file that another action makes.
pub fn made(path: &str, tree: bool) -> Artifact {
    Artifact::output(self::path(path), tree, &label("//p:maker"))
}

/// A random content.
pub fn content(dice: &mut Rng) -> Content {
    let mut bytes = [0; 32];
    dice.fill(&mut bytes);
    let digest = Digest::from_bytes(bytes);
    match dice.u8(..4) {
        0 => Content::Tree(digest),
        _ => Content::File { digest, size: dice.u64(..1000), executable: dice.bool() },
    }
}

fn input(dice: &mut Rng, number: usize, contents: &mut BTreeMap<RelPath, Content>) -> Artifact {
    let content = content(dice);
    let tree = matches!(content, Content::Tree(_));
    let artifact = match dice.bool() && !tree {
        true => Artifact::source(&label(&format!("//{}:in{number}", word(dice)))),
        false => made(&format!("out/{}/in{number}", word(dice)), tree),
    };
    contents.insert(artifact.path().clone(), content);
    artifact
}

fn output(dice: &mut Rng, number: usize) -> Artifact {
    made(&format!("out/c/{}{number}", word(dice)), dice.bool())
}

fn spawn(dice: &mut Rng, inputs: &[Artifact], outputs: &[Artifact]) -> Spawn {
    // Now and then one that fills several chunks of the hash function.
    let words = if dice.u8(..8) == 0 { 200 } else { 5 };
    Spawn {
        argv: (0..dice.usize(2..=words)).map(|_| text(dice)).collect(),
        expansions: expansions(dice, inputs),
        env: (0..dice.usize(2..4)).map(|number| (format!("{}{number}", word(dice)), text(dice))).collect(),
        root: dice.bool().then(|| inputs[0].clone()),
        needs_shell: dice.bool(),
        network: if dice.bool() { Network::Host } else { Network::Loopback },
        stdin: dice.bool().then(|| inputs[1].clone()),
        stdout: dice.bool().then(|| outputs[0].clone()),
        timeout: dice.bool().then(|| dice.u64(1..9)),
        limits: Limits {
            memory: dice.bool().then_some(5),
            cpu_time: dice.bool().then_some(7),
            processes: dice.bool().then_some(6),
        },
        test: dice.bool(),
        executable_outputs: dice.bool(),
        resources: Resources { cpu: dice.u32(1..3), memory: dice.u64(..3) },
        worker_tools: dice.bool().then(|| vec![inputs[2].clone()]),
    }
}

fn expansions(dice: &mut Rng, inputs: &[Artifact]) -> Vec<Expansion> {
    let value = |dice: &mut Rng| match dice.bool() {
        true => ArgumentValue::Word(text(dice)),
        false => ArgumentValue::Files(inputs[dice.usize(..inputs.len())].clone()),
    };
    let option = |dice: &mut Rng| dice.bool().then(|| text(dice));
    let expansion = |dice: &mut Rng| Expansion {
        at: dice.usize(..3),
        values: (0..dice.usize(1..4)).map(|_| value(dice)).collect(),
        layout: Layout {
            name: option(dice),
            format_each: option(dice),
            before_each: option(dice),
            joined: dice.bool().then(|| (text(dice), option(dice))),
            uniquify: dice.bool(),
            omit_if_empty: dice.bool(),
            terminate_with: option(dice),
        },
    };
    (0..dice.usize(1..3)).map(|_| expansion(dice)).collect()
}

/// A name.
pub fn word(dice: &mut Rng) -> String {
    (0..dice.usize(1..8)).map(|_| dice.lowercase()).collect()
}

/// A text, of what encodings stumble over: nothing, spaces, quotes, control characters, several bytes a character.
pub fn text(dice: &mut Rng) -> String {
    const ODD: [&str; 16] = [
        "",
        " ",
        "a",
        "ab",
        "\"",
        "\\",
        "\n",
        "\t",
        "\0",
        "\u{7f}",
        "\u{1}",
        "ä",
        "\u{2028}",
        "日本",
        "\u{1f600}",
        "/",
    ];
    (0..dice.usize(..9)).map(|_| ODD[dice.usize(..ODD.len())]).collect()
}

/// Random JSON. Without fractions: how they are written is nobody's standard.
fn params(dice: &mut Rng, depth: u8) -> Value {
    match dice.u8(..if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => json!(dice.bool()),
        2 => json!(dice.i64(..)),
        3 | 4 => json!(text(dice)),
        5 => (0..dice.usize(..4)).map(|_| params(dice, depth - 1)).collect(),
        _ => {
            let members = (0..dice.usize(1..4)).map(|_| (text(dice), params(dice, depth - 1)));
            Value::Object(members.collect())
        }
    }
}
