//! Containers: what they can reach, who reaches them, and that nothing of them is left.

#[path = "../commands/fixture.rs"]
#[allow(dead_code)]
mod fixture;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fixture::{PROBE, ROOT, explain};
use sandbox::{Call, Container, ContainerSpec, Handle, Launcher, LogSink, StateFolder, Status};

type Lines = Arc<Mutex<Vec<String>>>;

fn spec(name: &str, arguments: &[&str]) -> (ContainerSpec, Lines) {
    let lines = Lines::default();
    let sink = Arc::clone(&lines);
    let spec = ContainerSpec {
        name: name.to_owned(),
        rootfs: ROOT.path().to_owned(),
        argv: std::iter::once("probe").chain(arguments.iter().copied()).map(str::to_owned).collect(),
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        workdir: "/".to_owned(),
        user: 65532,
        group: 65532,
        memory_limit: None,
        calls: Vec::new(),
        writable: Vec::new(),
        state: Vec::new(),
        log: LogSink::new(move |line| sink.lock().unwrap().push(line.to_owned())),
    };
    (spec, lines)
}

fn start(spec: ContainerSpec) -> Container {
    Container::start(&Launcher::new(PROBE), spec).unwrap_or_else(|error| panic!("{}", explain(&error)))
}

/// Connects as soon as the container listens.
fn connect(handle: &Handle, port: u16) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match handle.connect(port) {
            Ok(stream) => return stream,
            Err(error) if Instant::now() > deadline => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_container_runs_on_its_image_and_its_lines_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["identity", "", "list", "/", "write", "/tmp/x", "write", "/var/lib/app/x", "write", "/x", "exit", "3"];
    let (mut spec, lines) = spec("ledger", &words);
    spec.state = vec![StateFolder { source: folder.path().to_owned(), target: "/var/lib/app".to_owned() }];
    let container = start(spec);
    assert_eq!(container.handle().wait(None), Some(Ok(Status::Code(3))));
    let lines = lines.lock().unwrap();
    assert!(lines[0].starts_with("host=ledger uid=65532 gid=65532 pid=2 "), "{}", lines[0]);
    assert!(!lines[1].contains("home") && lines[1].contains("var"), "{}", lines[1]);
    assert_eq!(lines[2..], ["write /tmp/x ok", "write /var/lib/app/x ok", "write /x ReadOnlyFilesystem"]);
    assert!(folder.path().join("x").exists());
}

#[test]
fn every_listening_address_is_reached_low_ports_too() {
    for address in ["0.0.0.0:80", "[::]:8080", "127.0.0.1:8080", "[::1]:8080"] {
        let container = start(spec("web", &["serve", &format!("{address}=hello")]).0);
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        assert_eq!(read(connect(&container.handle(), port)), "hello", "{address}");
    }
}

#[test]
fn a_declared_call_works_and_nothing_else_does() {
    let callee = start(spec("users", &["serve", "0.0.0.0:8443=user"]).0);
    let (mut caller, _) = spec("orders", &["relay", "0.0.0.0:8443=users:8443"]);
    caller.calls = vec![Call { name: "users".to_owned(), port: 8443, open: false }];
    let mut caller = start(caller);
    let [listener] = <[TcpListener; 1]>::try_from(caller.take_listeners()).unwrap();
    // It is refused until somebody listens.
    assert_eq!(read(connect(&caller.handle(), 8443)), "error ConnectionRefused");
    rustix::net::listen(&listener, 1).unwrap();
    let users = callee.handle();
    let proxy = std::thread::spawn(move || {
        let (mut inner, _) = listener.accept().unwrap();
        inner.write_all(read(connect(&users, 8443)).as_bytes()).unwrap();
    });
    assert_eq!(read(connect(&caller.handle(), 8443)), "relayed user");
    proxy.join().unwrap();

    // A third container has no edge to users.
    let stranger = start(spec("stranger", &["relay", "0.0.0.0:9000=users:8443"]).0);
    assert_eq!(read(connect(&stranger.handle(), 9000)), "error Uncategorized");
    // The host's own listeners are out of reach, and so are the container's for the host.
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = host.local_addr().unwrap();
    let stranger = start(spec("stranger", &["relay", &format!("0.0.0.0:9000={target}")]).0);
    assert_eq!(read(connect(&stranger.handle(), 9000)), "error ConnectionRefused");
}

#[test]
fn memory_has_a_limit_where_the_machine_gives_control_groups() {
    let (mut spec, _) = spec("large", &["allocate", "256"]);
    spec.memory_limit = Some(64 << 20);
    let container = start(spec);
    let expected = match container.memory_is_limited() {
        true => Status::Exceeded(sandbox::Exceeded::Memory),
        false => Status::Code(0),
    };
    assert_eq!(container.handle().wait(None), Some(Ok(expected)));
}

#[test]
fn a_port_without_a_listener_refuses() {
    let container = start(spec("idle", &["sleep", "60000"]).0);
    assert_eq!(container.handle().connect(1234).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    container.handle().kill();
    container.handle().wait(None);
    assert_eq!(container.handle().connect(1234).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn terminating_asks_and_killing_does_not() {
    let container = start(spec("asked", &["sleep", "60000"]).0);
    assert_eq!(container.handle().wait(Some(Duration::from_millis(50))), None);
    container.handle().terminate();
    assert_eq!(container.handle().wait(None), Some(Ok(Status::Signal(15))));
    let container = start(spec("killed", &["sleep", "60000"]).0);
    container.handle().kill();
    assert_eq!(container.handle().wait(None), Some(Ok(Status::Cancelled)));
}

#[test]
fn a_program_that_is_not_in_the_image_is_named() {
    let (mut spec, _) = spec("broken", &[]);
    spec.argv = vec!["absent".to_owned()];
    let container = start(spec);
    let message = "sandbox: cannot run absent: No such file or directory (os error 2)";
    assert_eq!(container.handle().wait(None), Some(Err(message.to_owned())));
}
