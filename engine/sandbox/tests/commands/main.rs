//! What a sandboxed command sees, leaves behind, and how it ends.

mod fixture;

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use fixture::{Fixture, PROBE, explain};
use model::{Cancel, Network, RelPath};
use sandbox::{Exceeded, Launcher, Status, Support, Together};

#[test]
fn sandboxes_can_be_made_here() {
    assert_eq!(Launcher::new(PROBE).support(), Support::Available);
}

#[test]
fn a_program_that_does_not_offer_init_is_not_started_again() {
    let Support::Missing(obstacle) = Launcher::current().support() else { panic!("the tests' main is no init") };
    assert!(obstacle.reason.contains("init_if_requested"), "{}", obstacle.reason);
}

#[test]
fn nothing_of_the_host_is_visible() {
    let outcome = Fixture::new(&["list", "/", "list", "/etc", "list", "/dev", "exists", "/etc/hostname"]).run();
    let listing: Vec<&str> = outcome.stdout.lines().collect();
    let top: Vec<&str> = listing[0].split(' ').skip(1).collect();
    assert!(top.iter().all(|name| ["bin", "dev", "etc", "lib", "lib64", "proc", "tmp", "usr", "work"].contains(name)));
    assert_eq!(listing[1], "/etc: group hosts nsswitch.conf passwd");
    assert_eq!(listing[2], "/dev: fd full null random shm stderr stdin stdout urandom zero");
    assert_eq!(listing[3], "/etc/hostname false");
    for path in ["/home", "/root", "/var", "/sys", "/usr/bin", env!("CARGO_MANIFEST_DIR")] {
        assert_eq!(Fixture::new(&["exists", path]).run().stdout, format!("{path} false\n"));
    }
}

#[test]
fn identity_is_fixed_and_powerless() {
    let outcome = Fixture::new(&["identity", ""]).run();
    let expected = "host=sandbox uid=1000 gid=1000 pid=2 umask=0022 caps=0000000000000000 no_new_privs=1 cwd=/work\n";
    assert_eq!(outcome.stdout, expected);
}

#[test]
fn the_environment_and_descriptors_are_exactly_those_given() {
    let mut fixture = Fixture::new(&["env", "", "descriptors", ""]);
    fixture.command.env = vec![("A".to_owned(), "1 2".to_owned())];
    // The fourth descriptor is the folder that is being listed.
    assert_eq!(fixture.run().stdout, "A=1 2\n/proc/self/fd: 0 1 2 3\n");
}

#[test]
fn inputs_are_read_only_and_outputs_are_left() {
    let mut fixture = Fixture::new(&["read", "a/in.txt", "write", "a/in.txt", "chmod", "a/in.txt", "read", "tree/x/y"]);
    fixture.input("a/in.txt", "content");
    let tree = fixture.folder.path().join("tree");
    fs::create_dir_all(tree.join("x")).unwrap();
    fs::write(tree.join("x/y"), "deep").unwrap();
    fixture.mount(tree, "tree", true);
    for word in ["write", "tree/new", "write", "a/out.txt", "write", "/tmp/t", "write", "/new", "write", "/bin/probe"] {
        fixture.command.argv.push(word.to_owned());
    }
    let outcome = fixture.run();
    assert_eq!(
        outcome.stdout.lines().collect::<Vec<_>>(),
        [
            "content",
            "write a/in.txt ReadOnlyFilesystem",
            "chmod a/in.txt ReadOnlyFilesystem",
            "deep",
            "write tree/new ReadOnlyFilesystem",
            "write a/out.txt ok",
            "write /tmp/t ok",
            "write /new ReadOnlyFilesystem",
            "write /bin/probe ReadOnlyFilesystem",
        ]
    );
    assert_eq!(fs::read_to_string(fixture.command.workdir.join("a/out.txt")).unwrap(), "written\n");
}

#[test]
fn the_kernel_cannot_be_configured_from_inside() {
    let outcome = Fixture::new(&["write", "/proc/sys/kernel/core_pattern"]).run();
    assert!(!outcome.stdout.contains("ok"), "{}", outcome.stdout);
}

#[test]
fn proc_tells_of_the_own_processes_only() {
    let words = ["/proc/uptime", "/proc/meminfo", "/proc/cmdline", "/proc/sys"];
    let words: Vec<&str> =
        words.iter().flat_map(|path| ["exists", path]).chain(["exists", "/proc/self/status"]).collect();
    let outcome = Fixture::new(&words).run();
    assert_eq!(
        outcome.stdout,
        "/proc/uptime false\n/proc/meminfo false\n/proc/cmdline false\n/proc/sys false\n/proc/self/status true\n"
    );
}

