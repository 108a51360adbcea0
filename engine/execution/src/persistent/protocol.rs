//! The worker protocol in JSON, as Bazel documents it: a request a line, a response a line. All fields of a response are
//! optional; unknown ones are for others.

use std::collections::BTreeMap;

use model::{RelPath, TreeEntry};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};

use crate::content::Content;

/// The id of all requests to a worker that has one at a time.
pub(super) const SINGLE: i64 = 0;

/// Files that name files that name files, so deep, are a circle.
const DEEPEST: usize = 16;

/// What is asked.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkRequest {
    arguments: Vec<String>,
    inputs: Vec<Input>,
    request_id: i64,
}

#[derive(Serialize)]
struct Input {
    path: String,
    digest: String,
}

/// What is answered.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WorkResponse {
    #[serde(alias = "exit_code")]
    pub exit_code: i32,
    pub output: String,
    #[serde(alias = "request_id")]
    pub request_id: i64,
}

/// A request that could not be put together.
pub(super) enum RequestError {
    /// The fault of the action, for its author.
    Wrong(String),
    /// The store's, over the content at this path.
    Store(RelPath, StoreError),
}

/// The line of a request with these flag files.
pub(super) fn request(
    store: &Store,
    inputs: &BTreeMap<RelPath, Content>,
    flag_files: &[String],
) -> Result<Vec<u8>, RequestError> {
    let mut arguments = Vec::new();
    for argument in flag_files {
        Flags { store, inputs }.expand(argument, 0, &mut arguments)?;
    }
    let mut listed = Vec::with_capacity(inputs.len());
    for (path, content) in inputs {
        list(store, path, content, &mut listed).map_err(|error| RequestError::Store(path.clone(), error))?;
    }
    let request = WorkRequest { arguments, inputs: listed, request_id: SINGLE };
    let line = serde_json::to_vec(&request).map_err(|error| RequestError::Wrong(error.to_string()));
    line.map(|mut line| {
        line.push(b'\n');
        line
    })
}

/// The files of an input.
fn list(store: &Store, path: &RelPath, content: &Content, listed: &mut Vec<Input>) -> Result<(), StoreError> {
    match content {
        Content::File { digest, .. } => listed.push(Input { path: path.to_string(), digest: digest.to_string() }),
        Content::Tree(tree) => {
            for (below, entry) in store.tree(tree)?.entries {
                if let TreeEntry::File { digest, .. } = entry {
                    listed.push(Input { path: path.join_path(&below).to_string(), digest: digest.to_string() });
                }
            }
        }
    }
    Ok(())
}

/// Reads flag files.
struct Flags<'a> {
    store: &'a Store,
    inputs: &'a BTreeMap<RelPath, Content>,
}

impl Flags<'_> {
    /// `@file` stands for the lines of the file, `@@` for itself. `--flagfile=file` is for the tool to read.
    fn expand(&self, argument: &str, depth: usize, arguments: &mut Vec<String>) -> Result<(), RequestError> {
        let named = argument.strip_prefix('@').filter(|rest| !rest.is_empty() && !rest.starts_with('@'));
        let content = named.and_then(|path| Some((RelPath::new(path).ok()?, path)));
        let content = content.and_then(|(path, _)| self.inputs.get(&path).map(|content| (path, content)));
        let (path, digest) = match (named, content) {
            (Some(_), Some((path, Content::File { digest, .. }))) => (path, digest),
            (Some(name), _) if depth == 0 => {
                return Err(RequestError::Wrong(format!("{argument} names arguments, but {name} is no input file")));
            }
            // Inside of a file it may be the name of a thing.
            _ => {
                arguments.push(argument.to_owned());
                return Ok(());
            }
        };
        if depth == DEEPEST {
            return Err(RequestError::Wrong(format!("{path} and others name each other as files of arguments")));
        }
        let bytes = self.store.read(digest).map_err(|error| RequestError::Store(path.clone(), error))?;
        let text = String::from_utf8(bytes).map_err(|_| RequestError::Wrong(format!("{path} is not UTF-8")))?;
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.into_iter().try_for_each(|line| self.expand(line, depth + 1, arguments))
    }
}

/// Reads a response to a request.
pub(super) fn response(line: &[u8]) -> Result<WorkResponse, String> {
    let response: WorkResponse = serde_json::from_slice(line)
        .map_err(|error| format!("wrote something that is no response ({error}): {}", shown(line)))?;
    match response.request_id {
        SINGLE => Ok(response),
        other => Err(format!("answered request {other} instead of request {SINGLE}")),
    }
}

/// The beginning of what was written, as people can read it.
pub(super) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned();
    format!("{:?}{}", text.trim_end(), if bytes.len() > MOST { " ..." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_response_is_optional_and_another_id_is_refused() {
        let full = br#"{"exitCode": 2, "output": "no\\n", "requestId": 0, "wasCancelled": false}"#;
        assert_eq!(response(full).unwrap().exit_code, 2);
        assert_eq!(response(b"{}\n").unwrap(), WorkResponse::default());
        assert_eq!(response(b"{\"requestId\": 7}").unwrap_err(), "answered request 7 instead of request 0");
        assert!(response(b"Compiling...\n").unwrap_err().contains("\"Compiling...\""));
    }

    #[test]
    fn lines_of_flag_files_are_arguments() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let file = |text: &str| {
            let digest = store.put_bytes(text.as_bytes()).unwrap();
            Content::File { digest, size: text.len() as u64, executable: false }
        };
        let path = |text: &str| RelPath::new(text).unwrap();
        let mut inputs =
            BTreeMap::from([(path("a"), file("-x\n\n@b\n@scope/name\n")), (path("b"), file("y z\r\n@@c"))]);
        let line = |inputs: &_, flag: &str| match request(&store, inputs, &[flag.to_owned()]) {
            Ok(line) => serde_json::from_slice::<serde_json::Value>(&line).unwrap(),
            Err(RequestError::Wrong(message)) => serde_json::Value::from(message),
            Err(RequestError::Store(_, error)) => panic!("{error}"),
        };
        let request = line(&inputs, "@a");
        assert_eq!(request["arguments"], serde_json::json!(["-x", "y z", "@@c", "@scope/name"]));
        assert_eq!(request["inputs"].as_array().unwrap().len(), 2);
        assert_eq!(request["requestId"], 0);
        assert_eq!(line(&inputs, "--flagfile=a")["arguments"], serde_json::json!(["--flagfile=a"]));
        assert_eq!(line(&inputs, "@no"), "@no names arguments, but no is no input file");
        inputs.insert(path("c"), file("@c"));
        assert_eq!(line(&inputs, "@c"), "c and others name each other as files of arguments");
    }
}
