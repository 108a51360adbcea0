//! Data, providers and actions as bytes. Artifacts and depsets are referred to by their ids, so that what is shared in
//! memory is shared in the tables; equal values are equal bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    Action, ActionKind, Artifact, Data, Depset, Expansion, FunctionRef, Limits, Network, Order, ProviderId,
    ProviderInstance, Resources, Spawn, TargetKey,
};

use crate::codec::{Reader, Writer};
use crate::state::{State, Table};

/// Encodes data. Without a state, data must hold neither files nor depsets: attributes never do.
pub(crate) fn put_data(row: &mut Writer, data: &Data, state: &mut Option<&mut State>) {
    match data {
        Data::None => _ = row.byte(0),
        Data::Bool(value) => _ = row.byte(1 + u8::from(*value)),
        Data::Int(value) => _ = row.byte(3).signed(*value),
        Data::Str(text) => _ = row.byte(4).text(text),
        Data::Label(label) => _ = row.byte(5).label(label),
        Data::List(list) => {
            row.byte(6).number(list.len() as u64);
            list.iter().for_each(|data| put_data(row, data, state));
        }
        Data::Dict(pairs) => {
            row.byte(7).number(pairs.len() as u64);
            for (key, value) in pairs.iter() {
                put_data(row, key, state);
                put_data(row, value, state);
            }
        }
        Data::Struct(fields) => {
            row.byte(8);
            put_fields(row, fields, state);
        }
        Data::Provider(provider) => {
            row.byte(9);
            put_provider(row, provider, state);
        }
        Data::Function(function) => _ = row.byte(10).label(&function.file).text(&function.name),
        Data::File(file) => match state {
            Some(state) => _ = row.byte(11).number(u64::from(state.artifact_id(file))),
            None => _ = row.byte(13).text(file.path().as_str()),
        },
        Data::Depset(set) => match state {
            Some(state) => {
                let id = depset_id(set, state);
                row.byte(12).number(u64::from(id));
            }
            None => _ = row.byte(14),
        },
    }
}

fn put_fields(row: &mut Writer, fields: &BTreeMap<Arc<str>, Data>, state: &mut Option<&mut State>) {
    row.number(fields.len() as u64);
    for (name, data) in fields {
        row.text(name);
        put_data(row, data, state);
    }
}

fn put_provider(row: &mut Writer, provider: &ProviderInstance, state: &mut Option<&mut State>) {
    row.label(&provider.id.file).text(&provider.id.name);
    put_fields(row, &provider.fields, state);
}

/// The id of a set; its parts are added first, without recursion as deep as the set.
pub fn depset_id(set: &Arc<Depset>, state: &mut State) -> u32 {
    if let Some(id) = state.known_depset(set) {
        return id;
    }
    let mut open = vec![Arc::clone(set)];
    while let Some(next) = open.last().cloned() {
        let missing: Vec<Arc<Depset>> =
            next.transitive.iter().filter(|part| state.known_depset(part).is_none()).cloned().collect();
        if !missing.is_empty() {
            open.extend(missing);
            continue;
        }
        open.pop();
        if state.known_depset(&next).is_some() {
            continue;
        }
        let mut row = Writer::default();
        row.byte(next.order as u8);
        let parts: Vec<u32> = next.transitive.iter().filter_map(|part| state.known_depset(part)).collect();
        row.ids(&parts).number(next.direct.len() as u64);
        next.direct.iter().for_each(|data| put_data(&mut row, data, &mut Some(&mut *state)));
        let row = row.finish();
        let id = state.find(Table::Depsets, &row).unwrap_or_else(|| state.push_keyed(Table::Depsets, row));
        state.remember_depset(&next, id);
    }
    state.known_depset(set).unwrap_or(u32::MAX)
}

pub(crate) fn get_data(row: &mut Reader<'_>, state: &mut State) -> Option<Data> {
    Some(match row.byte()? {
        0 => Data::None,
        1 => Data::Bool(false),
        2 => Data::Bool(true),
        3 => Data::Int(row.signed()?),
        4 => Data::text(row.text()?),
        5 => Data::Label(row.label()?),
        6 => Data::List((0..row.length()?).map(|_| get_data(row, state)).collect::<Option<Vec<_>>>()?.into()),
        7 => {
            let pairs = (0..row.length()?).map(|_| Some((get_data(row, state)?, get_data(row, state)?)));
            Data::Dict(pairs.collect::<Option<Vec<_>>>()?.into())
        }
        8 => Data::Struct(Arc::new(get_fields(row, state)?)),
        9 => Data::Provider(Arc::new(get_provider(row, state)?)),
        10 => Data::Function(FunctionRef { file: row.label()?, name: Arc::from(row.text()?) }),
        11 => Data::File(state.artifact(row.id()?)?),
        12 => Data::Depset(depset(row.id()?, state)?),
        _ => return None,
    })
}

