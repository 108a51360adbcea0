//! Workspaces that several rows build.

use std::path::{Path, PathBuf};

use crate::attempt::Outcome;
use crate::place::{self, Place};
use crate::program::Program;

/// Rules for the kinds of actions that genrules do not have.
pub const RULES: &str = r#"
def _written(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.write(output = out, content = "\n".join([f.short_path for f in ctx.files.srcs]), is_executable = True)
    return [DefaultInfo(files = depset([out]))]

def _tree(ctx):
    out = ctx.actions.declare_directory(ctx.label.name + ".d")
    ctx.actions.run_shell(
        outputs = [out],
        inputs = ctx.files.srcs,
        command = "mkdir -p $1/x; to=$1; shift; for f in $@; do cp $f $to/x/; done",
        arguments = [out.path] + [f.path for f in ctx.files.srcs],
    )
    return [DefaultInfo(files = depset([out]))]

written = rule(implementation = _written, attrs = {"srcs": attr.label_list(allow_files = True)})
tree = rule(implementation = _tree, attrs = {"srcs": attr.label_list(allow_files = True)})
"#;

/// What an action must not do, and what the sandbox cannot keep it from.
pub const CULPRIT: &str = r#"
genrule(name = "random", outs = ["random.txt"], cmd = "head -c 8 /dev/urandom | od -A n -t x1 > $@")
"#;

const KINDS: &str = r#"
load("//:defs.star", "tree", "written")

written(name = "written", srcs = ["s0.txt", "s1.txt"])
tree(name = "tree", srcs = ["s0.txt", "s1.txt", ":written", ":listed"])
genrule(
    name = "listed",
    srcs = glob(["*.txt"]),
    outs = ["listed.txt"],
    cmd = "(id; umask; hostname; uname -n; pwd; nproc > /dev/null; env | sort; date -d @0; ls -l . | awk '{print $$1, $$9}'; sort $(SRCS)) > $@",
)
genrule(name = "many", outs = ["a/%d.txt" % n for n in range(8)], cmd = "for f in $(OUTS); do echo $$f > $$f; done")
genrule(name = "packed", srcs = [":tree"], outs = ["packed.tar.gz"], cmd = "tar -cf - -C $(SRCS) . | gzip -n > $@")
genrule(name = "program", outs = ["program.sh"], executable = True, cmd = "(echo '#!/bin/sh'; echo echo hello) > $@; chmod 700 $@")
genrule(name = "linked", srcs = [":program"], outs = ["linked.txt"], cmd = "cp $(SRCS) $@; touch -d @1234567890 $@")
filegroup(name = "group", srcs = [":linked", ":written"])
oci_image(name = "base", entrypoint = ["/bin/program"], files = {":program": "/bin/program", ":listed": "/etc/listed"})
oci_image(name = "image", base = ":base", files = {":tree": "/data", "s1.txt": "/data/s1"}, labels = {"b": "2", "a": "1"})
"#;

/// A workspace with every kind of action that needs nothing from outside but the shell: images, trees, links, programs.
pub fn kinds_of_actions(folder: &Path) {
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    write("WORKSPACE.star", "workspace(name = \"w\")\n");
    write("defs.star", RULES);
    write("BUILD.star", KINDS);
    (0..3).for_each(|index| write(&format!("s{index}.txt"), &format!("source {index}\n")));
    write("culprit/BUILD.star", "");
}

/// The top of this repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the crate lies in engine/reliability")
}

/// A copy of this repository's sample system below `folder`, and a store with all that it needs from outside.
pub fn fetched_repository(folder: &Path, program: &Program) -> Result<(PathBuf, PathBuf), String> {
    let mut place = Place::below(&folder.join("repository"), program);
    std::fs::create_dir_all(&place.root).map_err(|error| error.to_string())?;
    let names =
        ["WORKSPACE.star", "BUILD.star", "go.mod", "go.sum", "requirements.lock", "protos", "services", "deploy"];
    for name in names {
        place::copy(&repository().join(name), &place.root.join(name));
    }
    place.home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    fetch(&place)?;
    Ok((place.root.clone(), place.store.clone()))
}

fn fetch(place: &Place) -> Outcome {
    place.build(&["fetch", "//..."])
}
