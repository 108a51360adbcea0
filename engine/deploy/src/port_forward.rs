//! Local ports that lead to a service's pods through the API server, for tests and tools on this machine.
//!
//! Each connection asks anew for a ready pod, so forwarding goes on when pods are replaced.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::bundle::Service;
use crate::cluster::Cluster;
use crate::kinds::POD;
use crate::names;
use crate::wait::is_ready;

/// Forwarded ports; closed when dropped.
#[derive(Debug)]
pub struct Forwards {
    addresses: BTreeMap<String, BTreeMap<String, SocketAddr>>,
    tasks: Vec<JoinHandle<()>>,
}

/// A port that cannot be forwarded.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// No port of this machine could be opened.
    #[error("cannot open a local port for {service}")]
    Listen {
        /// The service.
        service: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no such service.
    #[error("no service `{0}` in the release")]
    Unknown(String),
}

/// Where a forwarded port leads.
#[derive(Clone)]
struct Destination {
    cluster: Cluster,
    namespace: String,
    selector: String,
    port: u16,
}

impl Forwards {
    /// Opens a loopback port for each port of each service.
    pub(crate) async fn open(
        cluster: &Cluster,
        namespace: &str,
        environment: &str,
        services: &[(&str, &Service)],
    ) -> Result<Self, ForwardError> {
        let mut forwards = Self { addresses: BTreeMap::new(), tasks: Vec::new() };
        for (name, service) in services {
            for (protocol, port) in service.ports.named() {
                let failed = |source| ForwardError::Listen { service: (*name).to_owned(), source };
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                let destination = Destination {
                    cluster: cluster.clone(),
                    namespace: namespace.to_owned(),
                    selector: format!("{}={name},{}={environment}", names::NAME, names::INSTANCE),
                    port,
                };
                forwards.tasks.push(tokio::spawn(serve(listener, destination)));
                forwards.addresses.entry((*name).to_owned()).or_default().insert(protocol.to_owned(), address);
            }
        }
        Ok(forwards)
    }

    /// The local address of each port: service -> `grpc`, `http`, `metrics` -> address.
    pub fn addresses(&self) -> &BTreeMap<String, BTreeMap<String, SocketAddr>> {
        &self.addresses
    }

    /// The variables that a smoke test gets, named as those of a caller in the cluster: `MODEL_ADDR`,
    /// `MODEL_HTTP_ADDR`, and besides `MODEL_METRICS_ADDR`.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        for (service, ports) in &self.addresses {
            let prefix = service.to_uppercase().replace(['-', '.'], "_");
            let main = ports.get("grpc").or(ports.get("http"));
            env.extend(main.map(|address| (format!("{prefix}_ADDR"), address.to_string())));
            for (protocol, address) in ports.iter().filter(|(protocol, _)| *protocol != "grpc") {
                env.insert(format!("{prefix}_{}_ADDR", protocol.to_uppercase()), address.to_string());
            }
        }
        env
    }
}

impl Drop for Forwards {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(listener: TcpListener, destination: Destination) {
    // Connections live in the set, so they end with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(forward(stream, destination.clone()));
                }
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection. When it cannot be carried, it is closed: the client sees that and tries again.
async fn forward(mut local: TcpStream, to: Destination) {
    let Some(pod) = ready_pod(&to).await else { return };
    let Ok(mut forwarder) = to.cluster.pods(&to.namespace).portforward(&pod, &[to.port]).await else { return };
    if let Some(mut remote) = forwarder.take_stream(to.port) {
        let _ = tokio::io::copy_bidirectional(&mut local, &mut remote).await;
        drop(remote);
    }
    forwarder.abort();
}

async fn ready_pod(to: &Destination) -> Option<String> {
    let pods = to.cluster.list(&POD, &to.namespace, &to.selector, "").await.ok()?;
    let ready = pods.iter().filter(|pod| is_ready(pod));
    let newest =
        ready.max_by_key(|pod| pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned())?;
    newest["metadata"]["name"].as_str().map(str::to_owned)
}
