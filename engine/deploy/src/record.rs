//! The record of an environment: what runs there, what was made for it, what ran before. One ConfigMap in its
//! namespace.
//!
//! Every write of it carries the resource version that was read, so of two clients that both believe to hold the lock
//! only one goes on. A rollout writes it twice: when it begins (the journal) and when it ends.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::api::ApiError;
use crate::bundle::Bundle;
use crate::cluster::Cluster;
use crate::kinds::{KINDS, Kind};
use crate::names;

/// How many releases are remembered, the current one included.
const HISTORY: usize = 5;
/// Old releases are forgotten earlier when theirs are large, as JSON.
const HISTORY_BYTES: usize = 2 << 20;
/// A record up to this size is stored as it is, to be read by people; a larger one is compressed. ConfigMaps hold 1 MiB.
const PLAIN_BYTES: usize = 256 << 10;
/// The key of a compressed record.
const PACKED: &str = "record.gz";
/// A compressed record that grows beyond this is none that a rollout wrote.
const UNPACKED_BYTES: u64 = 64 << 20;
/// The format of the record. Another engine's record is refused, never guessed at.
const FORMAT: u32 = 1;

/// What is known of an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The format it is written in. The first engines wrote none.
    #[serde(default = "first_format")]
    pub format: u32,
    /// Raised by each rollout that changes anything: the fence.
    pub generation: u64,
    /// How the last rollout ended, or that it has not.
    pub journal: Journal,
    /// Every object that a rollout made and none has removed.
    pub inventory: Vec<Member>,
    /// What runs, newest first; the first is current.
    pub deployed: Vec<Deployed>,
}

fn first_format() -> u32 {
    1
}

/// A record that is no base for a rollout.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is there, and cannot be read.
    #[error("the record of `{environment}` (ConfigMap/{name} in the namespace `{namespace}`) cannot be read: {why}")]
    Unreadable {
        /// The environment.
        environment: String,
        /// The ConfigMap.
        name: String,
        /// Its namespace.
        namespace: String,
        /// What is wrong with it.
        why: String,
    },
    /// It could not be asked for.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// The state of the last rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Journal {
    /// There was none.
    #[default]
    Empty,
    /// It has begun; if its client is gone, the next one takes over from here.
    Rolling {
        /// Who.
        holder: String,
        /// The bundle it brings.
        bundle: String,
    },
    /// It is done.
    Done,
    /// It failed; what runs is what was there before, or a mixture.
    Failed {
        /// The bundle it brought.
        bundle: String,
        /// Why, in a line.
        cause: String,
    },
}

/// An object of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its kind.
    pub kind: String,
    /// The kind's group.
    pub group: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, once it was applied.
    pub uid: String,
    /// The content that was applied.
    pub hash: String,
    /// The service it belongs to.
    pub service: String,
    /// The generation from which on it was not part of the release.
    #[serde(default)]
    pub retired: Option<u64>,
}

/// A release as an environment ran it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The rollout that brought it.
    pub generation: u64,
    /// The digest of the release.
    pub release: String,
    /// The digest of the bundle.
    pub bundle_digest: String,
    /// The source revision it was made from.
    #[serde(default)]
    pub revision: Option<String>,
    /// Image digests by service.
    pub images: BTreeMap<String, String>,
    /// The registry the nodes pull from.
    pub registry: String,
    /// What the smoke tests said.
    pub smoke: Smoke,
    /// When, RFC 3339.
    pub at: String,
    /// The bundle itself, so that it can be brought back.
    pub bundle: Bundle,
}

/// The result of the smoke tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smoke {
    /// All passed.
    Passed,
    /// At least one failed.
    Failed,
    /// None were run.
    NotRun,
}

/// A record as read, with what a later write must match.
#[derive(Debug, Clone, Default)]
pub struct Recorded {
    /// The content.
    pub record: Record,
    /// The version read; empty when there is none yet.
    pub(crate) version: String,
}

impl Default for Record {
    fn default() -> Self {
        let (inventory, deployed) = (Vec::new(), Vec::new());
        Self { format: FORMAT, generation: 0, journal: Journal::Empty, inventory, deployed }
    }
}

