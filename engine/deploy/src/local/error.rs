//! What can go wrong with the local system.

use std::path::PathBuf;
use std::time::Duration;

use crate::bundle::{BundleError, SecretKey};

/// A local system that cannot be started, or that does not stay up.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The bundle does not fit together.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// An image cannot be read.
    #[error("the image of {service} cannot be read")]
    Image {
        /// The service.
        service: String,
        /// Why.
        #[source]
        source: oci::OciError,
    },
    /// A service's image was not handed over.
    #[error("the image of {0} was not built")]
    NoImage(String),
    /// An image lacks one of its layers.
    #[error("the image of {service} lacks its layer {layer}")]
    NoBlob {
        /// The service.
        service: String,
        /// The layer's digest.
        layer: String,
    },
    /// The image says nothing of what to run.
    #[error("the image of {0} has neither an entry point nor a command, and the service has no `args`")]
    NothingToRun(String),
    /// A layer cannot be unpacked.
    #[error("layer {layer} cannot be unpacked at {path}")]
    Layer {
        /// The layer's digest.
        layer: String,
        /// Which entry.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A layer has a form that the engine does not make itself and cannot read.
    #[error("layer {layer} has the media type `{media_type}`; gzip and plain archives can be unpacked")]
    MediaType {
        /// The layer's digest.
        layer: String,
        /// Its media type.
        media_type: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A file of the engine failed.
    #[error(transparent)]
    File(#[from] host::fs::FileError),
    /// A secret has no value on this machine.
    #[error("{service} needs the secret {}/{}, which this machine gives as {}", secret.name, secret.key, secret.variable())]
    NoSecret {
        /// The service.
        service: String,
        /// The secret.
        secret: SecretKey,
    },
    /// Another system writes the state of the environment.
    #[error("{} is the state of another local system that runs{}", folder.display(), by(*holder))]
    StateInUse {
        /// The environment's folder of state.
        folder: PathBuf,
        /// The process that has it, if it can be seen.
        holder: Option<u32>,
    },
    /// A quantity that cannot be read.
    #[error("the memory_limit `{quantity}` of {service} is no quantity of bytes")]
    Quantity {
        /// The service.
        service: String,
        /// What was written.
        quantity: String,
    },
    /// A container could not be started.
    #[error("{service} cannot be started")]
    Start {
        /// The service.
        service: String,
        /// Why.
        #[source]
        source: sandbox::SandboxError,
    },
    /// A port of the machine or of a container could not be opened.
    #[error("{service}: port {port} cannot be published on this machine")]
    Publish {
        /// The service.
        service: String,
        /// Its port.
        port: u16,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A service ended by itself.
    #[error("{service} {how}{}", last_lines(log))]
    Died {
        /// The service.
        service: String,
        /// `exited with 1`, `was ended by signal 11`.
        how: String,
        /// Its last lines.
        log: Vec<String>,
    },
    /// A service did not become ready.
    #[error("{service} is not ready after {} s: {problem}{}", waited.as_secs(), last_lines(log))]
    NotReady {
        /// The service.
        service: String,
        /// How long was waited.
        waited: Duration,
        /// What the last check said.
        problem: String,
        /// Its last lines.
        log: Vec<String>,
    },
    /// The command was stopped while the system started.
    #[error("stopped before the system was ready")]
    Cancelled,
    /// A task of the engine panicked.
    #[error("a task of the local system failed")]
    Task(#[from] tokio::task::JoinError),
}

impl LocalError {
    /// What to type next.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NoSecret { secret, .. } => vec![format!("type `export {}=...`", secret.variable())],
            Self::StateInUse { holder: Some(pid), .. } => {
                vec![format!("end it with Ctrl-C or `kill {pid}`, or use another environment for the second system")]
            }
            Self::StateInUse { .. } => vec!["end it, or use another environment for the second system".to_owned()],
            Self::NothingToRun(_) => vec!["set `binary`, `entrypoint` or `cmd` of the image".to_owned()],
            _ => Vec::new(),
        }
    }
}

fn by(holder: Option<u32>) -> String {
    holder.map(|pid| format!(" as process {pid}")).unwrap_or_default()
}

fn last_lines(log: &[String]) -> String {
    match log {
        [] => ", and it printed nothing".to_owned(),
        lines => format!("; it printed last:\n{}", lines.join("\n")),
    }
}
