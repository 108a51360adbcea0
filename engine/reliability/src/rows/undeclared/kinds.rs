//! What an action could see without having declared it.

/// One kind of undeclared input.
pub struct Kind {
    /// For people.
    pub name: &'static str,
    /// What the probe is asked to look at, and its argument; see `payload/probe.c` and `machine.rs` for what is in braces.
    pub look: (&'static str, &'static str),
    /// The same on the machine itself, if that is not the same words.
    pub outside: Option<(&'static str, &'static str)>,
    /// The command of a genrule, if the shell has a way of its own.
    pub shell: Option<&'static str>,
    /// What must come of it.
    pub expect: Expect,
}

/// What must come of an action that looks at something undeclared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It fails, and a hint names the thing by this text.
    Refused(&'static str),
    /// It sees the same on machines that differ in it.
    Fixed,
    /// It is an input after all: when it changes, the action has another key and runs again.
    Keyed,
}

const fn refused(name: &'static str, look: (&'static str, &'static str), text: &'static str) -> Kind {
    Kind { name, look, outside: None, shell: None, expect: Expect::Refused(text) }
}

const fn file(name: &'static str, path: &'static str) -> Kind {
    refused(name, ("read", path), path)
}

const fn fixed(name: &'static str, look: (&'static str, &'static str)) -> Kind {
    Kind { name, look, outside: None, shell: None, expect: Expect::Fixed }
}

impl Kind {
    const fn by_shell(self, command: &'static str) -> Self {
        Self { shell: Some(command), ..self }
    }

    const fn on_machine(self, what: &'static str, argument: &'static str) -> Self {
        Self { outside: Some((what, argument)), ..self }
    }

    const fn keyed(self) -> Self {
        Self { expect: Expect::Keyed, ..self }
    }
}

