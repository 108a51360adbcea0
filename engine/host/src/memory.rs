//! How much memory the machine has to spare, and how much this process holds.

/// Megabytes (2^20 bytes) that can be used without swapping, by the kernel's own estimate; `None` where it gives none.
pub fn available() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// Megabytes that this process holds and no file stands for; `None` where the kernel does not say.
pub fn held() -> Option<u64> {
    field(&std::fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

fn parse(text: &str) -> Option<u64> {
    field(text, "MemAvailable:")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        assert_eq!(parse("MemTotal:  8000000 kB\nMemAvailable:    5242880 kB\n"), Some(5120));
        assert_eq!(parse("MemTotal:  8000000 kB\n"), None);
        assert!(available().is_some_and(|megabytes| megabytes > 0));
    }
}
