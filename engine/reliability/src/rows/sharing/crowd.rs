//! Commands that run at once on one store.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::work;
use crate::attempt::{Attempt, Outcome};
use crate::packages::Mirror;
use crate::running::{LOOK, PATIENCE, Running};
use crate::template::Template;
use crate::workspace::Workspace;

/// Running commands and where they run.
pub struct Crowd {
    workspaces: Vec<Workspace>,
    members: Vec<Member>,
}

struct Member {
    running: Running,
    /// Which workspace.
    place: usize,
    targets: Vec<String>,
}

impl Crowd {
    /// Starts so many commands, in two workspaces.
    pub fn start(attempt: &mut Attempt, mirror: &Mirror, template: &Template, count: usize) -> Result<Self, String> {
        let mut crowd = Self::places(attempt, mirror, template)?;
        for n in 0..count {
            let targets = work::targets(&mut attempt.dice);
            crowd.add(n % 2, targets);
        }
        Ok(crowd)
    }

    /// One command at an action that takes longer than anybody waits.
    pub fn of_slow(attempt: &mut Attempt, mirror: &Mirror, template: &Template) -> Result<Self, String> {
        let mut crowd = Self::places(attempt, mirror, template)?;
        crowd.join(&["build", ":slow"]);
        Ok(crowd)
    }

    fn places(attempt: &Attempt, mirror: &Mirror, template: &Template) -> Result<Self, String> {
        let first = attempt.workspace("w0");
        let second = attempt.workspace_beside("w1", &first);
        template.copy_to(&first)?;
        let workspaces: Vec<Workspace> = [first, second].into_iter().map(|one| mirror.give_shell(one)).collect();
        workspaces.iter().enumerate().for_each(|(which, workspace)| work::write(workspace, which));
        Ok(Self { workspaces, members: Vec::new() })
    }

    fn add(&mut self, place: usize, targets: Vec<String>) {
        let labels: Vec<String> = targets.iter().map(|target| format!(":{target}")).collect();
        let mut arguments = vec!["build", "--jobs=2"];
        arguments.extend(labels.iter().map(String::as_str));
        let running = Running::start(&self.workspaces[place], &arguments);
        self.members.push(Member { running, place, targets });
    }

