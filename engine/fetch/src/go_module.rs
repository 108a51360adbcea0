//! A Go module from a module proxy, verified as go.sum verifies it.
//!
//! The proxy's protocol and the escaping of paths: <https://go.dev/ref/mod#goproxy-protocol>; the hash `h1:` is
//! `golang.org/x/mod/sumdb/dirhash.Hash1`.

use std::fs::File;

use base64::Engine as _;
use model::Tree;
use sha2::{Digest as _, Sha256};
use store::Store;

use crate::address::Address;
use crate::archive::{ArchiveError, Limits};
use crate::endpoints::Ecosystem;
use crate::error::FetchError;
use crate::params::{self, GoModule};
use crate::run::Context;
use crate::transport::Request;
use crate::zip_archive::{self, Entry, Place};

/// The module whose zip files hold Go distributions.
const TOOLCHAIN: &str = "golang.org/toolchain";

/// The most bytes of a module's zip file, and of what it unpacks to: `MaxZipFile` of `golang.org/x/mod/zip`.
const LIMIT: u64 = 500 << 20;

pub(crate) fn fetch(module: &GoModule, context: &Context<'_>) -> Result<Tree, FetchError> {
    let what = format!("{}@{}", module.package, module.version);
    let sha256 = module.sha256.as_deref().map(params::sha256).transpose()?;
    let bases = context.endpoints.of(Ecosystem::Go)?;
    let path = format!("{}/@v/{}.zip", escape(&module.package)?, escape(&module.version)?);
    let urls = bases.iter().filter_map(|base| Address::below(base, &path).ok()).collect();
    let scratch = context.store.scratch()?;
    let zip = scratch.path().join("module.zip");
    let pinned: Vec<String> = sha256.into_iter().collect();
    let limit = context.endpoints.network().download_limit.min(LIMIT);
    let request = Request { what: &what, urls, limit, sha256: &pinned, accept: None };
    let downloaded = context.endpoints.transport()?.download(&request, &zip, context.reporter)?;

    let limits = Limits { bytes: context.limits.bytes.min(LIMIT), ..context.limits };
    let failed = |error: ArchiveError| FetchError::Unpack {
        what: what.clone(),
        endpoint: downloaded.asked.clone(),
        source: error,
    };
    // Before anything of it is written: what is not the module must not fill the store.
    let got = h1(zip_archive::sums(host::fs::open(&zip)?, limits).map_err(failed)?);
    if got != module.h1 {
        let endpoint = downloaded.asked;
        return Err(FetchError::WrongDigest { what, endpoint, expected: module.h1.clone(), got });
    }
    unpack((&module.package, &module.version), host::fs::open(&zip)?, context.store, &module.exclude, limits)
        .map_err(failed)
}

/// Unpacks the zip file of a module, given by name and version.
pub(crate) fn unpack(
    (name, version): (&str, &str),
    file: File,
    store: &Store,
    exclude: &[String],
    limits: Limits,
) -> Result<Tree, ArchiveError> {
    let prefix = format!("{name}@{version}/");
    let place = |entry: &Entry<'_>| place(entry, &prefix, name == TOOLCHAIN);
    zip_archive::unpack(file, store, exclude, limits, &place)
}

/// Strips the folder that every module zip has. Zips of modules keep no modes; in a distribution, the programs'
/// folders say which files are programs, and `_go.mod` stands for `go.mod`.
fn place(entry: &Entry<'_>, prefix: &str, toolchain: bool) -> Result<Place, ArchiveError> {
    let Some(path) = entry.name.strip_prefix(prefix) else {
        return Err(ArchiveError::Layout(format!("the entry `{}` is not below `{prefix}`", entry.name)));
    };
    if !toolchain {
        return Ok((path.to_owned(), false));
    }
    let path = match path.strip_suffix("_go.mod") {
        Some(folder) if folder.is_empty() || folder.ends_with('/') => format!("{folder}go.mod"),
        _ => path.to_owned(),
    };
    let executable = path.starts_with("bin/") || path.starts_with("pkg/tool/");
    Ok((path, executable))
}

/// `dirhash.Hash1` of files given by name and SHA-256.
pub(crate) fn h1(mut sums: Vec<(String, String)>) -> String {
    sums.sort();
    let mut hash = Sha256::new();
    for (name, sum) in sums {
        hash.update(format!("{sum}  {name}\n").as_bytes());
    }
    format!("h1:{}", base64::engine::general_purpose::STANDARD.encode(hash.finalize()))
}

/// Upper-case letters become `!` and the lower-case letter, since proxies may live on file systems without case.
fn escape(text: &str) -> Result<String, FetchError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~/+".contains(c);
    if text.is_empty() || !text.chars().all(allowed) || text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(FetchError::Parameters(format!("`{text}` is not a Go module path or version")));
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    Ok(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_and_checked() {
        assert_eq!(escape("github.com/BurntSushi/toml").unwrap(), "github.com/!burnt!sushi/toml");
        assert!(escape("a/../b").is_err() && escape("a//b").is_err() && escape("a?b").is_err());
    }

    #[test]
    fn hash_of_a_listing() {
        // What golang.org/x/mod/sumdb/dirhash says of a module with the two files `a` ("a\n") and `b` ("b\n").
        let sum = |text: &str| crate::transport::hex(&Sha256::digest(text.as_bytes()));
        let sums = vec![("m@v1/b".to_owned(), sum("b\n")), ("m@v1/a".to_owned(), sum("a\n"))];
        let listing = format!("{}  m@v1/a\n{}  m@v1/b\n", sum("a\n"), sum("b\n"));
        let expected = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(listing.as_bytes()));
        assert_eq!(h1(sums), format!("h1:{expected}"));
    }

    #[test]
    fn distributions_get_modes_and_module_files_back() {
        let at = |name| place(&Entry { name, executable: false }, "p@v/", true).unwrap();
        assert_eq!(at("p@v/bin/go"), ("bin/go".to_owned(), true));
        assert_eq!(at("p@v/src/_go.mod"), ("src/go.mod".to_owned(), false));
        assert_eq!(at("p@v/src/x_go.mod"), ("src/x_go.mod".to_owned(), false));
        assert!(place(&Entry { name: "other/x", executable: false }, "p@v/", false).is_err());
    }
}
