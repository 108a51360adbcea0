//! Images as others read them: by the image specification, in a real registry, and as the base of another image.
//! Layers are read with the machine's own `tar`, `gzip` and `sha256sum`, which know nothing of the engine.

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Folder, Run};

const APP: &str = r#"
== BUILD.star
go_binary(name = "server", srcs = ["server.go"])
oci_image(
    name = "image",
    binary = ":server",
    cmd = ["--verbose"],
    env = {"ZONE": "z", "AREA": "a"},
    exposed_ports = ["8080/tcp"],
    files = {"motd": "/etc/motd", "hosts": "/etc/"},
    labels = {"team": "t"},
)
oci_push(name = "push", image = ":image", registry = "x", repository = "team/app", tags_to_set = ["latest"])
== server.go
package main

func main() { println("one") }
== motd
of the day
== hosts
127.0.0.1 localhost
"#;

/// A registry process; it ends with the test.
struct Registry {
    process: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Registry {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let storage = data.path().join("storage");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            storage.display()
        );
        let file = data.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("docker-registry (Debian package docker-registry) is needed");
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < end, "the registry does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, address, _data: data }
    }

    /// The body of an answer of the registry.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let accept = "application/vnd.oci.image.manifest.v1+json";
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: {accept}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An image in an output folder.
struct Layout {
    folder: PathBuf,
    digest: String,
    manifest: Value,
    config: Value,
}

impl Layout {
    /// Reads an image as the specification says, and checks every digest and size on the way.
    fn read(folder: &Path) -> Self {
        assert_eq!(json(&folder.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
        let index = json(&folder.join("index.json"));
        assert_eq!(index["schemaVersion"], 2);
        let manifests = index["manifests"].as_array().unwrap();
        assert_eq!(manifests.len(), 1, "{index}");
        let manifest = json(&blob(folder, &manifests[0]));
        assert_eq!(manifest["schemaVersion"], 2);
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
        let config = json(&blob(folder, &manifest["config"]));
        let digest = manifests[0]["digest"].as_str().unwrap().to_owned();
        let layout = Self { folder: folder.to_owned(), digest, manifest, config };
        layout.check_layers();
        layout
    }

    fn layers(&self) -> Vec<Value> {
        self.manifest["layers"].as_array().unwrap().clone()
    }

    fn check_layers(&self) {
        let diff_ids = self.config["rootfs"]["diff_ids"].as_array().unwrap();
        assert_eq!(diff_ids.len(), self.layers().len());
        let mut blobs: BTreeSet<PathBuf> =
            [&self.manifest["config"]].into_iter().map(|entry| blob(&self.folder, entry)).collect();
        blobs.insert(self.folder.join("blobs/sha256").join(&self.digest[7..]));
        for (layer, diff_id) in self.layers().iter().zip(diff_ids) {
            assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
            let path = blob(&self.folder, layer);
            let inside = shell(&format!("gzip -dc {} | sha256sum", path.display()));
            assert_eq!(format!("sha256:{}", &inside[..64]), diff_id.as_str().unwrap());
            blobs.insert(path);
        }
        // Nothing else lies there.
        let present = std::fs::read_dir(self.folder.join("blobs/sha256")).unwrap();
        assert_eq!(present.map(|entry| entry.unwrap().path()).collect::<BTreeSet<_>>(), blobs);
    }

    /// The entries of a layer as `tar` lists them: mode, owner, time, path.
    fn entries(&self, layer: usize) -> Vec<(String, String, String, String)> {
        let path = blob(&self.folder, &self.layers()[layer]);
        let listing = shell(&format!("TZ=UTC tar --numeric-owner --full-time -tvzf {}", path.display()));
        let fields = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0].into(), words[1].into(), format!("{} {}", words[3], words[4]), words[5].into())
        };
        listing.lines().map(fields).collect()
    }
}