    /// Starts another command in the first workspace.
    pub fn join(&mut self, arguments: &[&str]) {
        let running = Running::start(&self.workspaces[0], arguments);
        self.members.push(Member { running, place: 0, targets: Vec::new() });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Two different ones.
    pub fn two(&self, dice: &mut Rng) -> (usize, usize) {
        let first = dice.usize(0..self.len());
        let second = (first + dice.usize(1..self.len())) % self.len();
        (first, second)
    }

    /// The process of a command.
    pub fn pid(&self, n: usize) -> u32 {
        self.members[n].running.pid()
    }

    /// Sends a signal to a command's process.
    pub fn signal(&self, n: usize, signal: Signal) {
        self.members[n].running.signal(signal);
    }

    /// Whether a command has ended.
    pub fn has_ended(&mut self, n: usize) -> bool {
        self.members[n].running.has_ended()
    }

    /// Waits until a command is at an action of its own, or until any moment, or its end.
    pub fn wait_until_at_work(&mut self, n: usize, at_work: bool, dice: &mut Rng) -> Outcome {
        std::thread::sleep(Duration::from_millis(dice.u64(0..60)));
        if at_work {
            self.members[n].running.wait_for("an action", is_at_work)?;
        }
        Ok(())
    }

    /// Waits until commands have ended while another one is stopped. Returns those that cannot, since the stopped one
    /// holds a lock of the store; they must say so.
    pub fn wait_for_ends(&mut self, commands: &[usize], stopped: u32) -> Result<Vec<usize>, String> {
        self.wait_for_ends_within(commands, stopped, PATIENCE)
    }

    /// The same with another patience.
    pub fn wait_for_ends_within(
        &mut self,
        commands: &[usize],
        stopped: u32,
        patience: Duration,
    ) -> Result<Vec<usize>, String> {
        let began = Instant::now();
        loop {
            let open: Vec<usize> = commands.iter().copied().filter(|n| !self.has_ended(*n)).collect();
            if open.iter().all(|n| self.says_whom_it_waits_for(*n, stopped)) {
                return Ok(open);
            }
            if began.elapsed() > patience {
                let said = open.iter().map(|n| format!("command {n}:\n{}", self.members[*n].running.stderr()));
                return Err(format!("they do not end beside a stopped one:\n{}", said.collect::<String>()));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn says_whom_it_waits_for(&self, n: usize, pid: u32) -> bool {
        self.members[n].running.stderr().contains(&format!("waiting for process {pid}"))
    }

    /// Whether a command ended well and its outputs are what they should be.
    pub fn is_right(&mut self, n: usize) -> Outcome {
        let named = |message: String| format!("command {n}: {message}");
        self.finish(n)?;
        let member = &self.members[n];
        for target in &member.targets {
            let is = self.workspaces[member.place].read(&format!("build-out/{target}.txt")).map_err(named)?;
            let expected = work::output(target, member.place);
            if is != expected {
                return Err(named(format!("{target} is {is:?} instead of {expected:?}")));
            }
        }
        Ok(())
    }

    /// Waits for the good end of a command.
    pub fn finish(&mut self, n: usize) -> Outcome {
        let run = self.members[n].running.end().and_then(|run| run.expect(0));
        run.map(drop).map_err(|message| format!("command {n}: {message}"))
    }

    /// Changes an output of a command.
    pub fn spoil(&self, n: usize) -> Outcome {
        let member = &self.members[n];
        let workspace = &self.workspaces[member.place];
        let target = member.targets.first().ok_or("it has no target")?;
        workspace.remove(&format!("build-out/{target}.txt"));
        workspace.write(&format!("build-out/{target}.txt"), "spoiled");
        Ok(())
    }

    /// Kills what still runs.
    pub fn end(&mut self) {
        for member in &mut self.members {
            if !member.running.has_ended() {
                member.running.signal_group(Signal::SIGKILL);
                // It was killed, which is no news.
                let _ = member.running.end();
            }
        }
    }

    /// How often each action ran, over these commands.
    pub fn ran(&self, commands: &[usize]) -> BTreeMap<String, usize> {
        let mut ran = BTreeMap::new();
        for member in commands.iter().map(|n| &self.members[*n]) {
            for event in member.running.events() {
                let event = &event["ActionFinished"];
                if event["outcome"] == "Ran" {
                    // What a workspace has for itself is another action in the other one.
                    let own = event["label"].as_str().is_some_and(|label| label.starts_with("//:o"));
                    let place = if own { member.place.to_string() } else { String::new() };
                    *ran.entry(format!("{}{place}", event["label"])).or_default() += 1;
                }
            }
        }
        ran
    }

    /// All of both workspaces can be built and is right, and the store is sound.
    pub fn is_whole(&self) -> Outcome {
        for (place, workspace) in self.workspaces.iter().enumerate() {
            workspace.run(&["build", "//...", "-//:slow"]).expect(0)?;
            let names = (0..work::COMMON).flat_map(|n| [format!("c{n}"), format!("d{n}")]);
            for target in names.chain((0..work::OWN).map(|n| format!("o{n}"))) {
                let is = workspace.read(&format!("build-out/{target}.txt"))?;
                if is != work::output(&target, place) {
                    return Err(format!("in the end {target} is {is:?} instead of {:?}", work::output(&target, place)));
                }
            }
        }
        self.workspaces[0].run(&["fsck"]).expect(0).map(drop)
    }
}

/// Whether an action was begun and has not ended, other than one that another command is at.
fn is_at_work(events: &[Value]) -> bool {
    let ended: Vec<&Value> = events.iter().map(|event| &event["ActionFinished"]["id"]).collect();
    let started = events.iter().filter_map(|event| event.get("ActionStarted"));
    let own = |event: &&Value| !event["description"].as_str().unwrap_or_default().contains("another command");
    started.filter(own).any(|event| !ended.contains(&&event["id"]))
}
