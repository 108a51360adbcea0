//! What a hostile server does instead of sending what it was asked for. Each trick is tried at each request that it fits.

use std::time::Duration;

use fastrand::Rng;

use crate::demo_packages::{Served, gzip};
use crate::http_server::Answer;

/// A way not to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trick {
    /// A byte of the body is another.
    WrongByte,
    /// The declared length is less than the body's.
    LengthLess,
    /// The declared length is more.
    LengthMore,
    /// The connection ends within the body.
    Truncated,
    /// The connection ends within the chunks of a body.
    TruncatedChunks,
    /// Nothing is in the body.
    Empty,
    /// A byte now and then, without end.
    Drip,
    /// Headers now and then, without end.
    DripHeaders,
    /// Interim answers without end.
    Interim,
    /// No answer.
    Silence,
    /// A body without end.
    Endless,
    /// The same, as fast as the line is: gigabytes.
    Flood,
    /// A length that no disk has.
    HugeLength,
    /// One header of 64 MB.
    HugeHeader,
    /// Headers by the hundred thousand.
    ManyHeaders,
    /// A redirect to itself.
    RedirectLoop,
    /// A redirect to another server, which answers wrongly.
    RedirectElsewhere,
    /// A redirect to a file of this machine.
    RedirectToFile,
    /// A small body that says it is gzip, of 256 MB.
    GzipBomb,
    /// A page for people.
    Html,
    /// 401, whatever the credentials.
    Unauthorized,
    /// 403 with an error without end.
    EndlessError,
    /// 429, to be tried again in a day.
    TooManyRequests,
    /// 503, to be tried again in a day.
    Unavailable,
    /// The connection is reset within the body.
    Reset,
    /// No HTTP.
    Garbage,
    /// JSON that is none.
    BrokenJson,
    /// JSON nested very deeply.
    DeepJson,
}

/// All tricks that fit any request that reads.
pub const ALL: [Trick; 28] = [
    Trick::WrongByte,
    Trick::LengthLess,
    Trick::LengthMore,
    Trick::Truncated,
    Trick::TruncatedChunks,
    Trick::Empty,
    Trick::Drip,
    Trick::DripHeaders,
    Trick::Interim,
    Trick::Silence,
    Trick::Endless,
    Trick::Flood,
    Trick::HugeLength,
    Trick::HugeHeader,
    Trick::ManyHeaders,
    Trick::RedirectLoop,
    Trick::RedirectElsewhere,
    Trick::RedirectToFile,
    Trick::GzipBomb,
    Trick::Html,
    Trick::Unauthorized,
    Trick::EndlessError,
    Trick::TooManyRequests,
    Trick::Unavailable,
    Trick::Reset,
    Trick::Garbage,
    Trick::BrokenJson,
    Trick::DeepJson,
];

const NOW_AND_THEN: Duration = Duration::from_millis(100);
/// Enough for each client to come across its own limit, in a test that does not fill the disk.
const MUCH: usize = 96 << 20;
/// More than any client may have in memory.
const FLOOD: usize = 700 << 20;

impl Trick {
    /// Answers with the trick instead of with `honest`; `elsewhere` is the address of another server.
    pub fn play(self, answer: &mut Answer, path: &str, honest: &Served, elsewhere: &str, dice: &mut Rng) {
        match self {
            Self::RedirectLoop => redirect(answer, path),
            Self::RedirectElsewhere => redirect(answer, &format!("http://{elsewhere}{path}")),
            Self::RedirectToFile => redirect(answer, "file:///etc/passwd"),
            Self::Drip | Self::DripHeaders | Self::Interim | Self::Silence => self.stall(answer, honest.bytes.len()),
            Self::Endless | Self::Flood | Self::HugeLength | Self::HugeHeader | Self::ManyHeaders => self.flood(answer),
            Self::Unauthorized | Self::EndlessError | Self::TooManyRequests | Self::Unavailable => self.refuse(answer),
            Self::GzipBomb | Self::Html | Self::Garbage | Self::BrokenJson | Self::DeepJson => {
                self.say_something_else(answer, honest.content_type);
            }
            _ => self.damage(answer, honest, dice),
        }
    }

