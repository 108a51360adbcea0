//! Addresses of what is asked for, and how people see them: an endpoint may hold a token anywhere, in its user, its query
//! and its path, so of all three nothing is shown.

use std::fmt;

use url::Url;

/// What ecosystems call their folders, which no token is.
const PLAIN: [&str; 8] = ["simple", "pypi", "go", "goproxy", "debian", "debian-security", "repository", "root"];

/// Something that an endpoint has.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    url: Url,
    /// How much of its path is the endpoint's own.
    hidden: usize,
}

impl Address {
    /// What lies at a path below an endpoint. A query of the endpoint is sent with everything.
    pub(crate) fn below(endpoint: &Url, path: &str) -> Result<Self, url::ParseError> {
        let mut url = endpoint.join(path)?;
        url.set_query(endpoint.query());
        let hidden = if url.path().starts_with(endpoint.path()) { endpoint.path().len() } else { 0 };
        Ok(Self { url, hidden })
    }

    /// What an index lists. A file of the index's own host, scheme and port is asked for with the index's credentials,
    /// and no other.
    pub(crate) fn listed(mut url: Url, index: &Url) -> Self {
        if url.origin() == index.origin() && url.username().is_empty() && url.password().is_none() {
            // Both have a host, so both can have a user.
            let _ = url.set_username(index.username());
            let _ = url.set_password(index.password());
            if url.query().is_none() {
                url.set_query(index.query());
            }
        }
        let hidden = url.path().rfind('/').map_or(0, |at| at + 1);
        Self { url, hidden }
    }

    /// All of it.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(host) = self.url.host_str().filter(|host| !host.is_empty()) else {
            // A folder of this machine.
            return write!(f, "{}://{}", self.url.scheme(), self.url.path());
        };
        write!(f, "{}://{host}", self.url.scheme())?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        let (own, path) = self.url.path().split_at(self.hidden);
        let own: Vec<&str> = own.split('/').filter(|part| !part.is_empty()).collect();
        match own.as_slice() {
            [] => f.write_str("/")?,
            own if own.iter().all(|part| PLAIN.contains(part)) => write!(f, "/{}/", own.join("/"))?,
            _ => f.write_str("/.../")?,
        }
        f.write_str(path.trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::parse_url;

    #[test]
    fn a_path_lies_below_the_endpoint_and_its_query_goes_along() {
        for (endpoint, url) in [
            ("https://h/go", "https://h/go/x/@v/v1.zip"),
            ("https://h/go/?token=a", "https://h/go/x/@v/v1.zip?token=a"),
            ("https://h/go?token=a/b#top", "https://h/go/x/@v/v1.zip?token=a/b"),
            ("https://h?token=a", "https://h/x/@v/v1.zip?token=a"),
            ("file:///mirror", "file:///mirror/x/@v/v1.zip"),
        ] {
            let address = Address::below(&parse_url("test", endpoint).unwrap(), "x/@v/v1.zip").unwrap();
            assert_eq!(address.url().as_str(), url);
        }
    }

    #[test]
    fn nothing_of_an_endpoint_is_shown_that_may_be_secret() {
        for (endpoint, shown) in [
            ("https://me:secret@h:8443/simple/?token=secret", "https://h:8443/simple/x/"),
            ("https://h/secret/simple", "https://h/.../x/"),
            ("https://h/repository/pypi/simple/", "https://h/repository/pypi/simple/x/"),
            ("https://h", "https://h/x/"),
            ("http://[::1]:80/go", "http://[::1]/go/x/"),
            ("file:///srv/mirror", "file:///srv/mirror/x/"),
        ] {
            assert_eq!(Address::below(&parse_url("test", endpoint).unwrap(), "x/").unwrap().to_string(), shown);
        }
        let index = Url::parse("https://h/simple/").unwrap();
        let shown = |url: &str| Address::listed(Url::parse(url).unwrap(), &index).to_string();
        assert_eq!(shown("https://h/secret/f.whl?sig=secret"), "https://h/.../f.whl");
        assert_eq!(shown("https://files/a/b/f.whl#sha256=ab"), "https://files/.../f.whl");
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let index = Url::parse("https://me:secret@index:8443/simple/?token=t").unwrap();
        let url = |text: &str| Address::listed(Url::parse(text).unwrap(), &index).url().to_string();
        assert_eq!(url("https://index:8443/f"), "https://me:secret@index:8443/f?token=t");
        assert_eq!(url("https://index:8443/f?own"), "https://me:secret@index:8443/f?own");
        for other in ["https://files/f", "https://index/f", "http://index:8443/f", "https://index.other:8443/f"] {
            assert_eq!(url(other), other);
        }
    }
}
