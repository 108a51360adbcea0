//! How services start, crash and end together.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use deploy::{LocalError, LocalService, LocalState, Probe, StateLock};
use model::Cancel;

use crate::fixture::{address, ask, options, service, start, start_with};

/// Two services, of which the first asks the second as soon as it starts; that one listens after half a second.
fn early(calls_of_late: &[&str]) -> Vec<LocalService> {
    vec![service("early", "early", "late:8443", &["late"]), service("late", "late", "500", calls_of_late)]
}

#[tokio::test]
async fn a_callee_is_ready_before_its_caller_starts() {
    let (local, messages) = start_with(options(), early(&[])).await;
    assert!(messages.say("log: early | early relayed late"), "{:?}", messages.0);
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_callee_that_does_not_listen_yet_refuses() {
    // Calls that lead back leave no order.
    let (local, messages) = start_with(options(), early(&["early"])).await;
    assert!(messages.say("log: early | early error ConnectionRefused"), "{:?}", messages.0);
    local.shutdown().await.unwrap();
}

fn flaky(folder: &std::path::Path) -> LocalService {
    let mut flaky = service("flaky", "flaky", "/var/lib/flaky/count", &[]);
    flaky.state = Some(LocalState { path: "/var/lib/flaky".to_owned(), folder: Some(folder.to_owned()) });
    flaky
}

#[tokio::test]
async fn what_ends_by_itself_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut again = options();
    again.restart = true;
    let caller = service("front", "relay", "flaky:8443", &["flaky"]);
    let (local, messages) = start_with(again.clone(), vec![flaky(folder.path()), caller]).await;
    assert!(
        messages.say("flaky starts again in 1 s: flaky exited with 1; it printed last:\nflaky starts"),
        "{:?}",
        messages.0
    );
    // Each second connection ends it: calls are refused until it listens again.
    let mut answers = Vec::new();
    let end = Instant::now() + Duration::from_secs(20);
    while !(answers.contains(&"error ConnectionRefused".to_owned())
        && answers.last().is_some_and(|last| last == "relayed flaky"))
    {
        assert!(Instant::now() < end, "{answers:?}");
        answers.push(ask(&local, "front").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    local.shutdown().await.unwrap();

    let dying = service("dying", "die", "7", &[]);
    let began = Instant::now();
    let error =
        deploy::Local::start(vec![dying], again, std::sync::Arc::new(model::NoReporter), &Cancel::default()).await;
    assert!(matches!(error, Err(LocalError::Died { .. })), "{error:?}");
    assert!(began.elapsed() >= Duration::from_secs(7), "it is started again three times");
}

#[tokio::test]
async fn a_connection_stays_until_its_service_has_ended() {
    let local = start(vec![service("drain", "drain", "last words", &[])]).await.unwrap();
    let address = address(&local, "drain");
    let (accepted, is_accepted) = tokio::sync::oneshot::channel();
    let read = tokio::task::spawn_blocking(move || {
        let mut connection = TcpStream::connect(address).unwrap();
        // It was accepted once something comes.
        connection.read_exact(&mut [0; 1]).unwrap();
        accepted.send(()).unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).map(|_| text)
    });
    is_accepted.await.unwrap();
    let (ended, read) = tokio::join!(local.shutdown(), read);
    ended.unwrap();
    assert_eq!(read.unwrap().unwrap(), "last words");
}

#[tokio::test]
async fn who_does_not_end_is_killed_and_named() {
    let mut short = options();
    short.grace = Duration::from_millis(300);
    let services = || vec![service("deaf", "deaf", "x", &[]), service("fine", "say", "x", &[])];
    let (local, messages) = start_with(short, services()).await;
    local.shutdown().await.unwrap();
    assert!(
        messages.say("deaf did not end when asked to, and was killed") && !messages.say("fine did not"),
        "{:?}",
        messages.0
    );

    // Who asks twice waits for nobody.
    let cancel = Cancel::default();
    let local =
        deploy::Local::start(services(), options(), std::sync::Arc::new(model::NoReporter), &cancel).await.unwrap();
    let began = Instant::now();
    cancel.cancel();
    let insist = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        cancel.insist();
    };
    let (ended, ()) = tokio::join!(local.shutdown(), insist);
    ended.unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(200) && began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn it_is_said_what_a_service_that_is_not_ready_lacks() {
    let mut web = service("web", "http", "503 Busy", &[]);
    web.probe = Probe::Http { path: "/healthz".to_owned() };
    let messages = std::sync::Arc::new(crate::fixture::Messages::default());
    let mut short = options();
    short.timeout = Duration::from_secs(7);
    let reporter: std::sync::Arc<crate::fixture::Messages> = std::sync::Arc::clone(&messages);
    let failed = deploy::Local::start(vec![web], short, reporter, &Cancel::default()).await;
    assert!(matches!(failed, Err(LocalError::NotReady { .. })));
    assert!(messages.say("local: web is not ready after 5 s: GET /healthz: status 503"), "{:?}", messages.0);
}

#[test]
fn the_state_of_an_environment_has_one_system() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("here");
    let held = StateLock::take(&state).unwrap();
    let error = StateLock::take(&state).unwrap_err();
    assert!(error.to_string().contains("is the state of another local system that runs"), "{error}");
    drop(held);
    StateLock::take(&state).unwrap();
}
