//! A Debian package from a mirror's pool.

use model::Tree;

use crate::address::Address;
use crate::deb;
use crate::endpoints::Ecosystem;
use crate::error::FetchError;
use crate::params::{self, Deb};
use crate::run::Context;
use crate::transport::Request;

pub(crate) fn fetch(package: &Deb, context: &Context<'_>) -> Result<Tree, FetchError> {
    let what = format!("{}={} ({})", package.package, package.version, package.architecture);
    let path = model::RelPath::new(&package.path).map_err(|error| FetchError::Parameters(error.to_string()))?;
    let bases = context.endpoints.of(Ecosystem::Debian)?;
    let urls = bases.iter().filter_map(|base| Address::below(base, &encode(path.as_str())).ok()).collect();
    let sha256 = [params::sha256(&package.sha256)?];
    let scratch = context.store.scratch()?;
    let file = scratch.path().join("package.deb");
    let limit = context.endpoints.network().download_limit;
    let request = Request { what: &what, urls, limit, sha256: &sha256, accept: None };
    context.endpoints.transport()?.download(&request, &file, context.reporter)?;
    deb::unpack(host::fs::open(&file)?, context.store, &package.exclude, context.limits)
        .map_err(|error| FetchError::archive(&what, error))
}

/// Names in a pool hold `+`, `~` and `%3a`, which is the text of the name there and not an escape.
fn encode(path: &str) -> String {
    path.replace('%', "%25").replace('+', "%2B").replace(':', "%3A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_pool_become_addresses() {
        assert_eq!(encode("pool/l/libstdc++6_1%3a2~3.deb"), "pool/l/libstdc%2B%2B6_1%253a2~3.deb");
    }
}
