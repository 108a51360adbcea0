//! Objects as YAML for people: each part says which attribute of which target it comes from.

use serde_json::Value as Json;

use crate::object::{Object, Origin};

/// The column at which origins begin, where the line is shorter.
const COMMENT_COLUMN: usize = 76;

/// All objects as one YAML stream with origin comments.
pub fn show(objects: &[Object]) -> String {
    objects.iter().map(|object| format!("---\n{}", Printer::annotated(object))).collect()
}

/// A value as YAML, without comments.
pub fn yaml(value: &Json) -> String {
    let mut printer = Printer { object: None, out: String::new() };
    printer.value(value, 0, "", None);
    printer.out
}

struct Printer<'a> {
    object: Option<&'a Object>,
    out: String,
}

impl<'a> Printer<'a> {
    fn annotated(object: &'a Object) -> String {
        let mut printer = Self { object: Some(object), out: String::new() };
        printer.value(&object.value, 0, "", None);
        printer.out
    }

    fn origin(&self, pointer: &str) -> Option<&'a Origin> {
        self.object.and_then(|object| object.origin(pointer))
    }

    /// Prints a value. `said` is the origin that the line above names or inherits; it is not repeated.
    fn value(&mut self, value: &Json, indent: usize, pointer: &str, said: Option<&'a Origin>) {
        match value {
            Json::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| (field_rank(name), name.as_str()));
                let mut said = said;
                for (name, value) in fields {
                    let pointer_of_field = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    self.entry(&format!("{}:", scalar_text(name)), value, indent, &pointer_of_field, said);
                    said = self.origin(pointer);
                }
            }
            Json::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.item(item, indent, &format!("{pointer}/{index}"), said);
                }
            }
            scalar => self.line(&scalar_yaml(scalar), indent, pointer, said),
        }
    }

    fn entry(&mut self, head: &str, value: &Json, indent: usize, pointer: &str, said: Option<&'a Origin>) {
        let nested = match value {
            Json::Object(fields) if !fields.is_empty() => Some(indent + 2),
            Json::Array(items) if !items.is_empty() => Some(indent),
            _ => None,
        };
        match nested {
            Some(below) => {
                self.line(head, indent, pointer, said);
                self.value(value, below, pointer, self.origin(pointer));
            }
            None => self.line(&format!("{head} {}", scalar_yaml(value)), indent, pointer, said),
        }
    }

    /// A list item: its first line carries the dash.
    fn item(&mut self, item: &Json, indent: usize, pointer: &str, said: Option<&'a Origin>) {
        let start = self.out.len();
        match item {
            Json::Object(fields) if !fields.is_empty() => self.value(item, indent + 2, pointer, said),
            Json::Array(items) if !items.is_empty() => self.value(item, indent + 2, pointer, said),
            scalar => self.line(&scalar_yaml(scalar), indent + 2, pointer, said),
        }
        self.out.replace_range(start + indent..start + indent + 1, "-");
    }

    fn line(&mut self, text: &str, indent: usize, pointer: &str, said: Option<&'a Origin>) {
        let line = format!("{}{text}", " ".repeat(indent));
        match self.origin(pointer).filter(|origin| said != Some(*origin)) {
            Some(origin) => {
                let pad = COMMENT_COLUMN.saturating_sub(line.chars().count()).max(1);
                self.out.push_str(&format!("{line}{}# {origin}\n", " ".repeat(pad)));
            }
            None => self.out.push_str(&format!("{line}\n")),
        }
    }
}

/// What a reader looks for first stands first.
fn field_rank(name: &str) -> u8 {
    match name {
        "apiVersion" => 0,
        "kind" => 1,
        "metadata" => 2,
        "name" => 3,
        _ => 4,
    }
}

fn scalar_yaml(value: &Json) -> String {
    match value {
        Json::String(text) => scalar_text(text),
        Json::Object(_) => "{}".into(),
        Json::Array(_) => "[]".into(),
        other => other.to_string(),
    }
}

/// A text as a YAML scalar on one line: plain where that reads back as the same text, else in JSON's quotes, which
/// are YAML's.
fn scalar_text(text: &str) -> String {
    let plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./@:+()".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(':')
        && !text.contains(": ")
        && !matches!(
            text.to_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n" | "nan" | "inf"
        );
    if plain { text.to_owned() } else { quoted(text) }
}

/// JSON's quoted form, with an escape for each character that YAML does not take as it is.
fn quoted(text: &str) -> String {
    let unprintable =
        |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    let escape = |c: char| if unprintable(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Json::from(text).to_string().chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn back(value: &Json) -> Json {
        serde_saphyr::from_str(&yaml(value)).unwrap_or_else(|error| panic!("{error}\n{}", yaml(value)))
    }

    #[test]
    fn nested_lists_and_empty_values_read_back() {
        let value =
            json!({"a": [{"b": [], "c": {}}, [1, 2], "x", null], "d": {"e": {"f": "yes"}}, "1": "0x1", "g": "a\nb"});
        assert_eq!(back(&value), value);
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in ".{0,12}", key in "[a-zA-Z0-9:# -]{1,8}") {
            let value = json!({ key: text });
            prop_assert_eq!(back(&value), value);
        }
    }
}
