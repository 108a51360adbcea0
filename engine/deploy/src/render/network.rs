//! Service and NetworkPolicy: who reaches whom.

use serde_json::{Value as Json, json};

use super::Context;
use crate::bundle::Ports;
use crate::names;
use crate::object::Object;

impl Context<'_> {
    /// The name under which others reach it. None without ports.
    pub(super) fn cluster_service(&self) -> Option<Object> {
        let ports: Vec<Json> =
            self.service.ports.named().into_iter().map(|(name, port)| service_port(name, port)).collect();
        if ports.is_empty() {
            return None;
        }
        let mut service = self
            .object("Service", self.name)
            .with("spec", json!({"type": "ClusterIP", "selector": self.selector(), "ports": ports}));
        for (index, (protocol, _)) in self.service.ports.named().into_iter().enumerate() {
            service = service.from(&format!("/spec/ports/{index}"), &self.service.label, protocol);
        }
        Some(service)
    }

    /// Denies all but what `calls` says, in both directions.
    pub(super) fn network_policy(&self) -> Object {
        let spec = json!({
            "podSelector": {"matchLabels": self.selector()},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": self.ingress(),
            "egress": self.egress(),
        });
        self.object("NetworkPolicy", self.name)
            .with("spec", spec)
            .from("/spec/ingress", &self.service.label, "calls of its callers")
            .from("/spec/egress", &self.service.label, if self.service.internet { "internet" } else { "calls" })
    }

    fn ingress(&self) -> Vec<Json> {
        let services = &self.bundle.release.services;
        let callers = services.iter().filter(|(_, other)| other.calls.iter().any(|callee| callee == self.name));
        let from: Vec<Json> = callers.map(|(name, _)| self.peer(name)).collect();
        let mut rules = Vec::new();
        let ports = call_ports(&self.service.ports);
        if !from.is_empty() && !ports.is_empty() {
            rules.push(json!({"from": from, "ports": ports}));
        }
        if let Some(port) = self.service.ports.metrics {
            // Scrapers live in other namespaces, which this environment does not know.
            rules.push(json!({"from": [{"namespaceSelector": {}}], "ports": [tcp(port)]}));
        }
        rules
    }

    fn egress(&self) -> Vec<Json> {
        if self.service.internet {
            return vec![json!({})];
        }
        let mut rules = vec![json!({"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]})];
        for callee in &self.service.calls {
            let ports =
                self.bundle.release.services.get(callee).map(|called| call_ports(&called.ports)).unwrap_or_default();
            if !ports.is_empty() {
                rules.push(json!({"to": [self.peer(callee)], "ports": ports}));
            }
        }
        rules
    }

    fn peer(&self, service: &str) -> Json {
        json!({"podSelector": {"matchLabels": names::selector(self.bundle, service)}})
    }
}

fn service_port(name: &str, port: u16) -> Json {
    json!({"name": name, "port": port, "targetPort": name, "protocol": "TCP"})
}

fn call_ports(ports: &Ports) -> Vec<Json> {
    [ports.grpc, ports.http].into_iter().flatten().map(tcp).collect()
}

fn tcp(port: u16) -> Json {
    json!({"protocol": "TCP", "port": port})
}
