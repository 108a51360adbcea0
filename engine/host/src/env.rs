//! The environment of the engine's own process. Nothing of it reaches an action.

use std::env;
use std::path::PathBuf;

/// A variable, if it is set to valid text.
pub fn var(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// All variables that are valid text.
pub fn vars() -> Vec<(String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// The arguments of the process, its own name first. What is not valid text is taken with replacement characters.
pub fn arguments() -> Vec<String> {
    env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// The working folder.
pub fn current_dir() -> std::io::Result<PathBuf> {
    env::current_dir()
}

/// The program that is running.
pub fn current_exe() -> std::io::Result<PathBuf> {
    env::current_exe()
}

/// The user's home folder.
pub fn home() -> Option<PathBuf> {
    var("HOME").map(PathBuf::from)
}

/// The folder for this user's caches (XDG base directories).
pub fn cache_home() -> Option<PathBuf> {
    var("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| home().map(|home| home.join(".cache")))
}

/// The folder for this user's configuration (XDG base directories).
pub fn config_home() -> Option<PathBuf> {
    var("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| home().map(|home| home.join(".config")))
}

/// The users whose files this process may believe as much as its own: the user it runs as, the machine's administrator,
/// and whoever became that by `sudo`.
pub fn trusted_users() -> Vec<u32> {
    let own = rustix::process::geteuid().as_raw();
    let behind = var("SUDO_UID").filter(|_| own == 0).and_then(|user| user.parse().ok());
    [own, 0].into_iter().chain(behind).collect()
}

/// The machine's name, if it has one.
pub fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What tells one run of the machine from the next; empty where the kernel does not say.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
