//! Endpoints that misbehave, on the loopback interface.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;

/// Answers requests with raw bytes; `answer` gets the path and how many requests came before. Ends with the process.
struct Server {
    base: Url,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(answer: impl Fn(&str, usize) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().and_then(Result::ok).unwrap_or_default();
                while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
                let path = first.split(' ').nth(1).unwrap_or("").to_owned();
                let _ = stream.write_all(&answer(&path, count.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { base, requests }
    }

    /// Answers each request with whatever `serve` writes.
    fn answering(serve: impl Fn(&mut std::net::TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
                    serve(&mut stream);
                });
            }
        });
        Self { base, requests: Arc::default() }
    }

    fn url(&self, path: &str) -> Address {
        Address::below(&self.base, path).unwrap()
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn response(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
}

#[derive(Default)]
struct Events(Mutex<Vec<Event>>);

impl Reporter for Events {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

const SOON: Patience = Patience {
    connect: Duration::from_secs(2),
    idle: Duration::from_millis(300),
    attempts: 3,
    pause: Duration::from_millis(1),
};

/// The content, or the error as people see it, with `<server>` for the addresses.
fn download(urls: Vec<Address>, sha256: &[&str], limit: u64) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let sha256: Vec<String> = sha256.iter().map(|sum| (*sum).to_owned()).collect();
    let bases: Vec<String> = urls.iter().map(|url| url.url()[..url::Position::BeforePath].to_owned()).collect();
    let request = Request { what: "x@1", urls, limit, sha256: &sha256, accept: None };
    let events = Events::default();
    let result = Transport::with(SOON).unwrap().download(&request, &file, &events);
    let events = events.0.into_inner().unwrap();
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
    let started = count(|event| matches!(event, Event::TransferStarted { .. }));
    assert_eq!(started, count(|event| matches!(event, Event::TransferFinished { .. })), "{events:?}");
    assert!(!format!("{events:?}").contains("secret"), "{events:?}");
    match result {
        Ok(_) => Ok(std::fs::read_to_string(file).unwrap()),
        Err(error) => Err(bases
            .iter()
            .fold(error.to_string(), |text, base| text.replace(&base.replace("user:secret@", ""), "<server>"))),
    }
}

const SUM_OF_X: &str = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";

#[test]
fn a_good_endpoint() {
    let server = Server::start(|_, _| response("200 OK", "x"));
    assert_eq!(download(vec![server.url("a")], &[SUM_OF_X], 10).unwrap(), "x");
}

#[test]
fn redirects_are_followed() {
    let server = Server::start(|path, _| match path {
        "/a" => b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
        _ => response("200 OK", "there"),
    });
    assert_eq!(download(vec![server.url("a")], &[], 10).unwrap(), "there");
}

#[test]
fn a_wrong_digest_is_not_asked_for_again() {
    let server = Server::start(|_, _| response("200 OK", "y"));
    let error = download(vec![server.url("a")], &[SUM_OF_X], 10).unwrap_err();
    assert_eq!(
        error,
        format!(
            "x@1 from <server>/a has the wrong digest: expected sha256 {SUM_OF_X}, \
             got a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa; nothing of it was kept"
        )
    );
    assert_eq!(server.requests(), 1);
}

#[test]
fn server_errors_pass() {
    let server = Server::start(|_, before| match before {
        0 => response("503 Service Unavailable", ""),
        1 => Vec::new(),
        _ => response("200 OK", "x"),
    });
    assert_eq!(download(vec![server.url("a")], &[SUM_OF_X], 10).unwrap(), "x");
    let server = Server::start(|_, _| response("500 Internal Server Error", ""));
    assert_eq!(download(vec![server.url("a")], &[], 10).unwrap_err(), "<server>/a answered 500 when asked for x@1");
    assert_eq!(server.requests(), 3);
}

#[test]
fn truncated_and_silent_answers() {
    let cut = |_: &str, _| b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc".to_vec();
    let server = Server::start(cut);
    let error = download(vec![server.url("a")], &[], 1000).unwrap_err();
    assert!(error.starts_with("cannot download x@1 from <server>/a: "), "{error}");
    assert!(error.ends_with("(tried 3 times)"), "{error}");
    let server = Server::start(|_, _| {
        std::thread::sleep(Duration::from_secs(10));
        Vec::new()
    });
    let error = download(vec![server.url("a")], &[], 10).unwrap_err();
    assert_eq!(error, "cannot download x@1 from <server>/a: no answer in time (tried 3 times)");
}

#[test]
fn mirrors_in_order() {
    let absent = Server::start(|_, _| response("404 Not Found", ""));
    let bad = Server::start(|_, _| response("200 OK", "y"));
    let good = Server::start(|_, _| response("200 OK", "x"));
    let urls = vec![absent.url("a"), bad.url("a"), good.url("a")];
    assert_eq!(download(urls, &[SUM_OF_X], 10).unwrap(), "x");
    let error = download(vec![absent.url("a"), absent.url("b")], &[], 10).unwrap_err();
    assert_eq!(error, "x@1 was not found; asked <server>/a and <server>/b");
    let error = download(vec![bad.url("a"), absent.url("b")], &[SUM_OF_X], 10).unwrap_err();
    assert!(error.contains("wrong digest"), "the more telling error wins: {error}");
}

#[test]
fn an_unreachable_endpoint() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = Address::below(&Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap(), "a").unwrap();
    let error = download(vec![url], &[], 10).unwrap_err();
    assert!(error.starts_with("cannot download x@1 from <server>/a: Connection refused"), "{error}");
}

