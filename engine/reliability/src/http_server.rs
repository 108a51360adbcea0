//! A server of plain HTTP on the loopback interface whose answers are up to the row: raw bytes, at any pace, to any end.
//!
//! No HTTP library takes part, since what is wanted here is what libraries prevent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, by its declared length; a mebibyte at most is kept.
    pub body: Vec<u8>,
}

/// One side of a connection; it knows when the server ends.
pub struct Answer {
    stream: TcpStream,
    ended: Arc<AtomicBool>,
    abrupt: bool,
}

/// A running server; it ends when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Request>>>,
}

/// What a server does with a request.
type Handler = dyn Fn(&Request, &mut Answer) + Send + Sync;

const KEPT: u64 = 1 << 20;

impl HttpServer {
    /// Starts a server on a port of its own. Each connection brings one request and has a thread.
    pub fn start(handler: impl Fn(&Request, &mut Answer) + Send + Sync + 'static) -> Self {
        let handler: Arc<Handler> = Arc::new(handler);
        Self::raw(move |stream, seen, ended| {
            let Some(request) = read_request(&stream) else { return };
            seen.lock().expect("no panic in it").push(request.clone());
            let mut answer = Answer { stream, ended, abrupt: false };
            handler(&request, &mut answer);
            if answer.abrupt {
                return;
            }
            let _ = answer.stream.shutdown(Shutdown::Write);
            // Until the other side has seen it all: a socket closed with unread bytes would reset the connection.
            let _ = answer.stream.set_read_timeout(Some(Duration::from_millis(200)));
            let _ = std::io::copy(&mut (&answer.stream).take(KEPT), &mut std::io::sink());
        })
    }

    /// Starts a server that speaks something else: it gets the bare connections.
    pub fn of_connections(handler: impl Fn(&mut Answer) + Send + Sync + 'static) -> Self {
        Self::raw(move |stream, seen, ended| {
            seen.lock().expect("no panic in it").push(Request::default());
            handler(&mut Answer { stream, ended, abrupt: false });
        })
    }

    fn raw(serve: impl Fn(TcpStream, &Mutex<Vec<Request>>, Arc<AtomicBool>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port of the loopback interface");
        let address = listener.local_addr().expect("it is bound");
        let (ended, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stop, requests, serve) = (Arc::clone(&ended), Arc::clone(&seen), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (serve, requests, stop) = (Arc::clone(&serve), Arc::clone(&requests), Arc::clone(&stop));
                std::thread::spawn(move || serve(stream, &requests, stop));
            }
        });
        Self { address, ended, seen }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The requests that came so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no panic in it").clone()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Request {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Everything that was sent, for searches.
    pub fn text(&self) -> String {
        let headers: Vec<String> = self.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let body = String::from_utf8_lossy(&self.body);
        format!("{} {}\n{}\n\n{body}", self.method, self.path, headers.join("\n"))
    }
}

impl Answer {
    /// Sends bytes as they are; false once the other side is gone or the server ends.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        !self.ended.load(Ordering::SeqCst) && self.stream.write_all(bytes).is_ok()
    }

    /// Sends a well-formed answer.
    pub fn respond(&mut self, status: &str, headers: &[(&str, &str)], body: &[u8]) -> bool {
        let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.send(format!("{head}\r\n").as_bytes()) && self.send(body)
    }

    /// Waits; false once the other side is gone or the server ends.
    pub fn pause(&mut self, time: Duration) -> bool {
        // A socket has no timeout of zero.
        let gone = !time.is_zero() && {
            let _ = self.stream.set_read_timeout(Some(time));
            matches!((&self.stream).read(&mut [0]), Ok(0))
        };
        !gone && !self.ended.load(Ordering::SeqCst)
    }

    /// Ends the connection with a reset instead of an end.
    pub fn reset(&mut self) {
        // With no time to linger, closing drops what was not sent yet and tells the other side so.
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        self.abrupt = true;
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let mut request =
        Request { method: words.next()?.to_owned(), path: words.next()?.to_owned(), ..Request::default() };
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    if let Some(length) = request.header("content-length").and_then(|text| text.parse::<u64>().ok()) {
        (&mut reader).take(length.min(KEPT)).read_to_end(&mut request.body).ok()?;
        std::io::copy(&mut (&mut reader).take(length.saturating_sub(KEPT)), &mut std::io::sink()).ok()?;
    } else if request.header("transfer-encoding").is_some() {
        request.body = read_chunks(&mut reader)?;
    }
    Some(request)
}

/// A body in chunks (RFC 9112, 7.1); all of it is read, the first mebibyte is kept.
fn read_chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = u64::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = Vec::new();
        reader.take(size).read_to_end(&mut chunk).ok()?;
        reader.read_line(&mut line).ok()?;
        if size == 0 {
            return Some(body);
        }
        if (body.len() as u64) < KEPT {
            body.extend(chunk);
        }
    }
}
