//! Between Starlark's values and `model::Data`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Data, FunctionRef, ProviderInstance, RUNFILES};
use starlark::values::dict::{AllocDict, DictRef};
use starlark::values::list::{AllocList, ListRef};
use starlark::values::structs::{AllocStruct, StructRef};
use starlark::values::tuple::TupleRef;
use starlark::values::{Heap, UnpackValue, Value};

use super::function::FunctionValue;
use super::{DepsetValue, FileValue, InstanceValue, LabelValue, RunfilesValue, SelectValue, TargetValue};
use crate::session::Session;

/// Deeper data than this is a list that contains itself.
const MAX_NESTING: usize = 100;

/// Makes a reference to a function, or says why it cannot.
type Functions<'a> = &'a dyn Fn(Value<'_>) -> Result<FunctionRef, String>;

/// The value as data, or why it is not.
pub(crate) fn to_data(value: Value<'_>, session: &Session<'_>) -> Result<Data, String> {
    convert(value, &|function| session.function_ref(function), 0)
}

/// The value as data without functions, or why it is not.
pub(crate) fn to_plain_data(value: Value<'_>) -> Result<Data, String> {
    convert(value, &|_| Err("a function cannot stand here".to_owned()), 0)
}

fn convert(value: Value<'_>, functions: Functions<'_>, depth: usize) -> Result<Data, String> {
    if depth > MAX_NESTING {
        return Err("it is nested too deeply".to_owned());
    }
    if let Some(data) = scalar(value)? {
        return Ok(data);
    }
    let inner = |value| convert(value, functions, depth + 1);
    if let Some(list) = ListRef::from_value(value) {
        return list.iter().map(inner).collect::<Result<Vec<_>, _>>().map(|list| Data::List(Arc::from(list)));
    }
    if let Some(tuple) = TupleRef::from_value(value) {
        return tuple.iter().map(inner).collect::<Result<Vec<_>, _>>().map(|list| Data::List(Arc::from(list)));
    }
    if let Some(dict) = DictRef::from_value(value) {
        let pairs = dict.iter().map(|(key, value)| Ok((inner(key)?, inner(value)?)));
        return pairs.collect::<Result<Vec<_>, String>>().map(|pairs| Data::Dict(Arc::from(pairs)));
    }
    if let Some(fields) = StructRef::from_value(value) {
        let fields = fields.iter().map(|(name, value)| Ok((Arc::from(name.as_str()), inner(value)?)));
        return fields.collect::<Result<BTreeMap<_, _>, String>>().map(|fields| Data::Struct(Arc::new(fields)));
    }
    if value.get_type() == "function" {
        return functions(value).map(Data::Function);
    }
    Err(refuse(value))
}

fn scalar(value: Value<'_>) -> Result<Option<Data>, String> {
    if value.is_none() {
        return Ok(Some(Data::None));
    }
    if let Some(value) = value.unpack_bool() {
        return Ok(Some(Data::Bool(value)));
    }
    if let Some(text) = value.unpack_str() {
        return Ok(Some(Data::text(text)));
    }
    if value.get_type() == "int" {
        let number = i64::unpack_value(value).ok().flatten();
        return number.map(|number| Some(Data::Int(number))).ok_or_else(|| "the number is too large".to_owned());
    }
    if let Some(label) = LabelValue::from_value(value) {
        return Ok(Some(Data::Label(label.0.clone())));
    }
    if let Some(file) = FileValue::from_value(value) {
        return Ok(Some(Data::File(file.0.clone())));
    }
    if let Some(set) = DepsetValue::from_value(value) {
        return Ok(Some(Data::Depset(Arc::clone(&set.0))));
    }
    if let Some(instance) = InstanceValue::from_value(value) {
        return Ok(Some(Data::Provider(Arc::clone(&instance.0))));
    }
    if let Some(runfiles) = RunfilesValue::from_value(value) {
        return Ok(Some(runfiles.to_data()));
    }
    if let Some(function) = FunctionValue::from_value(value) {
        return Ok(Some(Data::Function(function.0.clone())));
    }
    Ok(None)
}

fn refuse(value: Value<'_>) -> String {
    if TargetValue::from_value(value).is_some() {
        return "a target is not data; keep one of its providers, or its label".to_owned();
    }
    if SelectValue::from_value(value).is_some() {
        return "a select can stand in a rule's attribute only".to_owned();
    }
    format!("{} is not data", crate::problem::a(value.get_type()))
}

/// Data as a value on the heap.
pub(crate) fn from_data<'v>(data: &Data, heap: Heap<'v>) -> Value<'v> {
    match data {
        Data::None => Value::new_none(),
        Data::Bool(value) => Value::new_bool(*value),
        Data::Int(number) => heap.alloc(*number),
        Data::Str(text) => heap.alloc(&**text),
        Data::Label(label) => heap.alloc(LabelValue(label.clone())),
        Data::File(file) => heap.alloc(FileValue(file.clone())),
        Data::List(list) => heap.alloc(AllocList(list.iter().map(|data| from_data(data, heap)))),
        Data::Dict(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (from_data(key, heap), from_data(value, heap)));
            heap.alloc(AllocDict(pairs.collect::<Vec<_>>()))
        }
        Data::Struct(fields) => {
            heap.alloc(AllocStruct(fields.iter().map(|(name, data)| (&**name, from_data(data, heap)))))
        }
        Data::Provider(instance) => from_instance(instance, heap),
        Data::Depset(set) => heap.alloc(DepsetValue(Arc::clone(set))),
        Data::Function(function) => heap.alloc(FunctionValue(function.clone())),
    }
}

fn from_instance<'v>(instance: &Arc<ProviderInstance>, heap: Heap<'v>) -> Value<'v> {
    if instance.id == *RUNFILES {
        return heap.alloc(RunfilesValue::from_instance(instance));
    }
    heap.alloc(InstanceValue(Arc::clone(instance)))
}

/// Data as Starlark would write it.
pub(crate) fn repr(data: &Data) -> String {
    let list = |list: &[Data]| list.iter().map(repr).collect::<Vec<_>>().join(", ");
    let fields = |fields: &BTreeMap<Arc<str>, Data>| {
        fields.iter().map(|(name, data)| format!("{name} = {}", repr(data))).collect::<Vec<_>>().join(", ")
    };
    match data {
        Data::None => "None".to_owned(),
        Data::Bool(true) => "True".to_owned(),
        Data::Bool(false) => "False".to_owned(),
        Data::Int(number) => number.to_string(),
        Data::Str(text) => format!("{text:?}"),
        Data::Label(label) => format!("Label(\"{label}\")"),
        Data::File(file) => format!("{file:?}"),
        Data::List(elements) => format!("[{}]", list(elements)),
        Data::Dict(pairs) => {
            let pairs: Vec<String> =
                pairs.iter().map(|(key, value)| format!("{}: {}", repr(key), repr(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Data::Struct(inner) => format!("struct({})", fields(inner)),
        Data::Provider(instance) => format!("{}({})", instance.id, fields(&instance.fields)),
        Data::Depset(set) => format!("depset([{}])", list(&set.to_list())),
        Data::Function(function) => format!("<function {}>", function.name),
    }
}