#[test]
fn no_proc_of_its_own_lets_the_kernel_be_configured() {
    assert_eq!(Fixture::new(&["own-proc", ""]).run().stdout, "entered false\nsettings writable false\n");
}

#[test]
fn process_1_and_the_mounts_are_not_visible() {
    let words = ["exists", "/proc/1", "read", "/proc/self/mountinfo", "read", "/proc/self/mounts"];
    let mut fixture = Fixture::new(&words);
    fixture.input("a/in.txt", "content");
    fixture.command.argv.extend(["list", "/proc/1/fd", "read", "/proc/self/mountstats"].map(str::to_owned));
    assert_eq!(fixture.run().stdout, "/proc/1 false\n\n\n/proc/1/fd: \n\n");
}

#[test]
fn descriptors_lead_to_what_is_mounted_inside() {
    let streams = ["/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "/dev/stdin"];
    let words: Vec<&str> = streams.iter().flat_map(|path| ["link", path]).collect();
    let mut fixture = Fixture::new(&words);
    assert_eq!(fixture.run().stdout, "/dev/null\n/work/stdout\n/work/stderr\n/proc/self/fd/0\n");

    fixture.input("in/a", "from stdin");
    fixture.command.stdin = Some(RelPath::new("in/a").unwrap());
    fixture.command.argv = ["/bin/probe", "link", "/proc/self/fd/0", "chmod", "/proc/self/fd/0", "write", "/dev/stdin"]
        .map(str::to_owned)
        .to_vec();
    fixture.command.argv.extend(["exists", "/work/stdout", "chmod", "/proc/self/fd/1"].map(str::to_owned));
    let expected = "/work/in/a\nchmod /proc/self/fd/0 ReadOnlyFilesystem\nwrite /dev/stdin ReadOnlyFilesystem\n\
                    /work/stdout false\nchmod /proc/self/fd/1 ok\n";
    assert_eq!(fixture.run().stdout, expected);
    assert_eq!(fs::read_to_string(fixture.folder.path().join("input-0")).unwrap(), "from stdin");
}

#[test]
fn a_folder_as_standard_input_leads_nowhere_but_to_the_root_inside() {
    let up = format!("/proc/self/fd/0{}", "/..".repeat(20));
    let top = Fixture::new(&["list", "/"]).run().stdout.replacen("/:", "", 1);
    let mut fixture = Fixture::new(&["list", &up, "list", "/proc/self/fd/0/", "write", "/proc/self/fd/0/new"]);
    let tree = fixture.folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("x"), "").unwrap();
    fixture.mount(tree, "in/tree", true);
    fixture.command.stdin = Some(RelPath::new("in/tree").unwrap());
    let expected = format!("{up}:{top}/proc/self/fd/0/: x\nwrite /proc/self/fd/0/new ReadOnlyFilesystem\n");
    assert_eq!(fixture.run().stdout, expected);
}

#[test]
fn devices_can_be_used_and_not_changed() {
    let devices = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/proc/self/fd/0"];
    let words: Vec<&str> = devices.iter().flat_map(|path| ["chmod", path]).chain(["write", "/dev/null"]).collect();
    let mut expected: String = devices.iter().map(|path| format!("chmod {path} ReadOnlyFilesystem\n")).collect();
    expected += "write /dev/null ok\n";
    assert_eq!(Fixture::new(&words).run().stdout, expected);
}

/// The program that a command cannot name: the engine's own.
#[test]
fn no_program_below_proc_is_run() {
    let refused = |fixture: &Fixture| explain(&fixture.try_run().unwrap_err());
    for path in ["/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe", "/proc/self/root/bin/probe"] {
        let mut fixture = Fixture::new(&["print", "it ran"]);
        fixture.command.argv[0] = path.to_owned();
        assert!(refused(&fixture).starts_with(&format!("sandbox: cannot run {path}")), "{}", refused(&fixture));
    }
    // As the interpreter of a script, and of a script that is an interpreter.
    for first in ["#!/proc/self/exe print", "#! /work/other.sh"] {
        let mut fixture = Fixture::new(&[]);
        fixture.command.argv = vec!["s.sh".to_owned()];
        executable(&mut fixture, "s.sh", format!("{first}\n").as_bytes());
        executable(&mut fixture, "other.sh", b"#!/proc/self/exe print\n");
        assert!(refused(&fixture).contains("which names the interpreter"), "{}", refused(&fixture));
    }
    // As the dynamic linker.
    let mut fixture = Fixture::new(&[]);
    fixture.command.argv = vec!["odd".to_owned()];
    let mut program = fs::read(PROBE).unwrap();
    let name = b"/lib64/ld-linux";
    let at = program.windows(name.len()).position(|part| part == name).expect("it names its linker");
    program[at..at + 15].copy_from_slice(b"/proc/self/exe\0");
    executable(&mut fixture, "odd", &program);
    assert!(refused(&fixture).contains("names the dynamic linker /proc/self/exe"), "{}", refused(&fixture));
}

