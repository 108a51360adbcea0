//! Secrets that can be told from anything else, and the forms in which a secret may come to light.

use base64::Engine as _;
use fastrand::Rng;

/// Where each secret is placed; see `machine.rs`.
pub const NAMES: [&str; 30] = [
    "env_aws",
    "env_github",
    "env_database",
    "env_npm",
    "env_ci",
    "env_goproxy",
    "env_pip_index",
    "env_pip_extra",
    "endpoint_go",
    "endpoint_pypi",
    "endpoint_debian",
    "config_endpoint",
    "docker_password",
    "docker_token",
    "kube_secret",
    "docker_helper",
    "netrc",
    "pip_conf",
    "go_env",
    "kube_token",
    "kube_password",
    "kube_key",
    "ssh_key",
    "git_credentials",
    "git_remote",
    "aws_file",
    "npmrc",
    "dotenv",
    "test_env",
    "run_argument",
];

/// The names of the forms.
pub const ENCODINGS: [&str; 9] =
    ["plain", "base64", "hex", "HEX", "percent", "JSON escapes", "UTF-16", "reversed", "octal escapes"];

/// A secret.
#[derive(Debug, Clone)]
pub struct Canary {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// Letters and digits: a secret that needs no quotes where it is placed.
    pub value: String,
}

/// Bytes that give a secret away.
#[derive(Debug, Clone)]
pub struct Needle {
    /// The secret's index.
    pub canary: usize,
    /// The form's index.
    pub encoding: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// All secrets of a try.
pub fn canaries(dice: &mut Rng) -> Vec<Canary> {
    let mut random = || format!("cnry{}", std::iter::repeat_with(|| dice.alphanumeric()).take(28).collect::<String>());
    NAMES.iter().map(|name| Canary { name, value: random() }).collect()
}

/// Everything that the scanner looks for.
pub fn needles(canaries: &[Canary]) -> Vec<Needle> {
    let mut needles = Vec::new();
    for (canary, Canary { value, .. }) in canaries.iter().enumerate() {
        for (encoding, form) in encoded(value).into_iter().enumerate() {
            needles.push(Needle { canary, encoding, bytes: form });
        }
        // The two other ways in which base64 may fall on it, without the ends that depend on neighbours.
        for shift in [1, 2] {
            let text = base64::engine::general_purpose::STANDARD.encode(format!("{}{value}", &"xx"[..shift]));
            needles.push(Needle { canary, encoding: 1, bytes: text.as_bytes()[4..4 + 36].to_vec() });
        }
    }
    needles
}

/// A secret in each form, in the order of [`ENCODINGS`].
pub fn encoded(value: &str) -> Vec<Vec<u8>> {
    let each = |form: &dyn Fn(u8) -> String| value.bytes().map(form).collect::<String>().into_bytes();
    let base64 = base64::engine::general_purpose::STANDARD.encode(value);
    vec![
        value.as_bytes().to_vec(),
        base64.as_bytes()[..40].to_vec(),
        each(&|byte| format!("{byte:02x}")),
        each(&|byte| format!("{byte:02X}")),
        each(&|byte| format!("%{byte:02X}")),
        each(&|byte| format!("\\u00{byte:02x}")),
        value.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        value.bytes().rev().collect(),
        each(&|byte| format!("\\{byte:03o}")),
    ]
}
