//! Two machines on this one: they differ in everything that an action could see of a machine, as far as a process can be
//! given something else than its neighbour.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::attempt::Attempt;
use crate::payload;
use crate::place::{self, Place};
use crate::program::Program;
use crate::seed;
use crate::servers::Servers;

/// What the second machine is like: other names, other files in /etc, fewer open files, other inherited things. The rest of
/// the command line is run there.
const OTHER: &str = r#"
set -e
echo other-host > /proc/sys/kernel/hostname
echo other.domain > /proc/sys/kernel/domainname
for file in passwd hosts; do
  cp /etc/$file "$1/$file"
  echo "10.9.8.7 other:x:7:7::/:/bin/sh" >> "$1/$file"
  mount --bind "$1/$file" /etc/$file
done
group=/sys/fs/cgroup/cpuacct/build-reliability
[ -d /sys/fs/cgroup/cpuacct ] || group=/sys/fs/cgroup/build-reliability
mkdir -p "$group"
echo $$ > "$group/cgroup.procs"
shift
trap '' USR1 HUP
exec 9< /etc/passwd
exec prlimit --nofile=777: --stack=16777216: --msgqueue=4096: setarch --addr-no-randomize "$@"
"#;

/// No namespace can be made below this one.
const WITHOUT_NAMESPACES: &str = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";

/// A machine: the program and the probe at one place.
pub struct Machine {
    engine: Place,
    probe: Place,
    is_other: bool,
}

impl Machine {
    /// The machine as it is.
    pub fn this(attempt: &Attempt) -> Self {
        Self::new(attempt, "this", false)
    }

    /// Another one, with another user, too, if this process may.
    pub fn other(attempt: &Attempt) -> Self {
        Self::new(attempt, "the other/one", true)
    }

    /// The machine as it is, but for a user who may make no namespaces: there the program runs actions without a sandbox.
    pub fn without_namespaces(attempt: &Attempt) -> Self {
        let mut machine = Self::new(attempt, "without", false);
        machine.engine.wrap(&["unshare", "--user", "--map-root-user", "sh", "-c", WITHOUT_NAMESPACES, "sh"]);
        machine
    }

    fn new(attempt: &Attempt, name: &str, is_other: bool) -> Self {
        let folder = attempt.folder().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let probe = Program::find(Some(payload::path("probe"))).expect("it was compiled");
        let places = [attempt.program(), &probe].map(|program| {
            let mut place = Place::below(&folder, program);
            place.wrap(&["timeout", "60"]);
            place.set("CANARY", "sings");
            place.set("SSH_AUTH_SOCK", "/run/agent");
            place.set("DISPLAY", ":0");
            place.set("USER", if is_other { "other" } else { "this" });
            place.set("TZ", if is_other { "Asia/Kathmandu" } else { "America/St_Johns" });
            place.set("LANG", if is_other { "de_DE.UTF-8" } else { "C" });
            if is_other {
                place.set("PATH", format!("{}:/nowhere", std::env::var("PATH").unwrap_or_default()));
                place.umask = Some("077");
                let own = folder.display().to_string();
                place.wrap(&["unshare", "--uts", "--mount", "sh", "-c", OTHER, "sh", &own]);
            }
            place
        });
        let [engine, probe] = places;
        std::fs::create_dir_all(&engine.root).expect("a folder");
        std::fs::write(engine.home.join(".gitconfig"), "[user]\n").expect("a file");
        seed::copy_to(&engine.store, attempt.program());
        std::fs::write(engine.store.join("canary"), "sings\n").expect("a file");
        std::fs::write(folder.join("canary"), "sings\n").expect("a file");
        Self { engine, probe, is_other }
    }

    /// The place of the workspace.
    pub fn root(&self) -> &Path {
        &self.engine.root
    }

    /// Writes a file of the workspace; what an output says of it is the machine's own.
    pub fn write(&self, path: &str, text: &[u8], mode: u32) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("a folder");
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).expect("a file");
        let mode = if self.is_other { mode & 0o700 } else { mode };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("an own file");
        let time =
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(if self.is_other { 1 << 30 } else { 1 << 29 });
        std::fs::File::open(&path).and_then(|file| file.set_modified(time)).expect("an own file");
    }

    /// The last step before anything is run.
    pub fn ready(&mut self, folder: &Path) -> Result<(), String> {
        if self.is_other && place::is_root() {
            // The way to the workspace is open for all.
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).map_err(|e| e.to_string())?;
            let above = self.root().parent().and_then(Path::parent).ok_or("no folder above")?;
            std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o777)).map_err(|e| e.to_string())?;
            self.engine.hand_over(folder)?;
            self.probe.other_user = true;
        }
        Ok(())
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Result<Output, String> {
        self.finish(self.engine.command(arguments))
    }

    /// What the probe sees without a sandbox.
    pub fn look(&self, what: &str, argument: &str) -> Result<Output, String> {
        let mut command = self.probe.command(&[what, argument, "-"]);
        command.env("HOME", &self.engine.home);
        self.finish(command)
    }

    fn finish(&self, mut command: Command) -> Result<Output, String> {
        let input = std::fs::File::open(if self.is_other { "/proc/version" } else { "/dev/null" });
        let input = input.map_err(|error| error.to_string())?;
        command.stdin(Stdio::from(input)).output().map_err(|error| format!("{command:?}: {error}"))
    }

    /// Words with what is in braces replaced.
    pub fn text(&self, text: &str, servers: &Servers) -> String {
        let show = |path: &Path| path.display().to_string();
        let folder = self.root().parent().expect("below a folder");
        text.replace("{root}", &show(self.root()))
            .replace("{store}", &show(&self.engine.store))
            .replace("{home}", &show(&self.engine.home))
            .replace("{folder}", &show(folder))
            .replace("{out}", &format!("out/{}", configuration()))
            .replace("{tcp}", &servers.tcp.to_string())
            .replace("{udp}", &servers.udp.to_string())
            .replace("{socket}", &show(&servers.socket))
            .replace("{abstract}", &servers.name)
    }

    /// The control group that the other machine's processes were in goes when it is empty.
    pub fn clean() {
        for group in ["/sys/fs/cgroup/cpuacct/build-reliability", "/sys/fs/cgroup/build-reliability"] {
            let _ = std::fs::remove_dir(group);
        }
    }
}

/// The name of the folder of outputs.
fn configuration() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux-arm64" } else { "linux-amd64" }
}
