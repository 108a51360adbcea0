//! Writes the text of generated BUILD.star files.

use std::collections::BTreeMap;

/// A call of a rule, one argument a line.
pub(crate) struct Call(String);

impl Call {
    pub(crate) fn new(rule: &str) -> Self {
        Self(format!("{rule}(\n"))
    }

    /// An argument whose value is Starlark already. Empty lists and dictionaries are left out.
    pub(crate) fn value(&mut self, name: &str, value: String) -> &mut Self {
        if value != "[]" && value != "{}" {
            self.0.push_str(&format!("    {name} = {value},\n"));
        }
        self
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.value(name, quote(value))
    }

    pub(crate) fn list(&mut self, name: &str, items: &[String]) -> &mut Self {
        self.value(name, list(items))
    }

    pub(crate) fn finish(&self) -> String {
        format!("{})\n", self.0)
    }
}

/// A string literal.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A list of string literals.
pub(crate) fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quote(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A dictionary of string literals.
pub(crate) fn dict(pairs: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{}: {}", quote(key), quote(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// A dictionary of lists of string literals.
pub(crate) fn dict_of_lists(pairs: &BTreeMap<String, Vec<String>>) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{}: {}", quote(key), list(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}
