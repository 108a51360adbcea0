//! All changes of one field of an action: those that its key must show, and those that it must not.
//!
//! Every struct is taken apart without `..`, so that a new field does not compile until it is said here what it means.

use std::sync::Arc;

use execution::Content;
use fastrand::Rng;
use model::{
    Action, ActionKind, ArgumentValue, Artifact, Data, Depset, Digest, Expansion, Limits, Network, Order, RelPath,
    Resources, Spawn, TargetKey,
};

use super::case::{self, Case};

/// A case with one change.
pub struct Mutant {
    /// What was changed.
    pub field: &'static str,
    /// Whether the key must be another one.
    pub counts: bool,
    /// The case after the change.
    pub case: Case,
}

/// Collects the mutants of a case.
struct Mutants<'a> {
    base: &'a Case,
    list: Vec<Mutant>,
}

/// All mutants of a case that differ from it.
pub fn all(base: &Case, dice: &mut Rng) -> Vec<Mutant> {
    let mut mutants = Mutants { base, list: Vec::new() };
    let Case { action, contents: _, version } = base;
    let Action { owner, mnemonic, progress, inputs, outputs, kind } = action;
    mutants.owner(owner);
    mutants.passes("mnemonic", |case| case.action.mnemonic = Arc::from(format!("{mnemonic}x")));
    mutants.passes("progress", |case| case.action.progress = Arc::from(format!("{progress}x")));
    mutants.inputs(inputs, dice);
    mutants.contents(dice);
    mutants.outputs(outputs);
    match kind {
        ActionKind::Spawn(spawn) => mutants.spawn(spawn, dice),
        ActionKind::Write { content, expansions, executable } => {
            let other: Arc<str> = Arc::from(format!("{content}\0"));
            let kind = |content: &Arc<str>, executable| ActionKind::Write {
                content: Arc::clone(content),
                expansions: expansions.clone(),
                executable,
            };
            mutants.counts("write.content", |case| case.action.kind = kind(&other, *executable));
            mutants.counts("write.executable", |case| case.action.kind = kind(content, !executable));
            mutants.expansions();
        }
        ActionKind::Copy { source } => {
            let inputs = base.action.inputs.to_list();
            let other = inputs.iter().filter_map(Data::as_file).find(|artifact| *artifact != source).cloned();
            let other = other.expect("there are three inputs");
            mutants.counts("copy.source", |case| case.action.kind = ActionKind::Copy { source: other });
        }
        ActionKind::Tree { entries } => mutants.tree(entries),
        ActionKind::Builtin { name, params } => {
            let kind = |name: String, params: serde_json::Value| ActionKind::Builtin { name: Arc::from(name), params };
            mutants.counts("builtin.name", |case| case.action.kind = kind(format!("{name}x"), params.clone()));
            let other = serde_json::json!([params]);
            mutants.counts("builtin.params", |case| case.action.kind = kind(name.to_string(), other));
            let other = version.unwrap_or(0) + 1;
            mutants.counts("builtin's version", |case| case.version = Some(other));
        }
    }
    mutants.list
}

