//! The workspaces that are built offline: one a language, and the system of this repository.

use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

/// A workspace and what is done with it.
pub struct Sample {
    /// For people.
    pub name: &'static str,
    /// Its files: `== path` begins one. Empty for the system of this repository. `SALT` differs by try.
    files: &'static str,
    /// The commands that are run offline.
    pub commands: &'static [&'static [&'static str]],
    /// Other ones for `strace`, where the clock of a test would run out.
    pub traced: Option<&'static [&'static [&'static str]]>,
}

/// All of them; those that take long come last.
pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "genrule",
        files: "== BUILD.star\ngenrule(name = \"a\", outs = [\"a.txt\"], cmd = \"echo SALT > $@\")\n",
        commands: &[&["build", "//..."], &["query", "//..."]],
        traced: None,
    },
    Sample {
        name: "Go",
        files: "== BUILD.star\ngo_library(name = \"l\", srcs = [\"l.go\"], importpath = \"t/l\")\n\
            go_binary(name = \"p\", srcs = [\"p.go\"], deps = [\":l\"])\n\
            go_test(name = \"t\", srcs = [\"l_test.go\"], library = \":l\")\n\
            == l.go\npackage l\n\n// S is salt.\nconst S = \"SALT\"\n\
            == l_test.go\npackage l\n\nimport \"testing\"\n\nfunc TestS(t *testing.T) { t.Log(S) }\n\
            == p.go\npackage main\n\nimport \"t/l\"\n\nfunc main() { println(l.S) }\n",
        commands: &[&["build", "//..."], &["test", "//..."], &["run", "//:p"]],
        traced: None,
    },
    Sample {
        name: "Python",
        files: "== BUILD.star\npy_binary(name = \"p\", srcs = [\"p.py\"])\n\
            py_test(name = \"t\", srcs = [\"t.py\"])\n\
            == p.py\nprint(\"SALT\")\n\
            == t.py\nimport unittest\n\n\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertTrue(\"SALT\")\n",
        commands: &[&["build", "//..."], &["test", "//..."], &["run", "//:p"]],
        traced: None,
    },
    Sample {
        name: "image",
        files: "== BUILD.star\ngo_binary(name = \"p\", srcs = [\"p.go\"])\noci_image(name = \"i\", binary = \":p\")\n\
            == p.go\npackage main\n\nfunc main() { println(\"SALT\") }\n",
        commands: &[&["build", "//..."]],
        traced: None,
    },
    Sample {
        name: "protobuf",
        files: "== BUILD.star\nproto_library(name = \"p\", srcs = [\"p.proto\"])\n\
            == p.proto\nsyntax = \"proto3\";\npackage p;\n// SALT\nmessage MSALT { string s = 1; }\n",
        commands: &[&["build", "//..."]],
        traced: None,
    },
    Sample { name: "the system of this repository: build", files: "", commands: &[&["build", "//..."]], traced: None },
    Sample {
        name: "the system of this repository: test and show",
        files: "",
        commands: &[&["test", "//..."], &["show", "//deploy:to-staging"]],
        traced: Some(&[&["test", "//...", "-//services/integration/..."], &["show", "//deploy:to-staging"]]),
    },
];

impl Sample {
    /// Writes the files.
    pub fn write(&self, workspace: &Workspace, salt: u64) {
        if self.files.is_empty() {
            return system(workspace, salt);
        }
        for file in self.files.split("== ").skip(1) {
            let (path, content) = file.split_once('\n').expect("a file's name ends with a line break");
            workspace.write(path, content.replace("SALT", &format!("{salt:x}")));
        }
    }
}

/// The sample system of this repository.
fn system(workspace: &Workspace, salt: u64) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let parts =
        ["WORKSPACE.star", "BUILD.star", "go.mod", "go.sum", "requirements.lock", "protos", "services", "deploy"];
    for part in parts {
        let output = std::process::Command::new("cp").arg("-r").arg(top.join(part)).arg(workspace.root()).output();
        assert!(output.is_ok_and(|output| output.status.success()), "the system of this repository is not complete");
    }
    for (path, code) in [
        ("services/grpcserver/server.go", format!("\nfunc salt() string {{ return \"{salt:x}\" }}\n")),
        ("services/model/predictor.py", format!("\nSALT = \"{salt:x}\"\n")),
    ] {
        let text = workspace.read(path).expect("a file of the system");
        workspace.write(path, text + &code);
    }
}

/// The store that commands of this machine use by default.
pub fn machine_store() -> PathBuf {
    let set = std::env::var_os("BUILD_STORE").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    set.unwrap_or_else(|| cache.or(home).unwrap_or_else(std::env::temp_dir).join("build"))
}
