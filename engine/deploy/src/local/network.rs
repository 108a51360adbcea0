//! The wires of the local system: from a listener on one side to connections made inside a container.
//!
//! A listener inside a caller listens only while its callee is ready and accepts connections itself: before, it refuses,
//! as a Service without ready pods does. One on this machine always listens, to hold its port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};
use sandbox::Handle;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The container of a service, while it is ready.
pub(super) type Ready = watch::Receiver<Option<Handle>>;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;
/// How often it is looked whether a callee listens.
const LOOK: Duration = Duration::from_millis(50);
/// How long nothing is accepted after a failure: descriptors may be short for a moment.
const PAUSE: Duration = Duration::from_millis(10);

/// Where ports are that are not free under their own number: no program of the machine is given one of these by chance.
const SPARE: std::ops::Range<u16> = 20_000..30_000;
/// How many of them are tried.
const TRIES: u16 = 32;

/// A listener on this machine's loopback: at `port` if that is free, else at a port that follows from `name`, so that it
/// is the same the next time.
pub(super) async fn publish(port: u16, name: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let spare = (0..TRIES).map(|step| spare(name, step));
    let mut last = None;
    for port in std::iter::once(port).chain(spare).chain([0]) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => {
                let address = listener.local_addr()?;
                return Ok((listener, address));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn spare(name: &str, step: u16) -> u16 {
    let digest = model::Digest::of(name.as_bytes());
    let number = u16::from_le_bytes([digest.as_bytes()[0], digest.as_bytes()[1]]);
    SPARE.start + number.wrapping_add(step) % (SPARE.end - SPARE.start)
}

/// Connects to a port of a container.
pub(super) async fn connect(handle: &Handle, port: u16) -> io::Result<TcpStream> {
    let handle = handle.clone();
    let stream = tokio::task::spawn_blocking(move || handle.connect(port)).await.map_err(io::Error::other)??;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Passes connections of a caller on to a port of a callee while that accepts some; else the socket, which is bound, does
/// not listen. Until the task is dropped.
pub(super) async fn gate(socket: &std::net::TcpListener, mut callee: Ready, port: u16) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let mut connections = JoinSet::new();
    // It may listen already, so that nothing is refused between the start of the caller and this.
    let mut is_open = sockopt::socket_acceptconn(socket)?;
    if is_open && callee.borrow().is_none() {
        rustix::net::shutdown(socket, Shutdown::Read)?;
        is_open = false;
    }
    loop {
        let Some(handle) = next(&mut callee).await else { return Ok(()) };
        if !std::mem::take(&mut is_open) {
            if connect(&handle, port).await.is_err() {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            rustix::net::listen(socket, BACKLOG)?;
        }
        let listener = TcpListener::from_std(socket.try_clone()?)?;
        serve(&listener, &handle, port, &mut callee, &mut connections).await;
        // Forgets the listener's events before it listens again.
        drop(listener);
        rustix::net::shutdown(socket, Shutdown::Read)?;
    }
}

/// Serves a listener until the callee is another one or refuses.
async fn serve(
    listener: &TcpListener,
    handle: &Handle,
    port: u16,
    callee: &mut Ready,
    connections: &mut JoinSet<bool>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => _ = connections.spawn(pass(stream, handle.clone(), port)),
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(passed) = connections.join_next() => if matches!(passed, Ok(false)) {
                return;
            },
            _ = callee.changed() => return,
        }
    }
}

/// Passes every connection of a listener of this machine on to a port of a service, until the task is dropped.
pub(super) async fn forward(listener: TcpListener, callee: Ready, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match callee.borrow().clone() {
                    Some(handle) => _ = connections.spawn(pass(stream, handle, port)),
                    None => reset(&stream),
                },
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The container, once the service is ready; `None` when there will be none any more.
async fn next(callee: &mut Ready) -> Option<Handle> {
    callee.wait_for(Option::is_some).await.ok()?.clone()
}

/// Joins a caller's connection with one to the callee; whether the callee accepted it. One that breaks is closed: the
/// caller sees what it would see on a network.
async fn pass(mut caller: TcpStream, callee: Handle, port: u16) -> bool {
    let Ok(mut inside) = connect(&callee, port).await else {
        reset(&caller);
        return false;
    };
    // Small messages of a call must not wait for each other's acknowledgements.
    let _ = (caller.set_nodelay(true), inside.set_nodelay(true));
    let _ = copy_bidirectional(&mut caller, &mut inside).await;
    true
}

/// Has a connection end with a reset instead of an orderly end without an answer.
fn reset(stream: &TcpStream) {
    // If it cannot, the connection is closed, which is nearly as clear.
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
