//! Control groups: limits for all processes of a command together, and what they used.
//!
//! A group costs processor time, so only a command that declares a limit gets one; how many processes there may be of all
//! others together is limited by one group for all. Both versions of the interface are
//! spoken: a machine may have one hierarchy for all (version 2), or one for each resource (version 1), and lets some
//! users make groups and others not. What has no group is limited by process (`init::privileges`).

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::command::{Exceeded, Together};

/// Numbers the groups of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Groups of killed engines are removed once a process.
static ABANDONED: Once = Once::new();
/// Controllers that groups are made for.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpuacct"];

/// The groups of one command. They are removed when dropped, which must be after all processes are dead.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    memory: Option<Group>,
    processes: Option<Group>,
    cpu_time: Option<Group>,
}

/// One group in one hierarchy.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    /// Whether the hierarchy is of version 2.
    unified: bool,
}

impl Groups {
    /// Groups for those limits that are set and for which the machine allows one.
    pub fn new(limits: &Together) -> Self {
        if *limits == Together::default() {
            return Self::default();
        }
        let hierarchies = Hierarchies::find();
        ABANDONED.call_once(|| hierarchies.remove_abandoned());
        let memory = limits.memory.and_then(|bytes| {
            let group = hierarchies.group("memory")?;
            let file = if group.unified { "memory.max" } else { "memory.limit_in_bytes" };
            if group.unified {
                // Without this a process would be slowed down by swapping before it is killed; not all machines swap.
                let _ = group.write("memory.swap.max", 0);
            }
            group.write(file, bytes).then_some(group)
        });
        let processes = limits.processes.and_then(|most| {
            let group = hierarchies.group("pids")?;
            // Process 1 is the sandbox's own.
            group.write("pids.max", most + 1).then_some(group)
        });
        let cpu_time = limits.cpu_time.and_then(|_| hierarchies.group("cpuacct"));
        Self { memory, processes, cpu_time }
    }

    /// Puts a process into them, and all that it starts from now on. One that cannot be put there is not limited.
    pub fn add(&self, process: u32) {
        for folder in self.folders() {
            let _ = host::fs::write_in_place(&folder.join("cgroup.procs"), process.to_string().as_bytes());
        }
    }

    /// Their folders.
    pub fn folders(&self) -> Vec<PathBuf> {
        [&self.memory, &self.processes, &self.cpu_time]
            .into_iter()
            .flatten()
            .map(|group| group.folder.clone())
            .collect()
    }

    /// The limits for which there is no group. That of processor time stays: it also ends a single process early.
    pub fn without(&self, limits: Together) -> Together {
        Together {
            memory: limits.memory.filter(|_| self.memory.is_none()),
            processes: limits.processes.filter(|_| self.processes.is_none()),
            ..limits
        }
    }

    /// Processor time used so far, if that is limited here.
    pub fn used(&self) -> Option<Duration> {
        let group = self.cpu_time.as_ref()?;
        match group.unified {
            true => group.number("cpu.stat", "usage_usec ").map(Duration::from_micros),
            false => group.number("cpuacct.usage", "").map(Duration::from_nanos),
        }
    }

    /// The limit that was reached, if one was.
    pub fn exceeded(&self) -> Option<Exceeded> {
        let killed = self.memory.as_ref().and_then(|group| {
            group.number(if group.unified { "memory.events" } else { "memory.oom_control" }, "oom_kill ")
        });
        let refused = self.processes.as_ref().and_then(|group| group.number("pids.events", "max "));
        match (killed, refused) {
            (Some(1..), _) => Some(Exceeded::Memory),
            (_, Some(1..)) => Some(Exceeded::Processes),
            _ => None,
        }
    }
}

impl Group {
    fn write(&self, file: &str, value: u64) -> bool {
        host::fs::write_in_place(&self.folder.join(file), value.to_string().as_bytes()).is_ok()
    }

    /// The number on the line that begins with `name`.
    fn number(&self, file: &str, name: &str) -> Option<u64> {
        let text = host::fs::read_to_string(&self.folder.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)).and_then(|number| number.trim().parse().ok())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group that cannot be removed is empty and limits nobody.
        let _ = host::fs::remove_dir(&self.folder);
    }
}

/// Where this machine has the engine's own groups.
struct Hierarchies {
    /// Controllers (empty for version 2) and the group's path, as /proc/self/cgroup has them.
    own: Vec<(String, String)>,
    mounts: Vec<HierarchyMount>,
}

/// A mounted hierarchy.
struct HierarchyMount {
    /// The group that is at the mount point.
    root: String,
    at: PathBuf,
    unified: bool,
    options: String,
}

