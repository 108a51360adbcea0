//! An image registry on a loopback port: Debian's `docker-registry`, which knows nothing of the engine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const START: Duration = Duration::from_secs(20);
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry process; it ends with the row.
pub struct Registry {
    process: Child,
    address: String,
    _data: TempDir,
}

impl Registry {
    /// Starts one.
    pub fn start() -> Result<Self, String> {
        let data = tempfile::Builder::new().prefix("reliability-registry-").tempdir().map_err(|e| e.to_string())?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = format!("127.0.0.1:{}", port.map_err(|error| error.to_string())?.port());
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            data.path().join("storage").display()
        );
        let file = data.path().join("config.yml");
        std::fs::write(&file, config).map_err(|error| error.to_string())?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().map_err(|error| format!("docker-registry (a package of Debian): {error}"))?;
        let registry = Self { process, address, _data: data };
        let began = Instant::now();
        while TcpStream::connect(&registry.address).is_err() {
            if began.elapsed() > START {
                return Err("docker-registry does not come up".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The body of an answer.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, String> {
        let ask = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(&self.address)?;
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: {ACCEPT}\r\n\r\n", self.address)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().map_err(|error| format!("GET {path}: {error}"))?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or(format!("GET {path}: no answer"))?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        match head.split(' ').nth(1) {
            Some("200") => Ok(answer[end + 4..].to_vec()),
            _ => Err(format!("GET {path}: {head}")),
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
