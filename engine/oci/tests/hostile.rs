//! Registries that mean harm: what they send is bounded, and a password goes to the configured registry only.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::{NoReporter, Reporter};
use oci::{Auth, Image, OciError, PullRequest, Registry, Sha256, pull};
use store::Store;

/// Answers each request with what `serve` writes, by method, path and the own address; remembers the requests' heads.
struct Server {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(serve: impl Fn(&str, &str, &str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (heads, serve) = (Arc::new(Mutex::new(Vec::new())), Arc::new(serve));
        let server = Self { address: address.clone(), heads: Arc::clone(&heads) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, serve) = (stream.unwrap(), Arc::clone(&serve));
                let (heads, address) = (Arc::clone(&heads), address.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let lines = reader.by_ref().lines().map_while(Result::ok);
                    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                    let length =
                        head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                    let mut body = String::new();
                    reader.take(length.unwrap_or(0)).read_to_string(&mut body).unwrap();
                    heads.lock().unwrap().push(head.join("\n") + "\n" + &body);
                    let mut words = head.first().map_or("", String::as_str).split(' ');
                    serve(words.next().unwrap_or(""), words.next().unwrap_or(""), &address, &mut stream);
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
                    let _ = stream.read_to_end(&mut Vec::new());
                });
            }
        });
        server
    }

    fn heads(&self) -> String {
        self.heads.lock().unwrap().join("\n\n")
    }

    fn registry(&self) -> Registry {
        let auth = Auth::Basic { user: "robot".into(), password: "hunter2-secret".into() };
        Registry { address: self.address.clone(), insecure: true, auth, timeout: Duration::from_millis(500) }
    }
}

fn answer(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

async fn try_pull(registry: &Registry, digest: Sha256) -> Result<Image, OciError> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let reporter: Arc<dyn Reporter> = Arc::new(NoReporter);
    pull(&PullRequest { repository: "team/app".into(), digest, platform: None }, registry, &store, &reporter).await
}

/// Pulls something that the server will not have; how it fails.
async fn refused(server: &Server) -> String {
    try_pull(&server.registry(), Sha256::of(b"x")).await.unwrap_err().to_string()
}

