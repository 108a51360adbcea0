//! The settings of the package clients that are installed: go, pip, apt. What they say is what this machine uses.

use std::path::Path;

use url::Url;

use crate::endpoints::{Ecosystem, parse_url};

/// The endpoints that the ecosystem's own client would use, in its order. What cannot be read counts as not set.
pub(crate) fn ask(ecosystem: Ecosystem) -> Vec<Url> {
    let texts = match ecosystem {
        Ecosystem::Go => go(),
        Ecosystem::Pypi => pip(),
        Ecosystem::Debian => apt(),
    };
    let mut urls: Vec<Url> = Vec::new();
    for url in texts.iter().filter_map(|text| parse_url("a package client's setting", text).ok()) {
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

fn go() -> Vec<String> {
    let setting = host::env::var("GOPROXY").or_else(|| output("go", &["env", "GOPROXY"]));
    go_proxies(setting.as_deref().unwrap_or(""))
}

/// `direct` asks version control, which a hermetic build does not; nothing after `off` counts.
fn go_proxies(setting: &str) -> Vec<String> {
    let entries = setting.split([',', '|']).map(str::trim);
    let entries = entries.take_while(|entry| *entry != "off");
    entries.filter(|entry| !entry.is_empty() && *entry != "direct").map(str::to_owned).collect()
}

fn pip() -> Vec<String> {
    let variables = ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL"];
    let mut urls: Vec<String> =
        variables.iter().filter_map(|name| host::env::var(name)).flat_map(|value| words(&value)).collect();
    if host::env::var("PIP_INDEX_URL").is_some() {
        return urls;
    }
    let ask = |arguments: &[&str]| {
        let module: Vec<&str> = ["-m", "pip"].into_iter().chain(arguments.iter().copied()).collect();
        output("pip", arguments).or_else(|| output("pip3", arguments)).or_else(|| output("python3", &module))
    };
    let configured = pip_config(&ask(&["config", "list"]).unwrap_or_default());
    if configured.is_empty() && urls.is_empty() {
        urls.extend(pip_default(&ask(&["install", "--help"]).unwrap_or_default()));
    }
    urls.extend(configured);
    urls
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The indexes in what `pip config list` prints: `global.index-url='https://...'`.
fn pip_config(listing: &str) -> Vec<String> {
    let value = |wanted: &str| {
        let lines = listing.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(key, _)| key.rsplit('.').next() == Some(wanted)).map(|(_, value)| value).next_back()
    };
    let urls = ["index-url", "extra-index-url"].into_iter().filter_map(value);
    urls.flat_map(|value| words(&value.trim().trim_matches('\'').replace("\\n", " "))).collect()
}

/// The index that `pip install --help` names as its default.
fn pip_default(help: &str) -> Option<String> {
    let rest = &help[help.find("--index-url")?..];
    let rest = &rest[rest.find("http")?..];
    let end = rest.find(|c: char| c == ')' || c.is_whitespace()).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

fn apt() -> Vec<String> {
    let read = |path: &Path| host::fs::read_to_string(path).unwrap_or_default();
    let folder = Path::new("/etc/apt/sources.list.d");
    let mut urls = apt_list(&read(Path::new("/etc/apt/sources.list")));
    for entry in host::fs::read_dir(folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        if entry.name.ends_with(".list") {
            urls.extend(apt_list(&read(&path)));
        } else if entry.name.ends_with(".sources") {
            urls.extend(apt_sources(&read(&path)));
        }
    }
    urls
}

/// One-line style: `deb [options] <address> <suite> ...`.
fn apt_list(text: &str) -> Vec<String> {
    let address = |line: &str| {
        let rest = line.trim().strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        rest.split_whitespace().next().map(str::to_owned)
    };
    text.lines().filter_map(address).collect()
}

/// deb822 style: stanzas with `Types`, `URIs`, `Enabled`.
fn apt_sources(text: &str) -> Vec<String> {
    let mut urls = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in lines.split(|line| line.trim().is_empty()) {
        let field = |name: &str| {
            let start = stanza
                .iter()
                .position(|line| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name)))?;
            let more = stanza[start + 1..].iter().take_while(|line| line.starts_with([' ', '\t']));
            let first = stanza[start].split_once(':').map_or("", |(_, value)| value);
            Some(more.fold(first.to_owned(), |all, line| all + " " + line))
        };
        let binary = field("Types").is_some_and(|types| types.split_whitespace().any(|each| each == "deb"));
        let enabled = !field("Enabled").is_some_and(|value| value.trim().eq_ignore_ascii_case("no"));
        if binary && enabled {
            urls.extend(words(&field("URIs").unwrap_or_default()));
        }
    }
    urls
}

/// What a client prints. `go` must not look for another toolchain of its own.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = host::process::command(Path::new(program));
    command.args(arguments).env("GOTOOLCHAIN", "local").env("COLUMNS", "200").stdin(std::process::Stdio::null());
    let output = command.current_dir("/").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_proxies_end_at_off() {
        assert_eq!(go_proxies("https://a,https://b|direct"), ["https://a", "https://b"]);
        assert!(go_proxies("off,https://a").is_empty());
        assert!(go_proxies("direct").is_empty());
    }

    #[test]
    fn pip_says_its_index() {
        let listing = ":env:.cert='x'\nglobal.index-url='https://index/simple'\nglobal.extra-index-url='https://e/1\\nhttps://e/2'";
        assert_eq!(pip_config(listing), ["https://index/simple", "https://e/1", "https://e/2"]);
        let help =
            "  -i, --index-url <url>       Base URL of the Package Index (default\n      https://default/simple). This";
        assert_eq!(pip_default(help).unwrap(), "https://default/simple");
    }

    #[test]
    fn apt_sources_in_both_styles() {
        let list = "# deb http://off x\ndeb [signed-by=/k arch=amd64] http://a/debian bookworm main\ndeb-src http://s x main\n";
        assert_eq!(apt_list(list), ["http://a/debian"]);
        let sources = "Types: deb deb-src\n# comment\nURIs: http://a/debian\n  http://b/debian\nSuites: x\n\n\
            Types: deb\nEnabled: no\nURIs: http://c\n\nTypes: deb-src\nURIs: http://d\n";
        assert_eq!(apt_sources(sources), ["http://a/debian", "http://b/debian"]);
    }
}