/// All kinds.
pub const ALL: &[Kind] = &[
    // The workspace.
    refused("a source file beside a declared one", ("read", "p/undeclared.txt"), "p/undeclared.txt exists")
        .on_machine("read", "{root}/p/undeclared.txt")
        .by_shell("cat p/undeclared.txt > $@"),
    refused("a header beside a declared source", ("include", "p/near.c"), "p/near.h exists")
        .on_machine("include", "{root}/p/near.c"),
    refused("a header of a dependency's package", ("include", "p/far.c"), "lib/far.h exists")
        .on_machine("include", "{root}/p/far.c"),
    refused("an output of the same package", ("read", "{out}/p/sibling.txt"), "a target of //p that makes sibling.txt")
        .on_machine("read", "{root}/build-out/p/sibling.txt")
        .by_shell("cp {out}/p/sibling.txt $@"),
    refused("an output of another target", ("read", "{out}/lib/made.txt"), "a target of //lib that makes made.txt")
        .on_machine("read", "{root}/build-out/lib/made.txt")
        .by_shell("read line < {out}/lib/made.txt; echo $$line > $@"),
    refused("a declared file by its absolute path", ("read", "{root}/p/declared.txt"), "p/declared.txt")
        .by_shell("cat '{root}/p/declared.txt' > $@"),
    refused("an undeclared file by its absolute path", ("read", "{root}/lib/far.h"), "lib/far.h")
        .by_shell("tail -n 1 '{root}/lib/far.h' > $@"),
    refused("metadata of git", ("read", ".git/HEAD"), ".git/HEAD")
        .on_machine("read", "{root}/.git/HEAD")
        .by_shell("cat .git/HEAD > $@"),
    // Files of the machine.
    file("the system's release", "/etc/os-release").by_shell("sh -c '. /etc/os-release; echo $$ID' > $@"),
    file("name servers", "/etc/resolv.conf").by_shell("grep nameserver /etc/resolv.conf > $@"),
    file("groups and passwords", "/etc/shells").by_shell("sort /etc/shells > $@"),
    file("locales", "/usr/lib/locale/C.utf8/LC_CTYPE").by_shell("cat /usr/lib/locale/C.utf8/LC_CTYPE > $@"),
    file("the builder's configuration", "{home}/.gitconfig").by_shell("cat '{home}/.gitconfig' > $@"),
    file("a file of the store", "{store}/canary").by_shell("cat '{store}/canary' > $@"),
    file("what another process left in /tmp", "{folder}/canary").by_shell("cat '{folder}/canary' > $@"),
    file("devices of the machine", "/sys/devices/system/cpu/online")
        .by_shell("cat /sys/devices/system/cpu/online > $@"),
    // Tools on PATH.
    refused("a C compiler on PATH", ("run", "cc"), "`cc`").by_shell("cc --version > $@"),
    refused("git on PATH", ("run", "git"), "`git`").by_shell("git --version > $@"),
    // What the kernel tells of the machine.
    file("the kernel's command line", "/proc/cmdline").by_shell("cat /proc/cmdline > $@"),
    file("time since the start", "/proc/uptime").by_shell("cat /proc/uptime > $@"),
    file("processors", "/proc/cpuinfo").by_shell("grep -c processor /proc/cpuinfo > $@"),
    file("memory", "/proc/meminfo").by_shell("sed -n 1p /proc/meminfo > $@"),
    file("the id of this start of the machine", "/proc/sys/kernel/random/boot_id")
        .by_shell("cat /proc/sys/kernel/random/boot_id > $@"),
    file("a setting of the kernel", "/proc/sys/vm/swappiness").by_shell("cat /proc/sys/vm/swappiness > $@"),
    // Servers.
    refused("a server on the machine's loopback", ("tcp", "127.0.0.1:{tcp}"), "127.0.0.1")
        .by_shell("nc -w 2 127.0.0.1 {tcp} > $@"),
    refused("a name server", ("udp", "127.0.0.1:{udp}"), "127.0.0.1"),
    refused("a socket in a folder", ("unix", "{socket}"), "{socket}"),
    refused("a socket in the abstract space", ("unix", "@{abstract}"), "@{abstract}"),
    // Variables.
    refused("a variable of the environment", ("env", "CANARY"), "`CANARY`").by_shell("echo $${CANARY} > $@"),
    refused("an agent with keys", ("env", "SSH_AUTH_SOCK"), "`SSH_AUTH_SOCK`").by_shell("ls $${SSH_AUTH_SOCK} > $@"),
    refused("a display", ("env", "DISPLAY"), "`DISPLAY`").by_shell("echo $${DISPLAY} > $@"),
    refused("who builds, as a variable", ("env", "USER"), "`USER`").by_shell("echo $${USER} > $@"),
    fixed("the home folder", ("env", "HOME")).by_shell("echo $$HOME > $@"),
    fixed("where programs are", ("env", "PATH")).by_shell("echo $$PATH > $@"),
    fixed("the time zone", ("env", "TZ")).by_shell("date -d @0 > $@"),
    fixed("the language", ("env", "LANG")).by_shell("echo $$LANG > $@"),
    // What a process inherits.
    fixed("the whole environment", ("environ", "-")),
    fixed("the umask", ("umask", "-")).by_shell("umask > $@"),
    fixed("limits", ("limits", "-")).by_shell("ulimit -a > $@"),
    fixed("user and groups", ("identity", "-")).by_shell("id > $@"),
    fixed("the host name", ("host", "-")).by_shell("hostname > $@"),
    fixed("the domain name", ("domain", "-")),
    fixed("signals that are ignored", ("signals", "-")),
    fixed("open descriptors", ("descriptors", "-")),
    fixed("standard input", ("stdin", "-")).by_shell("cat > $@"),
    fixed("the working folder", ("folder", "-")).by_shell("pwd > $@"),
    fixed("numbers of processes", ("pids", "-")).by_shell("echo $$$$ > $@"),
    fixed("the control group", ("read", "/proc/self/cgroup")).by_shell("cat /proc/self/cgroup > $@"),
    fixed("the personality", ("attributes", "-")),
    fixed("users of the machine", ("read", "/etc/passwd")).by_shell("cat /etc/passwd > $@"),
    fixed("hosts of the machine", ("read", "/etc/hosts")).by_shell("cat /etc/hosts > $@"),
    // What is known of declared files besides their content.
    fixed("mode, owner and time of an input", ("stat", "p/declared.txt")).on_machine("stat", "{root}/p/declared.txt"),
    fixed("outputs of earlier builds", ("list", "{out}/p")).on_machine("read", "{root}/build-out/p/sibling.txt"),
    // What is an input although nobody wrote it down.
    fixed("a file behind a link in the workspace", ("read", "p/link.txt")).keyed().by_shell("cat p/link.txt > $@"),
    fixed("that an input is executable", ("stat", "p/mode.sh")).keyed().by_shell("stat -c %a p/mode.sh > $@"),
    fixed("files that a pattern finds", ("list", "p/some")).keyed().by_shell("ls p/some > $@"),
];
