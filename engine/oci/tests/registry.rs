//! Pushing to and pulling from a real registry: the `docker-registry` of this machine, on a loopback port of its own.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{NoReporter, Platform, RelPath, Reporter, Tree, TreeEntry};
use oci::{
    Auth, Direction, Image, ImageRequest, LayerContent, LayerEntry, LayerRequest, OciError, Overrides, Owner,
    PullRequest, PushReport, PushRequest, Registry, image, layer, pull, push, read_manifest,
};
use store::Store;

/// A registry process; it ends with the test.
struct Server {
    process: Child,
    address: String,
    data: tempfile::TempDir,
}

impl Server {
    fn start(extra: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = data.path().join("config.yml");
        let storage = data.path().join("storage");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n{extra}",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry (Debian package docker-registry) is needed");
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < end, "the registry does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, address, data }
    }

    fn registry(&self) -> Registry {
        Registry { address: self.address.clone(), insecure: true, auth: Auth::Anonymous, timeout: Registry::TIMEOUT }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn store(folder: &Path) -> Store {
    Store::open(folder).unwrap()
}

fn reporter() -> Arc<dyn Reporter> {
    Arc::new(NoReporter)
}

fn make_layer(store: &Store, path: &str, bytes: &[u8]) -> oci::Layer {
    let content =
        LayerContent::File { digest: store.put_bytes(bytes).unwrap(), size: bytes.len() as u64, executable: true };
    let entries = vec![LayerEntry { target: path.into(), content }];
    layer(&LayerRequest { entries, owner: Owner::default() }, store).unwrap()
}

/// A base layer of some megabytes that does not compress, and a small one.
fn make_image(store: &Store, app: &str) -> Image {
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    })
    .take(3_500_000)
    .collect();
    let layers = vec![make_layer(store, "base", &noise), make_layer(store, "app", app.as_bytes())];
    let platform = Platform { os: "linux".into(), arch: "amd64".into() };
    image(&ImageRequest { base: None, layers, overrides: Overrides::default(), platform }, store).unwrap()
}

async fn try_push(image: &Tree, registry: &Registry, store: &Store, tags: &[String]) -> Result<PushReport, OciError> {
    push(&PushRequest { image, registry, repository: "services/app", tags }, store, &reporter()).await
}

fn counts(report: &PushReport) -> (usize, usize, bool) {
    (report.uploaded, report.skipped, report.manifest_sent)
}

#[tokio::test]
async fn only_what_is_missing_is_sent() {
    let server = Server::start("");
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let registry = server.registry();
    let first = make_image(&store, "one");

    let report = try_push(&first.tree, &registry, &store, &[]).await.unwrap();
    assert_eq!(counts(&report), (3, 0, true));
    assert!(report.bytes > 3_500_000, "{report:?}");
    assert_eq!(report.digest, first.digest);

    let again = try_push(&first.tree, &registry, &store, &[]).await.unwrap();
    assert_eq!(counts(&again), (0, 3, false));
    assert_eq!(again.bytes, 0);

    // Another repository of the registry gets them from the first, and not from here.
    let elsewhere = PushRequest { image: &first.tree, registry: &registry, repository: "services/other", tags: &[] };
    let mounted = push(&elsewhere, &store, &reporter()).await.unwrap();
    assert_eq!((counts(&mounted), mounted.mounted, mounted.bytes), ((0, 0, true), 3, 0));
    // So does one to a store that does not know of the first, by sending them.
    let stranger_folder = tempfile::tempdir().unwrap();
    let stranger = Store::open(stranger_folder.path()).unwrap();
    let third = make_image(&stranger, "one");
    let sent = PushRequest { image: &third.tree, registry: &registry, repository: "services/third", tags: &[] };
    let sent = push(&sent, &stranger, &reporter()).await.unwrap();
    assert_eq!((counts(&sent), sent.mounted, sent.bytes), ((3, 0, true), 0, report.bytes));

    let second = make_image(&store, "two");
    let changed = try_push(&second.tree, &registry, &store, &["latest".to_owned()]).await.unwrap();
    assert_eq!(counts(&changed), (2, 1, true));
    let tagged = try_push(&second.tree, &registry, &store, &["latest".to_owned()]).await.unwrap();
    assert_eq!(counts(&tagged), (0, 3, false));

    // Another machine gets the same image.
    let folder = tempfile::tempdir().unwrap();
    let other = Store::open(folder.path()).unwrap();
    let request = PullRequest { repository: "services/app".into(), digest: second.digest.clone(), platform: None };
    let pulled = pull(&request, &registry, &other, &reporter()).await.unwrap();
    assert_eq!(pulled.digest, second.digest);
    let (manifest, _) = read_manifest(&pulled.tree, &other).unwrap();
    assert_eq!(manifest, read_manifest(&second.tree, &store).unwrap().0);
    assert_eq!(counts(&try_push(&pulled.tree, &registry, &other, &[]).await.unwrap()), (0, 3, false));
}

