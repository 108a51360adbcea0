//! Compiling sources against the descriptor sets of dependencies: results, strict imports, messages.

use prost::Message;
use prost_types::FileDescriptorSet;
use proto::{CompileParams, DependencySet, SourceFile, compile};

fn source(path: &str, text: &str) -> SourceFile {
    SourceFile { path: format!("protos/{path}"), import_path: path.to_owned(), text: text.as_bytes().to_vec() }
}

fn set(name: &str, sources: &[SourceFile], direct: &[DependencySet]) -> DependencySet {
    DependencySet { name: name.to_owned(), bytes: compile(sources, direct, direct).unwrap() }
}

fn base() -> DependencySet {
    let text = "syntax = \"proto3\";\npackage base;\nmessage Id { string text = 1; }\n";
    set("//protos:base", &[source("base.proto", text)], &[])
}

fn middle() -> DependencySet {
    let text = "syntax = \"proto3\";\npackage middle;\nimport \"base.proto\";\nmessage Thing { base.Id id = 1; }\n";
    set("//protos:middle", &[source("middle.proto", text)], &[base()])
}

fn names(set: &[u8]) -> Vec<String> {
    FileDescriptorSet::decode(set).unwrap().file.iter().map(|file| file.name().to_owned()).collect()
}

fn errors(sources: &[SourceFile], direct: &[DependencySet], transitive: &[DependencySet]) -> String {
    compile(sources, direct, transitive).unwrap_err().to_string()
}

#[test]
fn the_set_holds_the_sources_and_the_well_known_types_they_import() {
    let text = r#"
        syntax = "proto3";
        package app;
        import "google/protobuf/timestamp.proto";
        import "middle.proto";
        message Request { middle.Thing thing = 1; google.protobuf.Timestamp at = 2; int64 user_id = 3; }
        service Service { rpc Do(Request) returns (Request); }
    "#;
    let encoded = compile(&[source("app.proto", text)], &[middle()], &[base(), middle()]).unwrap();
    assert_eq!(names(&encoded), ["google/protobuf/timestamp.proto", "app.proto"]);
    let set = FileDescriptorSet::decode(encoded.as_slice()).unwrap();
    let app = &set.file[1];
    assert!(app.source_code_info.is_none());
    assert_eq!(app.message_type[0].field[2].json_name(), "userId");
    assert_eq!(app.message_type[0].field[0].type_name(), ".middle.Thing");
}

#[test]
fn a_comment_changes_nothing() {
    let text = "syntax = \"proto3\";\nmessage A { int32 x = 1; }\n";
    let commented = "// What A is.\nsyntax = \"proto3\";\n\nmessage A {\n  // The x.\n  int32 x = 1;\n}\n";
    let bytes = |text: &str| compile(&[source("a.proto", text)], &[], &[]).unwrap();
    assert_eq!(bytes(text), bytes(commented));
}

#[test]
fn custom_options_survive_a_dependency() {
    let options = r#"
        syntax = "proto3";
        package opt;
        import "google/protobuf/descriptor.proto";
        extend google.protobuf.MethodOptions { string route = 50001; }
    "#;
    let options = set("//protos:opt", &[source("opt.proto", options)], &[]);
    let text = r#"
        syntax = "proto3";
        import "opt.proto";
        message M {}
        service S { rpc Get(M) returns (M) { option (opt.route) = "/the/route"; } }
    "#;
    let encoded = compile(&[source("s.proto", text)], &[options], &[]).unwrap();
    assert!(encoded.windows(10).any(|window| window == b"/the/route"));
}

#[test]
fn sources_of_one_target_import_each_other_in_any_order() {
    let a = source("a.proto", "syntax = \"proto3\"; import \"b.proto\"; message A { B b = 1; }");
    let b = source("b.proto", "syntax = \"proto3\"; message B {}");
    assert_eq!(names(&compile(&[a, b], &[], &[]).unwrap()), ["b.proto", "a.proto"]);
}

