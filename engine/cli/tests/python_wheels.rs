//! Third-party Python packages as a user meets them: what locks say, what wheels require and hold.

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::Folder;

/// An index of wheels on loopback, and the lines of a lock for them.
struct Index {
    server: Child,
    port: u64,
    lines: BTreeMap<String, String>,
}

impl Index {
    fn of(wheels: &Value) -> Self {
        let script = support::repository().join("engine/cli/tests/python/index.py");
        let mut command = Command::new("python3");
        let mut server =
            command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 is installed");
        server.stdin.take().expect("it is piped").write_all(wheels.to_string().as_bytes()).expect("it reads");
        let mut line = String::new();
        BufReader::new(server.stdout.take().expect("it is piped")).read_line(&mut line).expect("it tells its port");
        let told: Value = serde_json::from_str(&line).expect("one line of JSON");
        let lines = serde_json::from_value(told["lines"].clone()).expect("names with lines");
        Self { server, port: told["port"].as_u64().expect("a port"), lines }
    }

    /// A workspace whose lock holds all of them, with what is appended to the line of some.
    fn folder(&self, files: &str, notes: &[(&str, &str)]) -> Folder {
        let folder = Folder::of("").with_env("BUILD_PYPI_ENDPOINT", &format!("http://127.0.0.1:{}/simple/", self.port));
        folder.write(
            "WORKSPACE.star",
            "workspace(name = \"t\")\npip_lock(name = \"pypi\", lock = \"//:requirements.lock\")\n",
        );
        let notes: BTreeMap<&str, &str> = notes.iter().copied().collect();
        let lock = self.lines.iter().map(|(name, line)| match notes.get(name.as_str()) {
            Some(note) if note.starts_with('[') => format!("{}\n", line.replacen("==", &format!("{note}=="), 1)),
            Some(note) if note.starts_with(';') => format!("{}\n", line.replacen(" --", &format!(" {note} --"), 1)),
            Some(note) => format!("{line}{note}\n"),
            None => format!("{line}\n"),
        });
        folder.write("requirements.lock", &lock.collect::<String>());
        for file in files.split("== ").skip(1) {
            let (path, content) = file.split_once('\n').expect("a name and a text");
            folder.write(path, content);
        }
        folder
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The packages that a package needs, itself included.
fn needed(folder: &Folder, name: &str) -> Vec<String> {
    let said = folder.build(&["query", &format!("kind(py_wheel, deps(@pypi//{name}))")]).expect(0).stdout;
    let mut names: Vec<String> = said
        .lines()
        .filter(|label| label.starts_with("@pypi//"))
        .map(|label| label.trim_start_matches("@pypi//").split(':').next().unwrap_or_default().to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn wheels_say_what_they_require() {
    let index = Index::of(&json!({
        "top": {"requires": ["base-dep (>=1.0)", "never; python_version < '3'", "Plug.In[Fast]; sys_platform == 'linux'",
                             "only-extra; extra == 'more'", "absent; extra == 'other'"]},
        "base-dep": {},
        "plug-in": {"requires": ["speed; extra == 'fast'", "top"]},
        "speed": {},
        "only-extra": {"requires": ["setuptools"]},
        "self": {"requires": ["self[one]; extra == 'all'", "base-dep; extra == 'one'"]},
        "broken": {"requires": ["not-locked>=2"]},
        "odd": {"requires": ["base-dep; nonsense == '1'"]},
        "windows": {},
    }));
    let folder = index.folder("", &[("top", "[more]"), ("self", "[all]"), ("windows", "; sys_platform == 'win32'")]);
    assert_eq!(needed(&folder, "top"), ["base-dep", "only-extra", "plug-in", "speed", "top"]);
    assert_eq!(needed(&folder, "plug-in"), ["base-dep", "only-extra", "plug-in", "speed", "top"]);
    assert_eq!(needed(&folder, "self"), ["base-dep", "self"]);
    let fails = |name: &str, texts: &[&str]| {
        _ = folder.build(&["query", &format!("deps(@pypi//{name})")]).expect(7).says(texts)
    };
    fails("broken", &["its wheel requires `not-locked`, which requirements.lock does not hold", "uv pip compile"]);
    fails("odd", &["`nonsense` is no variable"]);
    fails("windows", &["requirements.lock holds it for `sys_platform == 'win32'` only"]);

    // Where each package has a comment, comments are believed and nothing is downloaded.
    let via: Vec<(&str, &str)> = index
        .lines
        .keys()
        .map(|name| (name.as_str(), if name == "speed" { "  # via plug-in" } else { "  # via -r in.txt" }))
        .collect();
    let folder = index.folder("", &via);
    assert_eq!(needed(&folder, "plug-in"), ["plug-in", "speed"]);
}

#[test]
fn wheels_lie_as_in_one_folder() {
    let index = Index::of(&json!({
        "space-a": {"files": {"space/a/__init__.py": "X = 'a'\n"}},
        "space-b": {"files": {"space/b.py": "X = 'b'\n"}},
        // Both bring the package itself, without a word about others.
        "same-a": {"files": {"same/__init__.py": "", "same/deep/__init__.py": "", "same/deep/a.py": "X = 'a'\n"}},
        "same-b": {"files": {"same/__init__.py": "", "same/deep/__init__.py": "", "same/deep/b.py": "X = 'b'\n"}},
        "path": {"files": {"path.pth": "inner\nimport sys; sys.pth_ran = True\n", "inner/below.py": "X = 'below'\n"}},
        "spread": {"files": {
            "spread-1.0.data/purelib/pure.py": "X = 'pure'\n",
            "spread-1.0.data/platlib/plat.py": "X = 'plat'\n",
            "spread-1.0.data/data/share/spread/x.cfg": "cfg",
            "spread-1.0.data/headers/h.h": "h",
            "spread-1.0.data/scripts/tool": "#!python\n",
        }},
        "round-a": {"files": {"round_a.py": "import round_b\nX = 'a'\n"}, "requires": ["round-b"]},
        "round-b": {"files": {"round_b.py": "X = 'b'\n"}, "requires": ["round-a", "space-a"]},
        "tree": {"files": {"tree.py": "X = 'tree'\n"}},
        "source": {"source": true},
        "scripts": {"files": {
            "scripts.py": "import sys\n\n\ndef main():\n    print(sys.argv)\n    return 4\n",
            "scripts-1.0.dist-info/entry_points.txt": "[console_scripts]\nsay = scripts:main\n",
        }},
    }));
    let files = r#"
== BUILD.star
NAMES = ["space-a", "space-b", "same-a", "same-b", "path", "spread", "round-a", "tree"]
py_library(name = "own", srcs = ["space/own.py"])
py_test(name = "wheels_test", srcs = ["wheels_test.py"], deps = [":own"] + ["@pypi//" + name for name in NAMES])
py_test(name = "source_test", srcs = ["wheels_test.py"], deps = ["@pypi//source"])
py_console_script(name = "say", package = "@pypi//scripts")
py_console_script(name = "other", package = "@pypi//scripts")
== space/own.py
X = "own"
== wheels_test.py
import pathlib
import sys
import unittest


class Wheels(unittest.TestCase):
    def test_shared_packages(self):
        import same.deep.a
        import same.deep.b
        import space.a
        import space.b
        import space.own

        modules = [same.deep.a, same.deep.b, space.a, space.b, space.own]
        self.assertEqual([module.X for module in modules], ["a", "b", "a", "b", "own"])

    def test_path_file(self):
        import below

        self.assertEqual((below.X, sys.pth_ran), ("below", True))

    def test_folders_of_data(self):
        import plat
        import pure

        tree = pathlib.Path(pure.__file__).parent
        self.assertEqual((pure.X, plat.X), ("pure", "plat"))
        self.assertEqual((tree / "share/spread/x.cfg").read_text(), "cfg")
        self.assertEqual((tree / "include/spread/h.h").read_text(), "h")
        self.assertTrue((tree / "bin/tool").exists())

    def test_packages_that_need_each_other(self):
        import round_a
        import tree

        self.assertEqual((round_a.X, tree.X), ("a", "tree"))
"#;
    let folder = index.folder(files, &[]);
    folder.build(&["test", ":wheels_test"]).expect(0);
    let source = folder.build(&["test", ":source_test"]).expect(1);
    source.says(&["source==1.0 has no wheel", "only its source source-1.0.tar.gz", "pip wheel --no-deps source==1.0"]);
    let said = folder.build(&["run", ":say", "--", "a b"]).expect(4);
    assert_eq!(said.stdout, "['say', 'a b']\n");
    folder.build(&["run", ":other"]).expect(1).says(&["scripts has no console script `other`, only: say"]);
}
