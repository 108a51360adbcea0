//! The modules that a go.mod requires, from a module proxy on the loopback interface.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use fetch::{Ecosystem, Endpoints, Repositories};
use model::{Data, Label, NoReporter, PackageId, RepositoryDecl};
use sha2::{Digest as _, Sha256};
use store::Store;

/// A module: its path, its version, its files.
struct Module(&'static str, &'static str, Vec<(&'static str, String)>);

/// How many requests are being answered, and the most that ever were.
#[derive(Default)]
struct InFlight {
    counts: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl InFlight {
    /// Waits until so many are there at once; no longer than a moment, so that fewer are counted and not waited for.
    fn meet(&self, wanted: usize) {
        let mut counts = self.counts.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        self.changed.notify_all();
        let patience = Duration::from_secs(5);
        let (mut counts, _) = self.changed.wait_timeout_while(counts, patience, |counts| counts.1 < wanted).unwrap();
        counts.0 -= 1;
    }

    fn most(&self) -> usize {
        self.counts.lock().unwrap().1
    }
}

fn h1(files: &[(String, &str)]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut lines: Vec<(&str, String)> =
        files.iter().map(|(name, text)| (name.as_str(), hex(&Sha256::digest(text.as_bytes())))).collect();
    lines.sort();
    let listing: String = lines.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    format!("h1:{}", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(listing.as_bytes())))
}

impl Module {
    fn named(&self) -> Vec<(String, &str)> {
        let Self(path, version, files) = self;
        files.iter().map(|(name, text)| (format!("{path}@{version}/{name}"), text.as_str())).collect()
    }

    fn zip(&self) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in self.named() {
            zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// The lines of go.sum.
    fn sums(&self) -> String {
        let Self(path, version, files) = self;
        let synthetic = format!("module {path}\n");
        let own = files.iter().find(|(name, _)| *name == "go.mod").map_or(synthetic.as_str(), |(_, text)| text);
        let of_mod = h1(&[("go.mod".to_owned(), own)]);
        format!("{path} {version} {}\n{path} {version}/go.mod {of_mod}\n", h1(&self.named()))
    }
}

/// A proxy of these modules; each answer waits until `together` requests are there.
fn proxy(modules: &[Module], together: usize) -> (String, Arc<InFlight>) {
    let zips: BTreeMap<String, Vec<u8>> =
        modules.iter().map(|module| (format!("/{}/@v/{}.zip", module.0, module.1), module.zip())).collect();
    let (zips, flight) = (Arc::new(zips), Arc::new(InFlight::default()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let counted = Arc::clone(&flight);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (zips, flight) = (Arc::clone(&zips), Arc::clone(&counted));
            std::thread::spawn(move || answer(stream.unwrap(), &zips, &flight, together));
        }
    });
    (address, flight)
}

fn answer(mut stream: TcpStream, zips: &BTreeMap<String, Vec<u8>>, flight: &InFlight, together: usize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
    let Some(zip) = zips.get(first.split(' ').nth(1).unwrap_or("")) else {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
    };
    flight.meet(together);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", zip.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(zip));
}

struct Workspace {
    repositories: Repositories,
    _store: tempfile::TempDir,
}

impl Workspace {
    fn new(go_mod: &str, go_sum: &str, proxy: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let label = |name: &str| Data::Label(Label::absolute(&format!("//services:go.{name}")).unwrap());
        let decl = RepositoryDecl {
            name: Arc::from("go"),
            kind: Arc::from("go_modules"),
            attributes: ["mod", "sum"].map(|name| (Arc::from(name), label(name))).into(),
            location: None,
        };
        let read = |label: &Label| Ok(if label.name() == "go.mod" { go_mod } else { go_sum }.to_owned());
        let endpoints = Endpoints::empty().with(Ecosystem::Go, &[proxy]).unwrap();
        let store = Store::open(folder.path()).unwrap();
        let repositories = Repositories::new(&[decl], &read, store, Arc::new(endpoints), Arc::new(NoReporter)).unwrap();
        Self { repositories, _store: folder }
    }

    /// What is said of a package: its BUILD.star, or why there is none.
    fn package(&self, path: &str) -> String {
        match self.repositories.build_file(&package(path)) {
            Ok(text) => text.unwrap_or_else(|| "none".to_owned()),
            Err(error) => error.explain(),
        }
    }
}

fn package(path: &str) -> PackageId {
    PackageId::new("go", path).unwrap()
}

#[test]
fn modules_are_fetched_side_by_side() {
    let names = ["a.x/1", "a.x/2", "a.x/3", "a.x/4", "a.x/5", "a.x/6"];
    let file = |name: &str| ("p.go", format!("package p // {name}\n"));
    let modules: Vec<Module> = names.iter().map(|name| Module(name, "v1.0.0", vec![file(name)])).collect();
    let go_mod: String = names.iter().map(|name| format!("require {name} v1.0.0\n")).collect();
    let go_sum: String = modules.iter().map(Module::sums).collect();

    let (address, flight) = proxy(&modules, 4);
    let workspace = Workspace::new(&format!("module t\ngo 1.24\n{go_mod}"), &go_sum, &address);
    let wanted: Vec<PackageId> = names.iter().map(|name| package(name)).collect();
    workspace.repositories.prefetch(&wanted);
    assert!(flight.most() >= 4, "at most {} requests at once", flight.most());
    // All of them are there: nothing is asked for any more, and a second call has nothing to do.
    let asked = flight.most();
    workspace.repositories.prefetch(&wanted);
    for name in names {
        assert!(workspace.package(name).contains("srcs = [\"p.go\"]"), "{}", workspace.package(name));
    }
    assert_eq!(flight.most(), asked);

    // The control: asked for one after another, they come one after another.
    let (address, flight) = proxy(&modules[..2], 1);
    let workspace = Workspace::new(&format!("module t\ngo 1.24\n{go_mod}"), &go_sum, &address);
    names[..2].iter().for_each(|name| assert!(workspace.package(name).contains("p.go")));
    assert_eq!(flight.most(), 1);
}

#[test]
fn packages_of_one_module_wait_for_one_download() {
    let files = vec![("a/a.go", "package a\n".to_owned()), ("b/b.go", "package b\n".to_owned())];
    let modules = [Module("a.x/m", "v1.0.0", files)];
    let (address, flight) = proxy(&modules, 2);
    let workspace = Workspace::new("module t\nrequire a.x/m v1.0.0\n", &modules[0].sums(), &address);
    std::thread::scope(|scope| {
        for path in ["a.x/m/a", "a.x/m/b", "a.x/m/a"] {
            let workspace = &workspace;
            scope.spawn(move || assert!(workspace.package(path).contains("go_external_library")));
        }
    });
    assert_eq!(flight.most(), 1);
}

#[test]
fn requirements_are_checked_as_by_go_build_readonly() {
    let needy = vec![
        ("go.mod", "module a.x/needy\n\ngo 1.20\n\nrequire a.x/other v1.2.0\n".to_owned()),
        ("needy.go", "package needy\n".to_owned()),
    ];
    let other = vec![("other.go", "package other\n".to_owned())];
    let modules = [Module("a.x/needy", "v1.0.0", needy), Module("a.x/other", "v1.1.0", other)];
    let (address, _) = proxy(&modules, 1);
    let sums = format!("{}{}", modules[0].sums(), modules[1].sums());
    let of = |go_mod: &str, go_sum: &str| Workspace::new(go_mod, go_sum, &address);
    let both = "module t\ngo 1.24\nrequire a.x/needy v1.0.0\nrequire a.x/other v1.1.0\n";

    let workspace = of(both, &sums);
    let said = workspace.package("a.x/needy");
    for part in ["services/go.mod: `a.x/needy v1.0.0` requires `a.x/other v1.2.0`", "v1.1.0", "type `go mod tidy`"] {
        assert!(said.contains(part), "{said}");
    }
    // What is not loaded is not checked, and an exclusion counts.
    assert!(workspace.package("a.x/other").contains("other.go"));
    let excluded = of(&format!("{both}exclude a.x/other v1.2.0\n"), &sums);
    assert!(excluded.package("a.x/needy").contains("needy.go"));
    let newer = of(&both.replace("v1.1.0", "v1.2.0"), &sums);
    assert!(newer.package("a.x/needy").contains("needy.go"));

    let without =
        |of: &str| sums.lines().filter(|line| !line.contains(of)).map(|line| format!("{line}\n")).collect::<String>();
    let said = of(both, &without("a.x/other v1.1.0/go.mod")).package("a.x/other");
    assert!(
        said.contains("no hash for the go.mod of `a.x/other v1.1.0`; type `go mod download a.x/other@v1.1.0`"),
        "{said}"
    );
    let said = of(both, &without("a.x/other v1.1.0 ")).package("a.x/other");
    assert!(said.contains("no hash for `a.x/other v1.1.0`"), "{said}");
    let said =
        of(both, &sums.replace("a.x/other v1.1.0/go.mod h1:", "a.x/other v1.1.0/go.mod h1:A")).package("a.x/other");
    assert!(said.contains("the go.mod of `a.x/other v1.1.0` has the hash h1:"), "{said}");

    let said = of(both, &sums).package("b.y/unknown");
    assert!(said.contains("`go mod tidy`"), "{said}");
    let said = of("module t\ngo 1.16\n", "").package("b.y/unknown");
    assert!(said.contains("go mod tidy -go=1.17"), "{said}");
}

#[test]
fn files_are_chosen_by_the_toolchain_and_not_by_the_go_line() {
    let twins = vec![
        ("go.mod", "module a.x/twins\n\ngo 1.24\n".to_owned()),
        ("old.go", "//go:build !go1.26\n\npackage twins\n".to_owned()),
        ("new.go", "//go:build go1.26\n\npackage twins\n".to_owned()),
        ("later.go", "//go:build go1.27\n\npackage twins\n".to_owned()),
    ];
    let modules = [Module("a.x/twins", "v1.0.0", twins)];
    let (address, _) = proxy(&modules, 1);
    for go in ["1.16", "1.25", "1.26"] {
        let go_mod = format!("module t\ngo {go}\nrequire a.x/twins v1.0.0\n");
        let said = Workspace::new(&go_mod, &modules[0].sums(), &address).package("a.x/twins");
        assert!(said.contains("srcs = [\"new.go\"]") && said.contains("release = \"1.26\""), "go {go}: {said}");
    }
}

#[test]
fn what_go_mod_says_of_the_workspace_is_a_target() {
    let go_mod = "module example.org/t\n\ngo 1.21.3\n\ngodebug panicnil=1\n";
    let said = Workspace::new(go_mod, "", "http://127.0.0.1:9/").package("");
    for part in [
        "go_settings(\n    name = \"settings\"",
        "paths = {\"services\": \"example.org/t\"}",
        "versions = {\"services\": \"1.21\"}",
        "repositories = {\"services\": \"go\"}",
        "godebug = {\"services\": [\"panicnil=1\"]}",
    ] {
        assert!(said.contains(part), "no {part} in\n{said}");
    }
}
