//! Query results as text.

use std::collections::HashSet;
use std::fmt::Write;

use model::{Configurable, Data, Diagnostics, Label, Part};
use serde_json::{Map, Value, json};

use super::eval::kind;
use crate::graph::dependencies;
use crate::loader::Loader;
use crate::node::Node;

/// `--output` of `build query`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueryFormat {
    /// One label a line.
    #[default]
    Label,
    /// `go_library rule //a:b`.
    LabelKind,
    /// An array of objects: label, kind, rule, attributes, location.
    Json,
    /// A graph for Graphviz: the labels found and the edges between them.
    Dot,
}

pub(super) fn render(loader: &Loader, labels: &[Label], format: QueryFormat) -> Result<String, Diagnostics> {
    let mut text = String::new();
    match format {
        QueryFormat::Label => labels.iter().for_each(|label| text.push_str(&format!("{label}\n"))),
        QueryFormat::LabelKind => {
            for label in labels {
                let _ = writeln!(text, "{} {label}", kind(label, &loader.node(label)?));
            }
        }
        QueryFormat::Json => {
            let objects: Result<Vec<Value>, Diagnostics> =
                labels.iter().map(|label| Ok(object(label, &loader.node(label)?))).collect();
            let _ = writeln!(text, "{:#}", Value::Array(objects?));
        }
        QueryFormat::Dot => text = dot(loader, labels)?,
    }
    Ok(text)
}

fn dot(loader: &Loader, labels: &[Label]) -> Result<String, Diagnostics> {
    let within: HashSet<&Label> = labels.iter().collect();
    let mut text = String::from("digraph targets {\n  node [shape=box];\n");
    for label in labels {
        let _ = writeln!(text, "  \"{label}\";");
        let mut edges: Vec<Label> = Vec::new();
        for dependency in dependencies(loader, &loader.node(label)?)? {
            edges.push(loader.resolve(&dependency)?);
        }
        edges.retain(|dependency| within.contains(dependency));
        edges.sort();
        edges.dedup();
        for dependency in edges {
            let _ = writeln!(text, "  \"{label}\" -> \"{dependency}\";");
        }
    }
    text.push_str("}\n");
    Ok(text)
}

fn object(label: &Label, node: &Node) -> Value {
    let mut object =
        Map::from_iter([("label".to_owned(), json!(label.to_string())), ("kind".to_owned(), json!(kind(label, node)))]);
    match node {
        Node::SourceFile(_) => {}
        Node::OutputFile { generator, .. } => {
            object.insert("generator".to_owned(), json!(generator.to_string()));
        }
        Node::Target(target, schema) => {
            object.insert("rule".to_owned(), json!(target.rule.name));
            object.insert("rule_file".to_owned(), json!(target.rule.file.to_string()));
            object.insert("test".to_owned(), json!(schema.test));
            if let Some(location) = &target.location {
                object.insert("location".to_owned(), json!(location.to_string()));
            }
            let explicit = target.attributes.iter().filter(|(name, _)| target.explicit.contains(name));
            let attributes = explicit.map(|(name, value)| (name.to_string(), configurable(value)));
            object.insert("attributes".to_owned(), Value::Object(attributes.collect()));
        }
    }
    Value::Object(object)
}

fn configurable(value: &Configurable) -> Value {
    match value {
        Configurable::Plain(data) => plain(data),
        Configurable::Sum(parts) => {
            let parts: Vec<Value> = parts.iter().map(part).collect();
            json!({ "sum": parts })
        }
    }
}

fn part(part: &Part) -> Value {
    match part {
        Part::Plain(data) => plain(data),
        Part::Select(select) => {
            let mut branches: Map<String, Value> =
                select.branches.iter().map(|(condition, data)| (condition.to_string(), plain(data))).collect();
            if let Some(data) = &select.default {
                branches.insert("//conditions:default".to_owned(), plain(data));
            }
            json!({ "select": branches })
        }
    }
}

fn plain(data: &Data) -> Value {
    match data {
        Data::None => Value::Null,
        Data::Bool(value) => json!(value),
        Data::Int(value) => json!(value),
        Data::Str(text) => json!(text),
        Data::Label(label) => json!(label.to_string()),
        Data::List(list) => list.iter().map(plain).collect(),
        Data::Dict(pairs) => {
            let key = |data: &Data| match data {
                Data::Str(text) => text.to_string(),
                Data::Label(label) => label.to_string(),
                other => plain(other).to_string(),
            };
            Value::Object(pairs.iter().map(|(name, value)| (key(name), plain(value))).collect())
        }
        Data::Struct(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.to_string(), plain(value))).collect())
        }
        other => json!(format!("<{}>", other.type_name())),
    }
}
