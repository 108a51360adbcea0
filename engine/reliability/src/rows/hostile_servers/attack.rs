//! All attacks: a trick, or something made for one protocol, at one kind of request.

use super::trick::{self, Trick};
use crate::demo_packages::{Packages, Served, gzip, zip};
use crate::http_server::{Answer, Request};
use crate::tls_front::Certificate;
use fastrand::Rng;

/// One attack.
#[derive(Debug, Clone)]
pub struct Attack {
    /// The target that is asked for: `go`, `pypi`, `debian`, `images`, `push`.
    pub target: &'static str,
    /// The method of the requests it is played at.
    method: &'static str,
    /// What the path of such a request contains.
    path: &'static str,
    /// What is done.
    pub deed: Deed,
}

/// What a hostile server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Something that fits any request.
    Trick(Trick),
    /// The connection stays open and silent where TLS is expected.
    SilentTls,
    /// The connection answers something else where TLS is expected.
    BrokenTls,
    /// A certificate that proves nothing.
    Certificate(Certificate),
    /// A redirect from TLS to another server without it.
    RedirectToPlain,
    /// A registry that wants the password sent without TLS.
    RealmAtPlain,
    /// A registry that wants an upload without TLS.
    UploadToPlain,
    /// An index of TLS that names a file of a server without it.
    LinkToPlain,
    /// An index of a million files, as JSON; the right one is the last.
    ManyFilesAsJson,
    /// The same as HTML.
    ManyFilesAsHtml,
    /// An index that names a file of this machine.
    LinkToFile,
    /// An index that names a file of another server.
    LinkElsewhere,
    /// A module of 700 MB zeros.
    ZipBomb,
    /// A module of very many files.
    ZipOfManyFiles,
    /// A manifest that tells a smaller size of its layer.
    SizeLess,
    /// A manifest that tells a larger one.
    SizeMore,
    /// A manifest that names its layer by a digest of another kind.
    OtherAlgorithm,
    /// A list of manifests that names the right one by a tag.
    TagForDigest,
    /// A registry that wants the password sent to another server.
    RealmElsewhere,
    /// A registry that wants it sent to what is no web address.
    RealmAtFile,
    /// A token with a line break in it.
    TokenWithHeader,
    /// A token without end.
    EndlessToken,
    /// A registry that wants an upload at another server.
    UploadElsewhere,
    /// A registry that wants it in a file.
    UploadToFile,
    /// A registry that names no address for it.
    UploadNowhere,
    /// A registry that says it stored another digest.
    StoredOther,
}

/// How the endpoints of an attack are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// HTTP.
    Plain,
    /// HTTP with TLS.
    Tls,
    /// Where TLS is expected, bare connections.
    Bare,
}

/// The kinds of requests that read, by target.
const READS: [(&str, &str); 6] = [
    ("go", "/go/"),
    ("pypi", "/pypi/"),
    ("pypi", "/files/"),
    ("debian", "/debian/"),
    ("images", "/manifests/"),
    ("images", "/blobs/"),
];

/// The kinds of requests of a push.
const PUSHES: [(&str, &str); 5] = [
    ("HEAD", "/manifests/"),
    ("HEAD", "/blobs/"),
    ("POST", "/blobs/uploads/"),
    ("PUT", "/upload/"),
    ("PUT", "/manifests/"),
];

/// Tricks that a request whose answer has no body can be met with.
const WITHOUT_BODY: [Trick; 12] = [
    Trick::DripHeaders,
    Trick::Interim,
    Trick::Silence,
    Trick::HugeHeader,
    Trick::ManyHeaders,
    Trick::RedirectLoop,
    Trick::RedirectElsewhere,
    Trick::Unauthorized,
    Trick::EndlessError,
    Trick::TooManyRequests,
    Trick::Unavailable,
    Trick::Garbage,
];

/// How many attacks there are.
pub const COUNT: u64 = 291;

