//! The program that the tests of `sandbox` run inside and outside: it reports what it sees, one command per word pair.
#![allow(clippy::disallowed_methods, reason = "it plays the program under test, not the engine")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

fn main() {
    sandbox::init_if_requested();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words = arguments.iter().map(String::as_str);
    while let Some(command) = words.next() {
        let argument = words.next().unwrap_or("");
        run(command, argument);
    }
}

fn run(command: &str, argument: &str) {
    match command {
        "exit" => std::process::exit(argument.parse().unwrap()),
        "allocate" => drop(std::hint::black_box(vec![1_u8; argument.parse::<usize>().unwrap() << 20])),
        "link" => println!("{}", fs::read_link(argument).unwrap().display()),
        "unreachable" => {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            assert!(socket.send_to(b"lost", argument).is_err());
        }
        "spin" => loop {
            std::hint::spin_loop();
        },
        "processes" => processes(argument.parse().unwrap()),
        "abort" => std::process::abort(),
        "sleep" => std::thread::sleep(Duration::from_millis(argument.parse().unwrap())),
        "print" => println!("{argument}"),
        "complain" => eprintln!("{argument}"),
        "exists" => println!("{argument} {}", fs::symlink_metadata(argument).is_ok()),
        "list" => println!("{}", list(argument)),
        "read" => {
            println!("{}", fs::read_to_string(argument).unwrap_or_else(|error| format!("error {:?}", error.kind())))
        }
        "write" => println!("write {argument} {}", outcome(fs::write(argument, "written\n"))),
        "chmod" => {
            let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
            println!("chmod {argument} {}", outcome(fs::set_permissions(argument, mode)));
        }
        "env" => std::env::vars().for_each(|(name, value)| println!("{name}={value}")),
        "identity" => println!("{}", identity()),
        "connect" => println!("connect {}", outcome(TcpStream::connect(argument))),
        "loopback" => println!("loopback {}", loopback()),
        "stdin" => println!("{}", std::io::read_to_string(std::io::stdin()).unwrap()),
        "descriptors" => println!("{}", list("/proc/self/fd")),
        // Left behind on purpose: the sandbox must end it.
        #[allow(clippy::zombie_processes)]
        "background" => {
            let child = Command::new("/proc/self/exe").args(["sleep", argument]).spawn().unwrap();
            println!("background {}", child.id());
        }
        "serve" => serve(argument),
        "answer" => std::io::stdin().lines().map_while(Result::ok).for_each(|line| {
            let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
            run(command, argument);
        }),
        "fill" => {
            let mut file = fs::File::create(argument).unwrap();
            (0..64).for_each(|_| {
                let _ = file.write_all(&[b'x'; 1 << 20]);
                std::thread::sleep(Duration::from_millis(20));
            });
        }
        "own-proc" => own_proc(),
        "look-at-proc" => look_at_proc(),
        "peel" => println!("{}", peel(argument)),
        "relay" => relay(argument),
        "engine" => engine(argument),
        other => panic!("unknown command {other}"),
    }
}

fn outcome<T>(result: std::io::Result<T>) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |_| "ok".to_owned())
}

fn list(folder: &str) -> String {
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    format!("{folder}: {}", names.join(" "))
}

fn identity() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("");
        line.split_whitespace().nth(1).unwrap_or("").to_owned()
    };
    format!(
        "host={} uid={} gid={} pid={} umask={} caps={} no_new_privs={} cwd={}",
        nix::unistd::gethostname().unwrap().display(),
        field("Uid:"),
        field("Gid:"),
        std::process::id(),
        field("Umask:"),
        field("CapBnd:"),
        field("NoNewPrivs:"),
        std::env::current_dir().unwrap().display(),
    )
}