#[test]
fn a_file_of_a_transitive_dependency_must_be_named() {
    let text = "syntax = \"proto3\";\nimport \"base.proto\";\nmessage A { base.Id id = 1; }\n";
    let message = errors(&[source("a.proto", text)], &[middle()], &[base(), middle()]);
    assert_eq!(
        message,
        "protos/a.proto:2:1: error: `base.proto` is imported but no direct dependency has it\n    \
         import \"base.proto\";\n    ^^^^^^^^^^^^^^^^^^^^\n  hint: add `//protos:base`, which has it, to `deps`"
    );
}

#[test]
fn an_unknown_import_names_the_nearest() {
    let text = "syntax = \"proto3\";\nimport \"midle.proto\";\n";
    let message = errors(&[source("a.proto", text)], &[middle()], &[]);
    assert!(message.starts_with("protos/a.proto:2:1: error: no source and no dependency has the imported file"));
    assert!(message.contains("hint: did you mean `middle.proto`"), "{message}");
    assert!(message.contains("to `deps`"), "{message}");
}

#[test]
fn errors_of_several_files_come_together_with_their_places() {
    let a = source("a.proto", "syntax = \"proto3\";\nmessage A {\n  int32 x 1;\n}\n");
    let b = source("b.proto", "syntax = \"proto3\";\nmesage B {}\n");
    let message = errors(&[a, b], &[], &[]);
    assert!(message.contains("protos/a.proto:3:11: error: expected"), "{message}");
    assert!(message.contains("protos/b.proto:2:1: error: expected"), "{message}");
}

#[test]
fn an_unknown_type_has_a_place() {
    let text = "syntax = \"proto3\";\npackage p;\nmessage A {\n  Thimg x = 1;\n}\nmessage Thing {}\n";
    let message = errors(&[source("a.proto", text)], &[], &[]);
    assert!(message.starts_with("protos/a.proto:4:3: error: name 'Thimg' is not defined"), "{message}");
    assert!(message.contains("      Thimg x = 1;\n      ^^^^^"), "{message}");
}

#[test]
fn a_number_given_twice_names_both_places() {
    let text = "syntax = \"proto3\";\nmessage A {\n  int32 x = 1;\n  int32 y = 1;\n}\n";
    let message = errors(&[source("a.proto", text)], &[], &[]);
    assert!(message.starts_with("protos/a.proto:4:13: error:"), "{message}");
    assert!(message.contains("note: protos/a.proto:3:13:"), "{message}");
}

#[test]
fn a_cycle_is_named() {
    let a = source("a.proto", "syntax = \"proto3\"; import \"b.proto\";");
    let b = source("b.proto", "syntax = \"proto3\"; import \"a.proto\";");
    let message = errors(&[a, b], &[], &[]);
    assert!(message.contains("import cycle detected: a.proto -> b.proto -> a.proto"), "{message}");
}

#[test]
fn parameters_of_the_action_are_read_through_the_caller() {
    let params: CompileParams = serde_json::from_value(serde_json::json!({
        "sources": [{"path": "protos/a.proto", "import_path": "a.proto"}],
        "direct": [{"path": "out/middle.descriptors", "label": "//protos:middle"}],
        "transitive": ["out/base.descriptors"],
    }))
    .unwrap();
    let read = |path: &str| match path {
        "protos/a.proto" => {
            Ok(b"syntax = \"proto3\"; import \"middle.proto\"; message A { middle.Thing t = 1; }".to_vec())
        }
        "out/middle.descriptors" => Ok(middle().bytes),
        "out/base.descriptors" => Ok(base().bytes),
        other => Err(format!("`{other}` is not an input")),
    };
    assert_eq!(names(&params.run(&read).unwrap()), ["a.proto"]);
    assert_eq!(params.run(&|_| Err("gone".into())).unwrap_err().to_string(), "error: gone");
}
