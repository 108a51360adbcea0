//! The attacks: what each is after, how it is known that it came through, and its harmless twin.

/// One way to get at something that a sandbox guards.
pub struct Attack {
    /// Its name in `payload/attack_*.c`.
    pub name: &'static str,
    /// How it is known that it came through.
    pub harm: Harm,
    /// What is alike, and may be done.
    pub twin: &'static str,
    /// Where it happens.
    pub scene: Scene,
}

/// How it is known, from outside, that an attack came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The secret is in what was made or said.
    Leak,
    /// A file of the machine is another.
    Damage,
    /// An input is another for the next action.
    Tampered,
    /// The victim is dead.
    Killed,
    /// The kernel granted what it must not grant; only the attacker can say so.
    Granted,
    /// The build succeeded, with something as an output that is neither file nor folder.
    Taken,
    /// An output grants its starter more than he has: set-user-ID or capabilities.
    Privileged,
    /// An output has what no content is: attributes.
    Marked,
    /// A process is left.
    Left,
    /// An output changed after it was taken.
    Late,
    /// Something is left in the scratch folder.
    Litter,
}

/// Where an attack happens, and what is put between it and the machine when it is made without a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// Nothing special.
    Plain,
    /// In namespaces of mounts and host names, which take the harm.
    Aside,
    /// With process numbers of its own, so that process 1 is its own, too.
    Apart,
    /// On a small disk.
    SmallDisk,
    /// With an output besides what it says.
    Output,
    /// With a folder as output.
    Tree,
}

const fn attack(name: &'static str, harm: Harm, twin: &'static str) -> Attack {
    Attack { name, harm, twin, scene: Scene::Plain }
}

impl Attack {
    const fn at(self, scene: Scene) -> Self {
        Self { scene, ..self }
    }
}