    /// The right content, but for a part.
    fn damage(self, answer: &mut Answer, honest: &Served, dice: &mut Rng) {
        let body = &honest.bytes;
        let kind = [("Content-Type", honest.content_type)];
        match self {
            Self::WrongByte => {
                let mut wrong = body.clone();
                let at = dice.usize(..wrong.len());
                wrong[at] ^= dice.u8(1..);
                answer.respond("200 OK", &kind, &wrong);
            }
            Self::LengthLess => declared(answer, dice.usize(..body.len()), body),
            Self::LengthMore => declared(answer, body.len() + dice.usize(1..5000), body),
            Self::Truncated => declared(answer, body.len(), &body[..dice.usize(..body.len())]),
            Self::TruncatedChunks => {
                let cut = &body[..dice.usize(..body.len())];
                answer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                answer.send(format!("{:x}\r\n", cut.len().max(1)).as_bytes());
                answer.send(cut);
            }
            Self::Reset => {
                declared(answer, body.len() + 1000, body);
                answer.reset();
            }
            _ => _ = answer.respond("200 OK", &kind, b""),
        }
    }

    /// Hardly anything, without end.
    fn stall(self, answer: &mut Answer, length: usize) {
        let (head, drip): (String, &[u8]) = match self {
            Self::Drip => (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", length + 100_000), b"x"),
            Self::DripHeaders => ("HTTP/1.1 200 OK\r\n".to_owned(), b"X: y\r\n"),
            Self::Interim => (String::new(), b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
            _ => (String::new(), b""),
        };
        answer.send(head.as_bytes());
        while answer.send(drip) && answer.pause(NOW_AND_THEN) {}
    }

    /// Too much of something.
    fn flood(self, answer: &mut Answer) {
        let piece = vec![b'x'; 1 << 20];
        match self {
            Self::HugeHeader => {
                answer.send(b"HTTP/1.1 200 OK\r\nX: ");
                let _ = (0..64).all(|_| answer.send(&piece));
                answer.send(b"\r\n\r\n");
            }
            Self::ManyHeaders => {
                answer.send(b"HTTP/1.1 200 OK\r\n");
                let _ = (0..100_000).all(|number| answer.send(format!("X-{number}: y\r\n").as_bytes()));
                answer.send(b"\r\n");
            }
            Self::HugeLength => {
                answer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n");
                endless(answer);
            }
            Self::Flood => {
                answer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                let _ = (0..FLOOD >> 20).all(|_| answer.send(&piece));
            }
            _ => {
                answer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                endless(answer);
            }
        }
    }

    /// No, in many words or for long.
    fn refuse(self, answer: &mut Answer) {
        let (status, header) = match self {
            Self::EndlessError => {
                answer.send(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
                return endless(answer);
            }
            Self::Unauthorized => ("401 Unauthorized", ("WWW-Authenticate", "Basic realm=\"again\"")),
            Self::TooManyRequests => ("429 Too Many Requests", ("Retry-After", "86400")),
            _ => ("503 Service Unavailable", ("Retry-After", "86400")),
        };
        answer.respond(status, &[header], b"no");
    }

    /// Another content, well or badly formed.
    fn say_something_else(self, answer: &mut Answer, content_type: &str) {
        let kind = [("Content-Type", content_type)];
        let page = b"<!DOCTYPE html><html><body><a href=\"/login\">log in</a></body></html>";
        match self {
            Self::GzipBomb => {
                let bomb = gzip(&vec![0; 256 << 20]);
                answer.respond("200 OK", &[("Content-Encoding", "gzip")], &bomb);
            }
            Self::Html => _ = answer.respond("200 OK", &[("Content-Type", "text/html")], page),
            Self::Garbage => _ = answer.send(b"\x16\x03\x01SSH-2.0-no\r\n\0\0\0\r\n\r\n"),
            Self::BrokenJson => _ = answer.respond("200 OK", &kind, b"{\"files\": [{\"filename\": "),
            _ => {
                let deep = format!("{{\"files\": {}", "[".repeat(2 << 20));
                answer.respond("200 OK", &kind, deep.as_bytes());
            }
        }
    }
}

fn declared(answer: &mut Answer, length: usize, body: &[u8]) {
    answer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
    answer.send(body);
}

fn redirect(answer: &mut Answer, to: &str) {
    answer.respond("302 Found", &[("Location", to)], b"");
}

/// As much as anyone takes.
fn endless(answer: &mut Answer) {
    let piece = vec![b'x'; 1 << 20];
    let _ = (0..MUCH >> 20).all(|_| answer.send(&piece));
    // Then slowly: whoever has no limit waits here, and does not fill the disk of a test.
    while answer.send(&piece[..2048]) && answer.pause(NOW_AND_THEN) {}
}
