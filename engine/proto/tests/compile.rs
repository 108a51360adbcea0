//! What is checked and said around protoc: imports against the sets of dependencies, command lines, messages.

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use proto::{Compilation, CompileParams};
use serde_json::{Value, json};

/// An encoded set of one file.
fn set(name: &str, imports: &[&str], public: &[i32]) -> Vec<u8> {
    let file = FileDescriptorProto {
        name: Some(name.to_owned()),
        dependency: imports.iter().map(|import| (*import).to_owned()).collect(),
        public_dependency: public.to_vec(),
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

/// Prepares the compilation of `sources`, by import path, with the sets `//p:middle` (direct) and `//p:base`.
fn prepare(sources: &[(&str, &str)], middle: &[u8]) -> Result<Compilation, String> {
    let listed: Vec<Value> =
        sources.iter().map(|(path, _)| json!({"path": format!("p/{path}"), "import_path": path})).collect();
    let params: CompileParams = serde_json::from_value(json!({
        "command": ["protoc", "--flag"],
        "sources": listed,
        "sets": [
            {"path": "out/middle", "label": "//p:middle", "direct": true},
            {"path": "out/base", "label": "//p:base", "direct": false},
        ],
        "well_known": "out/well_known",
    }))
    .unwrap();
    let read = |path: &str| match path {
        "out/middle" => Ok(middle.to_vec()),
        "out/base" => Ok(set("base.proto", &[], &[])),
        "out/well_known" => Ok(set("google/protobuf/any.proto", &[], &[])),
        other => {
            let source = sources.iter().find(|(path, _)| other == format!("p/{path}"));
            source.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| format!("`{other}` is not an input"))
        }
    };
    params.prepare(&read).map_err(|error| error.to_string())
}

fn middle() -> Vec<u8> {
    set("middle.proto", &["base.proto"], &[])
}

fn errors(sources: &[(&str, &str)]) -> String {
    prepare(sources, &middle()).unwrap_err()
}

#[test]
fn own_sources_direct_dependencies_and_well_known_types_are_imported() {
    let text = "import \"google/protobuf/any.proto\"; import \"middle.proto\"; import \"b.proto\";";
    let compilation = prepare(&[("a.proto", text), ("b.proto", "")], &middle()).unwrap();
    assert_eq!(compilation.command(), ["protoc", "--flag", "a.proto", "b.proto"]);
    assert_eq!(compilation.each(), [["protoc", "--flag", "b.proto"]]);
}

#[test]
fn a_file_of_an_indirect_dependency_must_be_named() {
    assert_eq!(
        errors(&[("a.proto", "syntax = \"proto3\";\nimport \"base.proto\";\n")]),
        "p/a.proto:2:1: error: `base.proto` is imported but no direct dependency has it\n    \
         import \"base.proto\";\n    ^^^^^^^^^^^^^^^^^^^^\n  hint: add `//p:base`, which has it, to `deps`"
    );
}

#[test]
fn what_a_dependency_imports_publicly_needs_not_be_named() {
    let public = set("middle.proto", &["base.proto"], &[0]);
    assert!(prepare(&[("a.proto", "import \"base.proto\";")], &public).is_ok());
}

#[test]
fn an_unknown_import_names_the_nearest() {
    let message = errors(&[("a.proto", "syntax = \"proto3\";\n  import public \"midle.proto\";\n"), ("b.proto", "")]);
    assert!(message.starts_with("p/a.proto:2:3: error: no source and no dependency has the imported file"));
    assert!(message.contains("hint: did you mean `middle.proto`"), "{message}");
    assert!(message.contains("to `deps`"), "{message}");
}

#[test]
fn one_import_path_is_one_file() {
    let conflict = prepare(&[("a.proto", "")], &set("base.proto", &[], &[])).unwrap_err();
    assert!(conflict.contains("`//p:middle` and `//p:base` both have a file with the import path `base.proto`"));
    let taken = errors(&[("base.proto", "")]);
    assert!(taken.contains("`p/base.proto` has the import path `base.proto`, which a file of `//p:base` has too"));
    let twice = errors(&[("a.proto", ""), ("a.proto", "")]);
    assert!(twice.contains("`p/a.proto` and `p/a.proto` have the same import path `a.proto`"));
    assert!(errors(&[("a=b.proto", "")]).contains("protoc takes no import path with `=`"));
    // One's own version of a well-known type is nobody else's.
    assert!(prepare(&[("google/protobuf/any.proto", "")], &middle()).is_ok());
}

#[test]
fn errors_of_all_sources_come_together_and_messages_show_their_line() {
    let message = errors(&[("a.proto", "import \"x.proto\";"), ("b.proto", "import \"y.proto\";")]);
    assert!(message.contains("p/a.proto:1:1: error") && message.contains("p/b.proto:1:1: error"), "{message}");
    let compilation = prepare(&[("a.proto", "message A {\n  int32 x 1;\n}\n")], &middle()).unwrap();
    assert_eq!(
        compilation.explain("p/a.proto:2:11: Missing field number.\n"),
        "p/a.proto:2:11: error: Missing field number\n      int32 x 1;\n              ^\n"
    );
}

#[test]
fn what_cannot_be_read_is_said() {
    assert!(prepare(&[("a.proto", "")], b"\xff").unwrap_err().contains("`//p:middle` gives no descriptor set"));
}
