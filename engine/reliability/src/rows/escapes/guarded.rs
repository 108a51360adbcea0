//! An attack by an action of a real build.

use std::path::{Path, PathBuf};
use std::process::Output;

use super::attacks::{Attack, Scene};
use super::harm::{self, Aftermath, DATA};
use super::scene::Prey;
use crate::attempt::{Attempt, Outcome};
use crate::payload;
use crate::place::Place;
use crate::seed;

/// Puts the store on a small disk.
const SMALL_DISK: &str = r#"
set -e
mount -t tmpfs -o size=1g,mode=777 none "$1"
cp -a "$2/." "$1"
shift 2
exec "$@"
"#;

/// Seconds after which a build hangs.
const PATIENCE: &str = "60";

/// Makes an attack; it must not come through.
pub fn attack(attempt: &mut Attempt, attack: &Attack, as_nobody: bool) -> Outcome {
    let mut prey = Prey::set_out(attempt, as_nobody)?;
    let place = arrange(attempt, attack, attack.name, &prey, as_nobody)?;
    let output = build(&place, "//:t")?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = std::fs::read_to_string(place.root.join("build-out/t.said")).unwrap_or_default();
    match output.status.code() {
        Some(0) => {}
        Some(1) if told.contains("FAILED: Action //:t") && was_made(&told) => {}
        Some(124 | 137) => return Err(format!("the build hung\n{told}")),
        other => return Err(format!("the attack was not made: {other:?}\n{told}")),
    }
    let litter = litter(&place.store);
    let read = build(&place, "//:reader")?;
    let input = std::fs::read_to_string(place.root.join("build-out/reader.said")).unwrap_or_default();
    if input.is_empty() {
        return Err(format!("the input cannot be read any more\n{}", String::from_utf8_lossy(&read.stderr)));
    }
    let after = Aftermath {
        said: format!("{said}{told}"),
        output: &place.root.join(if attack.scene == Scene::Tree {
            "build-out/t.tree"
        } else {
            "build-out/deep/t.evil"
        }),
        input,
        succeeded: output.status.success(),
        litter,
    };
    match harm::of(attack.harm, &mut prey, &after) {
        Some(harm) => Err(format!("{harm}\n{told}")),
        None => Ok(()),
    }
}

/// Whether a failed action failed over its attack: the attacker says what stopped it, or the engine does.
fn was_made(told: &str) -> bool {
    ["blocked: ", "cannot be taken", "not created", "were killed", "came through", "than an action may"]
        .iter()
        .any(|text| told.contains(text))
}

/// Does what is harmless; it must succeed.
pub fn twin(attempt: &mut Attempt, attack: &Attack, as_nobody: bool) -> Outcome {
    let prey = Prey::set_out(attempt, as_nobody)?;
    let place = arrange(attempt, attack, attack.twin, &prey, as_nobody)?;
    let output = build(&place, "//:t")?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{} failed:\n{}", attack.twin, String::from_utf8_lossy(&output.stderr))),
    }
}

fn build(place: &Place, target: &str) -> Result<Output, String> {
    place.command(&["build", target]).output().map_err(|error| error.to_string())
}

/// A workspace with an action that runs `name`.
fn arrange(attempt: &Attempt, attack: &Attack, name: &str, prey: &Prey, as_nobody: bool) -> Result<Place, String> {
    let mut place = Place::below(&attempt.folder().join("place"), attempt.program());
    place.wrap(&super::bare::INHERITED);
    place.wrap(&["timeout", "--kill-after=5", PATIENCE]);
    std::fs::create_dir_all(place.root.join("in")).map_err(|error| error.to_string())?;
    let write = |name: &str, text: &[u8]| std::fs::write(place.root.join(name), text).expect("a file of the try");
    write("WORKSPACE.star", b"workspace(name = \"w\")\n");
    write("in/data.txt", DATA.as_bytes());
    crate::place::copy(&payload::path("attack"), &place.root.join("attack"));
    write("rules.star", RULES.as_bytes());
    seed::copy_to(&place.store, attempt.program());
    let mut words = prey.coordinates();
    words.push(format!("stored={}", stored(&place)?.display()));
    let own = ["out", "tree"].map(|word| word == if attack.scene == Scene::Tree { "tree" } else { "out" });
    let [with_file, with_tree] = match attack.scene {
        Scene::Output | Scene::Tree => own,
        _ => [false, false],
    };
    let text = BUILD.replace("{name}", name).replace("{words}", &format!("{words:?}"));
    let text = text.replace("{file}", python(with_file)).replace("{tree}", python(with_tree));
    std::fs::write(place.root.join("BUILD.star"), text).map_err(|error| error.to_string())?;
    if attack.scene == Scene::SmallDisk {
        let seed = place.store.with_extension("seed");
        std::fs::rename(&place.store, &seed)
            .and_then(|()| std::fs::create_dir(&place.store))
            .map_err(|e| e.to_string())?;
        let paths = [place.store.display().to_string(), seed.display().to_string()];
        if as_nobody {
            crate::place::run(std::process::Command::new("chown").args(["-hR", "65534:65534"]).arg(&seed))?;
        }
        place.wrap(&["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh", &paths[0], &paths[1]]);
    }
    if as_nobody {
        place.hand_over(attempt.folder())?;
    }
    Ok(place)
}

/// A file of the store that holds some content; the first build has put the input there.
fn stored(place: &Place) -> Result<PathBuf, String> {
    let folders = std::fs::read_dir(place.store.join("v1")).map_err(|error| error.to_string())?;
    let mut waiting: Vec<PathBuf> = folders.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                Ok(kind) if kind.is_file() => return Ok(entry.path()),
                _ => {}
            }
        }
    }
    Err("the store holds nothing".to_owned())
}

/// Whether scratch folders are left, of processes that have ended.
fn litter(store: &Path) -> bool {
    std::fs::read_dir(store.join("v1/tmp")).is_ok_and(|entries| entries.count() > 0)
}

fn python(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

const BUILD: &str = r#"load("//:rules.star", "attack")

attack(name = "t", attack = "{name}", words = {words}, with_file = {file}, with_tree = {tree})
attack(name = "reader", attack = "own-read", words = ["again"])
"#;

const RULES: &str = r#"
def _attack_impl(ctx):
    said = ctx.actions.declare_file(ctx.label.name + ".said")
    outputs, words = [said], [ctx.attr.attack] + ctx.attr.words
    if ctx.attr.with_file:
        out = ctx.actions.declare_file("deep/" + ctx.label.name + ".evil")
        outputs, words = outputs + [out], words + ["out=" + out.path]
    else:
        words.append("out=evil")
    if ctx.attr.with_tree:
        tree = ctx.actions.declare_directory(ctx.label.name + ".tree")
        outputs, words = outputs + [tree], words + ["tree=" + tree.path]
    ctx.actions.run(
        executable = ctx.file._attack,
        arguments = words,
        inputs = [ctx.file._data],
        outputs = outputs,
        stdin = ctx.file._data,
        stdout = said,
    )
    return [DefaultInfo(files = depset(outputs))]

attack = rule(
    implementation = _attack_impl,
    attrs = {
        "attack": attr.string(),
        "words": attr.string_list(),
        "with_file": attr.bool(),
        "with_tree": attr.bool(),
        "_attack": attr.label(default = "//:attack", allow_single_file = True),
        "_data": attr.label(default = "//:in/data.txt", allow_single_file = True),
    },
)
"#;
