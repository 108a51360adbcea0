//! Packages, labels, globs, patterns and load statements, on workspaces written in one string.

mod fixture;

use fixture::{Fixture, expand, label, show};
use std::collections::BTreeMap;
use std::sync::Arc;

use loading::{External, Loader, Node, Workspace};
use model::{Configurable, Data, Diagnostics, NoReporter, PackageId};

const SHOP: &str = r#"
//- BUILD.star
filegroup(name = "root", srcs = glob(["*.txt"]))
//- a.txt
//- cart/BUILD.star
filegroup(name = "cart", srcs = ["//cart/lib"])
filegroup(name = "slow", tags = ["manual"])
//- cart/lib/BUILD.star
filegroup(name = "lib", srcs = glob(["**/*.txt"], exclude = ["x/skip.txt"]))
genrule(name = "gen", outs = ["made.txt"], cmd = "echo > $@")
//- cart/lib/z.txt
//- cart/lib/x/y.txt
//- cart/lib/x/skip.txt
//- cart/lib/sub/BUILD.star
//- cart/lib/sub/no.txt
//- target/BUILD.star
//- build-out/BUILD.star
//- nested/WORKSPACE.star
//- nested/BUILD.star
"#;

fn node(loader: &Loader, text: &str) -> String {
    match loader.node(&label(text)) {
        Ok(Node::Target(target, schema)) => format!("{} {}", schema.id.name, target.label),
        Ok(Node::SourceFile(file)) => format!("source {}", file.path()),
        Ok(Node::OutputFile { generator, name }) => format!("output {name} of {generator}"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn patterns() {
    let fixture = Fixture::new(SHOP);
    let loader = fixture.loader();
    assert_eq!(expand(&loader, "//..."), "//:root //cart:cart //cart/lib:gen //cart/lib:lib");
    assert_eq!(expand(&loader, "cart:all"), "//cart:cart");
    assert_eq!(expand(&loader, "cart:slow cart/lib:lib"), "//cart:slow //cart/lib:lib");
    assert_eq!(expand(&loader, "//... -cart/..."), "//:root");
    insta::assert_snapshot!(expand(&loader, "carts/..."), @"
    error: no targets match `//carts/...`: no folder there has a BUILD.star
      hint: did you mean `//cart` or `//cart/lib/sub` or `//cart/lib`?
    ");
}

#[test]
fn labels_stand_for_targets_files_and_outputs() {
    let fixture = Fixture::new(SHOP);
    let loader = fixture.loader();
    assert_eq!(node(&loader, "//cart"), "filegroup //cart:cart");
    assert_eq!(node(&loader, "//:a.txt"), "source a.txt");
    assert_eq!(node(&loader, "//cart/lib:x/y.txt"), "source cart/lib/x/y.txt");
    assert_eq!(node(&loader, "//cart/lib:made.txt"), "output made.txt of //cart/lib:gen");
    insta::assert_snapshot!(node(&loader, "//cart/lib:sub/no.txt"), @r#"
    error: //cart/lib:sub/no.txt crosses into the package //cart/lib/sub
      hint: write //cart/lib/sub:no.txt, and exports_files(["no.txt"]) in that package
    "#);
    insta::assert_snapshot!(node(&loader, "//cart/lib:x"), @r#"
    error: //cart/lib:x is a folder, not a target or a file
      hint: name its files: glob(["x/**"])
    "#);
}

#[test]
fn unknown_names_come_with_the_nearest() {
    let fixture = Fixture::new(SHOP);
    let loader = fixture.loader();
    insta::assert_snapshot!(node(&loader, "//cart:crat"), @"
    error: there is no target `crat` in the package //cart
      hint: did you mean `//cart:cart`?
      hint: to see what there is: build query //cart:all
    ");
    insta::assert_snapshot!(node(&loader, "//cart/lib:x/yy.txt"), @"
    error: //cart/lib:x/yy.txt is missing: //cart/lib has neither such a file nor such a target
      hint: did you mean `//cart/lib:x/y.txt` or `//cart/lib:x/skip.txt`?
      hint: to see what there is: build query //cart/lib:all
    ");
    insta::assert_snapshot!(node(&loader, "//lib:lib"), @"
    error: there is no package `//lib`: there is no folder `lib`
      hint: did you mean `//cart/lib` or `//cart/lib/sub`?
    ");
    insta::assert_snapshot!(node(&loader, "//cart/lib/x:y"), @"
    error: there is no package `//cart/lib/x`: the folder `cart/lib/x` has no BUILD.star
      hint: did you mean `//cart/lib` or `//cart/lib/sub` or `//cart`?
    ");
    insta::assert_snapshot!(node(&loader, "@rulez//core:x"), @"
    error: there is no repository `@rulez`
      note: repositories: @rules, @toolchains; WORKSPACE.star declares them
      hint: did you mean `@rules`?
    ");
    insta::assert_snapshot!(node(&loader, "//target:x"), @"
    error: there is no package `//target`: the folder `target` is never searched for packages
      hint: did you mean `//cart`?
    ");
}

#[test]
fn globs_stay_in_their_package() {
    let fixture = Fixture::new(SHOP);
    let loader = fixture.loader();
    let package = loader.package(&PackageId::new("", "cart/lib").unwrap()).unwrap();
    let Some(Configurable::Plain(Data::List(srcs))) = package.targets["lib"].attributes.get("srcs") else { panic!() };
    assert_eq!(format!("{srcs:?}"), "[Label(//cart/lib:x/y.txt), Label(//cart/lib:z.txt)]");
}

#[test]
fn ignored_folders_have_no_packages() {
    let fixture = Fixture::new(
        r#"
//- WORKSPACE.star
workspace(name = "test", ignore = ["third/party"])
//- BUILD.star
filegroup(name = "root", srcs = glob(["**"]))
//- third/party/BUILD.star
filegroup(name = "x")
"#,
    );
    let loader = fixture.loader();
    assert_eq!(expand(&loader, "//..."), "//:root");
    insta::assert_snapshot!(node(&loader, "//third/party:x"), @"error: there is no package `//third/party`: WORKSPACE.star ignores the folder `third/party`");
}

#[test]
fn load_statements() {
    let fixture = Fixture::new(
        r#"
//- BUILD.star
load("//lib:defs.star", "files")
files("a")
//- lib/defs.star
load(":names.star", "PREFIX")
def files(name):
    native.filegroup(name = PREFIX + name)
//- lib/names.star
PREFIX = "x_"
//- missing/BUILD.star
load("//lib:def.star", "files")
//- cycle/BUILD.star
load("//cycle:a.star", "A")
//- cycle/a.star
load(":b.star", "B")
A = B
//- cycle/b.star
load("//cycle:a.star", "A")
B = A
//- secret/BUILD.star
load("@rules//core/private/alias.star", "alias")
"#,
    );
    let loader = fixture.loader();
    assert_eq!(expand(&loader, "//:all"), "//:x_a");
    insta::assert_snapshot!(expand(&loader, "missing:all"), @r#"
    missing/BUILD.star:1:6: error: there is no file //lib:def.star
        load("//lib:def.star", "files")
             ^^^^^^^^^^^^^^^^
      hint: did you mean `//lib:defs.star`?
    "#);
    insta::assert_snapshot!(expand(&loader, "cycle:all"), @r#"
    cycle/a.star:1:6: error: //cycle:a.star loads itself
        load(":b.star", "B")
             ^^^^^^^^^
      note: cycle/a.star:1:6: //cycle:a.star loads //cycle:b.star
      note: cycle/b.star:1:6: //cycle:b.star loads //cycle:a.star
      hint: move what both need to a file that loads neither
    "#);
    insta::assert_snapshot!(expand(&loader, "secret:all"), @r#"
    secret/BUILD.star:1:6: error: @rules//core/private:alias.star is private to the repository `@rules`
        load("@rules//core/private/alias.star", "alias")
             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      hint: load what `@rules//core:defs.star` exports
    "#);
}

#[test]
fn errors_of_several_packages_are_collected_and_shown_once() {
    let fixture = Fixture::new(
        r#"
//- a/BUILD.star
load("//:broken.star", "x")
//- b/BUILD.star
load("//:broken.star", "x")
//- c/BUILD.star
filegroup(name = "c", srcs = 1)
//- broken.star
x = 1 +
"#,
    );
    insta::assert_snapshot!(expand(&fixture.loader(), "//..."), @r#"
    broken.star:1:8: error: unexpected new line, expected expression
        x = 1 +
               ^
    c/BUILD.star:1:23: error: `srcs` of `filegroup`: expected a list of labels, but got the int 1
        filegroup(name = "c", srcs = 1)
                              ^^^^^^^^
    "#);
}

#[test]
fn two_targets_cannot_have_one_output() {
    let fixture = Fixture::new(
        r#"
//- BUILD.star
genrule(name = "a", outs = ["x.txt"], cmd = "")
genrule(name = "b", outs = ["x.txt"], cmd = "")
"#,
    );
    insta::assert_snapshot!(expand(&fixture.loader(), "//..."), @r#"
    BUILD.star:2:1: error: the output `x.txt` has the name of //:a, or of an output of it
        genrule(name = "b", outs = ["x.txt"], cmd = "")
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      note: the other is declared at BUILD.star:1:1
    "#);
}

#[test]
fn suites_stand_for_their_tests() {
    let fixture = Fixture::new(
        r#"
//- defs.star
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(out, "", is_executable = True)
    return [DefaultInfo(executable = out)]
probe_test = rule(implementation = _impl, test = True)
//- BUILD.star
load(":defs.star", "probe_test")
probe_test(name = "fast_test", tags = ["fast"])
probe_test(name = "slow_test")
probe_test(name = "hand_test", tags = ["manual"])
test_suite(name = "all")
test_suite(name = "fast", tags = ["fast"])
test_suite(name = "both", tests = [":fast", ":hand_test"])
filegroup(name = "files")
"#,
    );
    let loader = fixture.loader();
    let tests = |name: &str| show(loader.tests(&[label(name)]));
    assert_eq!(tests("//:all"), "//:fast_test //:slow_test");
    assert_eq!(tests("//:fast"), "//:fast_test");
    assert_eq!(tests("//:both"), "//:fast_test //:hand_test");
    assert_eq!(tests("//:files"), "");
}

struct Modules;

impl External for Modules {
    fn prefetch(&self, _packages: &[PackageId]) {}

    fn names(&self) -> Vec<String> {
        vec!["go".to_owned()]
    }

    fn build_file(&self, package: &PackageId) -> Result<Option<String>, Diagnostics> {
        let known = package.path() == "example.org/pkg";
        let text = "filegroup(name = \"pkg\", visibility = [\"//visibility:public\"])";
        Ok(known.then(|| text.to_owned()))
    }

    fn packages(&self, _repository: &str) -> Result<Vec<String>, Diagnostics> {
        Ok(vec!["example.org/pkg".to_owned()])
    }
}

#[test]
fn external_packages_are_generated() {
    let fixture = Fixture::new("").with_external(Modules);
    let loader = fixture.loader();
    assert_eq!(node(&loader, "@go//example.org/pkg"), "filegroup @go//example.org/pkg:pkg");
    assert_eq!(expand(&loader, "@go//..."), "@go//example.org/pkg:pkg");
    insta::assert_snapshot!(node(&loader, "@go//example.org/pgk"), @"
    error: there is no package `@go//example.org/pgk`: the lockfile of `@go` does not have it
      hint: did you mean `@go//example.org/pkg`?
    ");
}

#[test]
fn toolchains_are_named_by_the_workspace() {
    let fixture = Fixture::new(
        r#"
//- WORKSPACE.star
workspace(name = "test")
toolchain(name = "go", target = "//tools:go")
//- tools/BUILD.star
filegroup(name = "go")
"#,
    );
    let loader = fixture.loader();
    assert_eq!(loader.resolve(&label("@toolchains//:go")).unwrap(), label("//tools:go"));
    assert_eq!(loader.resolve(&label("@toolchains//:shell")).unwrap(), label("@rules//toolchains:shell"));
    assert_eq!(node(&loader, "@toolchains//:go"), "filegroup //tools:go");
}

#[test]
fn a_workspace_is_found_from_below_or_missed_with_help() {
    let fixture = Fixture::new("//- a/b/BUILD.star\n");
    let workspace = Workspace::discover(&fixture.root().join("a/b")).unwrap();
    assert_eq!(loading::package_at(workspace.root(), &fixture.root().join("a/b")).to_string(), "//a/b");
    let outside = tempfile::tempdir().unwrap();
    let errors = Workspace::discover(outside.path()).unwrap_err().to_string();
    let errors = errors.replace(&outside.path().canonicalize().unwrap().display().to_string(), "<folder>");
    insta::assert_snapshot!(errors, @r#"
    error: no WORKSPACE.star in <folder> or a folder above it
      hint: `cd` into a workspace, or start one in this folder:
      hint: echo 'workspace(name = "my_project")' > WORKSPACE.star
    "#);
}

#[test]
fn the_embedded_rules_load() {
    let fixture = Fixture::new("//- BUILD.star\nfilegroup(name = \"x\")\n");
    let workspace = Workspace::discover(&fixture.root()).unwrap();
    let loader = Loader::new(workspace, None, Arc::new(NoReporter), &BTreeMap::new());
    assert_eq!(node(&loader, "//:x"), "filegroup //:x");
    let rules = expand(&loader, "@rules//...");
    assert!(rules.contains("@rules//toolchains:shell"), "{rules}");
}

#[test]
fn paths_that_mean_something_else_to_actions_are_no_sources() {
    let fixture = Fixture::new(
        "//- BUILD.star\n//- external/rules/x.txt\n//- external/other/x.txt\n//- external/rules/p/BUILD.star\n\
         filegroup(name = \"p\")\n//- external/other/p/BUILD.star\nfilegroup(name = \"p\")\n//- out/linux-amd64/p/x.txt\n\
         //- out/notes/x.txt\n//- p/out/linux-amd64/x.txt\n//- p/external/rules/x.txt\n",
    );
    let loader = fixture.loader();
    for text in ["external/other/x.txt", "out/notes/x.txt", "p/out/linux-amd64/x.txt", "p/external/rules/x.txt"] {
        assert_eq!(node(&loader, &format!("//:{text}")), format!("source {text}"));
    }
    assert_eq!(node(&loader, "//external/other/p"), "filegroup //external/other/p:p");
    for (text, what) in [
        ("//:external/rules/x.txt", "where actions find the files of the repository `@rules`"),
        ("//:out/linux-amd64/p/x.txt", "where actions find outputs"),
        ("//external/rules/p", "where actions find the files of the repository `@rules`"),
    ] {
        let said = node(&loader, text);
        assert!(said.contains(what) && said.contains("hint: rename the folder"), "{said}");
    }
}

#[test]
fn a_file_that_no_label_can_name_stops_only_who_asks_for_it() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let fixture = Fixture::new(
        "//- BUILD.star\nfilegroup(name = \"all\", srcs = glob([\"**\"]))\n//- p/BUILD.star\n\
         filegroup(name = \"some\", srcs = glob([\"*.txt\", \"d/*.txt\"]))\n//- p/a.txt\n//- p/d/b.txt\n//- q/BUILD.star\n\
         filegroup(name = \"without\", srcs = glob([\"**\"], exclude = [\"*\\xffx.*\", \"*.log\"]))\n//- q/c.txt\n",
    );
    let odd = |folder: &str, name: &[u8]| fixture.root().join(folder).join(OsStr::from_bytes(name));
    for (folder, name) in [("", &b"\xffx.txt"[..]), ("p", b"\xff.md"), ("p/d", b"\xff.md"), ("other", b"\xff")] {
        std::fs::create_dir_all(fixture.root().join(folder)).unwrap();
        std::fs::write(odd(folder, name), "").unwrap();
    }
    std::fs::create_dir(odd("q", b"\xfe.log")).unwrap();
    let loader = fixture.loader();
    assert_eq!(expand(&loader, "p/... q/..."), "//p:some //q:without");
    assert_eq!(node(&loader, "//p:some"), "filegroup //p:some");
    let said = node(&loader, "//:all");
    let expected = ["`other/\u{fffd}` matches, but its name is not UTF-8", "exclude = [\"other/*\"]"];
    assert!(expected.iter().all(|text| said.contains(text)), "{said}");
}

#[test]
fn sockets_and_pipes_are_no_files_of_a_glob() {
    let fixture = Fixture::new("//- BUILD.star\nfilegroup(name = \"g\", srcs = glob([\"*.txt\"]))\n//- a.txt\n");
    let _socket = std::os::unix::net::UnixListener::bind(fixture.root().join("s.txt")).unwrap();
    std::os::unix::fs::symlink("s.txt", fixture.root().join("l.txt")).unwrap();
    let loader = fixture.loader();
    assert_eq!(node(&loader, "//:g"), "filegroup //:g");
    let Ok(Node::Target(target, _)) = loader.node(&label("//:g")) else { panic!() };
    assert_eq!(
        format!("{:?}", target.attributes["srcs"]).matches(".txt").count(),
        1,
        "{:?}",
        target.attributes["srcs"]
    );
    for name in ["s.txt", "l.txt"] {
        assert!(node(&loader, &format!("//:{name}")).contains("is a device, a socket or a pipe"));
    }
}