/// The file of a blob, whose content is what its descriptor says.
fn blob(folder: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let path = folder.join("blobs/sha256").join(digest);
    assert_eq!(&shell(&format!("sha256sum {}", path.display()))[..64], digest);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), descriptor["size"].as_u64().unwrap());
    path
}

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How many blobs a push sent, and how many were there.
fn pushed(run: &Run) -> (usize, usize) {
    let line =
        run.stderr.lines().find(|line| line.contains(" blobs sent, ")).unwrap_or_else(|| panic!("{}", run.stderr));
    let counts = line.rsplit_once(": ").unwrap().1;
    let mut numbers = counts.split_whitespace().filter_map(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn an_image_is_what_the_specification_says() {
    let folder = Folder::of(APP);
    folder.build(&["build", ":image"]).expect(0);
    let image = Layout::read(&folder.path().join("build-out/image"));
    assert_eq!(folder.read("build-out/image.digest"), image.digest);

    let program = format!("/app/out/linux-{}/server", image.config["architecture"].as_str().unwrap());
    let expected = serde_json::json!({
        "User": "65532:65532", "WorkingDir": "/app", "Entrypoint": [program], "Cmd": ["--verbose"],
        "Env": ["AREA=a", "ZONE=z"], "ExposedPorts": {"8080/tcp": {}}, "Labels": {"team": "t"},
    });
    assert_eq!(image.config["config"], expected);
    assert_eq!(image.config["os"], "linux");
    assert_eq!(image.config["rootfs"]["type"], "layers");
    assert!(image.config.get("created").is_none_or(|time| time == "1970-01-01T00:00:00Z"));

    assert_eq!(image.layers().len(), 3);
    let mut paths = Vec::new();
    for layer in 0..3 {
        let entries = image.entries(layer);
        let names: Vec<&String> = entries.iter().map(|entry| &entry.3).collect();
        assert!(names.is_sorted(), "{names:?}");
        for (mode, owner, time, path) in &entries {
            assert_eq!((owner.as_str(), time.as_str()), ("0/0", "1970-01-01 00:00:00"), "{path}");
            assert!(!mode[4..].contains('w') || (path == "tmp/" && mode == "drwxrwxrwt"), "{path} is {mode}");
            if !path.ends_with('/') {
                paths.push((path.clone(), mode.contains('x')));
            }
        }
    }
    let files = ["etc/group", "etc/nsswitch.conf", "etc/passwd", "etc/hosts", "etc/motd"];
    let mut expected: Vec<(String, bool)> = files.map(|file| (file.to_owned(), false)).into();
    expected.push((program[1..].to_owned(), true));
    assert_eq!(paths, expected);
}

#[test]
fn only_what_the_registry_lacks_is_sent() {
    let registry = Registry::start();
    let folder = Folder::of(APP).with_env("BUILD_REGISTRY_X", &registry.address);
    let first = folder.build(&["run", ":push"]).expect(0);
    assert_eq!(pushed(&first), (4, 0), "three layers and the configuration");
    folder.build(&["build", ":image"]).expect(0);
    let digest = folder.read("build-out/image.digest");
    assert!(first.stderr.contains(&digest), "{}", first.stderr);
    assert_eq!(registry.get("/v2/team/app/tags/list").trim(), r#"{"name":"team/app","tags":["latest"]}"#);
    for reference in [digest.as_str(), "latest"] {
        let manifest: Value =
            serde_json::from_str(&registry.get(&format!("/v2/team/app/manifests/{reference}"))).unwrap();
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
    }

    let again = folder.build(&["run", ":push"]).expect(0);
    assert_eq!((again.count("Ran"), pushed(&again)), (0, (0, 4)));

    // Another program is another layer and another configuration; the other layers are there.
    folder.replace("server.go", "one", "two");
    assert_eq!(pushed(&folder.build(&["run", ":push"]).expect(0)), (2, 2));

    // Another configuration is nothing else.
    folder.replace("BUILD.star", "\"ZONE\": \"z\"", "\"ZONE\": \"y\"");
    assert_eq!(pushed(&folder.build(&["run", ":push"]).expect(0)), (1, 3));
}

#[test]
fn a_registry_elsewhere_may_be_spoken_to_by_plain_http() {
    let registry = Registry::start();
    // This address leads to this machine too, but it does not look so: without a scheme, TLS is expected.
    let elsewhere = registry.address.replace("127.0.0.1", "0.0.0.0");
    let folder = Folder::of(APP).with_env("BUILD_REGISTRY_X", &format!("http://{elsewhere}"));
    assert_eq!(pushed(&folder.build(&["run", ":push"]).expect(0)), (4, 0));
    let folder = Folder::of(APP).with_env("BUILD_REGISTRY_X", &elsewhere);
    folder.build(&["run", ":push"]).expect(36).says(&[&elsewhere]);
}

#[test]
fn a_push_without_a_registry_takes_the_only_one() {
    let registry = Registry::start();
    let text = APP.replace("registry = \"x\", ", "");
    let folder = Folder::of(&text).with_env("BUILD_REGISTRY_SOME", &registry.address);
    assert_eq!(pushed(&folder.build(&["run", ":push"]).expect(0)), (4, 0));
    let folder = Folder::of(&text).with_env("BUILD_REGISTRY_SOME", "x:1").with_env("BUILD_REGISTRY_OTHER", "y:1");
    folder.build(&["run", ":push"]).expect(36).says(&["several registries are configured: other, some", "`registry`"]);
    Folder::of(&text).build(&["run", ":push"]).expect(36).says(&["no registry is configured", "BUILD_REGISTRY_<NAME>"]);
}

/// A program that tells what it sees of its surroundings.
const WHO: &str = r#"
== BUILD.star
go_binary(name = "program", srcs = ["who.go"])
oci_image(name = "image", binary = ":program", cmd = ["--said", "a b"], env = {"ZONE": "z"})
oci_image(name = "on_top", base = ":image", workdir = "/tmp")
environment(name = "here")
service(name = "who", image = ":image", probe = "none")
service(name = "who-else", image = ":on_top", probe = "none")
deploy(name = "to-here", environment = ":here", services = [":who"])
deploy(name = "else-to-here", environment = ":here", services = [":who-else"])
== who.go
package main

import ("fmt"; "os"; "os/user"; "strconv"; "time")

func main() {
	self, err := user.LookupId(strconv.Itoa(os.Getuid()))
	fmt.Println("who: user", self.Username, self.HomeDir, err)
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	fmt.Println("who: group", group.Name, err)
	folder, err := os.Getwd()
	fmt.Println("who: folder", folder, err)
	fmt.Println("who: arguments", os.Args[1:], os.Getenv("ZONE"))
	fmt.Println("who: tmp", os.WriteFile("/tmp/x", nil, 0o644), "root refused", os.WriteFile("/x", nil, 0o644) != nil)
	_, err = time.LoadLocation("Europe/Paris")
	_, roots := os.Stat("/etc/ssl/certs")
	fmt.Println("who: no zones", err != nil, "no roots", roots != nil)
}
"#;

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// What the program of an image says under runc, which knows nothing of the engine.
fn under_runc(layout: &Layout) -> Vec<String> {
    let bundle = tempfile::tempdir().unwrap();
    let root = bundle.path().join("rootfs");
    std::fs::create_dir(&root).unwrap();
    for layer in layout.layers() {
        shell(&format!("tar -xzf {} -C {}", blob(&layout.folder, &layer).display(), root.display()));
    }
    shell(&format!("cd {} && runc spec", bundle.path().display()));
    let file = bundle.path().join("config.json");
    let mut spec = json(&file);
    let config = &layout.config["config"];
    let list = |name: &str| config[name].as_array().cloned().unwrap_or_default();
    let (user, group) = config["User"].as_str().unwrap().split_once(':').unwrap();
    let number = |text: &str| text.parse::<u32>().unwrap();
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = [list("Entrypoint"), list("Cmd")].concat().into();
    spec["process"]["env"] = list("Env").into();
    spec["process"]["cwd"] = config["WorkingDir"].clone();
    spec["process"]["user"] = serde_json::json!({"uid": number(user), "gid": number(group)});
    spec["root"]["readonly"] = true.into();
    // As a pod has it, and as nothing else is given: the image's own /tmp is what it lies over.
    let tmp = serde_json::json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]});
    spec["mounts"].as_array_mut().unwrap().push(tmp);
    std::fs::write(&file, spec.to_string()).unwrap();
    let name = format!("build-test-{}-{}", std::process::id(), &layout.digest[7..19]);
    let run = format!("runc --root {0}/state run --bundle {0} {name}", bundle.path().display());
    shell(&run).lines().map(str::to_owned).collect()
}

