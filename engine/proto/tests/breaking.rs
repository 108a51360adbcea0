//! What counts as a breaking change between two descriptor sets.

use proto::{SourceFile, breaking, compile};

fn set(body: &str) -> Vec<u8> {
    let text = format!("syntax = \"proto3\";\npackage p;\nimport \"google/protobuf/timestamp.proto\";\n{body}");
    let source = SourceFile { path: "p.proto".into(), import_path: "p.proto".into(), text: text.into_bytes() };
    compile(&[source], &[], &[]).unwrap()
}

fn check(old: &str, new: &str, expected: &[&str]) {
    assert_eq!(breaking(&set(old), &set(new)).unwrap(), expected);
}

#[test]
fn additions_are_fine() {
    check(
        "message A { int32 x = 1; } enum E { ZERO = 0; } service S { rpc Do(A) returns (A); }",
        "message A { int32 x = 1; google.protobuf.Timestamp at = 2; } message B {} enum E { ZERO = 0; ONE = 1; } \
         service S { rpc Do(A) returns (A); rpc More(B) returns (A); }",
        &[],
    );
}

#[test]
fn fields_keep_number_name_and_type() {
    check(
        "message A { int32 gone = 1; int32 reserved = 2; int32 a = 3; int32 b = 4; map<string, int32> m = 5; }",
        "message A { reserved 2; int32 renamed = 3; string b = 4; map<string, int64> m = 5; }",
        &[
            "field `p.A.gone` = 1 was removed and its number is not reserved",
            "field number 3 of `p.A` was `a` and is now `renamed`",
            "field `p.A.b` = 4 was `int32` and is now `string`",
            "field `p.A.m` = 5 was `map<string, int32>` and is now `map<string, int64>`",
        ],
    );
}

#[test]
fn enums_services_and_methods_keep_their_members() {
    check(
        "message A {} enum E { ZERO = 0; ONE = 1; } service S { rpc Do(A) returns (A); rpc Go(A) returns (A); } service T {}",
        "message A {} enum E { ZERO = 0; } service S { rpc Do(A) returns (stream A); }",
        &[
            "enum value `p.ONE` = 1 was removed and its number is not reserved",
            "the response of `/p.S/Do` was `p.A` and is now `stream p.A`",
            "method `/p.S/Go` was removed",
            "service `p.T` was removed",
        ],
    );
}