#[tokio::test]
async fn answers_have_an_end() {
    let endless = Server::start(|_, path, _, stream| match path {
        "/v2/" => answer(stream, "200 OK", "", b""),
        _ => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
        }
    });
    let error = refused(&endless).await;
    assert!(error.ends_with("for `team/app`: its answer is longer than 4194304 bytes"), "{error}");

    let drip = Server::start(|_, path, _, stream| match path {
        "/v2/" => answer(stream, "200 OK", "", b""),
        _ => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let began = Instant::now();
    let error = refused(&drip).await;
    assert!(error.contains(" bytes came in 0.5 s"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_layer_has_the_size_that_its_manifest_tells() {
    for (told, expected) in
        [(10, "it sends more than the 10 bytes"), (5000, "it has 1000 bytes, and its manifest tells 5000")]
    {
        let layer = vec![b'x'; 1000];
        let descriptor = |bytes: &[u8], size: usize| {
            format!("{{\"mediaType\":\"x\",\"size\":{size},\"digest\":\"{}\"}}", Sha256::of(bytes))
        };
        let manifest = format!(
            "{{\"schemaVersion\":2,\"config\":{},\"layers\":[{}]}}",
            descriptor(b"{}", 2),
            descriptor(&layer, told)
        );
        let digest = Sha256::of(manifest.as_bytes());
        let config = Sha256::of(b"{}");
        let server = Server::start(move |_, path, _, stream| match path {
            "/v2/" => answer(stream, "200 OK", "", b""),
            path if path.contains("/manifests/") => answer(stream, "200 OK", "", manifest.as_bytes()),
            path if path.contains(config.as_str()) => answer(stream, "200 OK", "", b"{}"),
            _ => answer(stream, "200 OK", "", &layer),
        });
        let error = try_pull(&server.registry(), digest).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_password_is_not_sent_where_a_challenge_wants_it() {
    let elsewhere = Server::start(|_, _, _, stream| answer(stream, "200 OK", "", b"{\"token\":\"t\"}"));
    let port = elsewhere.address.rsplit(':').next().unwrap().to_owned();
    let server = Server::start(move |_, _, _, stream| {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://localhost:{port}/token\"\r\n");
        answer(stream, "401 Unauthorized", &challenge, b"");
    });
    let error = refused(&server).await;
    assert!(error.contains("wants logins at `localhost`"), "{error}");
    assert_eq!(elsewhere.heads(), "");

    // Nor where a redirect leads to.
    let elsewhere = Server::start(|_, _, _, stream| answer(stream, "200 OK", "", b"wrong"));
    let to = elsewhere.address.clone();
    let server = Server::start(move |_, path, _, stream| match path {
        "/v2/" => answer(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b""),
        path => answer(stream, "302 Found", &format!("Location: http://{to}{path}\r\n"), b""),
    });
    let error = refused(&server).await;
    assert!(error.contains("wrong digest"), "{error}");
    assert!(server.heads().to_lowercase().contains("authorization: basic"), "{}", server.heads());
    let heads = elsewhere.heads().to_lowercase();
    assert!(heads.contains("get /v2/team/app") && !heads.contains("authorization"), "{heads}");
}

#[tokio::test]
async fn a_token_is_text_of_one_line() {
    let server = Server::start(|_, path, own, stream| match path {
        "/v2/" => {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\"\r\n");
            answer(stream, "401 Unauthorized", &challenge, b"");
        }
        _ => answer(stream, "200 OK", "", b"{\"token\":\"a\\r\\nX-Injected: yes\"}"),
    });
    let error = refused(&server).await;
    assert!(error.contains("characters that cannot be sent"), "{error}");
    assert!(!server.heads().contains("X-Injected"), "{}", server.heads());
}

#[tokio::test]
async fn an_identity_token_is_exchanged_at_the_registry_itself() {
    let server = Server::start(|method, path, own, stream| match (method, path) {
        ("GET", "/v2/") => {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"r\"\r\n");
            answer(stream, "401 Unauthorized", &challenge, b"");
        }
        ("POST", "/token") => answer(stream, "200 OK", "", b"{\"access_token\":\"granted-token\"}"),
        _ => answer(stream, "403 Forbidden", "", b"not with granted-token, not with refresh-secret"),
    });
    let registry = Registry { auth: Auth::Identity("refresh-secret".into()), ..server.registry() };
    let error = try_pull(&registry, Sha256::of(b"x")).await.unwrap_err();
    assert!(matches!(error, OciError::Denied { .. }), "{error:?}");
    assert!(!error.to_string().contains("refresh-secret") && !error.to_string().contains("granted-token"), "{error}");
    let heads = server.heads();
    assert!(heads.contains("grant_type=refresh_token&client_id=build&refresh_token=refresh-secret"), "{heads}");
    assert!(heads.contains("scope=repository%3Ateam%2Fapp%3Apull&service=r"), "{heads}");
    assert!(heads.to_lowercase().contains("authorization: bearer granted-token"), "{heads}");

    // A registry that wants a password gets no token, and neither does a place of its choice.
    let basic = |_: &str, _: &str, _: &str, stream: &mut TcpStream| {
        answer(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"");
    };
    let elsewhere = |_: &str, _: &str, _: &str, stream: &mut TcpStream| {
        answer(stream, "401 Unauthorized", "WWW-Authenticate: Bearer realm=\"http://localhost:1/token\"\r\n", b"");
    };
    for (server, words) in [
        (Server::start(basic), "it asks for a password, and they are an identity token"),
        (Server::start(elsewhere), "wants logins at `localhost`"),
    ] {
        let registry = Registry { auth: Auth::Identity("refresh-secret".into()), ..server.registry() };
        let error = try_pull(&registry, Sha256::of(b"x")).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(!server.heads().contains("refresh-secret"), "{}", server.heads());
    }
}