fn get_fields(row: &mut Reader<'_>, state: &mut State) -> Option<BTreeMap<Arc<str>, Data>> {
    (0..row.length()?).map(|_| Some((Arc::from(row.text()?), get_data(row, state)?))).collect()
}

fn get_provider(row: &mut Reader<'_>, state: &mut State) -> Option<ProviderInstance> {
    let id = ProviderId { file: row.label()?, name: Arc::from(row.text()?) };
    Some(ProviderInstance { id, fields: get_fields(row, state)? })
}

/// A set by its id; each is made once, so that what was shared is shared again.
pub fn depset(id: u32, state: &mut State) -> Option<Arc<Depset>> {
    let mut open = vec![id];
    while let Some(next) = open.last().copied() {
        if state.decoded_depset(next).is_some() {
            open.pop();
            continue;
        }
        let row = state.row(Table::Depsets, next).to_vec();
        let mut row = Reader::new(&row);
        let order = order_of(row.byte()?)?;
        let parts = row.ids()?;
        let missing: Vec<u32> = parts.iter().copied().filter(|part| state.decoded_depset(*part).is_none()).collect();
        if !missing.is_empty() {
            // Parts are added before the sets that hold them.
            if missing.iter().any(|part| *part >= next) {
                return None;
            }
            open.extend(missing);
            continue;
        }
        open.pop();
        let transitive = parts.iter().map(|part| state.decoded_depset(*part)).collect::<Option<_>>()?;
        let direct = (0..row.length()?).map(|_| get_data(&mut row, state)).collect::<Option<_>>()?;
        state.remember_decoded(next, &Arc::new(Depset { order, direct, transitive }));
    }
    state.decoded_depset(id)
}

fn order_of(byte: u8) -> Option<Order> {
    [Order::Default, Order::Postorder, Order::Preorder, Order::Topological]
        .into_iter()
        .find(|order| *order as u8 == byte)
}

/// The artifacts of a set: its own and the ids of the sets it includes.
pub(crate) fn depset_parts(row: &[u8], mut each: impl FnMut(u32)) -> Option<Vec<u32>> {
    let mut row = Reader::new(row);
    row.byte()?;
    let parts = row.ids()?;
    for _ in 0..row.length()? {
        // Inputs of actions hold files only; whatever else there is has none.
        match row.byte()? {
            11 => each(row.id()?),
            _ => return None,
        }
    }
    Some(parts)
}

/// Encodes the providers of a target.
pub fn encode_providers(providers: &BTreeMap<ProviderId, Arc<ProviderInstance>>, state: &mut State) -> Vec<u8> {
    let mut row = Writer::default();
    row.number(providers.len() as u64);
    providers.values().for_each(|provider| put_provider(&mut row, provider, &mut Some(&mut *state)));
    row.finish()
}

/// Decodes the providers of a target.
pub fn decode_providers(bytes: &[u8], state: &mut State) -> Option<BTreeMap<ProviderId, Arc<ProviderInstance>>> {
    let mut row = Reader::new(bytes);
    (0..row.length()?)
        .map(|_| get_provider(&mut row, state).map(|provider| (provider.id.clone(), Arc::new(provider))))
        .collect()
}

/// Encodes the resolved attributes of a target.
pub fn encode_attributes(attributes: &BTreeMap<Arc<str>, Data>, state: &mut State) -> Vec<u8> {
    let mut row = Writer::default();
    put_fields(&mut row, attributes, &mut Some(state));
    row.finish()
}

/// Decodes the resolved attributes of a target.
pub fn decode_attributes(bytes: &[u8], state: &mut State) -> Option<BTreeMap<Arc<str>, Data>> {
    get_fields(&mut Reader::new(bytes), state)
}

/// Encodes all of an action but its owner, its inputs and its outputs, which the row has apart.
pub fn encode_action(action: &Action, state: &mut State) -> Vec<u8> {
    let mut row = Writer::default();
    row.text(&action.mnemonic).text(&action.progress);
    match &action.kind {
        ActionKind::Spawn(spawn) => put_spawn(row.byte(0), spawn, state),
        ActionKind::Write { content, expansions, executable } => {
            put_expansions(row.byte(1).text(content).byte(u8::from(*executable)), expansions);
        }
        ActionKind::Copy { source } => put_artifact(row.byte(2), source, state),
        ActionKind::Tree { entries } => {
            row.byte(3).number(entries.len() as u64);
            for (place, artifact) in entries {
                put_artifact(row.text(place), artifact, state);
            }
        }
        ActionKind::Builtin { name, params } => _ = row.byte(4).text(name).text(&params.to_string()),
    }
    row.finish()
}

