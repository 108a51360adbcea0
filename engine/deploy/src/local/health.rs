//! Asking a service whether it is ready, as a kubelet does: gRPC health, HTTP, or a connection.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use sandbox::Handle;

use self::wire::health_check_response::ServingStatus;
use self::wire::{HealthCheckRequest, HealthCheckResponse};
use super::network::connect;
use crate::bundle::{Ports, Probe};

/// The messages of `proto/health.proto`.
mod wire {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
}

/// How long one check may take.
const LONGEST: Duration = Duration::from_secs(2);

/// One way to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// `grpc.health.v1.Health/Check` for a service name.
    Grpc(u16, String),
    /// GET of a path.
    Http(u16, String),
    /// A connection.
    Tcp(u16),
}

impl Check {
    /// How a service is asked; `None` when it is not.
    pub(super) fn of(probe: &Probe, ports: &Ports) -> Option<Self> {
        match probe {
            Probe::None => None,
            Probe::Grpc { service } => Some(Self::Grpc(ports.grpc?, service.clone())),
            Probe::Http { path } => Some(Self::Http(ports.http?, path.clone())),
            Probe::Auto => ports.grpc.map(|port| Self::Grpc(port, String::new())).or(ports.http.map(Self::Tcp)),
        }
    }

    /// Asks once. The error says what is not right yet.
    pub(super) async fn ask(&self, handle: &Handle) -> Result<(), String> {
        let (Self::Grpc(port, _) | Self::Http(port, _) | Self::Tcp(port)) = self;
        let attempt = async {
            let stream = connect(handle, *port).await.map_err(|error| format!("port {port}: {error}"))?;
            match self {
                Self::Grpc(_, service) => grpc(stream, service).await,
                Self::Http(_, path) => get(stream, handle.name(), path).await,
                Self::Tcp(_) => Ok(()),
            }
        };
        let too_slow = |_| format!("port {port}: no answer within {} s", LONGEST.as_secs());
        tokio::time::timeout(LONGEST, attempt).await.unwrap_or_else(|elapsed| Err(too_slow(elapsed)))
    }
}

async fn grpc(stream: TcpStream, service: &str) -> Result<(), String> {
    let broken = |error: h2::Error| format!("gRPC health: {error}");
    let (client, connection) = h2::client::handshake(stream).await.map_err(broken)?;
    let call = async {
        let request = Request::builder()
            .method(Method::POST)
            .uri(Uri::from_static("http://localhost/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| error.to_string())?;
        let mut client = client.ready().await.map_err(broken)?;
        let (response, mut body) = client.send_request(request, false).map_err(broken)?;
        body.send_data(health_request(service), true).map_err(broken)?;
        health_answer(response.await.map_err(broken)?).await
    };
    tokio::select! {
        answer = call => answer,
        ended = connection => Err(ended.map_or_else(broken, |()| "gRPC health: the connection was closed".to_owned())),
    }
}

/// The request in a frame of gRPC: a byte that says that it is not compressed, the length in four, the message.
fn health_request(service: &str) -> Bytes {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, &message].concat().into()
}

/// The status in such a frame; `None` if it is none.
fn serving_status(frame: &[u8]) -> Option<ServingStatus> {
    let (&[compressed, a, b, c, d], message) = frame.split_first_chunk::<5>()?;
    let is_whole = u32::from_be_bytes([a, b, c, d]) as usize == message.len();
    let response = HealthCheckResponse::decode(message).ok().filter(|_| compressed == 0 && is_whole)?;
    Some(response.status())
}

async fn health_answer(response: http::Response<h2::RecvStream>) -> Result<(), String> {
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!("gRPC health: HTTP status {}", head.status));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| format!("gRPC health: {error}"))?;
        // The answer is tiny, so the window never needs to grow; a failure shows in the next read.
        let _ = body.flow_control().release_capacity(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await.map_err(|error| format!("gRPC health: {error}"))?.unwrap_or_default();
    let status = trailers.get("grpc-status").or(head.headers.get("grpc-status"));
    match (status.map(http::HeaderValue::as_bytes), serving_status(&bytes)) {
        (Some(b"0"), Some(ServingStatus::Serving)) => Ok(()),
        (Some(b"0"), Some(_)) => Err("gRPC health: not serving yet".to_owned()),
        (Some(b"0"), None) => Err("gRPC health: the answer is no HealthCheckResponse".to_owned()),
        (Some(b"12"), _) => Err("gRPC health: the server has no health service (grpc.health.v1.Health)".to_owned()),
        (Some(b"5"), _) => Err("gRPC health: the server does not know the service that the probe names".to_owned()),
        (code, _) => Err(format!("gRPC health: status {}", String::from_utf8_lossy(code.unwrap_or(b"missing")))),
    }
}

async fn get(mut stream: TcpStream, name: &str, path: &str) -> Result<(), String> {
    let broken = |error: std::io::Error| format!("GET {path}: {error}");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: build\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut line = Vec::new();
    // `HTTP/1.1 200 ` is all that counts.
    stream.take(13).read_to_end(&mut line).await.map_err(broken)?;
    let line = String::from_utf8_lossy(&line);
    match line.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok()) {
        Some(200..400) => Ok(()),
        Some(code) => Err(format!("GET {path}: status {code}")),
        None => Err(format!("GET {path}: the answer is not HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_a_frame_of_the_message() {
        assert_eq!(&health_request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&health_request("a.B")[..], [&[0, 0, 0, 0, 5, 0x0a, 3][..], b"a.B"].concat());
    }

    #[test]
    fn the_answer_is_read_whatever_else_it_holds() {
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 1]), Some(ServingStatus::Serving));
        assert_eq!(serving_status(&[0, 0, 0, 0, 2, 8, 2]), Some(ServingStatus::NotServing));
        assert_eq!(serving_status(&[0, 0, 0, 0, 0]), Some(ServingStatus::Unknown));
        // A field that a later protocol adds, and a number written longer than it must be.
        assert_eq!(serving_status(&[0, 0, 0, 0, 5, 0x10, 7, 8, 0x81, 0]), Some(ServingStatus::Serving));
        for wrong in [&[0, 0, 0, 0][..], &[1, 0, 0, 0, 2, 8, 1], &[0, 0, 0, 0, 3, 8, 1], &[0, 0, 0, 0, 1, 8]] {
            assert_eq!(serving_status(wrong), None, "{wrong:?}");
        }
    }
}
