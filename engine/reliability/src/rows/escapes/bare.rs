//! The positive control: an attack without a sandbox. It must come through, else blocking it would mean nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use super::attacks::{Attack, Scene};
use super::harm::{self, Aftermath, DATA};
use super::scene::Prey;
use crate::attempt::{Attempt, Outcome};
use crate::payload;

/// Makes a small disk of the working folder.
const SMALL_DISK: &str = r#"mount -t tmpfs -o size=64m none . && cd "$PWD" && mkdir in && exec "$@" 2> log"#;

/// A descriptor that is inherited by mistake: that of the machine's root.
pub const INHERITED: [&str; 4] = ["sh", "-c", "exec 9< /; exec \"$@\"", "sh"];

/// Makes an attack as a plain process, with namespaces between it and the machine where it would do harm.
pub fn attack(attempt: &mut Attempt, attack: &Attack) -> Outcome {
    let mut prey = Prey::set_out(attempt, false)?;
    let work = attempt.folder().join("work");
    std::fs::create_dir_all(work.join("in"))
        .and_then(|()| std::fs::create_dir(work.join("deep")))
        .map_err(|e| e.to_string())?;
    for name in ["work/in/data.txt", "stored"] {
        std::fs::write(attempt.folder().join(name), DATA).map_err(|e| e.to_string())?;
    }
    // Not pipes: whoever is left holds them open.
    let log = attempt.folder().join("log");
    let opened = std::fs::File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
    let (stdout, stderr) = opened.map_err(|error| error.to_string())?;
    let mut command = command(attack, &prey, &work, &attempt.folder().join("stored"));
    let status = command.stdout(stdout).stderr(stderr).status().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    let (input, stored) = (read(&work.join("in/data.txt")), read(&attempt.folder().join("stored")));
    let after = Aftermath {
        said: said.clone(),
        output: &work.join(if attack.scene == Scene::Tree { "tree" } else { "deep/evil" }),
        input: if stored == DATA { input } else { stored },
        succeeded: status.success(),
        litter: work.join("d").exists() || work.join("locked").exists(),
    };
    let harm = harm::of(attack.harm, &mut prey, &after);
    if attack.name == "deep" {
        // Deeper than the longest path: programs that go step by step can remove it.
        let _ = Command::new("rm").arg("-rf").arg(work.join("d")).status();
    }
    harm.map(drop).ok_or_else(|| format!("it did not come through: {said}"))
}

fn command(attack: &Attack, prey: &Prey, work: &Path, stored: &Path) -> Command {
    let words: &[&str] = match attack.scene {
        Scene::Aside => &["unshare", "--mount", "--uts"],
        Scene::Apart => &["unshare", "--mount", "--pid", "--fork", "--mount-proc"],
        Scene::SmallDisk => &["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh"],
        Scene::Plain | Scene::Output | Scene::Tree => &[],
    };
    // A bomb ends its own group.
    let mut command = Command::new("setsid");
    command
        .arg("--wait")
        .args(INHERITED)
        .args(words)
        .arg(payload::path("attack"))
        .arg(attack.name)
        .args(prey.coordinates());
    command.arg("out=deep/evil").arg("tree=tree").arg(format!("stored={}", stored.display()));
    let input = std::fs::File::open(work.join("in/data.txt")).map_or_else(|_| Stdio::null(), Stdio::from);
    command.current_dir(work).stdin(input);
    command
}
