//! A wheel from a simple index (PEP 503 as HTML, PEP 691 as JSON), chosen by digest and platform tags (PEP 425).

use std::borrow::Cow;
use std::fs::File;

use model::Tree;
use serde::Deserialize;
use store::Store;
use url::Url;

use crate::address::Address;
use crate::archive::{ArchiveError, Limits};
use crate::endpoints::Ecosystem;
use crate::error::FetchError;
use crate::params::{self, Wheel};
use crate::run::Context;
use crate::transport::{Downloaded, Request};
use crate::wheel_tags;
use crate::zip_archive::{self, Entry, Place};

const INDEX_LIMIT: u64 = 64 << 20;
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// A file that an index lists.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IndexFile {
    pub name: String,
    pub url: Url,
    pub sha256: Option<String>,
}

pub(crate) fn fetch(wheel: &Wheel, context: &Context<'_>) -> Result<Tree, FetchError> {
    let what = format!("{}=={}", wheel.package, wheel.version);
    let scratch = context.store.scratch()?;
    let transport = context.endpoints.transport()?;
    let pinned = wheel.sha256.iter().map(|sum| params::sha256(sum)).collect::<Result<Vec<_>, _>>()?;
    let mut first_error = None;
    for base in context.endpoints.of(Ecosystem::Pypi)? {
        let attempt = || {
            let index = Address::below(base, &format!("{}/", normalised(&wheel.package)?)).map_err(|error| {
                FetchError::Parameters(format!("`{}` is not a package name: {error}", wheel.package))
            })?;
            let name = format!("the index of {}", wheel.package);
            let request =
                Request { what: &name, urls: vec![index], limit: INDEX_LIMIT, sha256: &[], accept: Some(ACCEPT) };
            let (text, from) = transport.text(&request, &scratch.path().join("index"), context.reporter)?;
            // The others of a package are not even kept: an index may list very many.
            let wanted = |name: &str, sum: Option<&str>| {
                is_of(name, &wheel.version) || sum.is_some_and(|sum| pinned.iter().any(|pin| pin.as_str() == sum))
            };
            let files = parse_index(&name, &text, &from, &wanted)?;
            let chosen = choose(wheel, &pinned, files, &from.asked)?;
            let file = scratch.path().join("wheel");
            let what = match chosen.url.origin() == base.origin() {
                true => what.clone(),
                false => format!("{what}, which {} lists,", from.asked),
            };
            let urls = vec![Address::listed(chosen.url, base)];
            let limit = context.endpoints.network().download_limit;
            let request = Request { what: &what, urls, limit, sha256: &pinned, accept: None };
            transport.download(&request, &file, context.reporter)?;
            Ok((file, chosen.name))
        };
        match attempt() {
            Ok((file, name)) => {
                return unpack(host::fs::open(&file)?, context.store, &wheel.exclude, context.limits)
                    .map_err(|error| FetchError::archive(&name, error));
            }
            Err(error) => _ = first_error.get_or_insert(error),
        }
    }
    Err(first_error.unwrap_or(FetchError::NoEndpoint(vec![Ecosystem::Pypi])))
}

/// Unpacks a wheel.
pub(crate) fn unpack(file: File, store: &Store, exclude: &[String], limits: Limits) -> Result<Tree, ArchiveError> {
    zip_archive::unpack(file, store, exclude, limits, &place)
}

/// The name as indexes and labels write it (PEP 503).
pub(crate) fn normalised(name: &str) -> Result<String, FetchError> {
    let mut result = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if result.ends_with('-') => {}
            '-' | '_' | '.' => result.push('-'),
            c if c.is_ascii_alphanumeric() => result.push(c.to_ascii_lowercase()),
            _ => return Err(FetchError::Parameters(format!("`{name}` is not the name of a Python package"))),
        }
    }
    Ok(result)
}

fn is_of(file: &str, version: &str) -> bool {
    wheel_tags::parse(file).is_some_and(|tags| tags.version == version || tags.version == version.replace('-', "_"))
}

/// The pinned file that fits best. Files without a digest in the index are not considered.
fn choose(wheel: &Wheel, pinned: &[String], files: Vec<IndexFile>, index: &str) -> Result<IndexFile, FetchError> {
    let what = format!("{}=={}", wheel.package, wheel.version);
    let mut offered = Vec::new();
    let mut best: Option<(wheel_tags::Rank, IndexFile)> = None;
    let mut source = None;
    for file in files {
        let Some(tags) = wheel_tags::parse(&file.name) else {
            source.get_or_insert(file.name);
            continue;
        };
        if is_of(&file.name, &wheel.version) && offered.len() < 8 {
            let sum = file.sha256.as_deref().unwrap_or("without a digest");
            offered.push(format!("{} (sha256 {sum})", file.name));
        }
        if !file.sha256.as_ref().is_some_and(|sum| pinned.contains(sum)) {
            continue;
        }
        if let Some(rank) = tags.rank(&wheel.python, &wheel.platform)
            && best.as_ref().is_none_or(|(other, _)| rank > *other)
        {
            best = Some((rank, file));
        }
    }
    let pins: Vec<&str> = pinned.iter().map(AsRef::as_ref).take(8).collect();
    let wanted = format!("CPython {} on {} with sha256 {}", wheel.python, wheel.platform, pins.join(" or "));
    let endpoint = index.to_owned();
    best.map(|(_, file)| file).ok_or(match source {
        Some(file) if offered.is_empty() => FetchError::SourceOnly { what, endpoint, file },
        _ => FetchError::NoWheel { what, endpoint, wanted, offered },
    })
}

