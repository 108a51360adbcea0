//! Locks against an API server that is a function: clients of one Lease, each of which can be cut off.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use kube::client::{Body, Client};
use model::NoReporter;
use tower_service::Service;

use super::*;
use crate::kinds::Kind;

const TERMS: Terms =
    Terms { lease: Duration::from_secs(1), renewal: Duration::from_millis(200), poll: Duration::from_millis(50) };

/// The Lease, and how many ConfigMaps were made.
#[derive(Default)]
struct Server {
    lease: Option<Json>,
    version: u64,
    config_maps: usize,
}

impl Server {
    /// Answers as the API server does, as far as a lock asks: optimistic writes of one object.
    fn answer(&mut self, method: &str, path: &str, mut sent: Json) -> (u16, Json) {
        if path.ends_with("/configmaps") {
            self.config_maps += 1;
            return (201, sent);
        }
        let known = self.lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (method, known) {
            ("GET", Some(_)) => return (200, self.lease.clone().unwrap()),
            ("GET" | "PUT", None) => return (404, failure("NotFound", 404)),
            ("POST", Some(_)) => return (409, failure("AlreadyExists", 409)),
            ("PUT", Some(version)) if version != sent["metadata"]["resourceVersion"] => {
                return (409, failure("Conflict", 409));
            }
            _ => {}
        }
        self.version += 1;
        sent["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(sent.clone());
        (200, sent)
    }
}

fn failure(reason: &str, code: u16) -> Json {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code})
}

/// A client's way to the server.
#[derive(Clone)]
struct Line {
    server: Arc<Mutex<Server>>,
    cut: Arc<AtomicBool>,
}

impl Service<Request<Body>> for Line {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let line = self.clone();
        Box::pin(async move {
            if line.cut.load(Ordering::SeqCst) {
                return Err(std::io::Error::other("cut off"));
            }
            let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
            let bytes = request.into_body().collect_bytes().await.map_err(std::io::Error::other)?;
            let sent: Json = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
            let (status, answer) = line.server.lock().unwrap().answer(&method, &path, sent);
            Ok(Response::builder().status(status).body(Body::from(answer.to_string().into_bytes())).unwrap())
        })
    }
}

/// Two clients of one server; the second is never cut off.
struct Scene {
    server: Arc<Mutex<Server>>,
    cut: Arc<AtomicBool>,
    first: Cluster,
    second: Cluster,
}

fn scene() -> Scene {
    let server = Arc::new(Mutex::new(Server::default()));
    let cut = Arc::new(AtomicBool::new(false));
    let client =
        |cut: &Arc<AtomicBool>| Cluster::of(Client::new(Line { server: server.clone(), cut: cut.clone() }, "default"));
    let (first, second) = (client(&cut), client(&Arc::default()));
    Scene { server, cut, first, second }
}

async fn lock(cluster: &Cluster, who: &str, patience: Duration) -> Result<Lock, LockError> {
    let request = LockRequest { cluster, namespace: "ns", environment: "test", who, patience, terms: TERMS };
    acquire(&request, &NoReporter, &Cancel::default()).await
}

/// Tries to write something under a lock.
async fn write(cluster: &Cluster, lock: &Lock) -> Result<(), String> {
    let kind = Kind::named("ConfigMap").unwrap();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    let written = cluster.under(lock.permit()).create(kind, "ns", &object).await;
    written.map(drop).map_err(|error| error.to_string())
}

async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test]
async fn a_holder_that_lives_is_left_alone_for_as_long_as_it_likes() {
    let Scene { server, first, second, .. } = scene();
    let held = lock(&first, "ann@laptop", Duration::ZERO).await.unwrap();
    let refused = lock(&second, "ann@laptop", Duration::from_millis(2500)).await.err().unwrap();
    assert!(refused.to_string().starts_with("ann@laptop is rolling out to `test` since 2"), "{refused}");
    write(&first, &held).await.unwrap();
    held.release().await;
    let next = lock(&second, "bob@ci", Duration::ZERO).await.unwrap();
    assert!(!next.was_taken_over, "it was given up");
    write(&second, &next).await.unwrap();
    assert_eq!(server.lock().unwrap().config_maps, 2);
}

#[tokio::test]
async fn who_was_cut_off_and_replaced_writes_nothing_more() {
    let Scene { server, cut, first, second } = scene();
    let cut_off = lock(&first, "ann@laptop", Duration::ZERO).await.unwrap();
    cut.store(true, Ordering::SeqCst);
    let next = lock(&second, "bob@ci", Duration::ZERO).await.unwrap();
    assert!(next.was_taken_over);
    cut.store(false, Ordering::SeqCst);
    let refused = write(&first, &cut_off).await.unwrap_err();
    assert!(refused.contains("bob@ci took the lock"), "{refused}");
    write(&second, &next).await.unwrap();
    // Nor does its end give away the lock of the other.
    cut_off.release().await;
    wait(500).await;
    write(&second, &next).await.unwrap();
    next.release().await;
    assert_eq!(server.lock().unwrap().config_maps, 2);
}

#[tokio::test]
async fn who_was_cut_off_and_not_replaced_goes_on() {
    let Scene { server, cut, first, .. } = scene();
    let held = lock(&first, "ann@laptop", Duration::ZERO).await.unwrap();
    cut.store(true, Ordering::SeqCst);
    wait(1500).await;
    assert_eq!(held.permit().check(host::clock::boot()), Err(Refusal::Lapsed));
    cut.store(false, Ordering::SeqCst);
    write(&first, &held).await.unwrap();
    assert_eq!(server.lock().unwrap().config_maps, 1);
}

#[tokio::test]
async fn after_a_pause_longer_than_the_lease_nothing_is_written() {
    let Scene { server, first, .. } = scene();
    let held = lock(&first, "ann@laptop", Duration::ZERO).await.unwrap();
    wait(300).await;
    // The whole process stands still: this test has one thread.
    std::thread::sleep(Duration::from_millis(1600));
    let refused = write(&first, &held).await.unwrap_err();
    assert!(refused.contains("stood still for 1 s, longer than its lock holds"), "{refused}");
    assert_eq!(server.lock().unwrap().config_maps, 0);
}

#[tokio::test]
async fn a_lock_that_was_removed_is_lost() {
    let Scene { server, first, .. } = scene();
    let held = lock(&first, "ann@laptop", Duration::ZERO).await.unwrap();
    server.lock().unwrap().lease = None;
    wait(500).await;
    assert!(write(&first, &held).await.unwrap_err().contains("its lock was removed"));
}

#[test]
fn micro_time_has_six_digits() {
    let time: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
    assert_eq!(micro_time(time), "2026-01-01T00:01:00.000000Z");
}

#[test]
fn each_lock_has_a_holder_of_its_own() {
    let (one, two) = (identity("ann@laptop"), identity("ann@laptop"));
    assert_ne!(one, two);
    assert_eq!((who(&one), one.len()), ("ann@laptop", "ann@laptop/".len() + 32));
}
