//! The data that attributes and providers may hold. It serialises, so that loading and analysis can be memoised.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::depset::Depset;
use crate::label::Label;

/// A value without behaviour.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Data {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Str(Arc<str>),
    /// A label.
    Label(Label),
    /// A file or a tree.
    File(Artifact),
    /// A list or tuple.
    List(Arc<[Data]>),
    /// A dictionary in insertion order.
    Dict(Arc<[(Data, Data)]>),
    /// `struct(...)`.
    Struct(Arc<BTreeMap<Arc<str>, Data>>),
    /// An instance of a provider.
    Provider(Arc<ProviderInstance>),
    /// A depset.
    Depset(Arc<Depset>),
    /// An exported function of a .star file.
    Function(FunctionRef),
}

/// A top-level function of a .star file, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FunctionRef {
    /// The file that defines it.
    pub file: Label,
    /// Its name there.
    pub name: Arc<str>,
}

/// The identity of a provider: the file that defines it and its name there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProviderId {
    /// The label of the .star file, or `@builtin//:providers` for the engine's own.
    pub file: Label,
    /// The name it was exported under.
    pub name: Arc<str>,
}

/// One provider with its fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProviderInstance {
    /// Which provider it is.
    pub id: ProviderId,
    /// Its fields.
    pub fields: BTreeMap<Arc<str>, Data>,
}

/// An attribute's value as written: data, or data with `select`s to be resolved by the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Configurable {
    /// Does not depend on the configuration.
    Plain(Data),
    /// A sum of parts, at least one of them a select.
    Sum(Vec<Part>),
}

/// A summand of a configurable value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Data.
    Plain(Data),
    /// A select.
    Select(Select),
}

/// `select({...})`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Select {
    /// Conditions (labels of `config_setting`s) and their values, in the order written.
    pub branches: Vec<(Label, Data)>,
    /// The value of `//conditions:default`.
    pub default: Option<Data>,
    /// What to say when nothing matches.
    pub no_match_error: Option<String>,
}

impl Data {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Str(Arc::from(text))
    }

    /// The empty list.
    pub fn empty_list() -> Self {
        Self::List(Arc::from(Vec::new()))
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The label, if it is one.
    pub fn as_label(&self) -> Option<&Label> {
        match self {
            Self::Label(label) => Some(label),
            _ => None,
        }
    }

    /// The artifact, if it is one.
    pub fn as_file(&self) -> Option<&Artifact> {
        match self {
            Self::File(file) => Some(file),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Data]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The pairs, if it is a dictionary.
    pub fn as_dict(&self) -> Option<&[(Data, Data)]> {
        match self {
            Self::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The set, if it is a depset.
    pub fn as_depset(&self) -> Option<&Arc<Depset>> {
        match self {
            Self::Depset(set) => Some(set),
            _ => None,
        }
    }

    /// The provider instance, if it is one.
    pub fn as_provider(&self) -> Option<&Arc<ProviderInstance>> {
        match self {
            Self::Provider(provider) => Some(provider),
            _ => None,
        }
    }

    /// The name of its type as Starlark's `type()` gives it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Str(_) => "string",
            Self::Label(_) => "Label",
            Self::File(_) => "File",
            Self::List(_) => "list",
            Self::Dict(_) => "dict",
            Self::Struct(_) => "struct",
            Self::Provider(_) => "provider",
            Self::Depset(_) => "depset",
            Self::Function(_) => "function",
        }
    }

    /// The same with other labels.
    #[must_use]
    pub fn with_labels(&self, rename: &dyn Fn(&Label) -> Option<Label>) -> Self {
        let inner = |data: &Self| data.with_labels(rename);
        match self {
            Self::Label(label) => Self::Label(rename(label).unwrap_or_else(|| label.clone())),
            Self::List(list) => Self::List(list.iter().map(inner).collect()),
            Self::Dict(pairs) => Self::Dict(pairs.iter().map(|(key, value)| (inner(key), inner(value))).collect()),
            Self::Struct(fields) => {
                let fields = fields.iter().map(|(name, data)| (Arc::clone(name), inner(data)));
                Self::Struct(Arc::new(fields.collect()))
            }
            other => other.clone(),
        }
    }

    /// Calls `visit` for every label inside, in order.
    pub fn for_each_label(&self, visit: &mut dyn FnMut(&Label)) {
        match self {
            Self::Label(label) => visit(label),
            Self::List(list) => list.iter().for_each(|data| data.for_each_label(visit)),
            Self::Dict(pairs) => pairs.iter().for_each(|(key, value)| {
                key.for_each_label(visit);
                value.for_each_label(visit);
            }),
            Self::Struct(fields) => fields.values().for_each(|data| data.for_each_label(visit)),
            _ => {}
        }
    }
}

impl Configurable {
    /// The data, if no select is involved.
    pub fn plain(&self) -> Option<&Data> {
        match self {
            Self::Plain(data) => Some(data),
            Self::Sum(_) => None,
        }
    }

    /// The same with other labels, those of conditions too.
    #[must_use]
    pub fn with_labels(&self, rename: &dyn Fn(&Label) -> Option<Label>) -> Self {
        let part = |part: &Part| match part {
            Part::Plain(data) => Part::Plain(data.with_labels(rename)),
            Part::Select(select) => {
                let label = |label: &Label| rename(label).unwrap_or_else(|| label.clone());
                let branch = |(condition, data): &(Label, Data)| (label(condition), data.with_labels(rename));
                Part::Select(Select {
                    branches: select.branches.iter().map(branch).collect(),
                    default: select.default.as_ref().map(|data| data.with_labels(rename)),
                    no_match_error: select.no_match_error.clone(),
                })
            }
        };
        match self {
            Self::Plain(data) => Self::Plain(data.with_labels(rename)),
            Self::Sum(parts) => Self::Sum(parts.iter().map(part).collect()),
        }
    }

    /// Calls `visit` for every label of every branch, conditions included, in order.
    pub fn for_each_label(&self, visit: &mut dyn FnMut(&Label)) {
        match self {
            Self::Plain(data) => data.for_each_label(visit),
            Self::Sum(parts) => parts.iter().for_each(|part| match part {
                Part::Plain(data) => data.for_each_label(visit),
                Part::Select(select) => {
                    for (condition, data) in &select.branches {
                        visit(condition);
                        data.for_each_label(visit);
                    }
                    if let Some(data) = &select.default {
                        data.for_each_label(visit);
                    }
                }
            }),
        }
    }
}

impl ProviderInstance {
    /// A field.
    pub fn get(&self, field: &str) -> Option<&Data> {
        self.fields.get(field)
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
