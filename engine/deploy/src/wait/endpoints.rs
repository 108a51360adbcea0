//! Whether the cluster sends requests to the pods of a rollout, and to no others. A pod is ready a moment before the
//! endpoints of its Service say so, and a call in that moment would reach an old pod that has ended, or none.

use std::collections::BTreeSet;
use std::time::Duration;

use model::Cancel;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::verdict::is_ready;
use super::{Expected, WaitRequest};
use crate::kinds::{ENDPOINT_SLICE, POD};
use crate::names;

/// How often endpoints are looked at.
const POLL: Duration = Duration::from_millis(100);
/// How long they may lag behind. Whatever keeps them longer, smoke tests will tell.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until the endpoints of every Service follow its pods. Who may not read endpoints does not wait.
pub(super) async fn wait_for_endpoints(request: &WaitRequest<'_>, cancel: &Cancel) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !cancel.is_cancelled() {
        let list = |kind| request.cluster.list(kind, request.namespace, request.selector, "");
        let (Ok(pods), Ok(slices)) = (list(&POD).await, list(&ENDPOINT_SLICE).await) else { return };
        if request.expected.iter().all(|expected| follow(expected, &pods, &slices)) {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether the endpoints of a service are exactly its ready pods. A service without ports has no endpoints.
fn follow(expected: &Expected, pods: &[Json], slices: &[Json]) -> bool {
    let service = expected.name.as_str();
    let mut slices = slices.iter().filter(|slice| slice["metadata"]["labels"][SERVICE_NAME] == service).peekable();
    if slices.peek().is_none() {
        return expected.template["spec"]["containers"][0]["ports"].as_array().is_none_or(Vec::is_empty);
    }
    let ready = pods.iter().filter(|pod| pod["metadata"]["labels"][names::NAME] == service && is_ready(pod));
    let ready: BTreeSet<&str> = ready.filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
    let served = slices.filter_map(|slice| slice["endpoints"].as_array()).flatten();
    let served = served.filter(|endpoint| endpoint["conditions"]["ready"] != false);
    let served: BTreeSet<&str> = served.filter_map(|endpoint| endpoint["targetRef"]["name"].as_str()).collect();
    served == ready
}

/// The label by which a slice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wait::Past;

    fn pod(name: &str, ready: bool) -> Json {
        json!({
            "metadata": {"name": name, "labels": {names::NAME: "web"}},
            "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        })
    }

    fn slice(endpoints: &[(&str, bool)]) -> Json {
        let endpoint =
            |(name, ready): &(&str, bool)| json!({"conditions": {"ready": ready}, "targetRef": {"name": name}});
        json!({
            "metadata": {"labels": {SERVICE_NAME: "web"}},
            "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        })
    }

    fn web(ports: Json) -> Expected {
        let template = json!({"spec": {"containers": [{"ports": ports}]}});
        Expected { name: "web".into(), uid: "u".into(), generation: 1, template, past: Past::default() }
    }

    #[test]
    fn endpoints_follow_when_they_are_the_ready_pods() {
        let expected = web(json!([{"containerPort": 80}]));
        let pods = [pod("new", true), pod("slow", false)];
        assert!(follow(&expected, &pods, &[slice(&[("new", true), ("old", false)])]));
        assert!(follow(&expected, &pods, &[slice(&[]), slice(&[("new", true), ("slow", false)])]), "two slices");
        assert!(!follow(&expected, &pods, &[slice(&[("new", true), ("old", true)])]), "an old pod is still served");
        assert!(!follow(&expected, &pods, &[slice(&[("new", false)])]), "the new pod is not served yet");
        assert!(!follow(&expected, &pods, &[]), "no slice yet");
        assert!(follow(&web(json!([])), &pods, &[]), "no ports, no Service");
    }
}
