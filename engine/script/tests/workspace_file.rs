//! WORKSPACE.star.
#![allow(missing_docs, reason = "a test")]

mod support;

use script::eval_workspace;
use support::Workspace;

fn show(text: &str) -> String {
    let workspace = Workspace::new(&format!("== WORKSPACE.star ==\n{text}"));
    match eval_workspace(&workspace.source("WORKSPACE.star")) {
        Ok(declared) => format!("{declared:#?}"),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn declarations() {
    insta::assert_snapshot!(show(
        r#"workspace(name = "w", ignore = ["target/"])
go_modules(name = "go", mod = "//:go.mod", sum = ":go.sum")
toolchain(name = "shell", target = "//tools:shell")
"#
    ), @r###"
        WorkspaceDecl {
            name: "w",
            ignore: [
                "target",
            ],
            repositories: [
                RepositoryDecl {
                    name: "go",
                    kind: "go_modules",
                    attributes: {
                        "mod": Label(
                            //:go.mod,
                        ),
                        "sum": Label(
                            //:go.sum,
                        ),
                    },
                    location: Some(
                        Location {
                            file: "WORKSPACE.star",
                            line: 2,
                            column: 1,
                            end_column: 60,
                        },
                    ),
                },
            ],
            toolchains: {
                "shell": //tools:shell,
            },
        }
        "###);
}

#[test]
fn errors() {
    insta::assert_snapshot!(show("go_modules(name = \"go\", mod = \"//:go.mod\")\n"), @r###"
        WORKSPACE.star:1:1: error: `go_modules` needs `sum`, the label of a lockfile
            go_modules(name = "go", mod = "//:go.mod")
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "###);
    insta::assert_snapshot!(show("workspace(name = \"w\")\npip_lock(name = \"p\", lok = \":l\")\n"), @r###"
        WORKSPACE.star:2:1: error: `pip_lock` has no argument `lok`
            pip_lock(name = "p", lok = ":l")
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          hint: did you mean `lock`?
        "###);
    insta::assert_snapshot!(show("workspace(name = \"w\")\npip_lock(name = \"p\", lock = \":l\")\npip_lock(name = \"p\", lock = \":l\")\n"), @r###"
        WORKSPACE.star:3:1: error: two repositories are named `p`
            pip_lock(name = "p", lock = ":l")
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: the other is declared at WORKSPACE.star:2:1
        "###);
    insta::assert_snapshot!(show("workspace(name = \"w\")\nload(\":x.star\", \"x\")\n"), @r###"
        WORKSPACE.star:2:1: error: `load` is not allowed here
            load(":x.star", "x")
            ^^^^^^^^^^^^^^^^^^^^
        "###);
    insta::assert_snapshot!(show("pip_lock(name = \"rules\", lock = \":l\")\n"), @r###"
        WORKSPACE.star:1:1: error: `rules` is the name of a repository of the engine
            pip_lock(name = "rules", lock = ":l")
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "###);
    insta::assert_snapshot!(show("toolchain(name = \"x\", target = \"//:x\")\n"), @r###"
        error: WORKSPACE.star does not name the workspace
          hint: add `workspace(name = "...")` as its first line
        "###);
}
