//! The positive controls: what the attacks do to a client that trusts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode};
use std::time::Duration;

use super::attack::{self, Attack, Deed};
use super::registry::Registry;
use super::trick::Trick;
use super::{MEMORY, SECRET};
use crate::attempt::Outcome;
use crate::demo_packages::Packages;
use crate::tls_front::Certificate;
use crate::trials::{Control, Trials};
use crate::watched::{self, Watched};

/// The part `naive ADDRESS PATH`: takes whatever comes, follows wherever it is sent, with the password; prints it.
pub fn run(arguments: &[String]) -> ExitCode {
    let [address, path] = arguments else { return ExitCode::from(2) };
    let (mut address, mut path) = (address.clone(), path.clone());
    for _ in 0..5 {
        let answer = get(&address, &path);
        let head = String::from_utf8_lossy(&answer[..answer.len().min(2000)]).into_owned();
        let to = head.lines().find_map(|line| line.strip_prefix("Location: http://"));
        let realm = head.split_once("realm=\"http://").map(|(_, rest)| rest.split('"').next().unwrap_or(""));
        let Some((host, rest)) = to.or(realm).and_then(|to| to.split_once('/')) else {
            let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
            let _ = std::io::stdout().write_all(&answer[body..]);
            return ExitCode::SUCCESS;
        };
        (address, path) = (host.to_owned(), format!("/{rest}"));
    }
    ExitCode::FAILURE
}

fn get(address: &str, path: &str) -> Vec<u8> {
    let Ok(mut stream) = TcpStream::connect(address) else { return Vec::new() };
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {SECRET}\r\n\r\n");
    let mut bytes = Vec::new();
    let _ = stream.take(1 << 30).read_to_end(&mut bytes);
    bytes
}

/// What became of the trusting client at a server that plays `deed`.
fn met(deed: Deed, path: &str, time: Duration) -> Result<(Watched, Registry), String> {
    let attack = attack::all().into_iter().find(|attack: &Attack| attack.deed == deed);
    let attack = attack.ok_or_else(|| format!("there is no attack {deed:?}"))?;
    let registry = Registry::start(Packages::of(b"the right content".to_vec()), attack, fastrand::Rng::with_seed(1))?;
    registry.set_hostile(true)?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(own);
    command.args(["part", "naive", &registry.server.address(), path]);
    Ok((watched::run(&mut command, time), registry))
}

/// What a client gets that checks no certificate and follows anywhere.
fn with_tls(deed: Deed, path: &str) -> Result<(Registry, Vec<u8>), String> {
    let attack = attack::all().into_iter().find(|attack: &Attack| attack.deed == deed);
    let attack = attack.ok_or_else(|| format!("there is no attack {deed:?}"))?;
    let registry = Registry::start(Packages::of(b"the right content".to_vec()), attack, fastrand::Rng::with_seed(1))?;
    registry.set_hostile(true)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let body = runtime.map_err(|error| error.to_string())?.block_on(async {
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
        let answer = client.get(format!("https://{}{path}", registry.address())).send().await?;
        answer.bytes().await
    });
    let body = body.map_err(|error| format!("{error:?}"))?;
    Ok((registry, body.to_vec()))
}

/// Shows that the attacks do what they are for.
pub fn controls(trials: &mut Trials) {
    let module = "/go/example.org/demo/@v/v1.0.0.zip";
    let soon = Duration::from_secs(20);
    let mut control = |name: &str, check: &dyn Fn() -> Outcome| trials.control(Control::Positive, name, |_| check());
    for trick in [Trick::WrongByte, Trick::Truncated, Trick::Html, Trick::RedirectElsewhere] {
        control(&format!("a client that trusts takes what {trick:?} sends"), &|| {
            let (watched, registry) = met(Deed::Trick(trick), module, soon)?;
            let right = &registry.packages().files[module].bytes;
            let ok = watched.output.status.success() && watched.output.stdout != *right && registry.played() > 0;
            if ok { Ok(()) } else { Err(format!("{:?}", watched.output)) }
        });
    }
    for trick in [Trick::Drip, Trick::DripHeaders, Trick::Silence, Trick::Interim] {
        control(&format!("a client that trusts waits for {trick:?} without end"), &|| {
            let (watched, _) = met(Deed::Trick(trick), module, Duration::from_secs(2))?;
            if watched.killed { Ok(()) } else { Err("it ended".to_owned()) }
        });
    }
    control("a client that trusts has more memory than is allowed", &|| {
        let (watched, _) = met(Deed::Trick(Trick::Flood), module, soon)?;
        if watched.peak > MEMORY { Ok(()) } else { Err(format!("{} MB", watched.peak >> 20)) }
    });
    for certificate in Certificate::BAD {
        control(&format!("a client that checks no certificate takes one of {certificate:?}"), &|| {
            let (registry, body) = with_tls(Deed::Certificate(certificate), module)?;
            let right = &registry.packages().files[module].bytes;
            if body == *right && registry.asked() > 0 { Ok(()) } else { Err("it asked for nothing".to_owned()) }
        });
    }
    control("a client that trusts follows out of TLS", &|| {
        let (registry, _) = with_tls(Deed::RedirectToPlain, module)?;
        if registry.elsewhere.seen().is_empty() { Err("nothing came there".to_owned()) } else { Ok(()) }
    });
    for (deed, path) in [(Deed::RealmElsewhere, "/v2/"), (Deed::Trick(Trick::RedirectElsewhere), module)] {
        control(&format!("a client that trusts tells its password to {deed:?}"), &|| {
            let (_, registry) = met(deed, path, soon)?;
            let told = registry.elsewhere.seen().iter().any(|request| request.text().contains(SECRET));
            if told { Ok(()) } else { Err("nobody else heard it".to_owned()) }
        });
    }
}
