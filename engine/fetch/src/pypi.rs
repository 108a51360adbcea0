//! A wheel from a simple index (PEP 503 as HTML, PEP 691 as JSON), chosen by digest and platform tags (PEP 425).

use std::fs::File;

use model::Tree;
use serde::Deserialize;
use store::Store;
use url::Url;

use crate::archive::{ArchiveError, Limits};
use crate::endpoints::Ecosystem;
use crate::error::FetchError;
use crate::params::{self, Wheel};
use crate::run::{ARCHIVE_LIMIT, Context};
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
            let index = base.join(&format!("{}/", normalised(&wheel.package)?)).map_err(|error| {
                FetchError::Parameters(format!("`{}` is not a package name: {error}", wheel.package))
            })?;
            let name = format!("the index of {}", wheel.package);
            let request =
                Request { what: &name, urls: vec![index], limit: INDEX_LIMIT, sha256: &[], accept: Some(ACCEPT) };
            let (text, from) = transport.text(&request, &scratch.path().join("index"), context.reporter)?;
            let chosen = choose(wheel, &pinned, parse_index(&name, &text, &from)?)?;
            let file = scratch.path().join("wheel");
            let urls = vec![chosen.url.clone()];
            let request = Request { what: &what, urls, limit: ARCHIVE_LIMIT, sha256: &pinned, accept: None };
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
    Err(first_error.unwrap_or(FetchError::NoEndpoint(Ecosystem::Pypi)))
}

/// Unpacks a wheel.
pub(crate) fn unpack(file: File, store: &Store, exclude: &[String], limits: Limits) -> Result<Tree, ArchiveError> {
    zip_archive::unpack(file, store, exclude, limits, &place).map(|unpacked| unpacked.tree)
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

/// The pinned file that fits best. Files without a digest in the index are not considered.
fn choose(wheel: &Wheel, pinned: &[String], files: Vec<IndexFile>) -> Result<IndexFile, FetchError> {
    let what = format!("{}=={}", wheel.package, wheel.version);
    let mut offered = Vec::new();
    let mut best: Option<(wheel_tags::Rank, IndexFile)> = None;
    for file in files {
        let Some(tags) = wheel_tags::parse(&file.name) else { continue };
        let same_version = tags.version == wheel.version || tags.version == wheel.version.replace('-', "_");
        if same_version && offered.len() < 8 {
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
    best.map(|(_, file)| file).ok_or(FetchError::NoWheel { what, wanted, offered })
}

#[derive(Deserialize)]
struct JsonIndex {
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
struct JsonFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

/// The files of an index page, whichever form the endpoint answers in.
pub(crate) fn parse_index(what: &str, text: &str, from: &Downloaded) -> Result<Vec<IndexFile>, FetchError> {
    let file = |name: String, address: &str, sha256: Option<String>| {
        let mut url = from.url.join(address).ok()?;
        url.set_fragment(None);
        Some(IndexFile { name, url, sha256: sha256.map(|sum| sum.to_lowercase()) })
    };
    if from.content_type.contains("json") || text.trim_start().starts_with('{') {
        let index: JsonIndex = serde_json::from_str(text)
            .map_err(|error| FetchError::archive(what, ArchiveError::Damaged(error.to_string())))?;
        let files = index.files.into_iter();
        return Ok(files.filter_map(|mut each| file(each.filename, &each.url, each.hashes.remove("sha256"))).collect());
    }
    let mut files = Vec::new();
    for anchor in text.split("<a ").skip(1) {
        let Some((attributes, rest)) = anchor.split_once('>') else { continue };
        let Some((name, _)) = rest.split_once("</a") else { continue };
        let Some(href) = attribute(attributes, "href") else { continue };
        let href = unescape(href);
        let sha256 = href.split_once("#sha256=").map(|(_, sum)| sum.split('&').next().unwrap_or(sum).to_owned());
        files.extend(file(unescape(name.trim()), &href, sha256));
    }
    Ok(files)
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
    let spread = name.split_once('/').filter(|(folder, _)| folder.ends_with(".data"));
    let path = match spread.and_then(|(_, rest)| rest.split_once('/')) {
        Some(("purelib" | "platlib", path)) => path.to_owned(),
        Some(("scripts", path)) => return Ok((format!("bin/{path}"), true)),
        _ => name.to_owned(),
    };
    Ok((path, entry.executable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(content_type: &str) -> Downloaded {
        let url = Url::parse("https://index/simple/x/").unwrap();
        Downloaded { url, content_type: content_type.to_owned() }
    }

    #[test]
    fn an_index_as_html_or_json() {
        let html = "<!DOCTYPE html><html><body><h1>Links</h1>\n\
            <a href=\"../../files/x-1.0-py3-none-any.whl#sha256=AB\" data-requires-python=\"&gt;=3.8\">x-1.0-py3-none-any.whl</a><br/>\n\
            <a  href='https://files/y&amp;z.tar.gz'>x-1.0.tar.gz</a></body></html>";
        let files = parse_index("x", html, &from("text/html")).unwrap();
        assert_eq!(files[0].url.as_str(), "https://index/files/x-1.0-py3-none-any.whl");
        assert_eq!(files[0].sha256.as_deref(), Some("ab"));
        assert_eq!(files[1].url.as_str(), "https://files/y&z.tar.gz");
        let json =
            r#"{"meta":{},"files":[{"filename":"x-1.0-py3-none-any.whl","url":"f/x.whl","hashes":{"sha256":"ab"}}]}"#;
        let files = parse_index("x", json, &from("application/vnd.pypi.simple.v1+json")).unwrap();
        assert_eq!(files[0].url.as_str(), "https://index/simple/x/f/x.whl");
        assert!(parse_index("x", "{", &from("")).is_err());
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
        let chosen = |sums, platform| choose(&wheel(platform), &pinned(sums), files()).map(|file| file.sha256.unwrap());
        assert_eq!(chosen("abcde", "linux/amd64").unwrap(), "b");
        assert_eq!(chosen("abcde", "linux/arm64").unwrap(), "c");
        assert_eq!(chosen("abcde", "darwin/arm64").unwrap(), "a");
        let error = chosen("de", "linux/amd64").unwrap_err().to_string();
        assert!(error.starts_with("no wheel of x==1.0 fits CPython 3.11 on linux/amd64"), "{error}");
    }

    #[test]
    fn names_and_places() {
        assert_eq!(normalised("Typing_Extensions").unwrap(), "typing-extensions");
        assert!(normalised("../x").is_err() || !normalised("../x").unwrap().contains('.'));
        let at = |name| place(&Entry { name, executable: false }).unwrap();
        assert_eq!(at("x-1.data/platlib/x/a.so").0, "x/a.so");
        assert_eq!(at("x-1.data/scripts/x"), ("bin/x".to_owned(), true));
        assert_eq!(at("x/y.data/purelib/z").0, "x/y.data/purelib/z");
    }
}
