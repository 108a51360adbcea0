//! Row 17: registries and package servers that mean harm.
//!
//! A try: a server of all protocols plays one attack at the program, which has to refuse what comes, within bounded time and
//! memory, with an error that names what was asked for and where, and without telling anyone a password. Then the same server
//! is honest, and the same command has to succeed with the right content: nothing of the attack was kept.

mod attack;
mod naive;
mod registry;
mod trick;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;

use self::attack::{Attack, Deed, Door};
use self::registry::Registry;
use crate::attempt::{Attempt, Outcome};
use crate::demo_packages::{Packages, hex};
use crate::row::{Row, Tries};
use crate::trials::{Control, Trials};
use crate::watched::{self, Watched};
use crate::workspace::Workspace;

pub use self::naive::run as naive;

/// The row.
pub const ROW: Row = Row {
    number: 17,
    title: "hostile registries: wrong, cut, slow, misleading, endless answers",
    // All of them, which is more than the two hundred that were asked for.
    tries: Tries { small: 16, full: attack::COUNT },
    run,
};

/// Four attempts that wait a second each for a connection and for an answer, the pauses between them, and a machine that has
/// much else to do.
const TIME: Duration = Duration::from_secs(60);
/// More than any index or manifest that is allowed needs; less than any attack sends.
const MEMORY: u64 = 256 << 20;
const SECRET: &str = "hunter2-of-the-registry";
/// `BUILD_DOWNLOAD_LIMIT`.
const LIMIT: u64 = 32 << 20;

fn run(trials: &mut Trials) {
    // In an order that does not depend on the seed, so that few tries are of all kinds and many are all attacks.
    let mut attacks = attack::all();
    fastrand::Rng::with_seed(ROW.number.into()).shuffle(&mut attacks);
    assert_eq!(attacks.len() as u64, attack::COUNT, "the number of attacks");
    let (peak, slowest) = (AtomicU64::new(0), AtomicU64::new(0));
    trials.each(|attempt| {
        let attack = attacks[attempt.index as usize % attacks.len()].clone();
        attacked(attempt, &attack, (&peak, &slowest)).map_err(|message| format!("{}: {message}", attack.name()))
    });
    trials.note(format!(
        "{} attacks: each of 28 tricks at each kind of request, and those of one protocol",
        attacks.len()
    ));
    let (peak, slowest) = (peak.into_inner() >> 20, slowest.into_inner());
    trials.note(format!("the most memory at any attack: {peak} MB; the longest time: {slowest} s"));
    naive::controls(trials);
    for (door, name) in [(Door::Plain, "honest registries"), (Door::Tls, "honest registries with TLS")] {
        trials.control(Control::Negative, &format!("{name} of all kinds"), |attempt| {
            let targets = ["go", "pypi", "debian", "images", "push"];
            targets.into_iter().try_for_each(|target| honest(attempt, target, door))
        });
    }
}

/// A workspace whose machine is configured for the servers, with a password for each.
fn workspace(attempt: &Attempt, registry: &Registry) -> Result<Workspace, String> {
    let name = format!("w{}", attempt.index);
    let (scheme, address) = (registry.scheme(), registry.address());
    let endpoint = |path: &str| format!("{scheme}://robot:{SECRET}@{address}/{path}");
    let home = attempt.folder().join("home");
    std::fs::create_dir_all(&home).expect("a folder of the try");
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("robot:{SECRET}"));
    let config = serde_json::json!({"auths": {&address: {"auth": auth}}});
    std::fs::write(home.join("config.json"), config.to_string()).expect("a file of the try");
    let images = format!("{scheme}://{address}");
    let variables = [
        ("BUILD_GO_ENDPOINT", endpoint("go")),
        ("BUILD_PYPI_ENDPOINT", endpoint("pypi")),
        ("BUILD_DEBIAN_ENDPOINT", endpoint("debian")),
        ("BUILD_REGISTRY_IMAGES", images.clone()),
        ("BUILD_REGISTRY_TARGET", images),
        ("BUILD_NETWORK_TIMEOUT", "1".to_owned()),
        ("BUILD_DOWNLOAD_LIMIT", LIMIT.to_string()),
        ("DOCKER_CONFIG", home.display().to_string()),
        ("XDG_CONFIG_HOME", home.display().to_string()),
        ("NO_PROXY", "127.0.0.1,localhost".to_owned()),
    ];
    let workspace = attempt.workspace(&name);
    let workspace = variables.iter().fold(workspace, |workspace, (name, value)| workspace.with_env(name, value));
    workspace
        .write("WORKSPACE.star", "workspace(name = \"w\")\n\ntoolchain(name = \"shell\", target = \"//:shell\")\n");
    workspace.write("BUILD.star", &registry.packages().build_file);
    if scheme == "http" {
        return Ok(workspace);
    }
    let authority = attempt.folder().join("authority.pem");
    registry.write_authority(&authority)?;
    Ok(workspace.with_env("SSL_CERT_FILE", &authority.display().to_string()))
}

/// Random, so that it does not compress and no other try has it.
fn content(attempt: &mut Attempt) -> Vec<u8> {
    let length = attempt.dice.usize(3_000..60_000);
    std::iter::repeat_with(|| attempt.dice.u8(..)).take(length).collect()
}