fn executable(fixture: &mut Fixture, target: &str, content: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    let source = fixture.folder.path().join(format!("executable-{target}"));
    fs::write(&source, content).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755)).unwrap();
    fixture.mount(source, target, false);
}

#[test]
fn a_missing_interpreter_is_named() {
    let mut fixture = Fixture::new(&[]);
    fixture.command.argv = vec!["s.sh".to_owned()];
    executable(&mut fixture, "s.sh", b"#!/usr/bin/absent -x\n");
    let error = "sandbox: cannot run s.sh, which names the interpreter /usr/bin/absent in its first line: No such file or \
                 directory (os error 2)";
    assert_eq!(explain(&fixture.try_run().unwrap_err()), error);
}

#[test]
fn limits_are_not_those_of_the_machine() {
    let limits = Fixture::new(&["read", "/proc/self/limits"]).run().stdout;
    let has = |start: &str, value: &str| {
        let line = limits.lines().find(|line| line.starts_with(start)).unwrap();
        assert!(line.split_whitespace().any(|word| word == value), "{line}");
    };
    has("Max open files", "4096");
    has("Max processes", "4096");
    has("Max stack size", "8388608");
    has("Max core file size", "0");
}

#[test]
fn a_command_that_fills_the_disk_is_stopped() {
    let small = |fixture: &Fixture| {
        let folder = fixture.folder.path().join("work");
        let options = Some("size=64m");
        nix::mount::mount(Some("none"), &folder, Some("tmpfs"), nix::mount::MsFlags::empty(), options).is_ok()
    };
    let fixture = Fixture::new(&["fill", "big"]);
    if !small(&fixture) {
        // Only root can make a small disk; who else runs the engine is no matter here.
        return;
    }
    let status = fixture.run().exit.status;
    nix::mount::umount2(&fixture.folder.path().join("work"), nix::mount::MntFlags::MNT_DETACH).unwrap();
    assert_eq!(status, Status::Exceeded(Exceeded::Disk));
}

#[test]
fn network_is_loopback_only_unless_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut fixture = Fixture::new(&["connect", &address, "loopback", ""]);
    assert_eq!(fixture.run().stdout, "connect ConnectionRefused\nloopback hello\n");
    fixture.command.network = Network::Host;
    assert_eq!(fixture.run().stdout, "connect ok\nloopback hello\n");
}

#[test]
fn a_network_is_used_again_only_as_long_as_nothing_happened_in_it() {
    let launcher = Launcher::new(PROBE);
    let run = |words: &[&str]| {
        let fixture = Fixture::new(words);
        assert!(sandbox::run(&launcher, &fixture.command, &Cancel::default()).unwrap().status.success());
        fs::read_to_string(&fixture.command.stdout).unwrap()
    };
    let which = ["link", "/proc/self/ns/net"];
    let look = ["read", "/proc/net/dev", "read", "/proc/net/snmp", "read", "/proc/net/sockstat6"];
    let (first, fresh) = (run(&which), run(&look));
    assert_eq!(run(&which), first, "two commands without sockets share one");
    for change in [["loopback", ""], ["unreachable", "192.0.2.1:9"]] {
        let before = run(&which);
        run(&change);
        assert_ne!(run(&which), before, "{change:?} has left traces");
        assert_eq!(run(&look), fresh, "after {change:?}");
    }
}

#[test]
fn standard_input_and_output_are_files() {
    let mut fixture = Fixture::new(&["stdin", "", "complain", "bad", "print", "good"]);
    fixture.input("in/a", "from stdin");
    fixture.command.stdin = Some(RelPath::new("in/a").unwrap());
    let outcome = fixture.run();
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("from stdin\ngood\n", "bad\n"));

    fixture.command.stderr = fixture.command.stdout.clone();
    assert_eq!(fixture.run().stdout, "from stdin\nbad\ngood\n");
}