/// All attacks.
pub fn all() -> Vec<Attack> {
    let mut attacks = Vec::new();
    let mut add = |target, method, path, deed| attacks.push(Attack { target, method, path, deed });
    for deed in [Deed::SilentTls, Deed::BrokenTls] {
        ["go", "pypi", "debian", "images"].into_iter().for_each(|target| add(target, "GET", "", deed));
    }
    for certificate in Certificate::BAD {
        let targets = [("GET", "go"), ("GET", "pypi"), ("GET", "debian"), ("GET", "images"), ("HEAD", "push")];
        targets.into_iter().for_each(|(method, target)| add(target, method, "", Deed::Certificate(certificate)));
    }
    READS.into_iter().for_each(|(target, path)| add(target, "GET", path, Deed::RedirectToPlain));
    add("push", "HEAD", "/manifests/", Deed::RedirectToPlain);
    add("push", "HEAD", "/blobs/", Deed::RedirectToPlain);
    ["images", "push"].into_iter().for_each(|target| add(target, "GET", "/v2/", Deed::RealmAtPlain));
    add("push", "POST", "/blobs/uploads/", Deed::UploadToPlain);
    add("pypi", "GET", "/pypi/", Deed::LinkToPlain);
    for deed in [Deed::ManyFilesAsJson, Deed::ManyFilesAsHtml, Deed::LinkToFile, Deed::LinkElsewhere] {
        add("pypi", "GET", "/pypi/", deed);
    }
    for deed in [Deed::SizeLess, Deed::SizeMore, Deed::OtherAlgorithm, Deed::TagForDigest] {
        add("images", "GET", "/manifests/", deed);
    }
    add("go", "GET", "/go/", Deed::ZipBomb);
    add("go", "GET", "/go/", Deed::ZipOfManyFiles);
    for deed in [Deed::RealmElsewhere, Deed::RealmAtFile, Deed::TokenWithHeader, Deed::EndlessToken] {
        ["images", "push"].into_iter().for_each(|target| add(target, "GET", "/v2/", deed));
    }
    for deed in [Deed::UploadElsewhere, Deed::UploadToFile, Deed::UploadNowhere] {
        add("push", "POST", "/blobs/uploads/", deed);
    }
    add("push", "PUT", "/upload/", Deed::StoredOther);
    add("push", "PUT", "/manifests/", Deed::StoredOther);
    for trick in trick::ALL {
        for (target, path) in READS {
            add(target, "GET", path, Deed::Trick(trick));
        }
    }
    for trick in WITHOUT_BODY {
        PUSHES.into_iter().for_each(|(method, path)| add("push", method, path, Deed::Trick(trick)));
    }
    attacks
}

impl Attack {
    /// For people.
    pub fn name(&self) -> String {
        format!("{:?} at {} {} of //:{}", self.deed, self.method, self.path, self.target)
    }

    /// Whether the attack is played at a request.
    pub fn fits(&self, request: &Request) -> bool {
        let login = matches!(
            self.deed,
            Deed::RealmElsewhere | Deed::RealmAtFile | Deed::RealmAtPlain | Deed::TokenWithHeader | Deed::EndlessToken
        );
        match login {
            true => request.path == "/v2/" || request.path.starts_with("/token"),
            // Whoever is content with the certificate is served.
            false if matches!(self.deed, Deed::Certificate(_)) => false,
            false => request.method == self.method && request.path.contains(self.path),
        }
    }

    /// Whether what the lock pins is itself what is wrong: then no server can be honest about it.
    pub fn is_pinned(&self) -> bool {
        matches!(self.deed, Deed::SizeLess | Deed::SizeMore | Deed::OtherAlgorithm | Deed::TagForDigest)
    }

    /// The packages that the attack is about.
    pub fn packages(&self, content: Vec<u8>) -> Packages {
        Packages::with_manifest(content, |manifest| match self.deed {
            Deed::SizeLess => manifest["layers"][0]["size"] = 10.into(),
            Deed::SizeMore => manifest["layers"][0]["size"] = 1_000_000_000_000_u64.into(),
            Deed::OtherAlgorithm => manifest["layers"][0]["digest"] = format!("sha512:{}", "0".repeat(128)).into(),
            Deed::TagForDigest => {
                let entry = serde_json::json!({"mediaType": "x", "size": 10, "digest": "latest"});
                *manifest = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
            }
            _ => {}
        })
    }

    /// How the endpoints are reached.
    pub fn door(&self) -> Door {
        match self.deed {
            Deed::SilentTls | Deed::BrokenTls => Door::Bare,
            Deed::Certificate(_) => Door::Tls,
            _ if self.leads_to_plain() => Door::Tls,
            _ => Door::Plain,
        }
    }

    /// Whether it is to get something out of TLS.
    pub fn leads_to_plain(&self) -> bool {
        let deeds = [Deed::RedirectToPlain, Deed::RealmAtPlain, Deed::UploadToPlain, Deed::LinkToPlain];
        deeds.contains(&self.deed)
    }

    /// Whether the right content may come all the same: then time and memory are what counts.
    pub fn may_succeed(&self) -> bool {
        // A registry that says it has what is about to be pushed cannot be proven wrong.
        let claims = self.method == "HEAD" && self.deed == Deed::Trick(Trick::RedirectElsewhere);
        matches!(self.deed, Deed::ManyFilesAsJson | Deed::ManyFilesAsHtml | Deed::UploadElsewhere) || claims
    }

