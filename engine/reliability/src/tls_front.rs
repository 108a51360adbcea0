//! TLS in front of a server of plain HTTP, with a certificate that is good or is not.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// What a server shows to prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// One of a known authority, for this host, of today.
    Good,
    /// One of an authority that the machine does not know.
    UnknownIssuer,
    /// One that names a known authority, and that somebody else signed.
    Forged,
    /// One for another host.
    OtherHost,
    /// One that has expired.
    Expired,
}

impl Certificate {
    /// Those that prove nothing.
    pub const BAD: [Self; 4] = [Self::UnknownIssuer, Self::Forged, Self::OtherHost, Self::Expired];

    /// What is wrong with it, as a message is to say it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Good => "nothing",
            Self::UnknownIssuer => "from an authority that this machine does not trust",
            Self::Forged => "not signed by the authority that it names",
            Self::OtherHost => "for another host",
            Self::Expired => "has expired",
        }
    }
}

/// An authority of its own, and a listener that takes TLS off. It ends when it is dropped.
pub struct TlsFront {
    address: SocketAddr,
    shared: Arc<Shared>,
    authority: Authority,
    _runtime: Runtime,
}

struct Shared {
    behind: String,
    config: Mutex<Arc<ServerConfig>>,
    connections: AtomicU64,
}

/// The name of the authority that machines are to trust.
const KNOWN: &str = "an authority of this test";

/// Who signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl TlsFront {
    /// Starts one on a port of its own, with a good certificate, before the server at `behind`.
    pub fn start(behind: String) -> Result<Self, String> {
        let authority = Authority::new(KNOWN)?;
        let config = Mutex::new(authority.config(Certificate::Good)?);
        let shared = Arc::new(Shared { behind, config, connections: AtomicU64::new(0) });
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().map_err(|error| error.to_string())?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let served = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, Arc::clone(&served)));
            }
        });
        Ok(Self { address, shared, authority, _runtime: runtime })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Shows this certificate from now on.
    pub fn show(&self, certificate: Certificate) -> Result<(), String> {
        *self.shared.config.lock().expect("no panic in it") = self.authority.config(certificate)?;
        Ok(())
    }

    /// How many connections came.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Writes the authority's certificate to a file, for machines that are to trust it.
    pub fn write_authority(&self, path: &Path) -> Result<(), String> {
        std::fs::write(path, &self.authority.pem).map_err(|error| error.to_string())
    }
}

/// Bytes in both directions until both sides have ended.
async fn carry(stream: TcpStream, shared: Arc<Shared>) {
    shared.connections.fetch_add(1, Ordering::SeqCst);
    let config = Arc::clone(&shared.config.lock().expect("no panic in it"));
    // Whoever does not like the certificate goes away.
    let Ok(mut outside) = TlsAcceptor::from(config).accept(stream).await else { return };
    let Ok(mut inside) = TcpStream::connect(&shared.behind).await else { return };
    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
}

impl Authority {
    fn new(name: &str) -> Result<Self, String> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
        Ok(Self { pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    fn config(&self, certificate: Certificate) -> Result<Arc<ServerConfig>, String> {
        let other = match certificate {
            Certificate::UnknownIssuer => Some(Self::new("an authority that nobody trusts")?),
            Certificate::Forged => Some(Self::new(KNOWN)?),
            _ => None,
        };
        let authority = other.as_ref().unwrap_or(self);
        let host = if certificate == Certificate::OtherHost { "other.example" } else { "127.0.0.1" };
        let mut params = CertificateParams::new([host.to_owned()]).map_err(|error| error.to_string())?;
        if certificate == Certificate::Expired {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
        }
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let signed = params.signed_by(&key, &authority.issuer).map_err(|error| error.to_string())?;
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(vec![signed.der().clone()], key);
        config.map(Arc::new).map_err(|error| error.to_string())
    }
}
