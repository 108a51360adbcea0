//! What counts as a breaking change between two descriptor sets.

use prost::Message;
use proto::breaking;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// The only source.
struct Source(String);

impl FileResolver for Source {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == "p.proto" { File::from_source(name, &self.0) } else { Err(protox::Error::file_not_found(name)) }
    }
}

fn compiled(text: String) -> Vec<u8> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Source(text));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("p.proto").unwrap().file_descriptor_set().encode_to_vec()
}

fn set(body: &str) -> Vec<u8> {
    compiled(format!("syntax = \"proto3\";\npackage p;\nimport \"google/protobuf/timestamp.proto\";\n{body}"))
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

#[test]
fn nested_types_groups_and_numbers_reserved_by_enums() {
    let set = |body: &str| compiled(format!("syntax = \"proto2\";\n{body}"));
    let old =
        set("message A { message B { enum E { X = 1; Y = 2; Z = 3; } } repeated B b = 1; optional group G = 2 {} }");
    let new = set(
        "message A { message B { enum E { reserved 2; X = 1; } } optional B b = 1; message G {} optional G g = 2; }",
    );
    assert_eq!(
        breaking(&old, &new).unwrap(),
        [
            "field `A.b` = 1 was `repeated A.B` and is now `A.B`",
            "field `A.g` = 2 was `group A.G` and is now `A.G`",
            "enum value `A.B.Z` = 3 was removed and its number is not reserved",
        ]
    );
}

/// A file of one message `A` with a field of its own type. Parts of descriptors, by tag and content.
fn edition(file: &[u8], message: &[u8], field: &[u8]) -> Vec<u8> {
    let part = |tag: u8, content: &[u8]| [&[tag << 3 | 2, u8::try_from(content.len()).unwrap()][..], content].concat();
    let field = [part(1, b"a"), vec![0x18, 1, 0x20, 1, 0x28, 11], part(6, b".A"), part(8, &part2(21, field))].concat();
    let message = [part(1, b"A"), part(2, &field), part(7, &part(12, message))].concat();
    part(1, &[part(4, &message), part(8, &part2(50, file))].concat())
}

/// The same for a tag that takes two bytes.
fn part2(tag: u16, content: &[u8]) -> Vec<u8> {
    let key = tag << 3 | 2;
    let head = [u8::try_from(key & 0x7f).unwrap() | 0x80, u8::try_from(key >> 7).unwrap()];
    [&head[..], &[u8::try_from(content.len()).unwrap()], content].concat()
}

#[test]
fn the_encoding_of_messages_that_editions_set_is_inherited() {
    let (prefixed, delimited, unset): (&[u8], &[u8], &[u8]) = (&[0x28, 1], &[0x28, 2], &[]);
    let plain = edition(unset, unset, unset);
    let expected = ["field `A.a` = 1 was `A` and is now `group A`"];
    for other in
        [edition(delimited, unset, unset), edition(unset, delimited, unset), edition(prefixed, prefixed, delimited)]
    {
        assert_eq!(breaking(&plain, &other).unwrap(), expected);
    }
    assert!(breaking(&plain, &edition(delimited, unset, prefixed)).unwrap().is_empty());
}