/// All attacks.
pub const ALL: &[Attack] = &[
    // Files of the machine.
    attack("read-absolute", Harm::Leak, "own-read"),
    attack("read-upwards", Harm::Leak, "own-read"),
    attack("read-by-init", Harm::Leak, "own-read").at(Scene::Apart),
    attack("read-by-root", Harm::Leak, "own-read"),
    attack("read-by-folder", Harm::Leak, "own-read"),
    attack("read-by-parent", Harm::Leak, "own-read"),
    attack("read-by-descriptor", Harm::Leak, "own-read"),
    attack("leave-root", Harm::Leak, "own-read"),
    attack("by-handle", Harm::Leak, "own-read"),
    attack("unmount-root", Harm::Leak, "own-read").at(Scene::Aside),
    attack("enter-mounts", Harm::Leak, "own-read").at(Scene::Apart),
    attack("write-absolute", Harm::Damage, "own-write"),
    attack("write-by-init", Harm::Damage, "own-write").at(Scene::Apart),
    attack("remove", Harm::Damage, "own-write"),
    attack("rename", Harm::Damage, "own-write"),
    attack("write-store", Harm::Damage, "own-write"),
    // Inputs.
    attack("write-input", Harm::Tampered, "own-read"),
    attack("reopen-input", Harm::Tampered, "own-read"),
    attack("reopen-stdin", Harm::Tampered, "own-read"),
    attack("unlink-input", Harm::Tampered, "own-read"),
    attack("exchange-input", Harm::Tampered, "own-write"),
    attack("link-input", Harm::Tampered, "own-write"),
    attack("move-folder", Harm::Tampered, "own-read"),
    attack("remount-input", Harm::Tampered, "own-read").at(Scene::Aside),
    attack("unmount-input", Harm::Tampered, "own-read").at(Scene::Aside),
    attack("bind-writable", Harm::Tampered, "own-read").at(Scene::Aside),
    attack("truncate-input", Harm::Tampered, "own-read"),
    attack("attribute-input", Harm::Tampered, "own-read"),
    // Outputs.
    attack("evil-link", Harm::Leak, "own-output").at(Scene::Output),
    attack("evil-chain", Harm::Leak, "own-output").at(Scene::Output),
    attack("evil-upwards", Harm::Leak, "own-output").at(Scene::Output),
    attack("evil-folder", Harm::Leak, "own-output").at(Scene::Output),
    attack("evil-linked", Harm::Leak, "own-link").at(Scene::Output),
    attack("evil-tree", Harm::Leak, "own-tree").at(Scene::Tree),
    attack("evil-way", Harm::Leak, "own-tree").at(Scene::Tree),
    attack("evil-pipe", Harm::Taken, "own-output").at(Scene::Output),
    attack("evil-socket", Harm::Taken, "own-output").at(Scene::Output),
    attack("evil-device", Harm::Taken, "own-output").at(Scene::Output),
    attack("evil-setuid", Harm::Privileged, "own-link").at(Scene::Output),
    attack("evil-capable", Harm::Privileged, "own-link").at(Scene::Output),
    attack("evil-attribute", Harm::Marked, "own-link").at(Scene::Output),
    attack("late", Harm::Late, "own-output").at(Scene::Output),
    // Servers.
    attack("tcp", Harm::Leak, "own-loopback"),
    attack("udp", Harm::Leak, "own-loopback"),
    attack("mapped", Harm::Leak, "own-loopback"),
    attack("abstract", Harm::Leak, "own-socket"),
    attack("path", Harm::Leak, "own-socket"),
    attack("path-by-init", Harm::Leak, "own-socket").at(Scene::Apart),
    attack("enter-network", Harm::Leak, "own-loopback").at(Scene::Apart),
    attack("raw", Harm::Granted, "own-loopback"),
    attack("icmp", Harm::Granted, "own-loopback"),
    attack("configure", Harm::Granted, "own-loopback"),
    attack("low-port", Harm::Granted, "own-loopback"),
    // Other processes.
    attack("environment", Harm::Leak, "own-child"),
    attack("arguments", Harm::Leak, "own-child"),
    attack("kill", Harm::Killed, "own-child"),
    attack("kill-group", Harm::Killed, "own-child"),
    attack("kill-by-descriptor", Harm::Killed, "own-child"),
    attack("queue-signal", Harm::Killed, "own-child"),
    attack("trace", Harm::Granted, "own-child"),
    attack("seize", Harm::Granted, "own-child"),
    attack("memory", Harm::Leak, "own-child"),
    attack("memory-by-file", Harm::Leak, "own-child"),
    attack("limit-victim", Harm::Granted, "own-child"),
    attack("slow-victim", Harm::Granted, "own-identity"),
    attack("pin-victim", Harm::Granted, "own-child"),
    attack("watch-victim", Harm::Granted, "own-child"),
    attack("take-descriptor", Harm::Granted, "own-child"),
    // What processes share.
    attack("shared-segment", Harm::Leak, "own-segment"),
    attack("shared-queue", Harm::Leak, "own-segment"),
    attack("shared-posix-queue", Harm::Leak, "own-segment"),
    attack("shared-memory", Harm::Leak, "own-segment"),
    attack("user-keys", Harm::Leak, "own-segment"),
    attack("session-keys", Harm::Leak, "own-segment"),
    // The kernel.
    attack("be-root", Harm::Granted, "own-identity"),
    attack("be-capable", Harm::Granted, "own-identity"),
    attack("restart", Harm::Granted, "own-identity"),
    attack("set-clock", Harm::Granted, "own-identity"),
    attack("set-host", Harm::Granted, "own-identity").at(Scene::Aside),
    attack("setting", Harm::Granted, "own-identity").at(Scene::Aside),
    attack("setting-by-own-proc", Harm::Granted, "own-identity").at(Scene::Aside),
    attack("mount-memory", Harm::Granted, "own-write").at(Scene::Aside),
    attack("be-first", Harm::Granted, "own-identity"),
    attack("other-devices", Harm::Granted, "own-devices"),
    attack("change-device", Harm::Granted, "own-devices"),
    attack("list-mounts", Harm::Granted, "own-child"),
    attack("list-mounts-of-init", Harm::Granted, "own-child").at(Scene::Apart),
    attack("program-of-init", Harm::Granted, "own-child").at(Scene::Apart),
    // Using up, and staying.
    attack("forks", Harm::Granted, "own-forks"),
    attack("threads", Harm::Granted, "own-forks"),
    attack("fill", Harm::Granted, "own-megabytes").at(Scene::SmallDisk),
    attack("fill-many", Harm::Granted, "own-megabytes").at(Scene::SmallDisk),
    attack("fill-log", Harm::Granted, "own-megabytes").at(Scene::SmallDisk),
    attack("holes", Harm::Granted, "own-megabytes").at(Scene::Output),
    attack("deep", Harm::Litter, "own-write"),
    attack("no-mode", Harm::Litter, "own-write"),
    attack("stays", Harm::Left, "own-forks"),
    attack("stays-open", Harm::Left, "own-forks"),
];
