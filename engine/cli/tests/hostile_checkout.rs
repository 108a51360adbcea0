//! What a cloned repository can do to its user before anybody trusted it: nothing outside of its folder is written,
//! removed or run.

mod support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use support::Folder;

/// A home with something precious next to a clone, whose outputs have the names of what is in the home.
struct Home {
    home: tempfile::TempDir,
    clone: PathBuf,
    folder: Folder,
}

const BUILD: &str = r#"
load("//:r.star", "program")
genrule(name = "file", outs = ["keys"], cmd = "echo forged > $@")
genrule(name = "folder", outs = ["Documents"], cmd = "echo gone > $@")
program(name = "Documents.run")
environment(name = "local")
deploy(name = "to-local", environment = ":local", services = [])
"#;

const RULE: &str = r##"
def _program(ctx):
    f = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(f, "#!/bin/sh\n", is_executable = True)
    return [DefaultInfo(files = depset([f]), executable = f)]
program = rule(implementation = _program, executable = True)
"##;

impl Home {
    fn new() -> Self {
        let folder = Folder::of("");
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("Documents.run")).unwrap();
        std::fs::create_dir_all(home.path().join("Documents")).unwrap();
        for file in ["keys", "Documents/thesis", "Documents.run/thesis"] {
            std::fs::write(home.path().join(file), "mine").unwrap();
        }
        let clone = home.path().join("work/clone");
        std::fs::create_dir_all(&clone).unwrap();
        for (name, text) in [("WORKSPACE.star", "workspace(name = \"w\")\n"), ("BUILD.star", BUILD), ("r.star", RULE)] {
            std::fs::write(clone.join(name), text).unwrap();
        }
        Self { home, clone, folder }
    }

    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.folder.command(arguments).current_dir(&self.clone).output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[track_caller]
    fn expect_untouched(&self) {
        for file in ["keys", "Documents/thesis", "Documents.run/thesis"] {
            let text = std::fs::read_to_string(self.home.path().join(file));
            assert_eq!(text.ok().as_deref(), Some("mine"), "{file}");
        }
        let mut names: Vec<String> = std::fs::read_dir(self.home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["Documents", "Documents.run", "keys", "work"]);
    }
}

#[test]
fn outputs_do_not_go_where_a_link_of_the_checkout_leads() {
    for target in ["../..", "../../Documents"] {
        let home = Home::new();
        symlink(target, home.clone.join("build-out")).unwrap();
        for arguments in [&["build", "//..."][..], &["run", ":Documents.run"], &["build", "-k", ":file"]] {
            let (code, said) = home.run(arguments);
            assert_eq!(code, 36, "{arguments:?}: {said}");
            for text in
                ["build-out is a symbolic link to", "hint: `rm ", "BUILD_TRUSTED_WORKSPACES=", "--trust_workspace"]
            {
                assert!(said.contains(text), "{arguments:?}: {said}");
            }
        }
        // What writes no outputs has no need to refuse, and does nothing there.
        for arguments in [&["query", "//..."][..], &["run", ":to-local", "--plan"], &["info"], &["test", "//..."]] {
            home.run(arguments);
        }
        home.expect_untouched();
        assert_eq!(home.run(&["clean"]).0, 0);
        home.expect_untouched();
        assert!(std::fs::symlink_metadata(home.clone.join("build-out")).is_err(), "`build clean` removes the link");
        assert_eq!(home.run(&["build", "//..."]).0, 0);
        home.expect_untouched();
    }
}

#[test]
fn links_below_the_folder_of_outputs_make_room() {
    for link in ["run", "local", "sub"] {
        let home = Home::new();
        std::fs::create_dir(home.clone.join("build-out")).unwrap();
        symlink(home.home.path(), home.clone.join("build-out").join(link)).unwrap();
        std::fs::create_dir(home.clone.join("sub")).unwrap();
        std::fs::write(home.clone.join("sub/BUILD.star"), BUILD).unwrap();
        for arguments in
            [&["build", "//..."][..], &["run", ":Documents.run"], &["run", "//sub:Documents.run"], &["clean"]]
        {
            let (code, said) = home.run(arguments);
            assert_eq!(code, 0, "{link} {arguments:?}: {said}");
        }
        home.expect_untouched();
    }
}

#[test]
fn a_link_that_the_user_allows_is_followed() {
    let home = Home::new();
    let out = tempfile::tempdir().unwrap();
    symlink(out.path(), home.clone.join("build-out")).unwrap();
    assert_eq!(home.run(&["build", ":file", "--trust_workspace"]).0, 0);
    assert_eq!(std::fs::read_to_string(out.path().join("keys")).unwrap(), "forged\n");
    let named = std::fs::canonicalize(&home.clone).unwrap();
    let mut command = home.folder.command(&["build", ":folder"]);
    command.current_dir(&home.clone).env("BUILD_TRUSTED_WORKSPACES", format!("/none:{}", named.display()));
    assert!(command.output().unwrap().status.success());
    home.expect_untouched();
}

/// Below a folder that cannot be written to, a link cannot be removed; what it leads to keeps its modes.
#[test]
fn a_clean_that_fails_changes_no_mode_elsewhere() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let secret = home.home.path().join("Documents");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o700)).unwrap();
    symlink("../../Documents", home.clone.join("build-out")).unwrap();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&home.clone, 0o555);
    home.run(&["clean"]);
    mode(&home.clone, 0o755);
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o700);
}
