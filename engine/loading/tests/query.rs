//! Every query function on one small workspace.

mod fixture;

use fixture::{Fixture, show};
use loading::{Loader, QueryFormat, query};
use model::PackageId;

const SHOP: &str = r#"
//- BUILD.star
filegroup(name = "app", srcs = [":left", ":right"], tags = ["top"])
filegroup(name = "left", srcs = [":base", "l.txt"])
filegroup(name = "right", srcs = [":gen"])
genrule(name = "gen", srcs = [":base"], outs = ["g.txt"], cmd = "cat $(SRCS) > $@")
filegroup(name = "base", srcs = ["b.txt"])
filegroup(name = "by_os", srcs = select({":linux": [":left"], "//conditions:default": [":right"]}))
config_setting(name = "linux", os = "linux")
//- l.txt
//- b.txt
"#;

fn run(loader: &Loader, expression: &str) -> String {
    show(query(loader, expression, &PackageId::root()).map(|result| result.labels)).replace("//:", ":")
}

#[test]
fn functions() {
    let fixture = Fixture::new(SHOP);
    let loader = fixture.loader();
    for (expression, expected) in [
        ("deps(//:right)", ":b.txt :base :gen :right"),
        ("deps(//:app, 1)", ":app :left :right"),
        ("deps(//:app, 0)", ":app"),
        ("rdeps(//:app, //:base)", ":app :base :gen :left :right"),
        ("rdeps(//..., //:base, 1)", ":base :gen :left"),
        ("allpaths(//:app, //:base)", ":app :base :gen :left :right"),
        ("somepath(//:app, //:b.txt)", ":app :left :base :b.txt"),
        ("somepath(//:base, //:app)", ""),
        ("kind(genrule, //...)", ":gen"),
        ("kind(\"source file\", deps(//:left))", ":b.txt :l.txt"),
        ("attr(tags, top, //...)", ":app"),
        ("attr(name, \"^l\", //...)", ":left :linux"),
        ("filter(\"ase$\", //...)", ":base"),
        ("labels(srcs, //:left)", ":base :l.txt"),
        ("labels(outs, //:gen)", ":g.txt"),
        ("labels(srcs, //:by_os)", ":left :right"),
        ("deps(//:by_os, 1)", ":by_os :left :linux :right"),
        ("set(//:left //:app)", ":left :app"),
        ("//:left + //:app", ":app :left"),
        ("deps(//:left) ^ deps(//:right)", ":b.txt :base"),
        ("deps(//:left) - deps(//:right)", ":l.txt :left"),
        ("let x = //:gen in deps($x) except $x", ":b.txt :base"),
        ("some(//..., 2)", ":app :base"),
        ("tests(//...)", ""),
        ("deps(//:g.txt, 1)", ":g.txt :gen"),
    ] {
        assert_eq!(run(&loader, expression), expected, "{expression}");
    }
}

#[test]
fn errors_point_into_the_query() {
    let fixture = Fixture::new(SHOP);
    let loader = fixture.loader();
    insta::assert_snapshot!(run(&loader, "deps($y)"), @"
    query:1:6: error: `$y` is not defined
        deps($y)
             ^
      hint: let y = ... in ...
    ");
    insta::assert_snapshot!(run(&loader, "kind(\"(\", //...)"), @r#"
    query:1:6: error: `(` is not a regex: found open group without closing ')'
        kind("(", //...)
             ^
    "#);
    insta::assert_snapshot!(run(&loader, "deps(//:ap)"), @"
    error: there is no target `ap` in the package //
      hint: did you mean `:app`?
      hint: to see what there is: build query :all
    ");
    insta::assert_snapshot!(run(&loader, "dep(//:app)"), @"
    query:1:1: error: there is no query function `dep`
        dep(:app)
        ^
      note: functions: deps, rdeps, allpaths, somepath, kind, attr, filter, labels, tests, siblings, buildfiles, loadfiles, visible, same_pkg_direct_rdeps, some, set
      hint: did you mean `deps` or `rdeps` or `same_pkg_direct_rdeps`?
    ");
}

#[test]
fn formats() {
    let fixture = Fixture::new(SHOP);
    let loader = fixture.loader();
    let found = query(&loader, "deps(//:right)", &PackageId::root()).unwrap();
    let render = |format| found.render(&loader, format).unwrap();
    insta::assert_snapshot!(render(QueryFormat::LabelKind), @"
    source file //:b.txt
    filegroup rule //:base
    genrule rule //:gen
    filegroup rule //:right
    ");
    insta::assert_snapshot!(render(QueryFormat::Dot), @r#"
    digraph targets {
      node [shape=box];
      "//:b.txt";
      "//:base";
      "//:base" -> "//:b.txt";
      "//:gen";
      "//:gen" -> "//:base";
      "//:right";
      "//:right" -> "//:gen";
    }
    "#);
    insta::assert_snapshot!(render(QueryFormat::Json), @r#"
    [
      {
        "kind": "source file",
        "label": "//:b.txt"
      },
      {
        "attributes": {
          "srcs": [
            "//:b.txt"
          ]
        },
        "kind": "filegroup rule",
        "label": "//:base",
        "location": "BUILD.star:5:1",
        "rule": "filegroup",
        "rule_file": "@rules//core/private:filegroup.star",
        "test": false
      },
      {
        "attributes": {
          "cmd": "cat $(SRCS) > $@",
          "outs": [
            "g.txt"
          ],
          "srcs": [
            "//:base"
          ]
        },
        "kind": "genrule rule",
        "label": "//:gen",
        "location": "BUILD.star:4:1",
        "rule": "genrule",
        "rule_file": "@rules//core/private:genrule.star",
        "test": false
      },
      {
        "attributes": {
          "srcs": [
            "//:gen"
          ]
        },
        "kind": "filegroup rule",
        "label": "//:right",
        "location": "BUILD.star:3:1",
        "rule": "filegroup",
        "rule_file": "@rules//core/private:filegroup.star",
        "test": false
      }
    ]
    "#);
}

#[test]
fn what_names_nothing_is_shown_where_it_is_named() {
    let fixture =
        Fixture::new("//- BUILD.star\nfilegroup(name = \"app\", srcs = [\":bse\"])\nfilegroup(name = \"base\")\n");
    insta::assert_snapshot!(run(&fixture.loader(), "deps(//:app)"), @r#"
    BUILD.star:1:33: error: there is no target `bse` in the package //
        filegroup(name = "app", srcs = [":bse"])
                                        ^^^^^^
      note: `srcs` of :app names it
      hint: did you mean `:base`?
      hint: to see what there is: build query :all
    "#);
}
