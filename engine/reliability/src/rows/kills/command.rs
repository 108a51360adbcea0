//! The commands that are killed, what each starts from, and what it must have made once it went through.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::Shared;
use crate::workspace::Workspace;

/// A command that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A first build.
    Cold,
    /// A build after an edit.
    Incremental,
    /// `build gc`, with much to remove.
    Collection,
    /// `build fsck`, with damage to be found.
    Check,
    /// `build fetch`.
    Fetch,
    /// `build run` of a push.
    Push,
}

/// Actions of the workspace that read the source.
const WIDTH: usize = 5;
/// What a collection of garbage is to keep.
pub const ROOM: &str = "6M";

const RULES: &str = r#"
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.run_shell(
        outputs = [out],
        inputs = ctx.files.srcs,
        command = ctx.attr.cmd,
        arguments = [ctx.files.srcs[0].path, out.path],
        limits = {"memory": 256, "processes": 50},
    )
    return [DefaultInfo(files = depset([out]))]

limited = rule(implementation = _impl, attrs = {"cmd": attr.string(), "srcs": attr.label_list(allow_files = True)})
"#;

impl Command {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Cold, Self::Incremental, Self::Collection, Self::Check, Self::Fetch, Self::Push];

    /// The command of a try; builds are half of them.
    pub fn of(index: u64) -> Self {
        match index % 8 {
            0 | 4 => Self::Cold,
            2 | 6 => Self::Incremental,
            1 => Self::Collection,
            3 => Self::Fetch,
            5 => Self::Push,
            _ => Self::Check,
        }
    }

    /// What is typed.
    pub fn arguments(self) -> Vec<&'static str> {
        match self {
            Self::Cold | Self::Incremental => vec!["build", "--jobs=3", "//..."],
            Self::Collection => vec!["gc", "--max_size", ROOM],
            Self::Check => vec!["fsck"],
            Self::Fetch => vec!["fetch", "//..."],
            Self::Push => vec!["run", ":push"],
        }
    }

    /// The workspace with what the command needs of its environment.
    pub fn environment(self, workspace: Workspace, shared: &Shared) -> Workspace {
        let workspace = workspace.with_env("BUILD_DEBIAN_ENDPOINT", &shared.pool.endpoint());
        workspace.with_env("BUILD_REGISTRY_LOCAL", &format!("http://{}", shared.registry.address()))
    }

    /// Makes the workspace and its store as they are before the command.
    pub fn prepare(self, workspace: &Workspace, shared: &Shared, mark: &str) -> Result<(), String> {
        // Nothing of an earlier start.
        host::fs::remove_tree(&workspace.root().join("build-out")).map_err(|error| error.to_string())?;
        write(workspace, mark, 3);
        match self {
            Self::Cold => shared.shell.copy_to(workspace),
            Self::Incremental => {
                shared.grown.copy_to(workspace)?;
                write(workspace, mark, 1);
                workspace.run(&["build", "//..."]).expect(0)?;
                write(workspace, mark, 3);
                Ok(())
            }
            Self::Collection => shared.grown.copy_to(workspace),
            Self::Check => {
                shared.grown.copy_to(workspace)?;
                damage(workspace)
            }
            Self::Fetch => {
                shared.pool.declare(workspace, "");
                shared.shell.copy_to(workspace)
            }
            Self::Push => {
                shared.shell.copy_to(workspace)?;
                write_image(workspace, mark);
                Ok(())
            }
        }
    }

    /// Whether it may not remove what an earlier command made.
    pub fn keeps_results(self) -> bool {
        !matches!(self, Self::Collection | Self::Check)
    }
}

/// The workspace with the given version of its source. The mark stands in the arguments of all actions.
pub fn write(workspace: &Workspace, mark: &str, version: usize) {
    let mut text = String::from("load(\":rules.star\", \"limited\")\n");
    for n in 0..WIDTH {
        let command = format!(": {mark}; sleep 0.02; cat $< > $@; echo a{n} >> $@");
        _ = writeln!(text, "genrule(name = \"a{n}\", srcs = [\"x\"], outs = [\"a{n}.txt\"], cmd = \"{command}\")");
    }
    let all: String = (0..WIDTH).map(|n| format!("\":a{n}\", ")).collect();
    let command = format!(": {mark}; cat $(SRCS) > $@");
    _ = writeln!(text, "genrule(name = \"b\", srcs = [{all}], outs = [\"b.txt\"], cmd = \"{command}\")");
    let command = format!(": {mark}; sleep 0.02; cat $1 > $2");
    _ = writeln!(text, "limited(name = \"l\", srcs = [\"x\"], cmd = \"{command}\")");
    workspace.write("rules.star", RULES);
    workspace.write("BUILD.star", text);
    workspace.write("x", source(version));
}

fn write_image(workspace: &Workspace, mark: &str) {
    let text = format!(
        "oci_image(name = \"image\", entrypoint = [\"/x\"], files = {{\"x\": \"/etc/x\", \"noise\": \"/etc/noise\"}})\n\
        oci_push(name = \"push\", image = \":image\", registry = \"local\", repository = \"{}\", tags_to_set = [\"t\"])\n",
        repository(mark)
    );
    workspace.write("BUILD.star", text);
    // Each try pushes contents of its own, or the registry would have them already.
    let noise = (0..100_000).map(|n| model::Digest::of(format!("{mark} {n}").as_bytes()).as_bytes()[0]);
    workspace.write("noise", noise.collect::<Vec<u8>>());
}

/// The repository that a try pushes to.
pub fn repository(mark: &str) -> String {
    mark.to_lowercase()
}

fn source(version: usize) -> String {
    format!("version {version}\n").repeat(100)
}

/// What lies in `build-out` after a build of the last version.
pub fn outputs() -> BTreeMap<String, String> {
    let content = source(3);
    let mut outputs: BTreeMap<String, String> =
        (0..WIDTH).map(|n| (format!("a{n}.txt"), format!("{content}a{n}\n"))).collect();
    outputs.insert("b.txt".to_owned(), outputs.values().cloned().collect());
    outputs.insert("l.txt".to_owned(), content);
    outputs
}

/// Fills a store with contents that nothing needs and then, so that these go first, with results of three versions.
pub fn grow(workspace: &Workspace) -> Result<(), String> {
    let store = store::Store::open(workspace.store()).map_err(|error| error.to_string())?;
    for n in 0..60_usize {
        let content = format!("unneeded {n} ").repeat(5000);
        let digest = store.put_bytes(content.as_bytes()).map_err(|error| error.to_string())?;
        let key = model::Digest::of(&n.to_le_bytes());
        store.memo_put(&key, digest.as_bytes()).map_err(|error| error.to_string())?;
    }
    drop(store);
    // Uses are known to the second.
    std::thread::sleep(Duration::from_millis(1100));
    for version in 0..3 {
        write(workspace, "grown", version);
        workspace.run(&["build", "//..."]).expect(0)?;
    }
    Ok(())
}

/// Changes the output of an action without the store's seeing it.
pub fn damage(workspace: &Workspace) -> Result<(), String> {
    let content = format!("{}a0\n", source(2));
    let digest = model::Digest::of(content.as_bytes()).to_hex();
    let path = workspace.store().join("v1/blobs").join(&digest[..2]).join(&digest);
    let damage = || -> std::io::Result<()> {
        let sealed = std::fs::metadata(&path)?.modified()?;
        std::fs::write(&path, content.to_uppercase())?;
        std::fs::File::open(&path)?.set_modified(sealed)
    };
    damage().map_err(|error| format!("{}: {error}", path.display()))
}
