//! The built-in action `bundle`: parameters of a deploy target and the content of its digest files -> the bundle.

use std::collections::BTreeMap;

use model::Digest;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::bundle::{BUNDLE_FORMAT, Bundle, BundleError, Environment, Release, Service};

/// The version of the built-in; raise it when equal inputs give another bundle.
pub const BUNDLE_BUILTIN_VERSION: u32 = 1;

/// Parameters that do not make a bundle.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The parameters have another shape.
    #[error("the parameters of `bundle` have another shape than expected")]
    Parameters(#[source] serde_json::Error),
    /// A file named by the parameters is not among the inputs.
    #[error("`{0}` is not an input of the bundle")]
    MissingInput(String),
    /// A digest file holds something else.
    #[error("`{path}` holds `{text}`, not an image digest (`sha256:...`)")]
    NotADigest {
        /// The file.
        path: String,
        /// Its text.
        text: String,
    },
    /// The parts do not fit together.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// What rules/deploy/private/deploy.star passes.
#[derive(Deserialize)]
struct Parameters {
    target: String,
    environment: Environment,
    services: BTreeMap<String, Json>,
    #[serde(default)]
    smoke_tests: Vec<String>,
}

/// Makes a bundle. `params` are those of the action: `target`, `environment`, `smoke_tests`, and `services`, in which
/// an image's `digest` is the path of its digest file and `descriptors` are paths of descriptor sets; `inputs` holds
/// these files.
pub fn bundle(params: &Json, inputs: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, AssembleError> {
    let parameters: Parameters = serde_json::from_value(params.clone()).map_err(AssembleError::Parameters)?;
    let mut services = BTreeMap::new();
    for (name, definition) in parameters.services {
        let mut service: Service = serde_json::from_value(definition).map_err(AssembleError::Parameters)?;
        service.image.digest = read_digest(&service.image.digest, inputs)?;
        for descriptor in &mut service.descriptors {
            *descriptor = Digest::of(input(descriptor, inputs)?).to_hex();
        }
        services.insert(name, service);
    }
    let bundle = Bundle {
        format: BUNDLE_FORMAT,
        target: parameters.target,
        release: Release { services },
        environment: parameters.environment,
        smoke_tests: parameters.smoke_tests,
    };
    for (name, service) in &bundle.release.services {
        bundle.process_env(name, service)?;
    }
    Ok(bundle.to_bytes())
}

fn input<'a>(path: &str, inputs: &'a BTreeMap<String, Vec<u8>>) -> Result<&'a [u8], AssembleError> {
    inputs.get(path).map(Vec::as_slice).ok_or_else(|| AssembleError::MissingInput(path.to_owned()))
}

fn read_digest(path: &str, inputs: &BTreeMap<String, Vec<u8>>) -> Result<String, AssembleError> {
    let text = String::from_utf8_lossy(input(path, inputs)?).trim().to_owned();
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(AssembleError::NotADigest { path: path.to_owned(), text: text.chars().take(80).collect() })
}
