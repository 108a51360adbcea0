//! The tags in a wheel's file name (PEP 427, PEP 425, PEP 600) and how well they fit an interpreter on a platform.

/// A wheel's file name, taken apart. Compressed tag sets (`py2.py3`) stay as lists.
pub(crate) struct Tags<'a> {
    pub version: &'a str,
    pythons: Vec<&'a str>,
    abis: Vec<&'a str>,
    platforms: Vec<&'a str>,
}

/// Greater fits better: first by ABI, then by platform.
pub(crate) type Rank = (u32, u32);

/// The newest glibc whose wheels are taken: that of the pinned Python's own base.
const GLIBC: u32 = 36;

/// `None` for anything but a wheel.
pub(crate) fn parse(file: &str) -> Option<Tags<'_>> {
    let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
    let (version, tags) = match parts.as_slice() {
        [_, version, tags @ ..] if tags.len() == 3 => (*version, tags),
        [_, version, _build, tags @ ..] if tags.len() == 3 => (*version, tags),
        _ => return None,
    };
    let [pythons, abis, platforms] = tags else { return None };
    Some(Tags {
        version,
        pythons: pythons.split('.').collect(),
        abis: abis.split('.').collect(),
        platforms: platforms.split('.').collect(),
    })
}

impl Tags<'_> {
    /// How well it fits CPython `python` (`3.11`) on `platform` (`linux/amd64`); `None` when it does not.
    pub(crate) fn rank(&self, python: &str, platform: &str) -> Option<Rank> {
        let minor: u32 = python.strip_prefix("3.")?.parse().ok()?;
        let own = format!("cp3{minor}");
        let abi = |python: &str, abi: &str| {
            let tag_minor = python.strip_prefix("cp3").and_then(|minor| minor.parse::<u32>().ok());
            match abi {
                _ if python == own && abi == own => Some(1000),
                "abi3" => tag_minor.filter(|tag| *tag <= minor).map(|tag| 500 + tag),
                "none" if python == own => Some(400),
                "none" if python == format!("py3{minor}") => Some(300),
                "none" if python == "py3" => Some(200),
                _ => None,
            }
        };
        let pairs = self.pythons.iter().flat_map(|python| self.abis.iter().map(move |abi| (*python, *abi)));
        let abi = pairs.filter_map(|(python, tag)| abi(python, tag)).max()?;
        let platform = self.platforms.iter().filter_map(|tag| platform_rank(tag, platform)).max()?;
        Some((abi, platform))
    }
}

fn platform_rank(tag: &str, platform: &str) -> Option<u32> {
    if tag == "any" {
        return Some(0);
    }
    match platform.split_once('/')? {
        ("linux", arch) => {
            let arch = if arch == "amd64" { "_x86_64" } else { "_aarch64" };
            let glibc = match tag.strip_suffix(arch)? {
                "manylinux1" => 5,
                "manylinux2010" => 12,
                "manylinux2014" => 17,
                "linux" => return Some(1),
                other => other.strip_prefix("manylinux_2_")?.parse().ok()?,
            };
            (glibc <= GLIBC).then_some(10 + glibc)
        }
        ("darwin", arch) => {
            let rest = tag.strip_prefix("macosx_")?;
            let arch = if arch == "amd64" { "_x86_64" } else { "_arm64" };
            let version = rest.strip_suffix(arch).or_else(|| rest.strip_suffix("_universal2"))?;
            let major: u32 = version.split('_').next()?.parse().ok()?;
            (major <= 14).then_some(10 + major)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let rank = |file: &str| parse(file).and_then(|tags| tags.rank("3.11", "linux/amd64"));
        let exact = rank("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl").unwrap();
        let stable = rank("a-1-cp39-abi3-manylinux2014_x86_64.whl").unwrap();
        let pure = rank("a-1-py2.py3-none-any.whl").unwrap();
        assert!(exact > stable && stable > pure);
        assert!(rank("a-1-1-py3-none-any.whl").is_some(), "a build number");
        for no in [
            "a-1-cp312-cp312-manylinux_2_17_x86_64.whl",
            "a-1-cp312-abi3-manylinux_2_17_x86_64.whl",
            "a-1-cp311-cp311-musllinux_1_2_x86_64.whl",
            "a-1-cp311-cp311-manylinux_2_17_aarch64.whl",
            "a-1-cp311-cp311-manylinux_2_99_x86_64.whl",
            "a-1-py2-none-any.whl",
            "a-1.tar.gz",
        ] {
            assert_eq!(rank(no), None, "{no}");
        }
    }
}