#[test]
fn the_status_is_that_of_the_program() {
    assert_eq!(Fixture::new(&["exit", "7"]).run().exit.status, Status::Code(7));
    assert_eq!(Fixture::new(&["abort", ""]).run().exit.status, Status::Signal(6));
    let outcome = Fixture::new(&["sleep", "30"]).run();
    assert!(outcome.exit.status.success());
    assert!(outcome.exit.wall >= Duration::from_millis(30));
    assert!(outcome.exit.max_rss > 0);
}

#[test]
fn a_process_left_behind_is_dead() {
    let mark = format!("60{}", std::process::id());
    let fixture = Fixture::new(&["background", &mark, "print", "done"]);
    assert!(fixture.run().exit.status.success());
    assert_eq!(processes_with(&mark), 0);
}

#[test]
fn a_timeout_kills_the_whole_tree() {
    let mark = format!("61{}", std::process::id());
    let mut fixture = Fixture::new(&["background", &mark, "sleep", "60000"]);
    fixture.command.timeout = Some(Duration::from_millis(200));
    let started = Instant::now();
    assert_eq!(fixture.run().exit.status, Status::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(processes_with(&mark), 0);
}

#[test]
fn limits_hold_for_all_processes_together() {
    let status = |words: &[&str], limits: Together| {
        let mut fixture = Fixture::new(words);
        fixture.command.limits.together = limits;
        fixture.run().exit.status
    };
    let memory = Together { memory: Some(64 << 20), ..Together::default() };
    assert_eq!(status(&["allocate", "16"], memory), Status::Code(0));
    assert_eq!(status(&["allocate", "256"], memory), Status::Exceeded(Exceeded::Memory));
    let cpu_time = Together { cpu_time: Some(Duration::from_secs(1)), ..Together::default() };
    assert_eq!(status(&["spin", ""], cpu_time), Status::Exceeded(Exceeded::CpuTime));
    let processes = Together { processes: Some(4), ..Together::default() };
    assert_eq!(status(&["processes", "2"], processes), Status::Code(0));
    assert_eq!(status(&["processes", "8"], processes), Status::Exceeded(Exceeded::Processes));
    assert_eq!(status(&["processes", "8"], Together::default()), Status::Code(0));
    // What nobody declares is bounded all the same.
    assert_eq!(status(&["processes", "4200"], Together::default()), Status::Code(1));
}

#[test]
fn over_a_limit_nothing_succeeds_whoever_runs_it() {
    let over = [
        ("allocate", "256", Together { memory: Some(64 << 20), ..Together::default() }),
        ("spin", "", Together { cpu_time: Some(Duration::from_secs(1)), ..Together::default() }),
        ("processes", "8", Together { processes: Some(4), ..Together::default() }),
    ];
    for (word, argument, limits) in over {
        let mut fixture = Fixture::new(&[word, argument]);
        fixture.command.limits.together = limits;
        let status = fixture.run().exit.status;
        assert!(!status.success(), "{word}: {status:?}");
    }
}

#[test]
fn the_sandbox_of_a_command_can_be_entered_again() {
    let mut fixture = Fixture::new(&["read", "a/in.txt", "write", "left", "exit", "3"]);
    fixture.input("a/in.txt", "content");
    fixture.command.env = vec![("A".to_owned(), "1".to_owned())];
    assert_eq!(fixture.run().exit.status, Status::Code(3));
    sandbox::keep(&fixture.command, fixture.folder.path()).unwrap();
    // There is no shell in this root, which is what the error must say.
    let error = sandbox::enter(&Launcher::new(PROBE), fixture.folder.path()).unwrap_err();
    assert_eq!(explain(&error), "sandbox: cannot run /bin/sh: No such file or directory (os error 2)");
}

#[test]
fn cancelling_kills_too() {
    let fixture = Fixture::new(&["sleep", "60000"]);
    let cancel = Cancel::default();
    let status = std::thread::scope(|scope| {
        let running = scope.spawn(|| sandbox::run(&Launcher::new(PROBE), &fixture.command, &cancel).unwrap().status);
        std::thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        running.join().unwrap()
    });
    assert_eq!(status, Status::Cancelled);
}

#[test]
fn nothing_survives_the_engine() {
    let mark = format!("62{}", std::process::id());
    let root = fixture::ROOT.path().display();
    let mut engine = std::process::Command::new(PROBE).args(["engine", &format!("{root}={mark}")]).spawn().unwrap();
    wait_until(|| processes_with(&mark) == 2);
    engine.kill().unwrap();
    engine.wait().unwrap();
    wait_until(|| processes_with(&mark) == 0);
    fs::remove_file(std::env::temp_dir().join(format!("sandbox-probe-{}", engine.id()))).unwrap();
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to that");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn many_run_at_once() {
    let launcher = Launcher::new(PROBE);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let launcher = &launcher;
            scope.spawn(move || {
                for round in 0..5 {
                    let code = number * 5 + round;
                    let fixture = Fixture::new(&["exit", &code.to_string()]);
                    let exit = sandbox::run(launcher, &fixture.command, &Cancel::default()).unwrap();
                    assert_eq!(exit.status, Status::Code(code));
                }
            });
        }
    });
}

