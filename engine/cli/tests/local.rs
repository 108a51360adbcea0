//! `build run deploy:to-local`: the sample system on this machine, from its start to the last of its processes.
//!
//! One function, since the services ask for their own ports. Where another program has one, the system takes a free
//! port and says so; the test goes by what it says.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::Folder;

/// The program in the background, and what it has printed.
struct Background {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Background {
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let mut process = folder.start(arguments);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stderr, sink) = (process.stderr.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                sink.lock().unwrap().push(line.unwrap());
            }
        });
        Self { process, lines }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits until a line has a text.
    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(300);
        while !self.text().contains(text) {
            assert!(self.process.try_wait().unwrap().is_none(), "it ended before {text:?}:\n{}", self.text());
            assert!(Instant::now() < end, "no {text:?} in:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ctrl-C; the exit code, and how long the end took.
    fn interrupt(&mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let status = self.process.wait().unwrap();
        (status.code(), began.elapsed())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The addresses that a run printed, by service and protocol.
fn addresses(text: &str) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some((what, address)) = line.split_once(" is at ") {
            let words: Vec<&str> = what.split_whitespace().collect();
            let [.., service, protocol] = words[..] else { panic!("{line}") };
            found.insert((service.to_owned(), protocol.to_owned()), address.to_owned());
        }
    }
    found
}

fn open(addresses: &BTreeMap<(String, String), String>) -> Vec<&String> {
    addresses.values().filter(|address| TcpStream::connect(address).is_ok()).collect()
}

/// The processes whose output a process reads, and the network namespaces they are in.
fn containers(reader: u32) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let own = PathBuf::from(format!("/proc/{reader}"));
    // What the test has too was inherited, or leads to the test.
    let inherited: BTreeSet<PathBuf> = links(Path::new("/proc/self/fd")).collect();
    let pipes: BTreeSet<PathBuf> =
        links(&own.join("fd")).filter(|link| is_pipe(link) && !inherited.contains(link)).collect();
    let talks = |process: &PathBuf| *process != own && links(&process.join("fd")).any(|link| pipes.contains(&link));
    let processes: BTreeSet<PathBuf> = processes().filter(talks).collect();
    let networks = processes.iter().filter_map(|process| std::fs::read_link(process.join("ns/net")).ok()).collect();
    (processes, networks)
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    all.filter(|path| path.file_name().unwrap().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
}

/// Where the links in a folder lead; none when the process is gone or another user's.
fn links(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
}

/// Whether a process runs. One that ended stays in the list until its parent, the machine's first process, looks.
fn is_alive(process: &Path) -> bool {
    let state = std::fs::read_to_string(process.join("stat")).ok();
    state.is_some_and(|text| !text.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
}

fn is_pipe(link: &Path) -> bool {
    let link = link.to_string_lossy();
    link.starts_with("pipe:") || link.starts_with("socket:")
}

#[test]
fn the_system_on_this_machine() {
    let folder = Folder::sample();
    ends_when_ready(&folder);
    serves_until_it_is_stopped(&folder);
    fails_with_its_smoke_tests();
    fails_with_a_service_that_ends_itself();
}

fn ends_when_ready(folder: &Folder) {
    let run = folder.build(&["run", "deploy:to-local", "--exit_when_ready"]).expect(0);
    let run = run.says(&["//services/controller:smoke  PASSED", "//deploy:to-local runs"]);
    let addresses = addresses(&run.stderr);
    for service in ["controller", "ledger", "model"] {
        for protocol in ["grpc", "metrics"] {
            assert!(addresses.contains_key(&(service.into(), protocol.into())), "{service} {protocol}: {addresses:?}");
        }
    }
    assert_eq!(open(&addresses), Vec::<&String>::new(), "still open");
    assert!(!run.stderr.contains("\"msg\":\"serving\""), "logs are shown without --logs:\n{}", run.stderr);

    // Nothing changed: nothing is built, but the smoke tests run, since they ask a system and not a file.
    let again = folder.build(&["run", "deploy:to-local", "--exit_when_ready"]).expect(0);
    let ran = again.actions("Ran");
    assert!(ran.iter().all(|(_, mnemonic)| mnemonic == "Test") && ran.len() == 1, "{ran:?}");
}

fn serves_until_it_is_stopped(folder: &Folder) {
    let mut system = Background::start(folder, &["run", "deploy:to-local", "--logs"]);
    system.wait_for("Ctrl-C ends it");
    let addresses = addresses(&system.text());
    assert_eq!(open(&addresses).len(), 6, "{addresses:?}");
    let (processes, networks) = containers(system.process.id());
    assert!(processes.len() >= 3 && networks.len() >= 3, "{processes:?} {networks:?}");

    // A client needs no address where the controller has its own port.
    let address = &addresses[&("controller".to_owned(), "grpc".to_owned())];
    let mut ask = vec!["run", "services/controller:ask", "--", "--text", "hello"];
    if address != "127.0.0.1:8081" {
        ask.extend(["--address", address]);
    }
    let answer = folder.build(&ask).expect(0).stdout;
    for line in ["  id          ", "  model       ", "  model       code ", "  controller  code "] {
        assert!(answer.contains(line), "{line:?} is not in:\n{answer}");
    }
    // The digests are those of the images that run.
    folder.build(&["build", "services/controller:image", "services/model:image"]).expect(0);
    for service in ["controller", "model"] {
        let digest = folder.read(&format!("build-out/services/{service}/image.digest"));
        assert!(answer.contains(&format!("image {digest}")), "{service} is not {digest}:\n{answer}");
    }
    let text = system.text();
    for service in ["controller", "ledger", "model"] {
        let calls = |line: &&str| line.contains(&format!("{service} | ")) && line.contains("\"code\"");
        assert!(text.lines().filter(calls).count() >= 2, "{service} logged no calls of smoke test and client:\n{text}");
    }

    let (code, took) = system.interrupt();
    assert!(took < Duration::from_secs(10), "the end took {took:?}");
    assert_eq!(code, Some(0), "{}", system.text());
    assert_eq!(open(&addresses), Vec::<&String>::new(), "still open");
    // The last of a container's processes may end an instant after the program that asked it to.
    let left = || processes.iter().filter(|process| is_alive(process)).collect::<Vec<&PathBuf>>();
    let end = Instant::now() + Duration::from_secs(2).saturating_sub(took);
    while !left().is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(left(), Vec::<&PathBuf>::new(), "still running");
    let of_it = |process: &PathBuf| std::fs::read_link(process.join("ns/net")).is_ok_and(|net| networks.contains(&net));
    assert_eq!(self::processes().filter(of_it).collect::<Vec<_>>(), Vec::<PathBuf>::new(), "in its networks");
}

fn fails_with_its_smoke_tests() {
    let folder = Folder::sample();
    let path = "services/controller/smoke/smoke_test.go";
    let broken = "\nfunc TestBroken(t *testing.T) { t.Fatal(\"broken on purpose\") }\n";
    folder.write(path, &format!("{}{broken}", folder.read(path)));
    let run = folder.build(&["run", "deploy:to-local"]).expect(5);
    let run = run.says(&["//services/controller:smoke  FAILED", "broken on purpose", "smoke tests"]);
    assert_eq!(open(&addresses(&run.stderr)), Vec::<&String>::new(), "still open");
}

fn fails_with_a_service_that_ends_itself() {
    let folder = Folder::sample();
    let good = folder.read("services/model/server.py");
    folder.write("services/model/server.py", &format!("print(\"looking\")\nraise SystemExit(\"no weights\")\n{good}"));
    let began = Instant::now();
    let run = folder.build(&["run", "deploy:to-local", "--norestart"]).expect(5);
    let run = run.says(&["model exited with 1", "looking", "no weights"]);
    assert!(!run.stderr.contains("Ctrl-C ends it"), "{}", run.stderr);
    assert!(began.elapsed() < Duration::from_secs(60), "a dead service was waited for");
    assert_eq!(open(&addresses(&run.stderr)), Vec::<&String>::new(), "still open");
}
