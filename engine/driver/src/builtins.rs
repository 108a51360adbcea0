//! The actions that run inside the engine: adapters from an action's parameters to the crates that do the work.

use std::collections::BTreeMap;
use std::sync::Arc;

use execution::{Builtin, BuiltinCall, Content, Made, Refused};
use model::{RelPath, Reporter};
use serde::de::DeserializeOwned;

mod bundle;
mod fetched;
mod images;
mod protos;

/// What a built-in action returns: the content of each output or the process that makes it, or what went wrong.
type Outputs = Result<Made, Refused>;

/// All built-in actions by the name that rules use.
pub(crate) fn all(
    endpoints: &Arc<fetch::Endpoints>,
    reporter: &Arc<dyn Reporter>,
) -> BTreeMap<Arc<str>, Arc<dyn Builtin>> {
    let list: [(&str, Arc<dyn Builtin>); 6] = [
        ("fetch", Arc::new(fetched::Fetch { endpoints: Arc::clone(endpoints) })),
        ("proto_descriptors", Arc::new(protos::Descriptors)),
        ("oci_layer", Arc::new(images::Layer)),
        ("oci_image", Arc::new(images::Image)),
        ("oci_pull", Arc::new(images::Pull { endpoints: Arc::clone(endpoints), reporter: Arc::clone(reporter) })),
        ("bundle", Arc::new(bundle::Bundle)),
    ];
    list.into_iter().map(|(name, builtin)| (Arc::from(name), builtin)).collect()
}

/// An error with its causes, in one line, and in another one what helps against it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(&format!(": {message}"));
        }
        cause = error.source();
    }
    if let Some(remedy) = host::remedy::of(error) {
        text.push_str(&format!("\n  hint: {remedy}"));
    }
    text
}

/// Whether a built-in action reaches out to the network.
pub(crate) fn is_download(name: &str) -> bool {
    matches!(name, "fetch" | "oci_pull")
}

/// The parameters of an action as its type.
fn parameters<T: DeserializeOwned>(call: &BuiltinCall<'_>) -> Result<T, String> {
    serde_json::from_value(call.params.clone()).map_err(|error| format!("its rule gave it wrong parameters: {error}"))
}

/// The content of the input at `path`.
fn input<'a>(call: &'a BuiltinCall<'_>, path: &str) -> Result<&'a Content, String> {
    let key = RelPath::new(path).map_err(|error| chain(&error))?;
    call.inputs.get(&key).ok_or_else(|| format!("`{path}` is not among its inputs; its rule must declare it"))
}

/// The bytes of the input file at `path`.
fn bytes(call: &BuiltinCall<'_>, path: &str) -> Result<Vec<u8>, String> {
    match input(call, path)? {
        Content::File { digest, .. } => call.store.read(digest).map_err(|error| chain(&error)),
        Content::Tree(_) => Err(format!("`{path}` is a folder; a file is expected")),
    }
}

/// Puts bytes in the store as the output number `index`.
fn output(call: &BuiltinCall<'_>, index: usize, bytes: &[u8]) -> Result<(RelPath, Content), String> {
    let digest = call.store.put_bytes(bytes).map_err(|error| chain(&error))?;
    Ok((path(call, index)?, Content::File { digest, size: bytes.len() as u64, executable: false }))
}

/// The path of the output number `index`.
fn path(call: &BuiltinCall<'_>, index: usize) -> Result<RelPath, String> {
    let output =
        call.outputs.get(index).ok_or_else(|| format!("its rule must declare at least {} outputs", index + 1))?;
    Ok(output.path().clone())
}
