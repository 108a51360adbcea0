//! The parameters of a small system, as the deploy rule would pass them.

use std::collections::BTreeMap;

use deploy::{Bundle, bundle};
use serde_json::{Value, json};

/// The digest of the only image.
pub const DIGEST: &str = "sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b";

/// Parameters: `controller` and `model` call each other, `ledger` has state and a secret.
pub fn parameters() -> Value {
    let image = |name: &str| {
        let (label, repository) = (format!("//services/{name}:image"), format!("services/{name}"));
        json!({"label": label, "repository": repository, "digest": "out/x/image.digest"})
    };
    json!({
        "target": "//deploy:to-staging",
        "environment": {
            "label": "//deploy:staging", "name": "staging", "kind": "cluster", "cluster": "staging",
            "namespace": "staging", "create_namespace": true, "per_branch": false, "registry": "",
            "values": {"log_level": "info", "workers": 4}, "replicas": {"model": 2},
            "persistent": true, "rollback": true, "clean": false, "requires": null, "timeout": 300,
        },
        "services": {
            "controller": {
                "label": "//services/controller:controller", "image": image("controller"),
                "ports": {"grpc": 8443, "http": 8080, "metrics": 9090}, "calls": ["ledger", "model"],
                "env": {
                    "LOG_LEVEL": {"var": "log_level", "type": "string", "default": null},
                    "WORKERS": {"var": "workers", "type": "int", "default": 2},
                    "BANNER": "yes: #1",
                },
                "probe": {"kind": "grpc", "service": "prediction.v1.Controller"},
                "descriptors": ["out/x/p.descriptors"],
            },
            "model": {
                "label": "//services/model:model", "image": image("model"),
                "ports": {"grpc": 8443, "http": null, "metrics": null},
                "calls": ["controller"], "args": ["--device", "cpu"], "resources": {"cpu": "100m", "memory": "128Mi"},
            },
            "ledger": {
                "label": "//services/ledger:ledger", "image": image("ledger"), "ports": {"http": 8080},
                "secrets": {"DB": {"name": "ledger", "key": "db"}}, "state": {"path": "/var/lib/ledger", "size": "1Gi"},
                "probe": {"kind": "http", "path": "/healthz"},
            },
        },
        "smoke_tests": ["//services/controller:smoke"],
    })
}

/// The inputs that go with [`parameters`].
pub fn inputs() -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([
        ("out/x/image.digest".to_owned(), format!("{DIGEST}\n").into_bytes()),
        ("out/x/p.descriptors".to_owned(), b"descriptors".to_vec()),
    ])
}

/// The bundle of [`parameters`].
pub fn sample() -> Bundle {
    Bundle::from_bytes(&bundle(&parameters(), &inputs()).unwrap()).unwrap()
}
