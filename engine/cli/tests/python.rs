//! Python as a user meets it: which tests pass, which modules are found, how programs start others.

mod support;

use std::collections::BTreeMap;

use support::Folder;

const LOCK: &str = include_str!("python/requirements.lock");

/// One form of a test, and what must be said of it.
struct Shape {
    name: String,
    passes: bool,
    /// Whether the bare runner passes it although it should not.
    stricter: bool,
    code: String,
}

/// Reads a table: `== NAME: passed`, `== NAME: failed`, or `== NAME: failed, REASON` where the bare runner passes.
fn shapes(table: &str) -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    for line in table.lines() {
        if let Some(title) = line.strip_prefix("== ") {
            let (name, verdict) = title.split_once(": ").expect("a name and a verdict");
            let (verdict, stricter) = verdict.split_once(", ").map_or((verdict, false), |(verdict, _)| (verdict, true));
            let passes = match verdict {
                "passed" => true,
                "failed" => false,
                other => panic!("{other} is no verdict"),
            };
            assert!(!(stricter && passes), "{name}: what is stricter fails");
            shapes.push(Shape { name: format!("{name}_test"), passes, stricter, code: String::new() });
        } else {
            let shape = shapes.last_mut().expect("a title before code");
            shape.code.push_str(line);
            shape.code.push('\n');
        }
    }
    shapes
}

