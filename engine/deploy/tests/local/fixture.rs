//! Services that run the probe, and images that hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use deploy::{Local, LocalCall, LocalError, LocalOptions, LocalService, Ports, Probe};
use model::{Cancel, Event, Reporter};
use sandbox::Launcher;
use tempfile::TempDir;

pub const PROBE: &str = env!("CARGO_BIN_EXE_deploy-probe");

/// The files of an image that can run the probe: the probe and its libraries, by path in the image.
pub static FILES: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(|| {
    // The test itself has the same libraries mapped as the probe will.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mapped: BTreeSet<&str> = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).collect();
    let mut files = BTreeMap::from([("app/probe".to_owned(), PathBuf::from(PROBE))]);
    for library in mapped.into_iter().filter(|path| path.contains(".so")) {
        let name = Path::new(library).file_name().unwrap().to_str().unwrap();
        files.insert(format!("lib64/{name}"), library.into());
        files.insert(library.trim_start_matches('/').to_owned(), library.into());
    }
    files
});

/// [`FILES`] as a folder.
static ROOT: LazyLock<TempDir> = LazyLock::new(|| {
    let root = tempfile::tempdir().unwrap();
    for (path, source) in &*FILES {
        let target = root.path().join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(source, target).unwrap();
    }
    root
});

/// A service that runs the probe: `<kind> <port> <argument>`, and the names of what it calls, all at port 8443.
pub fn service(name: &str, kind: &str, argument: &str, calls: &[&str]) -> LocalService {
    LocalService {
        name: name.to_owned(),
        rootfs: ROOT.path().to_owned(),
        argv: ["/app/probe", kind, "8443", argument].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        workdir: "/".to_owned(),
        ports: Ports { http: Some(8443), ..Ports::default() },
        calls: calls.iter().map(|name| LocalCall { name: (*name).to_owned(), ports: vec![8443] }).collect(),
        state: None,
        probe: Probe::Auto,
        memory_limit: None,
        remarks: Vec::new(),
    }
}

/// Keeps the messages of `Progress` events.
#[derive(Default)]
pub struct Messages(pub Mutex<Vec<String>>);

impl Reporter for Messages {
    fn report(&self, event: Event) {
        if let Event::Progress { phase, message } = event {
            self.0.lock().unwrap().push(format!("{phase}: {message}"));
        }
    }
}

pub fn options() -> LocalOptions {
    let (timeout, grace) = (Duration::from_secs(20), Duration::from_secs(10));
    LocalOptions { launcher: Launcher::new(PROBE), logs: true, timeout, grace, restart: false }
}

pub async fn start(services: Vec<LocalService>) -> Result<Local, LocalError> {
    Local::start(services, options(), Arc::new(Messages::default()), &Cancel::default()).await
}

/// The same with what it says.
pub async fn start_with(options: LocalOptions, services: Vec<LocalService>) -> (Local, Arc<Messages>) {
    let messages = Arc::new(Messages::default());
    let reporter: Arc<Messages> = Arc::clone(&messages);
    (Local::start(services, options, reporter, &Cancel::default()).await.unwrap(), messages)
}

impl Messages {
    /// Whether a message holds a text.
    pub fn say(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|message| message.contains(text))
    }
}

/// Where a service is reached.
pub fn address(local: &Local, service: &str) -> SocketAddr {
    local.addresses().iter().find(|local| local.service == service).unwrap().address
}

/// What a service says.
pub async fn ask(local: &Local, service: &str) -> String {
    let address = address(local, service);
    let read = move || {
        let mut text = String::new();
        // One that is not ready resets.
        let _ = TcpStream::connect(address).unwrap().read_to_string(&mut text);
        text
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// How many processes of this machine have `word` among their arguments.
pub fn processes_with(word: &str) -> usize {
    let folders = fs::read_dir("/proc").unwrap().flatten();
    let is_match = |bytes: Vec<u8>| bytes.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes());
    folders.filter(|folder| fs::read(folder.path().join("cmdline")).is_ok_and(is_match)).count()
}
