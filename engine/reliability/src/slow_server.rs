//! A server that sends files a piece at a time: downloads that take a while.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// In how many pieces a file is sent.
const PIECES: usize = 12;

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A running server; it ends when dropped.
pub struct SlowServer {
    address: String,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SlowServer {
    /// Starts one on a loopback port, with a pause before each piece.
    pub fn start(files: Files, pause: Duration) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        let (ended, files) = (Arc::new(AtomicBool::new(false)), Arc::new(files));
        let is_ended = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_ended.load(Ordering::SeqCst) {
                    return;
                }
                let files = Arc::clone(&files);
                // Whoever asked may be killed while it is answered.
                std::thread::spawn(move || _ = answer(&stream, &files, pause));
            }
        });
        Ok(Self { address, ended, thread: Some(thread) })
    }

    /// Its address, as an endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(stream: &TcpStream, files: &Files, pause: Duration) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default();
    let mut writer = stream;
    let Some(body) = files.get(path) else {
        return writer.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    for piece in body.chunks(body.len().div_ceil(PIECES).max(1)) {
        std::thread::sleep(pause);
        writer.write_all(piece)?;
    }
    Ok(())
}

impl Drop for SlowServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // The thread looks after the next connection.
        let _ = TcpStream::connect(&self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