/// What `build test` and the bare runner say of each shape: all in one package, each in one command.
fn compare(runner: &str, shapes: &[Shape], deps: &str) {
    let folder = Folder::of(
        "== WORKSPACE.star\nworkspace(name = \"t\")\npip_lock(name = \"pypi\", lock = \"//:requirements.lock\")\n",
    );
    folder.write("requirements.lock", LOCK);
    folder.write("s/authority.py", include_str!("python/authority.py"));
    folder.write("s/conftest.py", "import pytest\n\n\n@pytest.fixture\ndef answer():\n    return 42\n");
    let mut build = String::from("L = [\"conftest.py\"]\n");
    for Shape { name, code, .. } in shapes {
        folder.write(&format!("s/{name}.py"), code);
        build += &format!("py_test(name = \"{name}\", srcs = [\"{name}.py\"] + L, deps = {deps})\n");
    }
    build += &format!(
        "py_binary(name = \"authority\", srcs = [\"authority.py\"], data = glob([\"*_test.py\"]) + L, deps = {deps})\n"
    );
    folder.write("s/BUILD.star", &build);

    let names = shapes.iter().map(|shape| shape.name.as_str());
    let arguments: Vec<&str> = ["run", "//s:authority", "--", runner].into_iter().chain(names).collect();
    let said = folder.build(&arguments).expect(0).stdout;
    let theirs: BTreeMap<&str, bool> = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, verdict)| (name, verdict == "passed"))
        .collect();

    let run = folder.build(&["test", "-k", "//s/..."]).expect(3);
    let finished = run.events.iter().filter_map(|event| event.get("TestFinished"));
    let ours: BTreeMap<String, (bool, &str)> = finished
        .map(|test| {
            let text = |key: &str| test[key].as_str().unwrap_or_default();
            let name = text("label").rsplit(':').next().expect("a name");
            (name.to_owned(), (test["status"] == "Passed", text("log")))
        })
        .collect();

    let mut wrong = Vec::new();
    for Shape { name, passes, stricter, .. } in shapes {
        let (passed, log) = ours.get(name).unwrap_or_else(|| panic!("{name} has no result:\n{}", run.stderr));
        if passed != passes {
            wrong.push(format!("{name}: `build test` says {passed}, wanted {passes}: {log}"));
        }
        let wanted = passes | stricter;
        if theirs.get(name.as_str()) != Some(&wanted) {
            wrong.push(format!("{name}: {runner} says {:?}, the table {wanted}", theirs.get(name.as_str())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_unittest_fails_is_failed() {
    let shapes = shapes(include_str!("python/unittest_shapes.txt"));
    assert!(shapes.len() >= 25);
    compare("unittest", &shapes, "[]");
}

#[test]
fn what_pytest_fails_is_failed() {
    let shapes = shapes(include_str!("python/pytest_shapes.txt"));
    assert!(shapes.len() >= 15);
    compare("pytest", &shapes, "[\"@pypi//pytest\"]");
}

/// A test of one method with `body`, indented by the caller.
fn case(body: &str) -> String {
    format!(
        "import unittest\n\n\nclass T(unittest.TestCase):\n    def test(self):\n        {}\n",
        body.replace('\n', "\n        ")
    )
}

#[test]
fn programs_start_their_interpreter_again() {
    let bodies = [
        "import subprocess, sys\nimport lib.words\nrun = [sys.executable, '-c', 'import lib.words; print(lib.words.X)']\n\
         self.assertEqual(subprocess.check_output(run, text=True), '5\\n')",
        "import subprocess, sys, tempfile\nrun = [sys.executable, '-c', 'import ssl, sqlite3; print(1)']\n\
         self.assertEqual(subprocess.check_output(run, text=True, env={}, cwd='/tmp'), '1\\n')",
        "import multiprocessing as m\nfrom lib.words import twice\nwith m.get_context('spawn').Pool(2) as pool:\n    \
         self.assertEqual(pool.map(twice, [1, 2]), [2, 4])",
        "import multiprocessing as m\nfrom lib.words import twice\nwith m.get_context('forkserver').Pool(1) as pool:\n    \
         self.assertEqual(pool.map(twice, [1]), [2])",
        "import multiprocessing as m\nwith m.Manager() as manager:\n    d = manager.dict()\n    d[1] = 2\n    \
         self.assertEqual(d[1], 2)",
        "from multiprocessing.shared_memory import SharedMemory\nmemory = SharedMemory(create=True, size=10)\n\
         memory.close()\nmemory.unlink()",
        "import pathlib, subprocess, sys, tempfile, venv\nfolder = tempfile.mkdtemp()\nvenv.create(folder)\n\
         run = [folder + '/bin/python', '-c', 'import sys; print(sys.prefix)']\n\
         self.assertEqual(subprocess.check_output(run, text=True).strip(), folder)",
    ];
    let mut build = String::from("py_library(name = \"lib\", srcs = [\"lib/words.py\"])\n");
    build += "py_binary(name = \"app\", srcs = [\"app.py\"], deps = [\":lib\"])\n";
    let folder = Folder::of("");
    folder.write("lib/words.py", "X = 5\n\n\ndef twice(x):\n    return x * 2\n");
    let app = "import subprocess\nimport sys\n\nsubprocess.run([sys.executable, '-m', 'lib.words'], check=True)\nprint('ran')\n";
    folder.write("app.py", app);
    for (index, body) in bodies.iter().enumerate() {
        folder.write(&format!("a{index}_test.py"), &case(body));
        build += &format!("py_test(name = \"a{index}_test\", srcs = [\"a{index}_test.py\"], deps = [\":lib\"])\n");
    }
    folder.write("BUILD.star", &build);
    folder.build(&["test", "-k", "//..."]).expect(0);
    assert_eq!(folder.build(&["run", ":app"]).expect(0).stdout, "ran\n");
}

/// Folders called as modules of the library, as wheels, as nothing that Python could import by a statement.
#[test]
fn names_of_folders_are_free() {
    let folders =
        ["test", "code", "platform", "email", "signal", "unittest", "os", "my-svc", "2024", "class", "pytest"];
    let folder = Folder::of("== own.py\nX = 1\n");
    let mut targets = Vec::new();
    for name in folders {
        let build = "py_library(name = \"lib\", srcs = [\"own.py\"])\n\
                     py_test(name = \"own_test\", srcs = [\"own_test.py\"], deps = [\":lib\"])\n";
        folder.write(&format!("{name}/BUILD.star"), build);
        folder.write(&format!("{name}/own.py"), "X = 1\n");
        let body = format!(
            "import asyncio, code, email.message, importlib, os, platform, signal\n\
             self.assertEqual(importlib.import_module('{name}.own').X, 1)\nself.assertTrue(platform.system())"
        );
        folder.write(&format!("{name}/own_test.py"), &case(&body));
        targets.push(format!("//{name}:own_test"));
    }
    let arguments: Vec<&str> = ["test", "-k"].into_iter().chain(targets.iter().map(String::as_str)).collect();
    folder.build(&arguments).expect(0);
}

#[test]
fn time_zones_are_there() {
    let folder = Folder::of("== BUILD.star\npy_test(name = \"zone_test\", srcs = [\"zone_test.py\"])\n");
    let body = "import datetime, os, time, zoneinfo\n\
                moment = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.timezone.utc)\n\
                self.assertEqual(moment.astimezone(zoneinfo.ZoneInfo('Europe/Berlin')).hour, 14)\n\
                self.assertGreater(len(zoneinfo.available_timezones()), 400)\n\
                os.environ['TZ'] = 'Asia/Tokyo'\ntime.tzset()\nself.assertEqual(time.localtime(0).tm_hour, 9)";
    folder.write("zone_test.py", &case(body));
    folder.build(&["test", ":zone_test"]).expect(0);
}

#[test]
fn a_program_runs_below_a_folder_with_a_colon() {
    let folder = Folder::of("");
    folder.write("a:b/WORKSPACE.star", "workspace(name = \"t\")\n");
    folder.write("a:b/BUILD.star", "py_binary(name = \"app\", srcs = [\"app.py\", \"lib.py\"])\n");
    folder.write("a:b/lib.py", "X = 'imported'\n");
    folder.write(
        "a:b/app.py",
        "import multiprocessing, subprocess, sys\n\n\ndef main():\n    import lib, ssl\n    \
         with multiprocessing.get_context('spawn').Pool(1) as pool:\n        print(pool.map_async(abs, [-1]).get(60), lib.X)\n    \
         subprocess.run([sys.executable, '-c', 'import ssl'], check=True)\n\n\nif __name__ == '__main__':\n    main()\n",
    );
    let output = folder.command(&["run", ":app"]).current_dir(folder.path().join("a:b")).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[1] imported\n", "{said}");
}

#[test]
fn arguments_and_filters_are_those_of_the_runner() {
    let folder = Folder::of(
        "== WORKSPACE.star\nworkspace(name = \"t\")\npip_lock(name = \"pypi\", lock = \"//:requirements.lock\")\n",
    );
    folder.write("requirements.lock", LOCK);
    folder.write("BUILD.star", "py_test(name = \"unit_test\", srcs = [\"unit_test.py\"])\n\
        py_test(name = \"function_test\", srcs = [\"function_test.py\", \"conftest.py\"], deps = [\"@pypi//pytest\"], args = [\"-m\", \"not slow\"])\n");
    let unit = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_good(self):\n        pass\n\n    def test_bad(self):\n        self.fail()\n";
    folder.write("unit_test.py", unit);
    folder
        .write("conftest.py", "def pytest_configure(config):\n    config.addinivalue_line('markers', 'slow: slow')\n");
    folder.write(
        "function_test.py",
        "import pytest\n\n\nclass TestA:\n    def test_good(self):\n        pass\n\n    def test_bad(self):\n        assert False\n\n\n\
         @pytest.mark.slow\ndef test_slow():\n    assert False\n",
    );
    let test = |arguments: &[&str], code: i32| folder.build(&[&["test"], arguments].concat()).expect(code);
    test(&[":unit_test"], 3);
    test(&[":unit_test", "--test_filter=test_good"], 0);
    test(&[":unit_test", "--test_filter=*.T.test_g*"], 0);
    test(&[":unit_test", "--test_filter=nothing"], 3).says(&["no test in unit_test matches nothing"]);
    test(&[":unit_test", "--test_arg=-k", "--test_arg=good"], 0);
    test(&[":unit_test", "--test_arg=--nonsense"], 3).says(&["unrecognized arguments: --nonsense"]);
    test(&[":function_test"], 3).says(&["TestA::test_bad FAILED"]);
    test(&[":function_test", "--test_filter=test_good"], 0);
    test(&[":function_test", "--test_filter=TestA::test_good"], 0);
    test(&[":function_test", "--test_filter=good and not bad"], 0);
    test(&[":function_test", "--test_filter=test_slow"], 3).says(&["no test in"]);
}
