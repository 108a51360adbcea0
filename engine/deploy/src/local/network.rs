//! The wires of the local system: from a listener on one side to connections made inside a container.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use sandbox::Handle;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A listener on this machine's loopback: at `port` if that is free, else anywhere.
pub(super) async fn publish(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
    };
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Takes over a listener that was made elsewhere.
pub(super) fn adopt(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Connects to a port of a container.
pub(super) async fn connect(handle: &Handle, port: u16) -> io::Result<TcpStream> {
    let handle = handle.clone();
    let stream = tokio::task::spawn_blocking(move || handle.connect(port)).await.map_err(io::Error::other)??;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Passes every connection of a listener on to a port of a container, until the task is dropped.
pub(super) async fn forward(listener: TcpListener, callee: Handle, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(pass(stream, callee.clone(), port));
                }
                // The caller gave up, or descriptors are short for a moment.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A connection that cannot be made, or that breaks, is closed: the caller sees what it would see on a network.
async fn pass(mut caller: TcpStream, callee: Handle, port: u16) {
    let Ok(mut inside) = connect(&callee, port).await else { return };
    // Small messages of a call must not wait for each other's acknowledgements.
    let _ = (caller.set_nodelay(true), inside.set_nodelay(true));
    let _ = copy_bidirectional(&mut caller, &mut inside).await;
}
