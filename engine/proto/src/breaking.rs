//! What a change of descriptors breaks for a peer that still speaks the old ones.
//!
//! Wire rules only (names matter where JSON or gRPC paths carry them): additions are fine, a field number keeps its type
//! for ever, a removed field reserves its number.

use std::collections::BTreeMap;

use prost::DecodeError;
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor};

/// Compares two self-contained encoded `FileDescriptorSet`s (each holds all its imports) and says, in sentences for people, what
/// of the old one the new one breaks. Empty: every old peer can talk to the new one.
pub fn breaking(old: &[u8], new: &[u8]) -> Result<Vec<String>, DecodeError> {
    let (old, new) = (pool(old)?, pool(new)?);
    let mut broken = Vec::new();
    for message in old.all_messages().filter(|message| !message.is_map_entry() && own(message.full_name())) {
        match new.get_message_by_name(message.full_name()) {
            Some(after) => compare_messages(&message, &after, &mut broken),
            None => broken.push(format!("message `{}` was removed", message.full_name())),
        }
    }
    for before in old.all_enums().filter(|before| own(before.full_name())) {
        match new.get_enum_by_name(before.full_name()) {
            Some(after) => compare_enums(&before, &after, &mut broken),
            None => broken.push(format!("enum `{}` was removed", before.full_name())),
        }
    }
    for service in old.services() {
        match new.get_service_by_name(service.full_name()) {
            Some(after) => compare_services(&service, &after, &mut broken),
            None => broken.push(format!("service `{}` was removed", service.full_name())),
        }
    }
    Ok(broken)
}

fn pool(set: &[u8]) -> Result<DescriptorPool, DecodeError> {
    let mut pool = DescriptorPool::new();
    // The pool's error is about a set that does not link; as bytes go, that is a set we cannot decode.
    #[allow(deprecated)]
    pool.decode_file_descriptor_set(set).map_err(|error| DecodeError::new(error.to_string()))?;
    Ok(pool)
}

/// Whether a type is not one of the well-known ones, which are in a set only if something imports them.
fn own(full_name: &str) -> bool {
    !full_name.starts_with("google.protobuf.")
}

fn compare_messages(old: &MessageDescriptor, new: &MessageDescriptor, broken: &mut Vec<String>) {
    let after: BTreeMap<u32, FieldDescriptor> = new.fields().map(|field| (field.number(), field)).collect();
    for field in old.fields() {
        let (name, number) = (field.full_name(), field.number());
        let Some(after) = after.get(&number) else {
            if !new.reserved_ranges().any(|range| range.contains(&number)) {
                broken.push(format!("field `{name}` = {number} was removed and its number is not reserved"));
            }
            continue;
        };
        if after.name() != field.name() {
            broken.push(format!(
                "field number {number} of `{}` was `{}` and is now `{}`",
                old.full_name(),
                field.name(),
                after.name()
            ));
        }
        let (before, now) = (shape(&field), shape(after));
        if before != now {
            broken.push(format!("field `{name}` = {number} was `{before}` and is now `{now}`"));
        }
    }
}

/// The type of a field as it would be written.
fn shape(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) if field.is_map() => {
            return format!(
                "map<{}, {}>",
                shape(&message.map_entry_key_field()),
                shape(&message.map_entry_value_field())
            );
        }
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(kind) => kind.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    if field.is_list() { format!("repeated {kind}") } else { kind }
}

fn compare_enums(old: &EnumDescriptor, new: &EnumDescriptor, broken: &mut Vec<String>) {
    for value in old.values() {
        let (name, number) = (value.full_name(), value.number());
        match new.get_value(number) {
            Some(after) if after.name() != value.name() && new.get_value_by_name(value.name()).is_none() => {
                broken.push(format!(
                    "enum value {number} of `{}` was `{}` and is now `{}`",
                    old.full_name(),
                    value.name(),
                    after.name()
                ));
            }
            Some(_) => {}
            None if new.reserved_ranges().any(|range| range.contains(&number)) => {}
            None => broken.push(format!("enum value `{name}` = {number} was removed and its number is not reserved")),
        }
    }
}

fn compare_services(old: &ServiceDescriptor, new: &ServiceDescriptor, broken: &mut Vec<String>) {
    for method in old.methods() {
        let name = format!("/{}/{}", old.full_name(), method.name());
        let Some(after) = new.methods().find(|after| after.name() == method.name()) else {
            broken.push(format!("method `{name}` was removed"));
            continue;
        };
        let directions = [
            ("request", method.input(), after.input(), method.is_client_streaming(), after.is_client_streaming()),
            ("response", method.output(), after.output(), method.is_server_streaming(), after.is_server_streaming()),
        ];
        for (what, before, now, was_stream, is_stream) in directions {
            let show = |message: &MessageDescriptor, stream: bool| {
                format!("{}{}", if stream { "stream " } else { "" }, message.full_name())
            };
            let (before, now) = (show(&before, was_stream), show(&now, is_stream));
            if before != now {
                broken.push(format!("the {what} of `{name}` was `{before}` and is now `{now}`"));
            }
        }
    }
}