impl Record {
    /// The release that runs.
    pub fn current(&self) -> Option<&Deployed> {
        self.deployed.first()
    }

    /// The run of a release whose smoke tests passed.
    pub fn verified(&self, release: &str) -> Option<&Deployed> {
        self.deployed.iter().find(|deployed| deployed.release == release && deployed.smoke == Smoke::Passed)
    }

    /// Puts a release in front, and forgets the oldest ones.
    pub(crate) fn push(&mut self, deployed: Deployed) {
        self.deployed.retain(|old| old.bundle_digest != deployed.bundle_digest);
        self.deployed.insert(0, deployed);
        self.deployed.truncate(HISTORY);
        while self.deployed.len() > 1 && json!(self.deployed).to_string().len() > HISTORY_BYTES {
            self.deployed.pop();
        }
    }
}

impl RecordError {
    /// What to type next.
    pub fn hints(&self) -> Vec<String> {
        let Self::Unreadable { environment, name, namespace, .. } = self else { return Vec::new() };
        let set = format!("{}={},{}={environment}", names::MANAGED_BY, names::MANAGER, names::INSTANCE);
        vec![
            "use the engine that wrote it".into(),
            format!(
                "or save it, and begin a new one: `kubectl get configmap {name} -n {namespace} -o yaml > {name}.yaml && kubectl delete configmap {name} -n {namespace}`"
            ),
            format!(
                "what left the release before that is then yours to remove: `kubectl get all,configmap -n {namespace} -l {set}`"
            ),
        ]
    }
}

impl Member {
    /// The kind, unless this engine does not know it.
    pub(crate) fn known_kind(&self) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == self.kind && kind.group == self.group)
    }
}

/// Reads the record of an environment; an empty one where there is none. One that cannot be read is an error: an empty
/// one in its place would forget all that was made, and what to go back to.
pub async fn read(cluster: &Cluster, namespace: &str, environment: &str) -> Result<Recorded, RecordError> {
    let name = names::record_name(environment);
    let Some(map) = cluster.get(config_map(), namespace, &name).await? else {
        return Ok(Recorded::default());
    };
    let version = map["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    let unreadable = |why| {
        let (environment, namespace) = (environment.to_owned(), namespace.to_owned());
        RecordError::Unreadable { environment, name: name.clone(), namespace, why }
    };
    let record = parse(&map).map_err(unreadable)?;
    Ok(Recorded { record, version })
}

fn parse(map: &Json) -> Result<Record, String> {
    #[derive(Deserialize)]
    struct Format {
        #[serde(default = "first_format")]
        format: u32,
    }
    let text = stored(map)?;
    let format = serde_json::from_str::<Format>(&text).map_err(|error| error.to_string())?.format;
    if format != FORMAT {
        return Err(format!("it has format {format}, and this engine reads format {FORMAT}"));
    }
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// Writes the record; refused (`is_conflict`) if anyone wrote it since it was read.
pub(crate) async fn write(
    cluster: &Cluster,
    namespace: &str,
    environment: &str,
    recorded: &Recorded,
) -> Result<Recorded, ApiError> {
    let object = document(namespace, environment, recorded);
    let written = match recorded.version.is_empty() {
        true => cluster.create(config_map(), namespace, &object).await?,
        false => cluster.replace(config_map(), namespace, &object).await?,
    };
    let version = written["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    Ok(Recorded { record: recorded.record.clone(), version })
}

/// The ConfigMap: the record, and the labels and annotations of an ApplySet parent so that kubectl understands the set.
fn document(namespace: &str, environment: &str, recorded: &Recorded) -> Json {
    let name = names::record_name(environment);
    let mut kinds: Vec<String> =
        recorded.record.inventory.iter().filter_map(Member::known_kind).map(Kind::group_kind).collect();
    kinds.sort();
    kinds.dedup();
    let current = recorded.record.current();
    let summary = current.map(|current| {
        let images: Vec<String> = current.images.iter().map(|(name, digest)| format!("{name} {digest}")).collect();
        format!("release {}\n{}\n", current.release, images.join("\n"))
    });
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                names::MANAGED_BY: names::MANAGER,
                "applyset.kubernetes.io/id": names::applyset_id(&name, namespace),
            },
            "annotations": {
                "applyset.kubernetes.io/tooling": "build/v1",
                "applyset.kubernetes.io/contains-group-kinds": kinds.join(","),
            },
        },
        "data": {"summary": summary.unwrap_or_else(|| "nothing deployed yet\n".into())},
    });
    let text = json!(recorded.record).to_string();
    match text.len() <= PLAIN_BYTES {
        true => object["data"]["record"] = json!(text),
        false => object["binaryData"] = json!({ PACKED: packed(&text) }),
    }
    if !recorded.version.is_empty() {
        object["metadata"]["resourceVersion"] = json!(recorded.version);
    }
    object
}

