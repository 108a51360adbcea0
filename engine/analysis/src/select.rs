//! `select()`: which branch a configuration takes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use loading::{Loader, Node};
use model::{AttributeSchema, Configurable, Configuration, Data, Diagnostic, Diagnostics, Label, Part, Select, Target};

/// What a condition demands: `os` -> `linux`, `define x` -> `1`.
type Demands = BTreeMap<String, String>;

/// Resolves the selects of one target.
pub(crate) struct Selector<'a> {
    pub(crate) loader: &'a Loader,
    pub(crate) target: &'a Target,
    pub(crate) configuration: &'a Configuration,
    /// The targets that conditions led to, aliases included.
    pub(crate) looked_at: RefCell<Vec<Label>>,
}

/// The name of the target's rule, if the engine itself knows it: one of `@rules//core`.
pub(crate) fn core_rule(target: &Target) -> Option<&str> {
    let package = target.rule.file.package();
    let core = package.repository() == "rules" && matches!(package.path(), "core" | "core/private");
    core.then_some(&*target.rule.name)
}

impl Selector<'_> {
    /// The value of an attribute in the configuration.
    pub(crate) fn resolve(
        &self,
        name: &str,
        value: &Configurable,
        schema: Option<&AttributeSchema>,
    ) -> Result<Data, Diagnostics> {
        let parts = match value {
            Configurable::Plain(data) => return Ok(data.clone()),
            Configurable::Sum(parts) => parts,
        };
        let mut sum = Data::None;
        for part in parts {
            let data = match part {
                Part::Plain(data) => data,
                Part::Select(select) => self.choose(name, select)?,
            };
            sum = self.add(name, sum, data)?;
        }
        // As in Bazel: a branch of None means the attribute's default.
        let default = || schema.and_then(|schema| schema.default.plain()).cloned().unwrap_or(Data::None);
        Ok(if sum == Data::None { default() } else { sum })
    }

    fn add(&self, name: &str, sum: Data, data: &Data) -> Result<Data, Diagnostics> {
        Ok(match (sum, data) {
            (Data::None, data) => data.clone(),
            (sum, Data::None) => sum,
            (Data::List(left), Data::List(right)) => Data::List(left.iter().chain(right.iter()).cloned().collect()),
            (Data::Str(left), Data::Str(right)) => Data::Str(Arc::from(format!("{left}{right}"))),
            (Data::Int(left), Data::Int(right)) => Data::Int(left.wrapping_add(*right)),
            (Data::Dict(left), Data::Dict(right)) => {
                let mut pairs: Vec<(Data, Data)> = left.to_vec();
                for (key, value) in right.iter() {
                    match pairs.iter_mut().find(|(existing, _)| existing == key) {
                        Some(pair) => pair.1 = value.clone(),
                        None => pairs.push((key.clone(), value.clone())),
                    }
                }
                Data::Dict(Arc::from(pairs))
            }
            (sum, data) => {
                let message =
                    format!("`{name}` of {} adds a {} and a {}", self.target.label, sum.type_name(), data.type_name());
                return Err(self.here(Diagnostic::error(message)).into());
            }
        })
    }

    fn choose<'s>(&self, name: &str, select: &'s Select) -> Result<&'s Data, Diagnostics> {
        let mut matching: Vec<(&Label, Demands, &Data)> = Vec::new();
        for (condition, data) in &select.branches {
            let demands = self.demands(condition)?;
            if demands.iter().all(|(setting, wanted)| self.setting(setting) == Some(wanted.as_str())) {
                matching.push((condition, demands, data));
            }
        }
        let specialised: Vec<_> = matching
            .iter()
            .filter(|(_, demands, _)| {
                !matching.iter().any(|(_, other, _)| {
                    other.len() > demands.len() && demands.iter().all(|(key, value)| other.get(key) == Some(value))
                })
            })
            .collect();
        match specialised.as_slice() {
            [] => select.default.as_ref().ok_or_else(|| self.no_match(name, select).into()),
            [(_, _, first), rest @ ..] if rest.iter().all(|(_, _, data)| data == first) => Ok(first),
            several => {
                let names: Vec<String> = several.iter().map(|(condition, ..)| condition.to_string()).collect();
                let message = format!("`{name}` of {} has several matching conditions", self.target.label);
                Err(self
                    .here(Diagnostic::error(message))
                    .note(format!("none of {} demands more than the others", names.join(", ")))
                    .hint("add a condition that demands what these demand together")
                    .into())
            }
        }
    }

    fn no_match(&self, name: &str, select: &Select) -> Diagnostic {
        let message = format!("no condition of the select in `{name}` of {} matches", self.target.label);
        let mut diagnostic = self.here(Diagnostic::error(message));
        if let Some(text) = &select.no_match_error {
            diagnostic = diagnostic.note(text.clone());
        }
        for (condition, _) in &select.branches {
            let demands = self.demands(condition).unwrap_or_default();
            let demands: Vec<String> = demands.iter().map(|(setting, value)| format!("{setting} = {value}")).collect();
            diagnostic = diagnostic.note(format!("{condition} demands {}", demands.join(", ")));
        }
        let platform = &self.configuration.platform;
        let mode = &self.configuration.compilation_mode;
        diagnostic
            .note(format!(
                "the configuration has os = {}, arch = {}, compilation_mode = {mode}",
                platform.os, platform.arch
            ))
            .hint("\"//conditions:default\": ... takes all other configurations")
    }

    fn setting(&self, setting: &str) -> Option<&str> {
        match setting {
            "os" => Some(&self.configuration.platform.os),
            "arch" => Some(&self.configuration.platform.arch),
            "compilation_mode" => Some(&self.configuration.compilation_mode),
            _ => self.configuration.defines.get(setting.strip_prefix("define ")?).map(|value| &**value),
        }
    }

    /// What a condition demands: it is a `config_setting`, a `platform`, or an alias of one.
    fn demands(&self, condition: &Label) -> Result<Demands, Diagnostics> {
        let mut label = condition.clone();
        // An alias chain that is longer than this is a cycle.
        for _ in 0..32 {
            self.looked_at.borrow_mut().push(label.clone());
            let node = self.loader.node(&label);
            let node = node.map_err(|errors| self.loader.named_by(errors, Some(&self.target.label), condition))?;
            let Node::Target(target, _) = node else { return Err(self.not_a_condition(&label, "a file").into()) };
            match core_rule(&target) {
                Some("config_setting" | "platform") => return Ok(demands_of(&target)),
                Some("alias") => {
                    let actual = target.attributes.get("actual").and_then(Configurable::plain).and_then(Data::as_label);
                    label = actual.ok_or_else(|| self.not_a_condition(&label, "an alias with a select"))?.clone();
                }
                _ => return Err(self.not_a_condition(&label, &format!("a {}", target.rule.name)).into()),
            }
        }
        Err(self.not_a_condition(condition, "an alias of itself").into())
    }

    fn not_a_condition(&self, label: &Label, what: &str) -> Diagnostic {
        self.here(Diagnostic::error(format!("{label} cannot be a condition of a select: it is {what}")))
            .hint("config_setting(name = ..., os = \"linux\") declares a condition")
    }

    fn here(&self, diagnostic: Diagnostic) -> Diagnostic {
        self.loader.locate(diagnostic, self.target.location.as_ref())
    }
}

fn demands_of(target: &Target) -> Demands {
    let plain = |name: &str| target.attributes.get(name).and_then(Configurable::plain);
    let mut demands = Demands::new();
    for setting in ["os", "arch", "compilation_mode"] {
        if let Some(value) = plain(setting).and_then(Data::as_str).filter(|value| !value.is_empty()) {
            demands.insert(setting.to_owned(), value.to_owned());
        }
    }
    let texts = |name: &str| -> Vec<(String, String)> {
        let pairs = plain(name).and_then(Data::as_dict).unwrap_or_default();
        let text = |data: &Data| data.as_str().map(str::to_owned);
        pairs.iter().filter_map(|(key, value)| Some((text(key)?, text(value)?))).collect()
    };
    for (name, value) in texts("define").into_iter().chain(texts("define_values")) {
        demands.insert(format!("define {name}"), value);
    }
    for (name, value) in texts("values") {
        match (name.as_str(), value.split_once('=')) {
            ("define", Some((name, value))) => demands.insert(format!("define {name}"), value.to_owned()),
            ("c", _) => demands.insert("compilation_mode".to_owned(), value),
            _ => demands.insert(name, value),
        };
    }
    demands
}
