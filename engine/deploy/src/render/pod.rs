//! The pod template: container, probes, environment, volumes, and a security context that the `restricted` level
//! allows.

use serde_json::{Map, Value as Json, json};

use super::Context;
use crate::bundle::{BundleError, Probe, Resources};
use crate::object::Object;

/// Seconds that a pod goes on after it was told to end, before its process is told: the endpoints of a Service follow a
/// pod a moment late, and what is sent to it until then must still be answered. The node itself sleeps, so the image needs
/// no program for it.
const DRAIN: u32 = 5;
/// Seconds that the process has then to end what it does.
const GRACE: u32 = 30;

/// The user and group that containers run as: the customary "nonroot" of minimal images.
const USER: u32 = 65532;

impl Context<'_> {
    /// The pod's spec.
    pub(super) fn pod_spec(&self, config: Option<&Object>) -> Result<Json, BundleError> {
        let mut container = json!({
            "name": self.name,
            "image": self.service.image.reference(&self.place.registry),
            "imagePullPolicy": "IfNotPresent",
            "env": self.container_env()?,
            "ports": self.container_ports(),
            "resources": resources(&self.service.resources),
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": self.mounts(),
            "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN}}},
        });
        if !self.service.args.is_empty() {
            // Kubernetes would replace `$(NAME)`; arguments mean what they say.
            let literal = |argument: &String| argument.replace('$', "$$");
            container["args"] = json!(self.service.args.iter().map(literal).collect::<Vec<_>>());
        }
        if let Some(config) = config {
            container["envFrom"] = json!([{"configMapRef": {"name": config.key().name}}]);
        }
        for (name, probe) in self.probes() {
            container[name] = probe;
        }
        Ok(json!({
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "serviceAccountName": self.name,
            "terminationGracePeriodSeconds": DRAIN + GRACE,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": self.volumes(),
        }))
    }

    /// The environment that is not in the ConfigMap, in the order of names.
    pub(super) fn container_env(&self) -> Result<Vec<Json>, BundleError> {
        let derived = self.bundle.derived_env(self.name, self.service)?;
        let mut env: Vec<Json> =
            derived.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        env.push(
            json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}),
        );
        for (name, secret) in &self.service.secrets {
            let reference = json!({"secretKeyRef": {"name": secret.name, "key": secret.key}});
            env.push(json!({"name": name, "valueFrom": reference}));
        }
        env.sort_by_key(|variable| variable["name"].as_str().unwrap_or_default().to_owned());
        Ok(env)
    }

    fn container_ports(&self) -> Vec<Json> {
        let ports = self.service.ports.named().into_iter();
        ports.map(|(name, port)| json!({"name": name, "containerPort": port, "protocol": "TCP"})).collect()
    }

    fn mounts(&self) -> Vec<Json> {
        let mut mounts = vec![json!({"name": "tmp", "mountPath": "/tmp"})];
        if let Some(state) = &self.service.state {
            mounts.push(json!({"name": "state", "mountPath": state.path}));
        }
        mounts
    }

    fn volumes(&self) -> Vec<Json> {
        let mut volumes = vec![json!({"name": "tmp", "emptyDir": {}})];
        if self.service.state.is_some() {
            volumes.push(match self.bundle.environment.persistent {
                true => json!({"name": "state", "persistentVolumeClaim": {"claimName": self.claim_name()}}),
                false => json!({"name": "state", "emptyDir": {}}),
            });
        }
        volumes
    }

    /// Startup is asked every second so that a new pod is ready soon, and for two minutes so that a slow one may start.
    fn probes(&self) -> Vec<(&'static str, Json)> {
        let Some(check) = self.check() else { return Vec::new() };
        let probe = |period: u32, failures: u32, timeout: u32| {
            let mut probe = check.clone();
            let fields = [("periodSeconds", period), ("failureThreshold", failures), ("timeoutSeconds", timeout)];
            for (field, number) in fields.into_iter().chain([("successThreshold", 1)]) {
                probe.insert(field.to_owned(), json!(number));
            }
            Json::Object(probe)
        };
        vec![("startupProbe", probe(1, 120, 2)), ("readinessProbe", probe(5, 2, 2)), ("livenessProbe", probe(10, 6, 5))]
    }

    fn check(&self) -> Option<Map<String, Json>> {
        let ports = &self.service.ports;
        let check = match &self.service.probe {
            Probe::None => return None,
            Probe::Grpc { service } => json!({"grpc": {"port": ports.grpc?, "service": service}}),
            Probe::Http { path } => json!({"httpGet": {"path": path, "port": ports.http?, "scheme": "HTTP"}}),
            Probe::Auto => match (ports.grpc, ports.http) {
                (Some(port), _) => json!({"grpc": {"port": port, "service": ""}}),
                (None, Some(port)) => json!({"tcpSocket": {"port": port}}),
                (None, None) => return None,
            },
        };
        check.as_object().cloned()
    }
}

fn resources(resources: &Resources) -> Json {
    let quantities = |pairs: [(&str, &String); 2]| -> Map<String, Json> {
        let set = pairs.into_iter().filter(|(_, quantity)| !quantity.is_empty());
        set.map(|(name, quantity)| (name.to_owned(), json!(quantity))).collect()
    };
    json!({
        "requests": quantities([("cpu", &resources.cpu), ("memory", &resources.memory)]),
        "limits": quantities([("cpu", &resources.cpu_limit), ("memory", &resources.memory_limit)]),
    })
}
