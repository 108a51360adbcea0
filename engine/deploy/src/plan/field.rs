//! Fields as the API server names them: `.spec.containers[name="web"].image` in conflicts, and the sets of fields that
//! each manager of an object owns. Pure.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::names::MANAGER;

/// Written by `kubectl rollout restart`: a deed, no setting.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// The JSON pointer of the deepest part of a value that a path leads to. Keys may hold dots, so the value decides where
/// one ends.
pub(super) fn pointer(value: &Json, path: &str) -> String {
    let Some(rest) = path.strip_prefix('.') else { return element(value, path) };
    let Some(fields) = value.as_object() else { return String::new() };
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
    let known = |key: &&String| rest.strip_prefix(key.as_str()).is_some_and(ends);
    let Some(key) = fields.keys().filter(known).max_by_key(|key| key.len()) else { return String::new() };
    format!("/{}{}", key.replace('~', "~0").replace('/', "~1"), pointer(&fields[key], &rest[key.len()..]))
}

/// The same for `[name="web"]`, `[containerPort=80,protocol="TCP"]`, `[="a"]` and `[0]`.
fn element(value: &Json, path: &str) -> String {
    let (Some(inner), Some(items)) = (path.strip_prefix('['), value.as_array()) else { return String::new() };
    let Some(end) = outside_quotes(inner, ']').first().copied() else { return String::new() };
    let (selector, rest) = (&inner[..end], &inner[end + 1..]);
    let index = match selector.parse::<usize>() {
        Ok(index) => Some(index),
        Err(_) => items.iter().position(|item| matches(item, selector)),
    };
    match index.and_then(|index| Some((index, items.get(index)?))) {
        Some((index, item)) => format!("/{index}{}", pointer(item, rest)),
        None => String::new(),
    }
}

fn matches(item: &Json, selector: &str) -> bool {
    let mut parts = Vec::new();
    let mut begin = 0;
    for comma in outside_quotes(selector, ',').into_iter().chain([selector.len()]) {
        parts.push(&selector[begin..comma]);
        begin = comma + 1;
    }
    parts.iter().all(|part| {
        let Some((key, text)) = part.split_once('=') else { return false };
        let wanted: Json = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        if key.is_empty() { *item == wanted } else { item[key] == wanted }
    })
}

/// Where a character stands in a text, but for JSON strings in it.
fn outside_quotes(text: &str, wanted: char) -> Vec<usize> {
    let (mut found, mut quoted, mut escaped) = (Vec::new(), false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == wanted && !quoted => found.push(at),
            _ => {}
        }
    }
    found
}

/// The settings of an object that others added and no target declares, with who did. Server-side apply leaves them, and
/// so no plan would show them.
pub(super) fn added_by_others(live: &Json) -> Vec<(String, String)> {
    let entries: Vec<&Json> = live["metadata"]["managedFields"].as_array().into_iter().flatten().collect();
    // Status and scale are written by whose job it is.
    let settings = |entry: &&&Json| entry["subresource"].as_str().unwrap_or_default().is_empty();
    let (ours, others): (Vec<&Json>, Vec<&Json>) =
        entries.iter().filter(settings).partition(|entry| entry["manager"] == MANAGER);
    let ours: Vec<&Json> = ours.iter().map(|entry| &entry["fieldsV1"]).collect();
    let mut added = BTreeMap::new();
    for entry in others {
        let Some(fields) = entry["fieldsV1"].as_object() else { continue };
        for (step, below) in fields.iter().filter(|(step, _)| !matches!(step.as_str(), "f:metadata" | "f:status")) {
            let ours: Vec<&Json> = ours.iter().filter_map(|ours| ours.get(step)).collect();
            collect(&shown(step), below, &ours, &mut |path| {
                added.entry(path).or_insert_with(|| entry["manager"].as_str().unwrap_or_default().to_owned());
            });
        }
    }
    added.into_iter().collect()
}