fn loopback() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"hello").unwrap();
    let mut bytes = [0; 5];
    client.read_exact(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers each connection with `<text>`, given as `address=text`.
fn serve(argument: &str) {
    let (address, text) = argument.split_once('=').unwrap();
    let listener = TcpListener::bind(address).unwrap();
    println!("serving");
    for stream in listener.incoming() {
        stream.unwrap().write_all(text.as_bytes()).unwrap();
    }
}

/// Answers each connection with what another address says, given as `address=other`.
fn relay(argument: &str) {
    let (address, other) = argument.split_once('=').unwrap();
    let listener = TcpListener::bind(address).unwrap();
    for stream in listener.incoming() {
        let mut text = String::new();
        let result = TcpStream::connect(other).and_then(|mut upstream| upstream.read_to_string(&mut text));
        let answer = result.map_or_else(|error| format!("error {:?}", error.kind()), |_| format!("relayed {text}"));
        stream.unwrap().write_all(answer.as_bytes()).unwrap();
    }
}

/// Acts as an engine: runs a probe that sleeps long in a sandbox, given as `root=milliseconds`.
fn engine(argument: &str) {
    let (root, milliseconds) = argument.split_once('=').unwrap();
    let command = sandbox::Command {
        argv: ["/bin/probe", "background", milliseconds, "sleep", milliseconds].map(str::to_owned).to_vec(),
        root: Some(root.into()),
        // A folder in which nobody mounts anything meanwhile, as another test does below /tmp.
        workdir: root.into(),
        stdout: std::env::temp_dir().join(format!("sandbox-probe-{}", std::process::id())),
        stderr: std::env::temp_dir().join(format!("sandbox-probe-{}", std::process::id())),
        ..sandbox::Command::default()
    };
    sandbox::run(&sandbox::Launcher::current(), &command, &model::Cancel::default()).unwrap();
}

/// Starts so many processes at once, and fails if one cannot be started.
fn processes(count: usize) {
    let start = |_| Command::new("/bin/probe").args(["sleep", "60000"]).spawn();
    if (0..count).map(start).filter(Result::is_err).count() > 0 {
        std::process::exit(1);
    }
}

/// Tries with all rights of namespaces of its own to mount a /proc that has the settings of the machine.
fn own_proc() {
    use nix::sched::{CloneFlags, unshare};
    let entered = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID).is_ok()
        && fs::write("/proc/self/uid_map", "0 1000 1").is_ok();
    println!("entered {entered}");
    // Only a child is in the namespace of processes.
    Command::new("/bin/probe").args(["look-at-proc", ""]).status().unwrap();
}

fn look_at_proc() {
    let flags = nix::mount::MsFlags::empty();
    let _ = nix::mount::mount(Some("proc"), "/tmp", Some("proc"), flags, None::<&str>);
    let setting = fs::OpenOptions::new().write(true).open("/tmp/sys/kernel/core_pattern");
    println!("settings writable {}", setting.is_ok());
}

/// Tries with all rights of a namespace of its own to take away what is mounted at a path, here and in copies of all
/// mounts; what came of it, and what is seen there then.
fn peel(path: &str) -> String {
    use nix::mount::{MntFlags, MsFlags, mount, umount2};
    use nix::sched::{CloneFlags, unshare};
    let entered = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).is_ok()
        && fs::write("/proc/self/uid_map", "0 1000 1").is_ok();
    let mut seen = vec![format!("entered {entered}")];
    for (name, flags) in [("one", MsFlags::MS_BIND), ("all", MsFlags::MS_BIND | MsFlags::MS_REC)] {
        let copy = format!("/tmp/{name}");
        fs::create_dir(&copy).unwrap();
        let made = mount(Some("/"), copy.as_str(), None::<&str>, flags, None::<&str>);
        seen.push(format!("copy of {name} {}", made.is_ok()));
        let inside = format!("{copy}{path}");
        seen.push(format!("taken away {}", umount2(inside.as_str(), MntFlags::MNT_DETACH).is_ok()));
        seen.push(list(&inside));
    }
    seen.push(format!("taken away {}", umount2(path, MntFlags::MNT_DETACH).is_ok()));
    seen.push(list(path));
    seen.join("; ")
}