fn put_artifact(row: &mut Writer, artifact: &Artifact, state: &mut State) {
    row.number(u64::from(state.artifact_id(artifact)));
}

fn put_spawn(row: &mut Writer, spawn: &Spawn, state: &mut State) {
    let Spawn {
        argv,
        expansions,
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
    row.number(argv.len() as u64);
    argv.iter().for_each(|argument| _ = row.text(argument));
    put_expansions(row, expansions);
    row.number(env.len() as u64);
    env.iter().for_each(|(name, value)| _ = row.text(name).text(value));
    for artifact in [root, stdin, stdout] {
        match artifact {
            None => _ = row.byte(0),
            Some(artifact) => put_artifact(row.byte(1), artifact, state),
        }
    }
    row.byte(
        u8::from(*needs_shell)
            | u8::from(*network == Network::Host) << 1
            | u8::from(*test) << 2
            | u8::from(worker_tools.is_some()) << 3
            | u8::from(*executable_outputs) << 4,
    );
    row.number(timeout.map_or(0, |seconds| seconds.saturating_add(1)));
    row.number(u64::from(resources.cpu)).number(resources.memory);
    for limit in [limits.memory, limits.cpu_time, limits.processes] {
        row.number(limit.map_or(0, |limit| limit.saturating_add(1)));
    }
    if let Some(tools) = worker_tools {
        row.number(tools.len() as u64);
        tools.iter().for_each(|tool| put_artifact(row, tool, state));
    }
}

/// Few actions have any.
fn put_expansions(row: &mut Writer, expansions: &[Expansion]) {
    row.number(expansions.len() as u64);
    for expansion in expansions {
        row.text(&serde_json::to_string(expansion).expect("texts and paths always serialise"));
    }
}

fn get_expansions(row: &mut Reader<'_>) -> Option<Vec<Expansion>> {
    (0..row.length()?).map(|_| serde_json::from_str(row.text()?).ok()).collect()
}

/// Decodes an action.
pub fn decode_action(
    bytes: &[u8],
    owner: &TargetKey,
    inputs: Arc<Depset>,
    outputs: Vec<Artifact>,
    state: &mut State,
) -> Option<Action> {
    let mut row = Reader::new(bytes);
    let (mnemonic, progress) = (Arc::from(row.text()?), Arc::from(row.text()?));
    let kind = match row.byte()? {
        0 => ActionKind::Spawn(get_spawn(&mut row, state)?),
        1 => {
            let (content, executable) = (Arc::from(row.text()?), row.byte()? != 0);
            ActionKind::Write { content, executable, expansions: get_expansions(&mut row)? }
        }
        2 => ActionKind::Copy { source: state.artifact(row.id()?)? },
        3 => {
            let entries = (0..row.length()?).map(|_| Some((row.text()?.to_owned(), state.artifact(row.id()?)?)));
            ActionKind::Tree { entries: entries.collect::<Option<_>>()? }
        }
        4 => ActionKind::Builtin { name: Arc::from(row.text()?), params: serde_json::from_str(row.text()?).ok()? },
        _ => return None,
    };
    Some(Action { owner: owner.clone(), mnemonic, progress, inputs, outputs, kind })
}

fn get_spawn(row: &mut Reader<'_>, state: &mut State) -> Option<Spawn> {
    let argv = (0..row.length()?).map(|_| row.text().map(str::to_owned)).collect::<Option<_>>()?;
    let expansions = get_expansions(row)?;
    let env =
        (0..row.length()?).map(|_| Some((row.text()?.to_owned(), row.text()?.to_owned()))).collect::<Option<_>>()?;
    let mut artifact = || match row.byte()? {
        0 => Some(None),
        _ => Some(Some(state.artifact(row.id()?)?)),
    };
    let (root, stdin, stdout) = (artifact()?, artifact()?, artifact()?);
    let flags = row.byte()?;
    let timeout = row.number()?.checked_sub(1);
    let network = if flags & 2 != 0 { Network::Host } else { Network::Loopback };
    let (needs_shell, test) = (flags & 1 != 0, flags & 4 != 0);
    let resources = Resources { cpu: row.id()?, memory: row.number()? };
    let mut limit = || Some(row.number()?.checked_sub(1));
    let limits = Limits { memory: limit()?, cpu_time: limit()?, processes: limit()? };
    let worker_tools = match flags & 8 {
        0 => None,
        _ => Some((0..row.length()?).map(|_| state.artifact(row.id()?)).collect::<Option<_>>()?),
    };
    Some(Spawn {
        argv,
        expansions,
        env,
        root,
        needs_shell,
        network,
        stdin,
        stdout,
        timeout,
        limits,
        test,
        executable_outputs: flags & 16 != 0,
        resources,
        worker_tools,
    })
}