/// Tells the topmost fields below a path that we do not own. A field that is owned as a whole has the member `.`.
fn collect(path: &str, owned: &Json, ours: &[&Json], tell: &mut dyn FnMut(String)) {
    let Some(fields) = owned.as_object() else { return };
    if ours.is_empty() && (fields.is_empty() || fields.contains_key(".")) && !path.ends_with(RESTARTED) {
        let only_restarted = fields.keys().all(|step| step == "." || step.ends_with(RESTARTED)) && fields.len() > 1;
        if !only_restarted {
            return tell(path.to_owned());
        }
    }
    for (step, below) in fields.iter().filter(|(step, _)| *step != ".") {
        let ours: Vec<&Json> = ours.iter().filter_map(|ours| ours.get(step)).collect();
        collect(&format!("{path}{}", shown(step)), below, &ours, tell);
    }
}

/// `f:image` as `.image`, `k:{"name":"web"}` as `[name="web"]`, `v:"a"` as `[="a"]`, `i:0` as `[0]`.
fn shown(step: &str) -> String {
    match step.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: BTreeMap<String, Json> = serde_json::from_str(keys).unwrap_or_default();
            let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        Some((_, index)) => format!("[{index}]"),
        None => step.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_conflicts_lead_to_the_field() {
        let value = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web", "app": "x"}},
            "spec": {"containers": [
                {"name": "side"},
                {"name": "a].b", "env": [{"name": "A"}, {"name": "B", "value": "1"}],
                 "ports": [{"containerPort": 80, "protocol": "UDP"}, {"containerPort": 80, "protocol": "TCP", "name": "x"}]},
            ], "finalizers": ["a", "b"]},
        });
        let cases = [
            r#".metadata.labels.app.kubernetes.io/name"#,
            r#".spec.containers[name="a].b"].env[name="B"].value"#,
            r#".spec.containers[name="a].b"].ports[containerPort=80,protocol="TCP"].name"#,
            r#".spec.containers[name="side"].image"#,
            r#".spec.containers[name="gone"].image"#,
            r#".spec.finalizers[="b"]"#,
            r#".spec.containers[0].name"#,
            r#".data"#,
        ];
        let found: Vec<String> = cases.iter().map(|path| pointer(&value, path)).collect();
        insta::assert_snapshot!(found.join("\n"), @r"
        /metadata/labels/app.kubernetes.io~1name
        /spec/containers/1/env/1/value
        /spec/containers/1/ports/1/name
        /spec/containers/0
        /spec/containers
        /spec/finalizers/1
        /spec/containers/0/name
        ");
    }

    /// As the API server wrote them after an apply by us, `kubectl set env`, a patch with a second container, and the
    /// controller's status.
    #[test]
    fn what_others_added_is_told_at_its_top() {
        let ours = json!({"f:metadata": {"f:labels": {"f:a.b/c": {}}}, "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {
            "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}},
                "f:image": {}, "f:name": {}}}}}}});
        let ann = json!({"f:metadata": {"f:annotations": {"f:x.y/z": {}}}, "f:spec": {"f:template": {"f:spec": {"f:containers":
            {"k:{\"name\":\"side\"}": {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}}}}}});
        let set = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}":
            {"f:image": {}, "f:env": {"k:{\"name\":\"FOO\"}": {".": {}, "f:name": {}, "f:value": {}}}}}}}}});
        let restart = json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations":
            {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}}}});
        let status = json!({"f:status": {"f:replicas": {}}});
        let scale = json!({"f:spec": {"f:paused": {}}});
        let live = json!({"metadata": {"managedFields": [
            {"manager": "build", "operation": "Apply", "fieldsV1": ours},
            {"manager": "ann", "fieldsV1": ann},
            {"manager": "kubectl-set", "fieldsV1": set},
            {"manager": "kubectl-rollout", "fieldsV1": restart},
            {"manager": "controller-manager", "subresource": "status", "fieldsV1": status},
            {"manager": "autoscaler", "subresource": "scale", "fieldsV1": scale},
        ]}});
        let told: Vec<String> =
            added_by_others(&live).into_iter().map(|(path, manager)| format!("{manager} {path}")).collect();
        assert_eq!(
            told,
            [
                r#"ann .spec.template.spec.containers[name="side"]"#,
                r#"kubectl-set .spec.template.spec.containers[name="web"].env[name="FOO"]"#,
            ]
        );
        assert_eq!(added_by_others(&json!({})), []);
    }
}