/// Needs root, as runc does, and its Debian package.
#[test]
fn an_image_runs_alike_under_runc_and_in_the_local_system() {
    let folder = Folder::of(WHO);
    folder.build(&["build", "//..."]).expect(0);
    for (image, deploy, starts_in) in [("image", ":to-here", "/app"), ("on_top", ":else-to-here", "/tmp")] {
        let expected = under_runc(&Layout::read(&folder.path().join("build-out").join(image)));
        assert_eq!(
            expected,
            [
                "who: user nonroot /tmp <nil>".to_owned(),
                "who: group nonroot <nil>".to_owned(),
                format!("who: folder {starts_in} <nil>"),
                "who: arguments [--said a b] z".to_owned(),
                "who: tmp <nil> root refused true".to_owned(),
                "who: no zones true no roots true".to_owned(),
            ]
        );
        let local = folder.build(&["run", deploy, "--norestart"]).expect(5).stderr;
        let said: Vec<&str> = local.lines().filter(|line| line.contains("who: ")).map(str::trim).collect();
        assert_eq!(said, expected, "{local}");
    }
}

#[test]
fn a_push_needs_a_registry() {
    let folder = Folder::of(APP);
    folder.build(&["run", ":push"]).expect(36).says(&["registry `x`", "BUILD_REGISTRY_X"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let folder = Folder::of(APP).with_env("BUILD_REGISTRY_X", &free);
    folder.build(&["run", ":push"]).expect(36).says(&[&free]);
}

#[test]
fn a_pulled_image_is_the_base_of_another() {
    let registry = Registry::start();
    let app = Folder::of(APP).with_env("BUILD_REGISTRY_X", &registry.address);
    app.build(&["run", ":push"]).expect(0);
    app.build(&["build", ":image"]).expect(0);
    let base = Layout::read(&app.path().join("build-out/image"));

    let text = format!(
        r#"
== BUILD.star
oci_pull(name = "base", repository = "team/app", digest = "{}")
oci_image(name = "derived", base = ":base", env = {{"ZONE": "other"}}, files = {{"more": "/etc/more"}})
== more
more
"#,
        base.digest
    );
    let folder = Folder::of(&text).with_fresh_store().with_env("BUILD_REGISTRY_IMAGES", &registry.address);
    folder.build(&["build", "//..."]).expect(0);
    assert_eq!(folder.read("build-out/base.digest"), base.digest);
    let derived = Layout::read(&folder.path().join("build-out/derived"));
    assert_eq!(derived.layers()[..3], base.layers()[..]);
    assert_eq!(derived.layers().len(), 4);
    assert_eq!(derived.entries(3).last().unwrap().3, "etc/more");
    for inherited in ["Entrypoint", "Labels", "ExposedPorts", "User", "WorkingDir"] {
        assert_eq!(derived.config["config"][inherited], base.config["config"][inherited], "{inherited}");
    }
    assert_eq!(derived.config["config"]["Env"], serde_json::json!(["AREA=a", "ZONE=other"]));

    // What was pulled is in the store: the registry is not asked again.
    drop(registry);
    assert_eq!(folder.build(&["build", "//..."]).expect(0).count("Ran"), 0);
}

#[test]
fn a_base_that_cannot_be_pulled_is_told() {
    let registry = Registry::start();
    let digest = format!("sha256:{}", "0".repeat(64));
    let text = format!("== BUILD.star\noci_pull(name = \"base\", repository = \"team/app\", digest = \"{digest}\")\n");
    let folder = Folder::of(&text).with_fresh_store();
    folder.build(&["build", ":base"]).expect(1).says(&["//:base", "BUILD_REGISTRY_IMAGES"]);
    let folder = Folder::of(&text).with_fresh_store().with_env("BUILD_REGISTRY_IMAGES", &registry.address);
    folder.build(&["build", ":base"]).expect(1).says(&["//:base", "team/app", &registry.address]);
}
