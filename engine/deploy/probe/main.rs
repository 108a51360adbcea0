//! The services that the tests of the local system run: `<kind> <port> <argument>`.
#![allow(clippy::disallowed_methods, reason = "it plays the program under test, not the engine")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;

fn main() {
    sandbox::init_if_requested();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, port, argument] = &arguments[..] else { panic!("expected <kind> <port> <argument>, got {arguments:?}") };
    println!("{kind} starts");
    let port = port.parse().unwrap();
    match kind.as_str() {
        "say" => serve(port, || argument.clone()),
        "variable" => serve(port, || std::env::var(argument).unwrap_or_default()),
        "relay" => serve(port, || ask(argument)),
        "count" => serve(port, || count(argument)),
        "early" => {
            println!("early {}", ask(argument));
            serve(port, || argument.clone());
        }
        "late" => {
            std::thread::sleep(Duration::from_millis(argument.parse().unwrap()));
            serve(port, || "late".to_owned());
        }
        "flaky" => flaky(port, argument),
        "drain" => end_late(port, Some(argument)),
        "deaf" => end_late(port, None),
        "die" => {
            (0..50).for_each(|line| println!("line {line}"));
            std::thread::sleep(Duration::from_millis(100));
            std::process::exit(argument.parse().unwrap());
        }
        "http" => http(port, argument),
        "grpc" => grpc(port, argument),
        "stubborn" => {
            let _ = std::process::Command::new("/proc/self/exe").args(["say", "1", argument]).spawn();
            serve(port, String::new);
        }
        other => panic!("unknown kind {other}"),
    }
}

fn serve(port: u16, answer: impl Fn() -> String) {
    for stream in TcpListener::bind(("0.0.0.0", port)).unwrap().incoming() {
        let text = answer();
        println!("says {text}");
        let _ = stream.unwrap().write_all(text.as_bytes());
    }
}

fn ask(address: &str) -> String {
    let mut text = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| stream.read_to_string(&mut text));
    asked.map_or_else(|error| format!("error {:?}", error.kind()), |_| format!("relayed {text}"))
}

/// How often it was asked, kept in a file.
fn count(file: &str) -> String {
    let count = std::fs::read_to_string(file).ok().and_then(|text| text.parse().ok()).unwrap_or(0) + 1;
    std::fs::write(file, count.to_string()).map_or_else(|error| error.to_string(), |()| count.to_string())
}

/// Ends at its first start, and afterwards with its fourth connection; health checks are connections too.
fn flaky(port: u16, file: &str) {
    if count(file) == "1" {
        std::process::exit(1);
    }
    for stream in TcpListener::bind(("0.0.0.0", port)).unwrap().incoming().take(4) {
        let _ = stream.unwrap().write_all(b"flaky");
    }
}

/// Accepts connections and says a space to each; some time after SIGTERM it says what it was given, and ends. With
/// nothing to say it never ends.
#[tokio::main(flavor = "current_thread")]
async fn end_late(port: u16, text: Option<&String>) {
    use tokio::io::AsyncWriteExt;
    let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await.unwrap();
    let mut streams = Vec::new();
    loop {
        tokio::select! {
            Ok((mut stream, _)) = listener.accept() => {
                let _ = stream.write_all(b" ").await;
                streams.push(stream);
            }
            _ = asked.recv() => if let Some(text) = text {
                tokio::time::sleep(Duration::from_millis(300)).await;
                for stream in &mut streams {
                    let _ = stream.write_all(text.as_bytes()).await;
                }
                return;
            },
        }
    }
}

/// Answers every request with this status.
fn http(port: u16, status: &str) {
    for stream in TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request);
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    }
}

/// A gRPC server with nothing but the health service, which serves after some milliseconds; `none` has no health
/// service.
#[tokio::main(flavor = "current_thread")]
async fn grpc(port: u16, serving_after: &str) {
    let started = std::time::Instant::now();
    let serving_after: Option<u64> = serving_after.parse().ok();
    let listener = tokio::net::TcpListener::bind(("::", port)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let response = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                let mut body = respond.send_response(response, false).unwrap();
                let mut trailers = http::HeaderMap::new();
                let code = if serving_after.is_some() { "0" } else { "12" };
                trailers.insert("grpc-status", code.parse().unwrap());
                if let Some(milliseconds) = serving_after {
                    let serving = started.elapsed() >= Duration::from_millis(milliseconds);
                    let status = if serving { 1 } else { 2 };
                    body.send_data(Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]), false).unwrap();
                }
                body.send_trailers(trailers).unwrap();
            }
        });
    }
}
