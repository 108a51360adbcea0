//! A Kubernetes object as rendered: its value, and which attribute of which target each part comes from.

use std::fmt;

use model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::kinds::Kind;

/// What names an object in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The kind's name.
    pub kind: String,
    /// The namespace; empty for objects outside of one.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// Where a part of an object comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The JSON pointer of the part; it covers all below it.
    pub pointer: String,
    /// The target.
    pub label: String,
    /// Its attribute.
    pub attribute: String,
}

/// A rendered object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Object {
    /// Its kind.
    #[serde(skip)]
    pub kind: &'static Kind,
    /// The whole object.
    pub value: Json,
    /// Origins; where several cover a part, the longest pointer counts.
    #[serde(skip)]
    pub origins: Vec<Origin>,
}

impl Object {
    /// An object with labels, made for a target.
    pub fn new(kind: &'static str, namespace: &str, name: &str, labels: &Json, label: &str) -> Self {
        let kind = Kind::named(kind).expect("the renderer names kinds of the table only");
        let mut metadata = json!({"name": name, "labels": labels});
        if kind.namespaced {
            metadata["namespace"] = json!(namespace);
        }
        let value = json!({"apiVersion": kind.api_version(), "kind": kind.name, "metadata": metadata});
        Self { kind, value, origins: Vec::new() }.from("", label, "name")
    }

    /// Sets a top-level field.
    #[must_use]
    pub fn with(mut self, field: &str, value: Json) -> Self {
        self.value[field] = value;
        self
    }

    /// Notes where a part comes from.
    #[must_use]
    pub fn from(mut self, pointer: &str, label: &str, attribute: &str) -> Self {
        self.origins.push(Origin {
            pointer: pointer.to_owned(),
            label: label.to_owned(),
            attribute: attribute.to_owned(),
        });
        self
    }

    /// What names it.
    pub fn key(&self) -> ObjectKey {
        let field = |name: &str| self.value["metadata"][name].as_str().unwrap_or_default().to_owned();
        ObjectKey { kind: self.kind.name.to_owned(), namespace: field("namespace"), name: field("name") }
    }

    /// The origin of the part at a JSON pointer.
    pub fn origin(&self, pointer: &str) -> Option<&Origin> {
        let covers = |origin: &&Origin| {
            pointer.strip_prefix(&*origin.pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.origins.iter().filter(covers).max_by_key(|origin| origin.pointer.len())
    }

    /// The content.
    pub fn digest(&self) -> Digest {
        digest_of(&self.value)
    }
}

/// The digest of a JSON value; maps are sorted, so it does not depend on the order of fields.
pub fn digest_of(value: &Json) -> Digest {
    Digest::of(value.to_string().as_bytes())
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.label, self.attribute)
    }
}