impl Hierarchies {
    fn find() -> Self {
        let read = |path: &str| host::fs::read_to_string(Path::new(path)).unwrap_or_default();
        Self::parse(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    fn parse(own: &str, mounts: &str) -> Self {
        let own = own.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':').map(|(controllers, path)| (controllers.to_owned(), path.to_owned()))
        });
        let mounts = mounts.lines().filter_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let (place, kind): (Vec<&str>, Vec<&str>) = (place.split(' ').collect(), kind.split(' ').collect());
            let unified = match *kind.first()? {
                "cgroup2" => true,
                "cgroup" => false,
                _ => return None,
            };
            let (root, at) = ((*place.get(3)?).to_owned(), PathBuf::from(place.get(4)?));
            Some(HierarchyMount { root, at, unified, options: (*kind.get(2)?).to_owned() })
        });
        Self { own: own.collect(), mounts: mounts.collect() }
    }

    /// A new group that a controller watches.
    fn group(&self, controller: &str) -> Option<Group> {
        self.folders(controller).into_iter().find_map(|(parent, unified)| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let folder = parent.join(format!("build-{}-{number}", std::process::id()));
            host::fs::create_dir(&folder).ok()?;
            let group = Group { folder, unified };
            // In version 2 a controller watches only where the parent hands it on; the time is counted everywhere.
            let marker = match controller {
                "memory" if unified => "memory.max",
                "pids" => "pids.max",
                _ => "cgroup.procs",
            };
            host::fs::exists(&group.folder.join(marker)).then_some(group)
        })
    }

    /// Removes the groups of engines that were killed before they could do so. The kernel keeps those that somebody uses.
    fn remove_abandoned(&self) {
        let folders = CONTROLLERS.iter().flat_map(|controller| self.folders(controller));
        for (folder, _) in folders {
            remove_abandoned(&folder, |pid| host::fs::exists(&Path::new("/proc").join(pid)));
        }
    }

    /// Folders in which a group may be made: the engine's own group, and in version 2 the one around it, since a group
    /// with processes may hand no controllers on.
    fn folders(&self, controller: &str) -> Vec<(PathBuf, bool)> {
        let mut folders = Vec::new();
        for mount in &self.mounts {
            let has = |list: &str| list.split(',').any(|name| name == controller);
            let own = match mount.unified {
                true => self.own.iter().find(|(controllers, _)| controllers.is_empty()),
                false => self.own.iter().find(|(controllers, _)| has(controllers) && has(&mount.options)),
            };
            let Some((_, path)) = own else { continue };
            let Some(below) = path.strip_prefix(mount.root.trim_end_matches('/')) else { continue };
            let folder = mount.at.join(below.trim_start_matches('/'));
            let around = folder.parent().filter(|around| mount.unified && around.starts_with(&mount.at));
            folders.extend(around.map(|around| (around.to_owned(), true)));
            folders.insert(0, (folder, mount.unified));
        }
        folders
    }
}

/// Removes the groups below `folder` whose engine is dead.
fn remove_abandoned(folder: &Path, is_alive: impl Fn(&str) -> bool) {
    // Groups that cannot be listed or removed are empty and limit nobody.
    for entry in host::fs::read_dir(folder).unwrap_or_default() {
        let maker = entry.name.strip_prefix("build-").and_then(|rest| rest.split_once('-'));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some((pid, number)) = maker
            && is_number(pid)
            && is_number(number)
            && !is_alive(pid)
        {
            let _ = host::fs::remove_dir(&folder.join(&entry.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_dead_engines_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["build-7-1", "build-8-0", "build-8-0-more", "build-x-1", "build-test-8", "other"] {
            host::fs::create_dir(&folder.path().join(name)).unwrap();
        }
        remove_abandoned(folder.path(), |pid| pid == "7");
        let mut left: Vec<String> =
            host::fs::read_dir(folder.path()).unwrap().into_iter().map(|entry| entry.name).collect();
        left.sort();
        assert_eq!(left, ["build-7-1", "build-8-0-more", "build-test-8", "build-x-1", "other"]);
    }

    #[test]
    fn groups_are_made_where_the_engine_is() {
        let mounts = "1 0 0:1 / / rw - ext4 /dev/x rw\n\
            2 1 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            3 1 0:3 /outer /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse("8:memory:/a/b\n0::/outer/c\n", mounts);
        let folder = |path: &str, unified| (PathBuf::from(path), unified);
        let unified = [folder("/sys/fs/cgroup/unified/c", true), folder("/sys/fs/cgroup/unified", true)];
        assert_eq!(found.folders("pids"), unified);
        assert!(found.folders("memory").contains(&folder("/sys/fs/cgroup/memory/a/b", false)));
    }
}