#[test]
fn too_much_is_stopped() {
    let server = Server::start(|_, _| response("200 OK", "eleven bytes"));
    assert_eq!(download(vec![server.url("a")], &[], 10).unwrap_err(), "x@1 from <server>/a is larger than 10 bytes");
    let endless = |_: &str, _| b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwithout any declared length".to_vec();
    let server = Server::start(endless);
    assert_eq!(download(vec![server.url("a")], &[], 10).unwrap_err(), "x@1 from <server>/a is larger than 10 bytes");
    assert_eq!(server.requests(), 1);
}

#[test]
fn credentials_stay_secret() {
    let server = Server::start(|_, _| response("403 Forbidden", ""));
    let mut endpoint = server.base.join("secret/?token=secret").unwrap();
    endpoint.set_username("user").unwrap();
    endpoint.set_password(Some("secret")).unwrap();
    let url = Address::below(&endpoint, "a").unwrap();
    assert_eq!(download(vec![url], &[], 10).unwrap_err(), "<server>/.../a answered 403 when asked for x@1");
}

#[test]
fn a_mirror_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "x").unwrap();
    let mirror = Url::from_directory_path(folder.path()).unwrap();
    let url = |name| Address::below(&mirror, name).unwrap();
    assert_eq!(download(vec![url("no"), url("a")], &[SUM_OF_X], 10).unwrap(), "x");
    assert!(download(vec![url("no")], &[], 10).unwrap_err().starts_with("x@1 was not found"));
}

#[test]
fn callers_inside_another_runtime_may_block() {
    let server = Server::start(|_, _| response("200 OK", "x"));
    let url = server.url("a");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(async { download(vec![url], &[], 10) }).unwrap(), "x");
}

#[test]
fn a_drip_is_given_up() {
    let server = Server::answering(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let error = download(vec![server.url("a")], &[], 1000).unwrap_err();
    assert!(error.contains(" bytes came in 0.3 s (tried 3 times)"), "{error}");
    let server = Server::answering(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X: y\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let error = download(vec![server.url("a")], &[], 1000).unwrap_err();
    assert!(error.contains("no answer in time") || error.contains("too large"), "{error}");
}

#[test]
fn redirects_end_and_keep_to_tls() {
    let away = |path: &str| {
        format!("HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
    };
    let server = Server::start(move |_, _| away("/a"));
    let error = download(vec![server.url("a")], &[], 10).unwrap_err();
    assert_eq!(error, "cannot download x@1 from <server>/a: it redirects without end (tried 1 times)");
    let server = Server::start(move |_, _| away("file:///etc/hostname"));
    let error = download(vec![server.url("a")], &[], 10).unwrap_err();
    assert_eq!(error, "<server>/a answered 302 when asked for x@1");
}
