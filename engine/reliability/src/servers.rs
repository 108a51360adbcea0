//! Servers of the machine that an action must not reach. Each says a word to whoever connects.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

/// The servers; they end when this is dropped.
pub struct Servers {
    /// A port on loopback.
    pub tcp: u16,
    /// Another, for packets.
    pub udp: u16,
    /// A socket in a folder.
    pub socket: PathBuf,
    /// The name of a socket in the abstract space.
    pub name: String,
    _folder: TempDir,
    reached: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl Servers {
    /// Starts them.
    pub fn start(word: &str) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("reliability-servers-").tempdir()?;
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), all)?;
        let reached = Arc::new(AtomicUsize::new(0));
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        let name = format!("build-reliability-{}-{}", std::process::id(), tcp.local_addr()?.port());
        let abstracted = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        abstracted.set_nonblocking(true)?;
        let socket = folder.path().join("s");
        let in_folder = UnixListener::bind(&socket)?;
        in_folder.set_nonblocking(true)?;
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&socket, all)?;
        let started = Self {
            tcp: tcp.local_addr()?.port(),
            udp: udp.local_addr()?.port(),
            socket,
            name,
            _folder: folder,
            reached,
            ended: Arc::default(),
        };
        let words = [(); 4].map(|()| format!("{word}\n").into_bytes());
        let [tcp_word, abstract_word, folder_word, udp_word] = words;
        started.serve(move || tcp.accept()?.0.write_all(&tcp_word));
        started.serve(move || abstracted.accept()?.0.write_all(&abstract_word));
        started.serve(move || in_folder.accept()?.0.write_all(&folder_word));
        started.serve(move || {
            let (_, from) = udp.recv_from(&mut [0; 16])?;
            udp.send_to(&udp_word, from).map(drop)
        });
        Ok(started)
    }

    /// Answers until the servers are dropped; what has nothing to answer says so at once.
    fn serve(&self, mut answer: impl FnMut() -> std::io::Result<()> + Send + 'static) {
        let (reached, ended) = (Arc::clone(&self.reached), Arc::clone(&self.ended));
        std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                match answer() {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(Duration::from_millis(10))
                    }
                    _ => drop(reached.fetch_add(1, Ordering::SeqCst)),
                }
            }
        });
    }

    /// How often one of them was reached.
    pub fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}
