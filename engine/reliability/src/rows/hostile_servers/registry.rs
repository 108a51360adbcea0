//! A server that is all registries at once: honest, or hostile at the requests that an attack is about.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;

use super::attack::{Attack, Deed, Door, play_bare};
use crate::demo_packages::{Packages, Served, hex};
use crate::http_server::{Answer, HttpServer, Request};
use crate::tls_front::{Certificate, TlsFront};

/// The server, another one that it may point to, and what happened.
pub struct Registry {
    /// The server.
    pub server: HttpServer,
    /// One that meets bare connections, where TLS is expected.
    bare: HttpServer,
    /// TLS before the server, where the attack is one at TLS.
    tls: Option<TlsFront>,
    /// Where the attacker would like to see credentials.
    pub elsewhere: HttpServer,
    state: Arc<State>,
}

struct State {
    packages: Packages,
    attack: Attack,
    hostile: AtomicBool,
    played: AtomicU64,
    /// Connections to the TLS before the server, when the attack began.
    earlier: AtomicU64,
    /// Requests since then, while it lasted.
    asked: AtomicU64,
    stored: Mutex<BTreeSet<String>>,
    dice: Mutex<Rng>,
}

impl Registry {
    /// Servers for an attack; honest until told otherwise.
    pub fn start(packages: Packages, attack: Attack, dice: Rng) -> Result<Self, String> {
        let state = Arc::new(State {
            packages,
            attack,
            hostile: AtomicBool::new(false),
            played: AtomicU64::new(0),
            earlier: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            stored: Mutex::default(),
            dice: Mutex::new(dice),
        });
        let elsewhere = HttpServer::start(|request, answer| {
            let status = if request.method == "PUT" { "201 Created" } else { "200 OK" };
            answer.respond(status, &[("Location", "/x")], b"from elsewhere");
        });
        let (here, there) = (Arc::clone(&state), elsewhere.address());
        let server = HttpServer::start(move |request, answer| here.serve(request, answer, &there));
        let here = Arc::clone(&state);
        let bare = HttpServer::of_connections(move |answer| {
            here.played.fetch_add(1, Ordering::SeqCst);
            play_bare(here.attack.deed, answer);
        });
        let tls = (state.attack.door() == Door::Tls).then(|| TlsFront::start(server.address())).transpose()?;
        Ok(Self { server, bare, tls, elsewhere, state })
    }

    /// The address that endpoints are configured with.
    pub fn address(&self) -> String {
        match (self.state.attack.door(), &self.tls) {
            (Door::Bare, _) => self.bare.address(),
            (_, Some(tls)) => tls.address(),
            (_, None) => self.server.address(),
        }
    }

    /// The scheme of that address.
    pub fn scheme(&self) -> &'static str {
        if self.state.attack.door() == Door::Plain { "http" } else { "https" }
    }

    /// Writes whom to trust to a file.
    pub fn write_authority(&self, path: &Path) -> Result<(), String> {
        self.tls.as_ref().map_or(Ok(()), |tls| tls.write_authority(path))
    }

    /// Begins or ends the attack.
    pub fn set_hostile(&self, hostile: bool) -> Result<(), String> {
        self.state.hostile.store(hostile, Ordering::SeqCst);
        if let (Some(tls), Deed::Certificate(certificate)) = (&self.tls, self.state.attack.deed) {
            tls.show(if hostile { certificate } else { Certificate::Good })?;
            if hostile {
                self.state.earlier.store(tls.connections(), Ordering::SeqCst);
            }
        }
        // What was stored by an attack is nothing that the honest registry has.
        self.state.stored.lock().expect("no panic in it").clear();
        Ok(())
    }

    /// How often the attack was played.
    pub fn played(&self) -> u64 {
        match (&self.tls, self.state.attack.deed) {
            (Some(tls), Deed::Certificate(_)) => tls.connections() - self.state.earlier.load(Ordering::SeqCst),
            _ => self.state.played.load(Ordering::SeqCst),
        }
    }

    /// How many requests came during the attack.
    pub fn asked(&self) -> u64 {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// What the packages are.
    pub fn packages(&self) -> &Packages {
        &self.state.packages
    }

    /// The digests that were pushed, as far as the bytes have them.
    pub fn stored(&self) -> BTreeSet<String> {
        self.state.stored.lock().expect("no panic in it").clone()
    }
}

impl State {
    fn serve(&self, request: &Request, answer: &mut Answer, elsewhere: &str) {
        let hostile = self.hostile.load(Ordering::SeqCst);
        self.asked.fetch_add(hostile.into(), Ordering::SeqCst);
        if !hostile || !self.attack.fits(request) {
            return self.honest(request, answer);
        }
        self.played.fetch_add(1, Ordering::SeqCst);
        let nothing = Served { bytes: b"{}".to_vec(), content_type: "application/json" };
        let honest = self.packages.files.get(&request.path).unwrap_or(&nothing);
        let own = request.header("host").unwrap_or_default().to_owned();
        let mut dice = self.dice.lock().expect("no panic in it").fork();
        self.attack.play(request, answer, honest, (&own, elsewhere), &mut dice);
    }

    fn honest(&self, request: &Request, answer: &mut Answer) {
        let location = format!("{}upload/1", request.path);
        let digest = request.path.rsplit(['/', '=']).next().unwrap_or_default().replace("%3A", ":");
        match request.method.as_str() {
            "GET" if request.path == "/v2/" => {
                let basic = [("WWW-Authenticate", "Basic realm=\"registry\"")];
                answer.respond("401 Unauthorized", &basic, b"{}");
            }
            "GET" => self.packages.serve(request, answer),
            "HEAD" if self.stored.lock().expect("no panic in it").contains(&digest) => {
                answer.respond("200 OK", &[("Docker-Content-Digest", &digest)], b"");
            }
            "HEAD" => _ = answer.respond("404 Not Found", &[], b""),
            "POST" => _ = answer.respond("202 Accepted", &[("Location", &location)], b""),
            _ => {
                let actual = format!("sha256:{}", hex(&request.body));
                let named = digest.starts_with("sha256:");
                if named && actual != digest {
                    answer.respond("400 Bad Request", &[], b"another digest");
                    return;
                }
                self.stored.lock().expect("no panic in it").insert(actual);
                answer.respond("201 Created", &[("Location", "/x")], b"");
            }
        }
    }
}