fn attacked(attempt: &mut Attempt, attack: &Attack, most: (&AtomicU64, &AtomicU64)) -> Outcome {
    let registry = Registry::start(attack.packages(content(attempt)), attack.clone(), attempt.dice.fork())?;
    let workspace = workspace(attempt, &registry)?;
    if attack.target == "push" {
        workspace.run(&["build", "//:images"]).expect(0)?;
    }
    let arguments = match attack.target {
        "push" => ["run", "//:push"].map(str::to_owned),
        target => ["fetch".to_owned(), format!("//:{target}")],
    };
    let arguments = arguments.each_ref().map(String::as_str);
    registry.set_hostile(true)?;
    let began = Instant::now();
    let watched = watched::run(&mut workspace.command(&arguments), TIME);
    most.0.fetch_max(watched.peak, Ordering::Relaxed);
    most.1.fetch_max(began.elapsed().as_secs(), Ordering::Relaxed);
    registry.set_hostile(false)?;
    refused(&watched, attack, &registry)?;
    workspace.run(&["fsck"]).expect(0)?;
    if attack.door() == Door::Bare || attack.is_pinned() {
        return Ok(());
    }
    succeeds(&workspace, attack.target, &registry)
}

/// What must hold of the program's answer to an attack.
fn refused(watched: &Watched, attack: &Attack, registry: &Registry) -> Outcome {
    let said = String::from_utf8_lossy(&watched.output.stderr);
    let fail = |what: &str| Err(format!("{what}\n{said}"));
    if registry.played() == 0 {
        return fail("the attack was not played");
    }
    if watched.killed {
        return fail(&format!("no end after {} s", TIME.as_secs()));
    }
    if watched.peak > MEMORY {
        return fail(&format!("{} MB of memory", watched.peak >> 20));
    }
    if said.contains("panicked") || watched.output.status.code().is_none_or(|code| !matches!(code, 0 | 1 | 36)) {
        return fail(&format!("it ended with {:?}", watched.output.status));
    }
    if said.contains(SECRET) {
        return fail("the password is in the message");
    }
    if let Deed::Certificate(certificate) = attack.deed {
        if registry.asked() > 0 {
            return fail("a request was sent to a server that proved nothing");
        }
        if !said.contains(certificate.reason()) {
            return fail(&format!("it does not say: {}", certificate.reason()));
        }
    }
    if attack.leads_to_plain() && !registry.elsewhere.seen().is_empty() {
        return fail("a request was sent without TLS");
    }
    for request in registry.elsewhere.seen() {
        if request.header("authorization").is_some() || request.text().contains(SECRET) {
            return fail(&format!("the password went elsewhere: {}", request.text()));
        }
    }
    let success = watched.output.status.success();
    if success && !attack.may_succeed() {
        return fail("it was taken");
    }
    let address = registry.address();
    let what = if attack.target == "images" { "team/base" } else { "demo" };
    let what = if attack.target == "push" { "team/app" } else { what };
    let named = said.contains(&address) && (said.contains(what) || said.contains("the registry 127"));
    if !success && (!named || !said.contains("error:")) {
        return fail(&format!("the error does not name {what} and {address}"));
    }
    Ok(())
}

/// The same command at an honest server, and the content that comes of it.
fn succeeds(workspace: &Workspace, target: &str, registry: &Registry) -> Outcome {
    let wrong = |what: &str| Err(format!("afterwards, at an honest server: {what}"));
    if target == "push" {
        workspace.run(&["run", "//:push"]).expect(0)?;
        let files = registry.packages().files.iter().filter(|(path, _)| path.starts_with("/v2/"));
        let digests = files.map(|(_, file)| format!("sha256:{}", hex(&file.bytes)));
        let missing: Vec<String> = digests.filter(|digest| !registry.stored().contains(digest)).collect();
        return if missing.is_empty() { Ok(()) } else { wrong(&format!("not pushed: {missing:?}")) };
    }
    workspace.run(&["build", &format!("//:{target}")]).expect(0)?;
    let layer = registry.packages().files.values().find(|file| file.bytes.starts_with(&[0x1f, 0x8b]));
    let (path, wanted) = match (target, layer) {
        ("images", Some(layer)) => (format!("images/blobs/sha256/{}", hex(&layer.bytes)), &layer.bytes),
        _ => (format!("{target}/demo.txt"), &registry.packages().content),
    };
    match std::fs::read(workspace.root().join("build-out").join(&path)) {
        Ok(found) if found == *wanted => Ok(()),
        Ok(_) => wrong(&format!("{path} has another content")),
        Err(error) => wrong(&format!("{path}: {error}")),
    }
}

fn honest(attempt: &mut Attempt, target: &'static str, door: Door) -> Outcome {
    let attack = attack::all().into_iter().find(|attack| attack.target == target && attack.door() == door);
    let attack = attack.ok_or_else(|| format!("no attack at {target}"))?;
    let registry = Registry::start(Packages::of(content(attempt)), attack, attempt.dice.fork())?;
    attempt.index -= 1;
    let workspace = workspace(attempt, &registry)?;
    if target == "push" {
        workspace.run(&["build", "//:images"]).expect(0)?;
    }
    succeeds(&workspace, target, &registry)?;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("robot:{SECRET}"));
    let with = registry.server.seen().iter().filter(|request| request.text().contains(&basic)).count();
    if with == 0 { Err("the configured server got no password".to_owned()) } else { Ok(()) }
}