    /// Answers a request that fits; `own` and `elsewhere` are the addresses of this and of another server.
    pub fn play(&self, request: &Request, answer: &mut Answer, honest: &Served, at: (&str, &str), dice: &mut Rng) {
        let (own, elsewhere) = at;
        match self.deed {
            Deed::Trick(trick) => trick.play(answer, &request.path, honest, elsewhere, dice),
            // These are at the door.
            Deed::SilentTls | Deed::BrokenTls | Deed::Certificate(_) => {}
            Deed::RedirectToPlain => Trick::RedirectElsewhere.play(answer, &request.path, honest, elsewhere, dice),
            Deed::SizeLess | Deed::SizeMore | Deed::OtherAlgorithm | Deed::TagForDigest => {
                answer.respond("200 OK", &[("Content-Type", honest.content_type)], &honest.bytes);
            }
            Deed::ManyFilesAsJson | Deed::ManyFilesAsHtml => self.play_index(answer, honest),
            Deed::LinkToFile => link(answer, honest, "file:///dev/zero"),
            Deed::LinkElsewhere | Deed::LinkToPlain => {
                link(answer, honest, &format!("http://{elsewhere}/demo-1.0-py3-none-any.whl"))
            }
            Deed::ZipBomb | Deed::ZipOfManyFiles => self.play_module(answer),
            Deed::RealmAtPlain => challenge(answer, &format!("http://{elsewhere}/token")),
            Deed::RealmElsewhere => challenge(answer, &format!("http://localhost:{}/token", port(elsewhere))),
            Deed::RealmAtFile => challenge(answer, "file:///etc/passwd"),
            Deed::TokenWithHeader | Deed::EndlessToken if request.path == "/v2/" => {
                challenge(answer, &format!("http://{own}/token"));
            }
            Deed::TokenWithHeader => _ = answer.respond("200 OK", &[], b"{\"token\": \"a\\r\\nX-Injected: yes\"}"),
            Deed::EndlessToken => Trick::Endless.play(answer, &request.path, honest, elsewhere, dice),
            Deed::UploadElsewhere | Deed::UploadToPlain => upload(answer, &format!("http://{elsewhere}/upload/1")),
            Deed::UploadToFile => upload(answer, "file:///tmp/upload"),
            Deed::UploadNowhere => _ = answer.respond("202 Accepted", &[], b""),
            Deed::StoredOther => {
                let other = format!("sha256:{}", "0".repeat(64));
                answer.respond("201 Created", &[("Location", "/x"), ("Docker-Content-Digest", &other)], b"");
            }
        }
    }

    /// An index of a million files before the right one.
    fn play_index(&self, answer: &mut Answer, honest: &Served) {
        let index = String::from_utf8_lossy(&honest.bytes).into_owned();
        if self.deed == Deed::ManyFilesAsJson {
            let files = "{\"filename\":\"a-1-py3-none-any.whl\",\"url\":\"a\"},".repeat(1_000_000);
            let body = index.replacen("\"files\":[", &format!("\"files\":[{files}"), 1);
            answer.respond("200 OK", &[("Content-Type", honest.content_type)], body.as_bytes());
            return;
        }
        let files = "<a href=\"a\">a-1-py3-none-any.whl</a>\n".repeat(1_000_000);
        let sum = index.split("\"sha256\":\"").nth(1).unwrap_or_default().split('"').next().unwrap_or_default();
        let name = "demo-1.0-py3-none-any.whl";
        let right = format!("<a href=\"../../files/{name}#sha256={sum}\">{name}</a>");
        answer.respond("200 OK", &[("Content-Type", "text/html")], format!("{files}{right}").as_bytes());
    }

    /// A module that is more than it seems.
    fn play_module(&self, answer: &mut Answer) {
        let zeros = vec![0; if self.deed == Deed::ZipBomb { 700 << 20 } else { 0 }];
        let count = if self.deed == Deed::ZipBomb { 1 } else { 250_000 };
        let names: Vec<String> = (0..count).map(|number| format!("example.org/demo@v1.0.0/{number}")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), zeros.as_slice())).collect();
        answer.respond("200 OK", &[], &zip(&files));
    }
}

/// What a bare connection is met with.
pub fn play_bare(deed: Deed, answer: &mut Answer) {
    if deed == Deed::BrokenTls {
        // The head of a handshake record that announces more than ever comes.
        answer.send(&[0x16, 0x03, 0x03, 0x40, 0x00, 0x02]);
        answer.send(&gzip(b"no handshake")[..8]);
    }
    while answer.pause(std::time::Duration::from_millis(100)) {}
}

fn link(answer: &mut Answer, honest: &Served, to: &str) {
    let body = String::from_utf8_lossy(&honest.bytes).replace("../../files/demo-1.0-py3-none-any.whl", to);
    answer.respond("200 OK", &[("Content-Type", honest.content_type)], body.as_bytes());
}

fn challenge(answer: &mut Answer, realm: &str) {
    let header = format!("Bearer realm=\"{realm}\",service=\"registry\"");
    answer.respond("401 Unauthorized", &[("WWW-Authenticate", &header)], b"{}");
}

fn upload(answer: &mut Answer, to: &str) {
    answer.respond("202 Accepted", &[("Location", to)], b"");
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}
