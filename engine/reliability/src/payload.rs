//! Programs that run inside sandboxes: small, in C, linked statically, so that a sandbox which holds nothing else can run
//! them. The C compiler is there, since Rust needs one; they are compiled once for a run of this program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// Their sources by name; what begins with the name of a program and `_` belongs to it.
const SOURCES: &[(&str, &str)] = &[
    ("probe", include_str!("../payload/probe.c")),
    ("attack", include_str!("../payload/attack.c")),
    ("attack_files", include_str!("../payload/attack_files.c")),
    ("attack_network", include_str!("../payload/attack_network.c")),
    ("attack_resources", include_str!("../payload/attack_resources.c")),
    ("attack_system", include_str!("../payload/attack_system.c")),
];

/// What all parts of an attack include.
const HEADER: (&str, &str) = ("attack.h", include_str!("../payload/attack.h"));

static COMPILED: OnceLock<TempDir> = OnceLock::new();

/// The compiled program.
pub fn path(name: &str) -> PathBuf {
    COMPILED.get_or_init(compile).path().join(name)
}

/// Removes what was compiled; statics are not dropped by themselves.
pub fn remove() {
    if let Some(folder) = COMPILED.get() {
        let _ = std::fs::remove_dir_all(folder.path());
    }
}

fn compile() -> TempDir {
    let folder =
        tempfile::Builder::new().prefix("reliability-payload-").tempdir().expect("a temporary folder can be made");
    open(folder.path());
    for (name, source) in SOURCES {
        std::fs::write(folder.path().join(format!("{name}.c")), source).expect("a file of the payload");
    }
    std::fs::write(folder.path().join(HEADER.0), HEADER.1).expect("a file of the payload");
    for (name, _) in SOURCES.iter().filter(|(name, _)| !name.contains('_')) {
        let parts =
            SOURCES.iter().map(|(part, _)| part).filter(|part| *part == name || part.starts_with(&format!("{name}_")));
        let mut command = Command::new("cc");
        command.args(["-static", "-O1", "-w", "-o"]).arg(folder.path().join(name));
        command.args(parts.map(|part| folder.path().join(format!("{part}.c"))));
        let output = command.output().expect("a C compiler can be started: Rust needs one too");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        open(&folder.path().join(name));
    }
    folder
}

/// Lets other users in, whatever the umask.
fn open(path: &Path) {
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("an own file");
}