#[derive(Deserialize)]
struct JsonIndex<'a> {
    #[serde(borrow)]
    files: Vec<JsonFile<'a>>,
}

/// Borrows from the page where it can: an index may list very many files.
#[derive(Deserialize)]
struct JsonFile<'a> {
    #[serde(borrow)]
    filename: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(default, borrow)]
    hashes: JsonHashes<'a>,
}

#[derive(Default, Deserialize)]
struct JsonHashes<'a> {
    #[serde(default, borrow)]
    sha256: Option<Cow<'a, str>>,
}

/// The files of an index page whose names are wanted, whichever form the endpoint answers in. An index of the network
/// cannot name files of this machine, and one of TLS none without it.
pub(crate) fn parse_index(
    what: &str,
    text: &str,
    from: &Downloaded,
    wanted: &dyn Fn(&str, Option<&str>) -> bool,
) -> Result<Vec<IndexFile>, FetchError> {
    let mut refused = None;
    let mut file = |name: &str, address: &str, sha256: Option<&str>| {
        let sha256 = sha256.map(str::to_lowercase);
        let mut url = wanted(name, sha256.as_deref()).then(|| from.url.join(address).ok()).flatten()?;
        url.set_fragment(None);
        let reachable = match (from.url.scheme(), url.scheme()) {
            ("file", to) => matches!(to, "file" | "http" | "https"),
            (from, to) => http_client::may_follow(from, to),
        };
        if !reachable {
            refused = Some(format!("it names {name} at an address of `{}:`, which is not followed", url.scheme()));
            return None;
        }
        Some(IndexFile { name: name.to_owned(), url, sha256 })
    };
    let mut files = Vec::new();
    if from.content_type.contains("json") || text.trim_start().starts_with('{') {
        let index: JsonIndex<'_> = serde_json::from_str(text).map_err(|error| FetchError::Index {
            what: what.to_owned(),
            endpoint: from.asked.clone(),
            reason: error.to_string(),
        })?;
        files.extend(
            index.files.iter().filter_map(|each| file(&each.filename, &each.url, each.hashes.sha256.as_deref())),
        );
    } else {
        for anchor in text.split("<a ").skip(1) {
            let Some((attributes, rest)) = anchor.split_once('>') else { continue };
            let Some((name, _)) = rest.split_once("</a") else { continue };
            let Some(href) = attribute(attributes, "href") else { continue };
            let href = unescape(href);
            let sha256 = href.split_once("#sha256=").map(|(_, sum)| sum.split('&').next().unwrap_or(sum));
            files.extend(file(&unescape(name.trim()), &href, sha256));
        }
    }
    match refused.filter(|_| files.is_empty()) {
        Some(reason) => Err(FetchError::Index { what: what.to_owned(), endpoint: from.asked.clone(), reason }),
        None => Ok(files),
    }
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let start = attributes.find(&format!("{name}="))? + name.len() + 1;
    let quote = attributes[start..].chars().next().filter(|c| matches!(c, '"' | '\''))?;
    attributes[start + 1..].split(quote).next()
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#43;", "+").replace("&amp;", "&")
}

