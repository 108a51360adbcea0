//! `json`: encode, decode, indent. Encoded, the members of an object are sorted; decoded, they keep their order.

use std::fmt;

use model::Data;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use starlark::collections::SmallMap;
use starlark::environment::GlobalsBuilder;
use starlark::starlark_module;
use starlark::values::dict::{AllocDict, DictRef};
use starlark::values::list::{AllocList, ListRef};
use starlark::values::structs::StructRef;
use starlark::values::tuple::TupleRef;
use starlark::values::{Heap, Value};

use crate::problem::{Problem, a, fail};

/// Deeper values than this contain themselves.
const DEEPEST: usize = 200;

/// serde_json's name for a number of arbitrary precision, which the starlark crate switches on.
const NUMBER: &str = "$serde_json::private::Number";

/// Data as JSON: labels as text, files as their paths, depsets as lists.
pub(crate) struct Encoded<'a>(pub &'a Data);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sequence = |list: &[Data], serializer: S| {
            let mut sequence = serializer.serialize_seq(Some(list.len()))?;
            list.iter().try_for_each(|element| sequence.serialize_element(&Encoded(element)))?;
            sequence.end()
        };
        match self.0 {
            Data::None => serializer.serialize_unit(),
            Data::Bool(value) => serializer.serialize_bool(*value),
            Data::Int(number) => serializer.serialize_i64(*number),
            Data::Str(text) => serializer.serialize_str(text),
            Data::Label(label) => serializer.collect_str(label),
            Data::File(file) => serializer.collect_str(file.path()),
            Data::List(list) => sequence(list, serializer),
            Data::Depset(set) => sequence(&set.to_list(), serializer),
            Data::Dict(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                pairs.iter().try_for_each(|(key, value)| map.serialize_entry(&Encoded(key), &Encoded(value)))?;
                map.end()
            }
            Data::Struct(fields) => serializer.collect_map(fields.iter().map(|(name, data)| (&**name, Encoded(data)))),
            Data::Provider(instance) => {
                serializer.collect_map(instance.fields.iter().map(|(name, data)| (&**name, Encoded(data))))
            }
            Data::Function(function) => {
                Err(serde::ser::Error::custom(format!("the function `{}` has no JSON", function.name)))
            }
        }
    }
}

/// The module `json`.
pub(crate) fn json_module(builder: &mut GlobalsBuilder) {
    builder.namespace("json", members);
}

#[starlark_module]
fn members(builder: &mut GlobalsBuilder) {
    fn encode<'v>(#[starlark(require = pos)] x: Value<'v>) -> starlark::Result<String> {
        to_json(x)
    }

    fn encode_indent<'v>(
        #[starlark(require = pos)] x: Value<'v>,
        #[starlark(require = named, default = "")] prefix: &str,
        #[starlark(require = named, default = "\t")] indent: &str,
    ) -> starlark::Result<String> {
        Ok(indented(&to_json(x)?, prefix, indent))
    }

    fn indent<'v>(
        #[starlark(require = pos)] s: &str,
        #[starlark(require = named, default = "")] prefix: &str,
        #[starlark(require = named, default = "\t")] indent: &str,
    ) -> starlark::Result<String> {
        Ok(indented(s, prefix, indent))
    }

    fn decode<'v>(
        #[starlark(require = pos)] x: &str,
        default: Option<Value<'v>>,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        let mut deserializer = serde_json::Deserializer::from_str(x);
        let decoded = Decode(heap).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
        match (decoded, default) {
            (Ok(value), _) => Ok(value),
            (Err(_), Some(default)) => Ok(default),
            (Err(error), None) => fail(format!("not JSON: {error}")),
        }
    }
}

/// As in Bazel: members are sorted by name, and what JSON has no form for is refused.
fn to_json(value: Value<'_>) -> starlark::Result<String> {
    let refuse = |error: String| Problem::new(format!("cannot be written as JSON: {error}"));
    check_numbers(value, 0).map_err(refuse)?;
    let mut json = value.to_json_value().map_err(|error| refuse(error.to_string()))?;
    json.sort_all_objects();
    Ok(json.to_string())
}

/// A number that is none would become `null`.
fn check_numbers(value: Value<'_>, depth: usize) -> Result<(), String> {
    if depth > DEEPEST {
        return Err("it nests too deep".to_owned());
    }
    if value.get_type() == "float" {
        let is_number = value.to_str().parse::<f64>().is_ok_and(f64::is_finite);
        return if is_number { Ok(()) } else { Err(format!("the float {value} is no number")) };
    }
    let inner = |value| check_numbers(value, depth + 1);
    if let Some(list) = ListRef::from_value(value) {
        return list.iter().try_for_each(inner);
    }
    if let Some(tuple) = TupleRef::from_value(value) {
        return tuple.iter().try_for_each(inner);
    }
    if let Some(dict) = DictRef::from_value(value) {
        return dict.iter().try_for_each(|(key, value)| match key.unpack_str() {
            Some(_) => inner(value),
            None => Err(format!("the key {} of a dict is {}, but names are strings", key.to_repr(), a(key.get_type()))),
        });
    }
    if let Some(fields) = StructRef::from_value(value) {
        return fields.iter().try_for_each(|(_, value)| inner(value));
    }
    Ok(())
}

/// Lays out compact JSON over lines.
fn indented(compact: &str, prefix: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut chars = compact.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(prefix);
        out.push_str(&indent.repeat(depth));
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push(c);
                while let Some(inner) = chars.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// Builds Starlark values straight from JSON.
#[derive(Clone, Copy)]
struct Decode<'v>(Heap<'v>);

impl<'de, 'v> DeserializeSeed<'de> for Decode<'v> {
    type Value = Value<'v>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'v>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'v> Visitor<'de> for Decode<'v> {
    type Value = Value<'v>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value<'v>, E> {
        Ok(Value::new_none())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'v>, E> {
        Ok(Value::new_bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'v>, E> {
        Ok(self.0.alloc(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'v>, E> {
        Ok(self.0.alloc(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'v>, E> {
        Ok(self.0.alloc(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'v>, E> {
        Ok(self.0.alloc(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value<'v>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = sequence.next_element_seed(self)? {
            list.push(element);
        }
        Ok(self.0.alloc(AllocList(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'v>, A::Error> {
        let mut pairs: SmallMap<String, Value<'v>> = SmallMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == NUMBER {
                return number(&map.next_value::<String>()?, self.0);
            }
            let value = map.next_value_seed(self)?;
            pairs.insert(key, value);
        }
        Ok(self.0.alloc(AllocDict(pairs)))
    }
}

fn number<'v, E: serde::de::Error>(text: &str, heap: Heap<'v>) -> Result<Value<'v>, E> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(heap.alloc(number));
    }
    if text.contains(['.', 'e', 'E']) {
        return text.parse::<f64>().map(|number| heap.alloc(number)).map_err(E::custom);
    }
    Err(E::custom(format!("the number {text} is too large")))
}