impl Mutants<'_> {
    fn add(&mut self, field: &'static str, counts: bool, change: impl FnOnce(&mut Case)) {
        let mut case = self.base.clone();
        change(&mut case);
        let is_same =
            case.action == self.base.action && case.contents == self.base.contents && case.version == self.base.version;
        assert!(!is_same, "the mutant of {field} is no mutant");
        self.list.push(Mutant { field, counts, case });
    }

    /// A change that the key must show.
    fn counts(&mut self, field: &'static str, change: impl FnOnce(&mut Case)) {
        self.add(field, true, change);
    }

    /// A change that the key must not show.
    fn passes(&mut self, field: &'static str, change: impl FnOnce(&mut Case)) {
        self.add(field, false, change);
    }

    fn owner(&mut self, owner: &TargetKey) {
        let TargetKey { label, configuration } = owner;
        let others = case::owner(&format!("//{}/other:{}", label.package().path(), label.name()), "opt");
        let own = configuration.clone();
        let label = others.label.clone();
        self.passes("owner.label", |case| case.action.owner = TargetKey { label, configuration: own });
        self.passes("owner.configuration", |case| case.action.owner.configuration = others.configuration);
    }

    /// The set of inputs: which they are counts, how they are listed does not.
    fn inputs(&mut self, inputs: &Arc<Depset>, dice: &mut Rng) {
        let Depset { order, direct, transitive } = &**inputs;
        let set = |direct: &[Data], transitive: &[Arc<Depset>]| {
            Arc::new(Depset { order: *order, direct: direct.to_vec(), transitive: transitive.to_vec() })
        };
        let mut shuffled = direct.clone();
        shuffled.rotate_left(1);
        self.passes("inputs: order of elements", |case| case.action.inputs = set(&shuffled, transitive));
        let twice = [&direct[..], &direct[..1]].concat();
        self.passes("inputs: an element twice", |case| case.action.inputs = set(&twice, transitive));
        let (below, rest) = direct.split_at(dice.usize(1..direct.len()));
        let nested = [Arc::new(Depset::of(below.to_vec())), Arc::new(Depset::of(direct.clone()))];
        self.passes("inputs: shape of the set", |case| case.action.inputs = set(rest, &nested));
        self.passes("inputs: declared order", |case| {
            let (direct, transitive) = (inputs.direct.clone(), inputs.transitive.clone());
            case.action.inputs = Arc::new(Depset { order: Order::Topological, direct, transitive });
        });
        let added = case::made("out/added", false);
        let content = case::content(dice);
        self.counts("inputs: one more", |case| {
            case.contents.insert(added.path().clone(), content);
            case.action.inputs = set(&[&direct[..], &[Data::File(added)]].concat(), transitive);
        });
        // What an action's kind names besides is an input all the same.
        let other: Vec<&RelPath> = self.base.action.other_inputs().map(Artifact::path).collect();
        let free = |data: &Data| data.as_file().is_some_and(|artifact| !other.contains(&artifact.path()));
        if let Some(at) = direct.iter().position(free) {
            let mut fewer = direct.clone();
            let gone = fewer.remove(at);
            self.counts("inputs: one less", |case| case.action.inputs = set(&fewer, transitive));
            self.renamed(&gone, fewer);
        }
    }

    /// An input under another path, and the same path of another owner.
    fn renamed(&mut self, gone: &Data, others: Vec<Data>) {
        let artifact = gone.as_file().expect("inputs are files");
        let content = self.base.contents[artifact.path()].clone();
        let with = |artifact: Artifact| {
            let direct = [&others[..], &[Data::File(artifact)]].concat();
            Arc::new(Depset::of(direct))
        };
        let other = case::made(&format!("{}x", artifact.path()), artifact.is_tree());
        self.counts("input: path", |case| {
            case.contents.insert(other.path().clone(), content);
            case.action.inputs = with(other);
        });
        let label = case::label("//somebody:else");
        let same = Artifact::output(artifact.path().clone(), artifact.is_tree(), &label);
        self.passes("input: owner and root", |case| case.action.inputs = with(same));
        let declared = Artifact::output(artifact.path().clone(), !artifact.is_tree(), artifact.owner());
        // What it holds counts, and that says whether it is a tree.
        self.passes("input: declared as a tree", |case| case.action.inputs = with(declared));
    }

    /// What one input holds.
    fn contents(&mut self, dice: &mut Rng) {
        let paths: Vec<RelPath> = self.base.contents.keys().cloned().collect();
        let path = &paths[dice.usize(..paths.len())];
        let other = Digest::of(b"other");
        match &self.base.contents[path] {
            Content::File { digest, size, executable } => {
                let (digest, size, executable) = (*digest, *size, *executable);
                let mut add = |field, counts, content: Content| {
                    self.add(field, counts, |case| put(case, path, content));
                };
                add("content.digest", true, Content::File { digest: other, size, executable });
                add("content.executable", true, Content::File { digest, size, executable: !executable });
                // The digest says it already.
                add("content.size", false, Content::File { digest, size: size + 1, executable });
                add("content: file or tree", true, Content::Tree(digest));
            }
            Content::Tree(digest) => {
                let file = Content::File { digest: *digest, size: 0, executable: false };
                self.counts("content.tree", |case| put(case, path, Content::Tree(other)));
                self.counts("content: tree or file", |case| put(case, path, file));
            }
        }
        let (one, two) = (&paths[0], &paths[1]);
        self.counts("contents of two inputs exchanged", |case| {
            let (a, b) = (case.contents[one].clone(), case.contents[two].clone());
            put(case, one, b);
            put(case, two, a);
        });
    }

    fn outputs(&mut self, outputs: &[Artifact]) {
        let first = outputs[0].clone();
        let tree = first.is_tree();
        let path = format!("{}x", first.path());
        self.counts("output: path", |case| case.action.outputs[0] = case::made(&path, tree));
        self.counts("output: tree", |case| case.action.outputs[0] = case::made(first.path().as_str(), !tree));
        let other = Artifact::output(first.path().clone(), tree, &case::label("//somebody:else"));
        self.passes("output: owner", |case| case.action.outputs[0] = other);
        self.counts("outputs: one more", |case| case.action.outputs.push(case::made("out/c/added", false)));
        if outputs.len() > 1 {
            self.counts("outputs: one less", |case| drop(case.action.outputs.pop()));
        }
    }

    fn tree(&mut self, entries: &[(String, Artifact)]) {
        let kind = |entries: Vec<(String, Artifact)>| ActionKind::Tree { entries };
        let mut other = entries.to_vec();
        other[0].0.push('x');
        self.counts("tree.place", |case| case.action.kind = kind(other));
        let mut other = entries.to_vec();
        other[0].1 = entries[1].1.clone();
        self.counts("tree.artifact", |case| case.action.kind = kind(other));
        let more = [entries, &[("more".to_owned(), entries[0].1.clone())]].concat();
        self.counts("tree: one more entry", |case| case.action.kind = kind(more));
    }

    /// A change of a process.
    fn process(&mut self, field: &'static str, counts: bool, change: impl FnOnce(&mut Spawn)) {
        self.add(field, counts, |case| {
            if let ActionKind::Spawn(spawn) = &mut case.action.kind {
                change(spawn);
            }
        });
    }

    fn spawn(&mut self, spawn: &Spawn, dice: &mut Rng) {
        let Spawn {
            argv,
            expansions: _,
            env,
            root,
            needs_shell,
            network,
            stdin,
            stdout,
            timeout,
            limits,
            test,
            executable_outputs,
            resources,
            worker_tools,
        } = spawn;
        self.argv(argv, dice);
        self.expansions();
        self.env(env.keys().next().expect("there are two variables"));
        self.files(root.as_ref(), stdin.as_ref(), stdout.as_ref());
        let other = if *network == Network::Host { Network::Loopback } else { Network::Host };
        self.process("network", true, |spawn| spawn.network = other);
        self.process("test", true, |spawn| spawn.test = !test);
        self.process("executable_outputs", true, |spawn| spawn.executable_outputs = !executable_outputs);
        // Analysis has made a root of it, which counts.
        self.process("needs_shell", false, |spawn| spawn.needs_shell = !needs_shell);
        let other = timeout.map_or(Some(1), |timeout| (timeout > 1).then_some(timeout + 1));
        self.process("timeout", false, |spawn| spawn.timeout = other);
        let Limits { memory, cpu_time, processes } = *limits;
        let other = |limit: Option<u64>| Some(limit.map_or(1, |limit| limit + 1));
        self.process("limits.memory", true, |spawn| spawn.limits.memory = other(memory));
        self.process("limits.cpu_time", true, |spawn| spawn.limits.cpu_time = other(cpu_time));
        self.process("limits.processes", true, |spawn| spawn.limits.processes = other(processes));
        let Resources { cpu, memory } = *resources;
        self.process("resources.cpu", false, |spawn| spawn.resources.cpu = cpu + 1);
        self.process("resources.memory", false, |spawn| spawn.resources.memory = memory + 1);
        let tools = if worker_tools.is_some() { None } else { Some(Vec::new()) };
        self.process("worker_tools", false, |spawn| spawn.worker_tools = tools);
    }

    /// A change of the first expansion.
    fn expansion(&mut self, field: &'static str, change: impl FnOnce(&mut Expansion)) {
        self.counts(field, |case| match &mut case.action.kind {
            ActionKind::Spawn(Spawn { expansions, .. }) | ActionKind::Write { expansions, .. } => {
                change(&mut expansions[0]);
            }
            _ => {}
        });
    }

    fn expansions(&mut self) {
        let other = |text: &mut Option<String>| text.get_or_insert_default().push('x');
        self.expansion("expansion.at", |expansion| expansion.at += 1);
        self.expansion("expansion.values: one more", |expansion| {
            expansion.values.push(ArgumentValue::Word(String::new()));
        });
        self.expansion("expansion.values: a word for a directory", |expansion| {
            expansion.values[0] = match &expansion.values[0] {
                ArgumentValue::Word(word) => ArgumentValue::Word(format!("{word}x")),
                ArgumentValue::Files(directory) => ArgumentValue::Word(directory.path().to_string()),
            };
        });
        self.expansion("expansion.name", |expansion| other(&mut expansion.layout.name));
        self.expansion("expansion.format_each", |expansion| other(&mut expansion.layout.format_each));
        self.expansion("expansion.before_each", |expansion| other(&mut expansion.layout.before_each));
        self.expansion("expansion.terminate_with", |expansion| other(&mut expansion.layout.terminate_with));
        self.expansion("expansion.joined", |expansion| {
            let joined = &mut expansion.layout.joined;
            *joined = if joined.is_some() { None } else { Some((String::new(), None)) };
        });
        self.expansion("expansion.uniquify", |expansion| expansion.layout.uniquify ^= true);
        self.expansion("expansion.omit_if_empty", |expansion| expansion.layout.omit_if_empty ^= true);
    }

    fn argv(&mut self, argv: &[String], dice: &mut Rng) {
        let at = dice.usize(..argv.len());
        self.process("argv: an argument", true, |spawn| spawn.argv[at].push('x'));
        self.process("argv: an empty one more", true, |spawn| spawn.argv.insert(at, String::new()));
        self.process("argv: one less", true, |spawn| drop(spawn.argv.remove(at)));
        let joined = argv.concat();
        self.process("argv: all as one", true, |spawn| spawn.argv = vec![joined]);
        // An argument that moves to the variables.
        self.process("argv: the last one as a variable", true, |spawn| {
            let last = spawn.argv.pop().unwrap_or_default();
            spawn.env.insert("MOVED".to_owned(), last);
        });
    }

    fn env(&mut self, name: &str) {
        self.process("env: a value", true, |spawn| {
            spawn.env.entry(name.to_owned()).and_modify(|value| value.push('x'));
        });
        self.process("env: a name", true, |spawn| {
            let value = spawn.env.remove(name).unwrap_or_default();
            spawn.env.insert(format!("{name}_"), value);
        });
        self.process("env: one more", true, |spawn| drop(spawn.env.insert("MORE".to_owned(), String::new())));
        self.process("env: one less", true, |spawn| drop(spawn.env.remove(name)));
        self.process("env: one that all have", true, |spawn| drop(spawn.env.insert("TZ".to_owned(), "X".to_owned())));
        // The process sees the same.
        let same = ("TZ".to_owned(), "UTC".to_owned());
        self.process("env: one that all have, as it is", false, |spawn| spawn.env.extend([same]));
    }

    /// Root, standard input and standard output.
    fn files(&mut self, root: Option<&Artifact>, stdin: Option<&Artifact>, stdout: Option<&Artifact>) {
        let inputs = self.base.action.inputs.to_list();
        let input = |at: usize| inputs[at].as_file().cloned();
        // All inputs hold something else, so that another root is another content.
        let other = if root.is_none() { input(0) } else { input(2) };
        self.process("root: another one", true, |spawn| spawn.root = other);
        let other = if root.is_none() { input(1) } else { None };
        self.process("root: whether there is one", true, |spawn| spawn.root = other);
        let other = if stdin.is_none() { input(1) } else { input(0) };
        self.process("stdin: another one", true, |spawn| spawn.stdin = other);
        let other = if stdin.is_none() { input(2) } else { None };
        self.process("stdin: whether there is one", true, |spawn| spawn.stdin = other);
        let other = case::made(&stdout.map_or("out/x".to_owned(), |stdout| format!("{}x", stdout.path())), false);
        self.process("stdout: another one", true, |spawn| spawn.stdout = Some(other));
        let other = if stdout.is_none() { Some(self.base.action.outputs[0].clone()) } else { None };
        self.process("stdout: whether there is one", true, |spawn| spawn.stdout = other);
    }
}

fn put(case: &mut Case, path: &RelPath, content: Content) {
    case.contents.insert(path.clone(), content);
}
