//! The shape of a rule: its name and its attributes. The implementation stays in `script`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::{Configurable, ProviderId};
use crate::diagnostic::Location;
use crate::label::Label;

/// The identity of a rule: the file that defines it and its name there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleId {
    /// The label of the .star file.
    pub file: Label,
    /// The name it was exported under.
    pub name: Arc<str>,
}

/// A rule as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSchema {
    /// Which rule.
    pub id: RuleId,
    /// Its attributes, without `name`. The implicit ones (`visibility`, `tags`, `testonly`, and for tests `size`,
    /// `timeout`, `args`, `env`) are included.
    pub attributes: BTreeMap<Arc<str>, AttributeSchema>,
    /// Whether its targets can be run.
    pub executable: bool,
    /// Whether its targets are tests.
    pub test: bool,
    /// The providers that its targets are sure to have.
    pub provides: Vec<ProviderId>,
    /// What it is for.
    pub doc: Arc<str>,
    /// Where `rule()` was called.
    pub location: Option<Location>,
}

/// An attribute as declared by `attr.*`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeSchema {
    /// What it holds.
    pub kind: AttributeKind,
    /// Whether a target must set it.
    pub mandatory: bool,
    /// Its value when not set.
    pub default: Configurable,
    /// What it is for.
    pub doc: Arc<str>,
    /// For labels: which files may be given.
    pub files: FileFilter,
    /// For labels: the providers a dependency must have: any one of the inner lists in full. Empty: no demand.
    pub providers: Vec<Vec<ProviderId>>,
    /// For label lists: whether an element may be a pattern (`//services/...`). It stands for the targets whose rules provide
    /// what `providers` demands, and is kept as text until the target is looked up.
    pub patterns: bool,
    /// For labels: whether dependencies are built for the exec platform.
    pub exec: bool,
    /// For labels: whether the dependency must be executable (`ctx.executable.x`).
    pub executable: bool,
    /// For strings and ints: the values allowed; empty for any.
    pub values: Vec<crate::data::Data>,
    /// For labels: whether what is not testonly itself may name tests and testonly targets.
    pub allow_testonly: bool,
    /// For lists and dictionaries: whether empty is allowed.
    pub allow_empty: bool,
}

/// The type of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttributeKind {
    /// `attr.bool`
    Bool,
    /// `attr.int`
    Int,
    /// `attr.string`
    String,
    /// `attr.string_list`
    StringList,
    /// `attr.int_list`
    IntList,
    /// `attr.string_dict`
    StringDict,
    /// `attr.string_list_dict`
    StringListDict,
    /// `attr.label`
    Label,
    /// `attr.label_list`
    LabelList,
    /// `attr.label_keyed_string_dict`
    LabelKeyedStringDict,
    /// `attr.string_keyed_label_dict`
    StringKeyedLabelDict,
    /// `attr.output`
    Output,
    /// `attr.output_list`
    OutputList,
    /// `attr.data`: any data (dictionaries of structs and the like) with labels left as text.
    Data,
}

/// Which files a label attribute takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFilter {
    /// Whether source and output files may be given at all.
    pub allowed: bool,
    /// Whether exactly one file is expected of the dependency (`ctx.file.x`).
    pub single: bool,
    /// The endings allowed (`.go`); empty for any.
    pub extensions: Vec<Arc<str>>,
}

impl AttributeKind {
    /// Whether values name other targets that become dependencies.
    pub fn is_label(self) -> bool {
        matches!(self, Self::Label | Self::LabelList | Self::LabelKeyedStringDict | Self::StringKeyedLabelDict)
    }

    /// How the type is written in messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::Int => "an int",
            Self::String => "a string",
            Self::StringList => "a list of strings",
            Self::IntList => "a list of ints",
            Self::StringDict => "a dict of strings to strings",
            Self::StringListDict => "a dict of strings to lists of strings",
            Self::Label => "a label",
            Self::LabelList => "a list of labels",
            Self::LabelKeyedStringDict => "a dict of labels to strings",
            Self::StringKeyedLabelDict => "a dict of strings to labels",
            Self::Output => "the name of an output file",
            Self::OutputList => "a list of names of output files",
            Self::Data => "data (None, bools, ints, strings, lists, dicts and structs of these)",
        }
    }
}
