//! A small workspace with one of each: text, a program, a folder with links, a written file, an image, a test.
//!
//! What it makes depends on one number, so that an edit is a new number, and the truth for each number is what another
//! folder with a store of its own makes of it from nothing. Its shell is a tree of one program; nothing is fetched, but
//! for the number that has packages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::attempt::Attempt;
use crate::demo_packages::PackageServer;
use crate::trials::Trials;
use crate::workspace::{Entry, Workspace, entries};

const WORKSPACE: &str = "workspace(name = \"w\")\ntoolchain(name = \"shell\", target = \"//shell:shell\")\n";

const SHELL: &str = r#"
def _shell_impl(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    names = ["sh", "cat", "chmod", "cp", "echo", "ln", "mkdir", "tr"]
    ctx.actions.tree(output = out, entries = {"bin/" + name: ctx.file.program for name in names})
    return [DefaultInfo(files = depset([out]))]

shell = rule(implementation = _shell_impl, attrs = {"program": attr.label(allow_single_file = True)})
"#;

const RULES: &str = r#"
def _folder_impl(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    path = out.path
    ctx.actions.run_shell(
        command = " && ".join([
            "mkdir -p %s/a/b %s/empty" % (path, path),
            "cp %s %s/a/b/text" % (ctx.file.src.path, path),
            "echo fixed > %s/a/fixed" % path,
            "ln -s b/text %s/a/link" % path,
            "echo '#!/bin/sh' > %s/run" % path,
            "chmod +x %s/run" % path,
        ]),
        inputs = [ctx.file.src],
        outputs = [out],
    )
    written = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.write(output = written, content = "written for %s\n" % ctx.label)
    return [DefaultInfo(files = depset([out, written]))]

folder = rule(implementation = _folder_impl, attrs = {"src": attr.label(allow_single_file = True)})
"#;

const TARGETS: &str = r#"
load(":defs.star", "folder")

genrule(name = "upper", srcs = ["in.txt"], outs = ["upper.txt"], cmd = "tr a-z A-Z < $< > $@")
genrule(name = "twice", srcs = [":upper"], outs = ["twice.txt"], cmd = "cat $< $< > $@")
genrule(name = "program", outs = ["program.sh"], cmd = "echo echo > $@", executable = True)
genrule(name = "other", srcs = ["other.txt"], outs = ["deep/er/other.txt"], cmd = "cat $< > $@")
folder(name = "folder", src = "in.txt")
oci_image(name = "image", entrypoint = ["/motd"], files = {"in.txt": "/motd"})
sh_test(name = "test", src = "test.sh", data = [":upper"])
"#;

/// The number of the workspace that has a package of each kind besides.
pub const WITH_PACKAGES: u64 = 3;

/// What a workspace shows, with what lies behind its links: path to content.
pub type Shown = BTreeMap<PathBuf, Entry>;

/// The program that is the shell, and what clean builds showed.
pub struct Reference {
    program: Vec<u8>,
    packages: PackageServer,
    truths: Mutex<BTreeMap<u64, Shown>>,
}

impl Reference {
    /// Gets the shell's program once, from the engine's own shell.
    pub fn new(trials: &Trials) -> Result<Self, String> {
        let attempt = Attempt::new(0, trials.settings().row, 0, trials.program().clone());
        let workspace = attempt.workspace("shell");
        workspace.run(&["build", "@rules//toolchains:shell"]).expect(0)?;
        let trees = entries(&workspace.store().join("v1/trees"));
        let is_program = |path: &Path| path.file_name().is_some_and(|name| name == "busybox");
        let found = trees.into_iter().find_map(|(path, entry)| match entry {
            Entry::File(bytes, true) if is_program(&path) => Some(bytes),
            _ => None,
        });
        let program = found.ok_or("the shell's tree holds no program")?;
        let content = (0..100_000_u32).flat_map(|number| (number / 3).to_le_bytes()).collect();
        Ok(Self { program, packages: PackageServer::start(content), truths: Mutex::default() })
    }

    /// An empty workspace of a try, on a machine that gets its packages from here.
    pub fn workspace(&self, attempt: &Attempt, name: &str) -> Workspace {
        self.packages.configure(attempt.workspace(name))
    }

    /// Writes the workspace with a number.
    pub fn write(&self, workspace: &Workspace, number: u64) {
        use std::os::unix::fs::PermissionsExt;
        workspace.write("WORKSPACE.star", WORKSPACE);
        workspace
            .write("shell/BUILD.star", "load(\":defs.star\", \"shell\")\nshell(name = \"shell\", program = \"sh\")\n");
        workspace.write("shell/defs.star", SHELL);
        workspace.write("shell/sh", &self.program);
        let program = workspace.root().join("shell/sh");
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).expect("a file of the try");
        workspace.write("defs.star", RULES);
        workspace.write("BUILD.star", TARGETS);
        workspace.write("test.sh", "test -s $RUNFILES_DIR/in.txt || true\n");
        workspace.write("other.txt", "other\n");
        if number == WITH_PACKAGES {
            self.packages.declare(workspace, "packages");
        }
        self.edit(workspace, number);
    }

    /// Changes the commands of what reads the outputs of others, and nothing of what they make: they run again, on
    /// what the store has.
    pub fn change_commands(&self, workspace: &Workspace, number: u64) {
        let again = |text: &str| text.replace("cat $< $< > $@", &format!("cat $< $< > $@ # {number}"));
        workspace.write("BUILD.star", again(TARGETS));
        workspace.write("defs.star", RULES.replace("\"mkdir -p", &format!("\"true {number} && mkdir -p")));
    }

    /// Changes the number.
    pub fn edit(&self, workspace: &Workspace, number: u64) {
        workspace.write("in.txt", format!("text of number {number}\n"));
    }

    /// What a clean build of a number shows.
    pub fn truth(&self, attempt: &Attempt, number: u64) -> Result<Shown, String> {
        if let Some(shown) = self.truths.lock().expect("no panic in it").get(&number) {
            return Ok(shown.clone());
        }
        let clean = self.workspace(attempt, &format!("clean{number}"));
        self.write(&clean, number);
        clean.run(&["build", "//..."]).expect(0)?;
        let shown = shown(&clean);
        if shown.len() < 10 {
            return Err(format!("a clean build shows little: {:?}", shown.keys()));
        }
        self.truths.lock().expect("no panic in it").insert(number, shown.clone());
        Ok(shown)
    }
}

/// What a workspace shows: files as they are, links into the store as the folders that they stand for.
pub fn shown(workspace: &Workspace) -> Shown {
    let mut all = Shown::new();
    // Reports of tests are shown by other commands than builds; what `build clean` moved aside and could not remove, the next
    // one removes.
    let is_output = |path: &Path| {
        let top = path.iter().next().and_then(|top| top.to_str()).unwrap_or_default();
        top != "testlogs" && !top.starts_with(".removed-")
    };
    for (path, entry) in workspace.outputs().into_iter().filter(|(path, _)| is_output(path)) {
        match entry {
            Entry::Link(target) if target.is_absolute() => {
                all.extend(entries(&target).into_iter().map(|(below, entry)| (path.join(below), entry)));
            }
            entry => drop(all.insert(path, entry)),
        }
    }
    all
}

/// The first difference between what is shown and what is true.
pub fn compare(shown: &Shown, truth: &Shown) -> Result<(), String> {
    let paths = shown.keys().chain(truth.keys());
    match paths.into_iter().find(|path| shown.get(*path) != truth.get(*path)) {
        None => Ok(()),
        Some(path) => {
            let say = |entry: Option<&Entry>| match entry {
                Some(Entry::File(bytes, executable)) => {
                    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                    format!("{} bytes {text:?}, executable: {executable}", bytes.len())
                }
                other => format!("{other:?}"),
            };
            let (is, should) = (say(shown.get(path)), say(truth.get(path)));
            Err(format!("{} is {is}; a clean build makes {should}", path.display()))
        }
    }
}