/// Installs as pip would into `site-packages`: the parts of `<name>.data/` go where they belong.
fn place(entry: &Entry<'_>) -> Result<Place, ArchiveError> {
    let name = entry.name;
    let spread = name.split_once('/').and_then(|(folder, rest)| Some((folder.strip_suffix(".data")?, rest)));
    let Some((package, (kind, path))) = spread.and_then(|(of, rest)| Some((of, rest.split_once('/')?))) else {
        return Ok((name.to_owned(), entry.executable));
    };
    let package = package.split('-').next().unwrap_or(package);
    Ok(match kind {
        "purelib" | "platlib" | "data" => (path.to_owned(), entry.executable),
        "scripts" => (format!("bin/{path}"), true),
        "headers" => (format!("include/{package}/{path}"), entry.executable),
        _ => (name.to_owned(), entry.executable),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(content_type: &str) -> Downloaded {
        let url = Url::parse("https://index/simple/x/").unwrap();
        Downloaded { asked: url.to_string(), url, content_type: content_type.to_owned() }
    }

    #[test]
    fn an_index_as_html_or_json() {
        let html = "<!DOCTYPE html><html><body><h1>Links</h1>\n\
            <a href=\"../../files/x-1.0-py3-none-any.whl#sha256=AB\" data-requires-python=\"&gt;=3.8\">x-1.0-py3-none-any.whl</a><br/>\n\
            <a  href='https://files/y&amp;z.tar.gz'>x-1.0.tar.gz</a></body></html>";
        let parse_index = |text: &str, from: &Downloaded| parse_index("x", text, from, &|_, _| true);
        let files = parse_index(html, &from("text/html")).unwrap();
        assert_eq!(files[0].url.as_str(), "https://index/files/x-1.0-py3-none-any.whl");
        assert_eq!(files[0].sha256.as_deref(), Some("ab"));
        assert_eq!(files[1].url.as_str(), "https://files/y&z.tar.gz");
        let json =
            r#"{"meta":{},"files":[{"filename":"x-1.0-py3-none-any.whl","url":"f/x.whl","hashes":{"sha256":"ab"}}]}"#;
        let files = parse_index(json, &from("application/vnd.pypi.simple.v1+json")).unwrap();
        assert_eq!(files[0].url.as_str(), "https://index/simple/x/f/x.whl");
        let error = parse_index("{", &from("")).unwrap_err().to_string();
        assert!(error.starts_with("x from https://index/simple/x/ cannot be understood: EOF"), "{error}");
    }

    #[test]
    fn an_index_of_tls_leads_to_tls_only() {
        let parse = |at: &str, addresses: &[&str]| {
            let anchors: Vec<String> = addresses.iter().map(|to| format!("<a href=\"{to}\">x-1.0.whl</a>")).collect();
            let from = Downloaded { url: Url::parse(at).unwrap(), ..from("text/html") };
            let files = parse_index("x", &anchors.concat(), &from, &|_, _| true);
            files.map(|files| files.iter().map(|file| file.url.to_string()).collect::<Vec<_>>())
        };
        for (at, to) in [("https://i/", "http://f/"), ("https://i/", "file:///f"), ("http://i/", "file:///f")] {
            let scheme = to.split(':').next().unwrap();
            let refused = format!("it names x-1.0.whl at an address of `{scheme}:`, which is not followed");
            let error = parse(at, &[to]).unwrap_err().to_string();
            assert!(error.ends_with(&refused), "{error}");
            assert_eq!(parse(at, &[to, "https://f/"]).unwrap(), ["https://f/"]);
        }
        for (at, to) in [("http://i/", "http://f/"), ("http://i/", "https://f/"), ("file:///i/", "file:///f")] {
            assert_eq!(parse(at, &[to]).unwrap(), [to]);
        }
    }

    #[test]
    fn the_best_pinned_wheel_is_chosen() {
        let file = |name: &str, sum: &str| IndexFile {
            name: name.to_owned(),
            url: Url::parse("https://f/").unwrap(),
            sha256: Some(sum.to_owned()),
        };
        let files = || {
            vec![
                file("x-1.0-py3-none-any.whl", "a"),
                file("x-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "b"),
                file("x-1.0-cp311-cp311-manylinux_2_17_aarch64.whl", "c"),
                file("x-1.0-cp312-cp312-manylinux_2_17_x86_64.whl", "d"),
                file("x-1.0.tar.gz", "e"),
            ]
        };
        let wheel = |platform: &str| Wheel {
            package: "x".into(),
            version: "1.0".into(),
            sha256: vec![],
            python: "3.11".into(),
            platform: platform.into(),
            exclude: vec![],
        };
        let pinned = |sums: &str| sums.chars().map(String::from).collect::<Vec<_>>();
        let chosen = |sums, platform| {
            choose(&wheel(platform), &pinned(sums), files(), "https://i/").map(|file| file.sha256.unwrap())
        };
        assert_eq!(chosen("abcde", "linux/amd64").unwrap(), "b");
        assert_eq!(chosen("abcde", "linux/arm64").unwrap(), "c");
        assert_eq!(chosen("abcde", "darwin/arm64").unwrap(), "a");
        let error = chosen("de", "linux/amd64").unwrap_err().to_string();
        assert!(error.starts_with("no wheel of x==1.0 fits CPython 3.11 on linux/amd64"), "{error}");
        let only = vec![file("x-1.0.tar.gz", "e")];
        let error = choose(&wheel("linux/amd64"), &pinned("e"), only, "https://i/").unwrap_err().to_string();
        assert_eq!(
            error,
            "x==1.0 has no wheel at https://i/, only its source x-1.0.tar.gz, from which nothing is built"
        );
    }

    #[test]
    fn names_and_places() {
        assert_eq!(normalised("Typing_Extensions").unwrap(), "typing-extensions");
        assert!(normalised("../x").is_err() || !normalised("../x").unwrap().contains('.'));
        let at = |name| place(&Entry { name, executable: false }).unwrap();
        assert_eq!(at("x-1.data/platlib/x/a.so").0, "x/a.so");
        assert_eq!(at("x-1.data/scripts/x"), ("bin/x".to_owned(), true));
        assert_eq!(at("x_y-1.data/data/share/x.cfg").0, "share/x.cfg");
        assert_eq!(at("x_y-1.data/headers/x.h").0, "include/x_y/x.h");
        assert_eq!(at("x/y.data/purelib/z").0, "x/y.data/purelib/z");
    }
}