/// The client of `oci-distribution` shares the types of manifests with this crate, but not how they are asked for.
#[tokio::test]
async fn another_client_reads_what_was_pushed() {
    use oci_distribution::client::{ClientConfig, ClientProtocol};
    use oci_distribution::secrets::RegistryAuth;

    let server = Server::start("");
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let made = make_image(&store, "one");
    try_push(&made.tree, &server.registry(), &store, &[]).await.unwrap();

    // Somebody else may have been first to install it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client =
        oci_distribution::Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() });
    let reference = format!("{}/services/app@{}", server.address, made.digest).parse().unwrap();
    let accepted = vec![oci_distribution::manifest::IMAGE_LAYER_GZIP_MEDIA_TYPE];
    let pulled = client.pull(&reference, &RegistryAuth::Anonymous, accepted).await.unwrap();
    assert_eq!(pulled.digest, Some(made.digest.to_string()));
    let (manifest, _) = read_manifest(&made.tree, &store).unwrap();
    // It pulls layers at once and gives them as they come.
    let digests: BTreeSet<String> = manifest.layers.iter().map(|layer| layer.digest.to_string()).collect();
    assert_eq!(pulled.layers.iter().map(|layer| layer.sha256_digest()).collect::<BTreeSet<_>>(), digests);
}