/// A text in gzip and base64.
fn packed(text: &str) -> String {
    let mut writer = GzEncoder::new(Vec::new(), Compression::default());
    let written = writer.write_all(text.as_bytes()).and_then(|()| writer.finish());
    STANDARD.encode(written.expect("memory takes all that is written to it"))
}

/// The text of a stored record, however it is stored.
fn stored(map: &Json) -> Result<String, String> {
    if let Some(text) = map["data"]["record"].as_str() {
        return Ok(text.to_owned());
    }
    let packed = map["binaryData"][PACKED].as_str().ok_or("it holds neither `record` nor `record.gz`")?;
    let bytes = STANDARD.decode(packed).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let mut reader = GzDecoder::new(bytes.as_slice()).take(UNPACKED_BYTES);
    reader.read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

fn config_map() -> &'static Kind {
    Kind::named("ConfigMap").expect("ConfigMap is a kind of the table")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(members: usize) -> Recorded {
        let member = |number: usize| Member {
            kind: "Service".into(),
            group: String::new(),
            namespace: "prediction".into(),
            name: format!("service-{number}"),
            uid: model::Digest::of(&number.to_le_bytes()).to_hex()[..36].to_owned(),
            hash: model::Digest::of(&number.to_be_bytes()).short(),
            service: format!("service-{number}"),
            retired: None,
        };
        let record = Record { generation: 7, inventory: (0..members).map(member).collect(), ..Record::default() };
        Recorded { record, version: String::new() }
    }

    #[test]
    fn small_records_are_readable_and_large_ones_fit_into_a_config_map() {
        for (members, plain) in [(10, true), (10_000, false)] {
            let recorded = recorded(members);
            let map = document("prediction", "test", &recorded);
            assert_eq!(map["data"]["record"].is_string(), plain);
            assert!(map.to_string().len() < 1 << 20, "{}", map.to_string().len());
            assert_eq!(parse(&map).unwrap(), recorded.record);
        }
    }

    #[test]
    fn what_cannot_be_read_is_never_taken_for_an_empty_record() {
        let good = document("prediction", "test", &recorded(1))["data"]["record"].as_str().unwrap().to_owned();
        let refused = |data: Json| parse(&data).unwrap_err();
        let text = |text: &str| json!({"data": {"record": text}});
        let cases = [
            refused(json!({"data": {"summary": "nothing"}})),
            refused(text("")),
            refused(text("{}")),
            refused(text(&good[..good.len() / 2])),
            refused(text(&good.replace("\"format\":1", "\"format\":2"))),
            refused(json!({"binaryData": {PACKED: "bm8gZ3ppcA=="}})),
        ];
        insta::assert_snapshot!(cases.join("\n"), @r"
        it holds neither `record` nor `record.gz`
        EOF while parsing a value at line 1 column 0
        missing field `generation` at line 1 column 2
        EOF while parsing a string at line 1 column 130
        it has format 2, and this engine reads format 1
        unexpected end of file
        ");
        // The first engines wrote no format.
        assert_eq!(parse(&text(&good.replace("\"format\":1,", ""))).unwrap(), recorded(1).record);
    }
}