/// How many processes of this machine have `word` among their arguments.
fn processes_with(word: &str) -> usize {
    let folders = fs::read_dir("/proc").unwrap().flatten();
    let is_match = |bytes: Vec<u8>| bytes.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes());
    folders.filter(|folder| fs::read(folder.path().join("cmdline")).is_ok_and(is_match)).count()
}

#[test]
fn errors_name_the_step_and_its_subject() {
    let error = |fixture: &Fixture| explain(&fixture.try_run().unwrap_err());
    let mut fixture = Fixture::new(&[]);
    fixture.command.argv = vec!["bin/absent".to_owned()];
    assert_eq!(error(&fixture), "sandbox: cannot run bin/absent: No such file or directory (os error 2)");

    let mut fixture = Fixture::new(&[]);
    fixture.mount("/absent/input".into(), "a/b.go", false);
    assert_eq!(
        error(&fixture),
        "sandbox: cannot mount /absent/input at /work/a/b.go: No such file or directory (os error 2)"
    );
}

#[test]
fn hundreds_of_files_can_be_given() {
    let mut fixture = Fixture::new(&["read", "in/19/499", "print", "done"]);
    for number in 0..500 {
        fixture.input(&format!("in/{}/{number}", number % 20), &format!("{number}"));
    }
    assert_eq!(fixture.run().stdout, "499\ndone\n");
}

#[test]
fn it_works_for_users_without_privileges() {
    if !fs::read_to_string("/proc/self/status").unwrap().contains("Uid:\t0\t") {
        // Every other test of this file has just shown it.
        return;
    }
    // The test runs again as nobody, who may make no control groups, with the tests that matter most.
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--test-threads=1",
            "identity_is",
            "inputs_are",
            "nothing_of_the_host",
            "network_is",
            "over_a_limit",
            "entered_again",
            "no_proc_of",
            "limits_are",
            "process_1_and",
            "descriptors_lead",
            "a_folder_as",
            "devices_can",
            "no_program_below",
        ])
        .env("TMPDIR", "/tmp")
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("14 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn without_a_sandbox_the_layout_is_the_same() {
    let mut fixture = Fixture::new(&["read", "a/in.txt", "write", "out.txt", "env", "", "exit", "3"]);
    fixture.input("a/in.txt", "content");
    fixture.command.root = None;
    fixture.mount(PROBE.into(), "probe", false);
    fixture.command.argv[0] = "probe".to_owned();
    fixture.command.env = vec![("A".to_owned(), "1".to_owned())];
    let exit = sandbox::run_unsandboxed(&fixture.command, &Cancel::default()).unwrap();
    assert_eq!(exit.status, Status::Code(3));
    assert_eq!(fs::read_to_string(&fixture.command.stdout).unwrap(), "content\nwrite out.txt ok\nA=1\n");
    assert!(fixture.command.workdir.join("out.txt").exists());
}

#[test]
fn without_a_sandbox_programs_of_the_root_come_before_those_of_the_machine() {
    let mut fixture = Fixture::new(&["env", ""]);
    let root = fixture.command.workdir.join("root");
    fixture.command.root = Some(root.clone());
    fixture.mount(PROBE.into(), "probe", false);
    fixture.command.argv[0] = "probe".to_owned();
    fixture.command.env = vec![("PATH".to_owned(), "/bin".to_owned())];
    let exit = sandbox::run_unsandboxed(&fixture.command, &Cancel::default()).unwrap();
    assert_eq!(exit.status, Status::Code(0));
    let expected = format!("PATH={}:/bin\n", root.join("bin").display());
    assert!(!fixture.folder.path().join("tmp").exists(), "what is its /tmp is gone");
    assert_eq!(fs::read_to_string(&fixture.command.stdout).unwrap(), expected);
}
