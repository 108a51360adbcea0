//! What must hold after a command was killed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::command::{self, Command};
use super::{Shared, pool};
use crate::leavings;
use crate::packages::sha256;
use crate::workspace::{Run, Workspace};

/// A killed command.
pub struct Aftermath<'a> {
    /// Where it ran.
    pub workspace: &'a Workspace,
    /// What tries share.
    pub shared: &'a Shared,
    /// Which it was.
    pub command: Command,
    /// What it had done.
    pub killed: &'a Run,
    /// The id that its process had.
    pub pid: u32,
}

impl Aftermath<'_> {
    /// All of it; the next command is a check of the store, or the killed one again.
    pub fn check(&self, check_first: bool) -> Result<(), String> {
        if check_first && self.command != Command::Check {
            self.is_sound()?;
        }
        self.goes_on()?;
        self.is_right()?;
        self.is_sound()?;
        self.is_clean()
    }

    /// The same command goes through at once, and does not do again what was done.
    fn goes_on(&self) -> Result<(), String> {
        let next = self.workspace.run(&self.command.arguments());
        let next = match (self.command, next.code) {
            // The damage may have been found by the killed one, or by this one.
            (Command::Check, 1) => next,
            _ => next.expect(0).map_err(|message| format!("the next run: {message}"))?,
        };
        waits_for_nobody(&next)?;
        if self.command.keeps_results() {
            let again: Vec<String> = ran(self.killed).intersection(&ran(&next)).cloned().collect();
            if !again.is_empty() {
                return Err(format!("what was done is done again: {again:?}"));
            }
        }
        Ok(())
    }

    /// Outputs are those that the source stands for, and the registry holds what was pushed.
    pub fn is_right(&self) -> Result<(), String> {
        if self.command == Command::Push {
            return self.is_pushed();
        }
        waits_for_nobody(&self.workspace.run(&["build", "//..."]).expect(0)?)?;
        if self.command == Command::Fetch {
            return pool::check(self.workspace);
        }
        for (name, content) in command::outputs() {
            let is = self.workspace.read(&format!("build-out/{name}"))?;
            if is != content {
                return Err(format!("{name} is {:?} instead of {:?}", head(&is), head(&content)));
            }
        }
        Ok(())
    }

    fn is_pushed(&self) -> Result<(), String> {
        let text = self.workspace.read("BUILD.star")?;
        let repository = text.split("repository = \"").nth(1).and_then(|rest| rest.split('"').next());
        let repository = repository.ok_or("no repository")?;
        let registry = &self.shared.registry;
        let manifest = registry.get(&format!("/v2/{repository}/manifests/t"))?;
        self.workspace.run(&["build", ":image"]).expect(0)?;
        let built = self.workspace.read("build-out/image.digest")?;
        if built.trim() != sha256(&manifest) {
            return Err(format!("the registry has {} instead of {built}", sha256(&manifest)));
        }
        let manifest: Value = serde_json::from_slice(&manifest).map_err(|error| error.to_string())?;
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for blob in layers.chain([&manifest["config"]]) {
            let digest = blob["digest"].as_str().unwrap_or_default();
            let content = registry.get(&format!("/v2/{repository}/blobs/{digest}"))?;
            if sha256(&content) != digest {
                return Err(format!("the registry's {digest} is {}", sha256(&content)));
            }
        }
        Ok(())
    }

    /// A check of the store finds nothing.
    pub fn is_sound(&self) -> Result<(), String> {
        let run = self.workspace.run(&["fsck"]);
        run.expect(0).map(drop).map_err(|message| format!("the store is not sound: {message}"))
    }

    /// Nothing is left after a collection of garbage.
    pub fn is_clean(&self) -> Result<(), String> {
        self.workspace.run(&["gc", "--max_size=1G"]).expect(0)?;
        let files = leavings::temporary_files(self.workspace);
        let mounts = leavings::mounts(self.workspace.store());
        let mut groups = leavings::groups(self.pid);
        if !groups.is_empty() {
            // An empty group goes with the next action that needs one.
            command::write(self.workspace, "again", 4);
            self.workspace.run(&["build", ":l"]).expect(0)?;
            groups = leavings::groups(self.pid);
        }
        if files.is_empty() && mounts.is_empty() && groups.is_empty() {
            return Ok(());
        }
        Err(format!("left behind: files {files:?}, mounts {mounts:?}, control groups {groups:?}"))
    }
}

/// The actions that ran to their end.
fn ran(run: &Run) -> BTreeSet<String> {
    let ended = run.events.iter().filter_map(|event| event.get("ActionFinished"));
    ended
        .filter(|event| event["outcome"] == "Ran")
        .map(|event| format!("{} {}", event["mnemonic"], event["label"]))
        .collect()
}

/// Nobody is alive whom one could wait for.
pub fn waits_for_nobody(run: &Run) -> Result<(), String> {
    let waits = |event: &&Value| event.to_string().contains("another command") || event.to_string().contains("waiting");
    match run.events.iter().find(waits) {
        Some(event) => Err(format!("a lock is left: {event}")),
        None => Ok(()),
    }
}

fn head(text: &str) -> &str {
    text.get(..40).unwrap_or(text)
}