#[tokio::test]
async fn damage_is_noticed_on_both_ways() {
    let server = Server::start("");
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let registry = server.registry();
    let made = make_image(&store, "one");

    // A layer whose content in the store is not what its name says.
    let mut damaged = made.tree.clone();
    let (path, size) = largest_blob(&damaged);
    let wrong = store.put_bytes(&vec![0u8; usize::try_from(size).unwrap()]).unwrap();
    damaged.entries.insert(path.clone(), TreeEntry::File { digest: wrong, size, executable: false });
    let error = try_push(&damaged, &registry, &store, &[]).await.unwrap_err();
    assert!(matches!(error, OciError::Mismatch { .. }), "{error:?}");
    assert!(error.to_string().starts_with("a blob in the store has the wrong digest: expected sha256:"), "{error}");

    // The registry's disk rots.
    try_push(&made.tree, &registry, &store, &[]).await.unwrap();
    let hex = path.file_name();
    let data = server.data.path().join(format!("storage/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    let other_folder = tempfile::tempdir().unwrap();
    let other = Store::open(other_folder.path()).unwrap();
    let request = PullRequest { repository: "services/app".into(), digest: made.digest.clone(), platform: None };
    let error = pull(&request, &registry, &other, &reporter()).await.unwrap_err();
    assert!(matches!(error, OciError::Mismatch { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("expected sha256:{hex}")), "{error}");
}

fn largest_blob(tree: &Tree) -> (RelPath, u64) {
    let sizes = tree.entries.iter().filter_map(|(path, entry)| match entry {
        TreeEntry::File { size, .. } => Some((path.clone(), *size)),
        _ => None,
    });
    sizes.max_by_key(|(_, size)| *size).unwrap()
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let server = Server::start("");
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let made = make_image(&store, "one");
    let request = PullRequest { repository: "services/app".into(), digest: made.digest.clone(), platform: None };
    let error = pull(&request, &server.registry(), &store, &reporter()).await.unwrap_err();
    let expected =
        format!("the registry {} does not have the manifest {} in `services/app`", server.address, made.digest.short());
    assert_eq!(error.to_string(), expected);

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let registry = Registry { address: format!("127.0.0.1:{port}"), ..server.registry() };
    let error = try_push(&made.tree, &registry, &store, &[]).await.unwrap_err();
    assert!(error.is_environment());
    let shown = error.to_diagnostic(Direction::Push).to_string();
    assert!(shown.starts_with(&format!("error: cannot reach the registry 127.0.0.1:{port}: ")), "{shown}");
    assert!(shown.contains("refused"), "{shown}");
    assert!(shown.contains("hint: check that"), "{shown}");
}

#[tokio::test]
async fn credentials_come_from_the_docker_configuration_and_are_never_shown() {
    // The bcrypt hash of `hunter2-secret`.
    let passwords = tempfile::tempdir().unwrap();
    let file = passwords.path().join("htpasswd");
    std::fs::write(&file, "robot:$2y$05$abcdefghijklmnopqrstuuco6HW5qgMYWmvqwt2HG533btIvodevS\n").unwrap();
    let server = Server::start(&format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display()));
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let made = make_image(&store, "one");

    let error = try_push(&made.tree, &server.registry(), &store, &[]).await.unwrap_err();
    assert!(matches!(error, OciError::Denied { .. }), "{error:?}");
    assert!(error.hints(Direction::Push)[0].contains(&format!("docker login {}", server.address)));

    // base64 of robot:hunter2-secret and robot:wrong-secret
    let login = |auth: &str| {
        let config = passwords.path().join("config.json");
        std::fs::write(
            &config,
            format!("{{\"auths\": {{\"http://{}/v2/\": {{\"auth\": \"{auth}\"}}}}}}", server.address),
        )
        .unwrap();
        let auth = Auth::from_file(&config, &server.address, "services/app").unwrap();
        Registry { auth, ..server.registry() }
    };
    let wrong = login("cm9ib3Q6d3Jvbmctc2VjcmV0");
    let error = try_push(&made.tree, &wrong, &store, &[]).await.unwrap_err();
    assert!(matches!(error, OciError::Denied { .. }), "{error:?}");
    for shown in [error.to_string(), format!("{error:?}"), format!("{wrong:?}")] {
        assert!(!shown.contains("wrong-secret") && !shown.contains("cm9ib3Q6"), "{shown}");
    }
    let right = login("cm9ib3Q6aHVudGVyMi1zZWNyZXQ=");
    assert_eq!(counts(&try_push(&made.tree, &right, &store, &[]).await.unwrap()), (3, 0, true));
}

/// An address that leads to `server`, but for the first `refused` connections, which it cuts off.
fn unreliable(server: &str, refused: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = server.to_owned();
    std::thread::spawn(move || {
        for (number, incoming) in listener.incoming().enumerate() {
            let incoming = incoming.unwrap();
            if number < refused {
                continue;
            }
            let outgoing = TcpStream::connect(&server).unwrap();
            for (mut from, mut to) in [
                (incoming.try_clone().unwrap(), outgoing.try_clone().unwrap()),
                (outgoing.try_clone().unwrap(), incoming.try_clone().unwrap()),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    address
}

#[tokio::test]
async fn a_push_outlives_broken_connections_and_gives_up_in_the_end() {
    let server = Server::start("");
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let made = make_image(&store, "one");
    let registry = |refused| Registry { address: unreliable(&server.address, refused), ..server.registry() };
    let error = try_push(&made.tree, &registry(usize::MAX), &store, &[]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let report = try_push(&made.tree, &registry(2), &store, &[]).await.unwrap();
    assert_eq!(counts(&report), (3, 0, true));
}
