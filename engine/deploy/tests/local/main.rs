//! The local system, with real processes in real containers.

mod fixture;
mod images;
mod life;

use std::sync::Arc;
use std::time::{Duration, Instant};

use deploy::{Local, LocalState, Ports, Probe};
use fixture::{Messages, address, ask, options, processes_with, service, start, start_with};
use model::Cancel;

#[tokio::test]
async fn services_talk_where_calls_say_so_and_nowhere_else() {
    // Calls may be cyclic, and all services may have the same port.
    let services = vec![
        service("front", "relay", "back:8443", &["back"]),
        service("back", "say", "hello", &["front"]),
        service("stranger", "relay", "back:8443", &[]),
        service("spy", "relay", "front:9999", &["front"]),
    ];
    let local = start(services).await.unwrap();
    assert_eq!(ask(&local, "front").await, "relayed hello");
    assert_eq!(ask(&local, "back").await, "hello");
    assert_eq!(ask(&local, "stranger").await, "error Uncategorized");
    assert_eq!(ask(&local, "spy").await, "error ConnectionRefused");
    assert_eq!(local.env()["BACK_ADDR"], address(&local, "back").to_string());
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn shutdown_is_quick_and_leaves_nothing() {
    let mark = format!("mark-{}", std::process::id());
    let local = start(vec![service("a", "stubborn", &mark, &[]), service("b", "say", &mark, &[])]).await.unwrap();
    assert_eq!(processes_with(&mark), 3);
    let published = address(&local, "b");
    let started = Instant::now();
    local.shutdown().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(processes_with(&mark), 0);
    assert!(std::net::TcpStream::connect(published).is_err());
}

#[tokio::test]
async fn cancelling_ends_the_wait() {
    let cancel = Cancel::default();
    let services = vec![service("a", "say", "x", &[])];
    let mut local = Local::start(services, options(), Arc::new(Messages::default()), &cancel).await.unwrap();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(local.wait_until_cancelled(), stop);
    ended.unwrap();
    local.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_service_that_dies_is_reported_with_its_code_and_last_lines() {
    let mark = format!("bystander-{}", std::process::id());
    let services = vec![service("broken", "die", "7", &[]), service("fine", "say", &mark, &[])];
    let started = Instant::now();
    let message = start(services).await.err().unwrap().to_string();
    assert!(started.elapsed() < Duration::from_secs(20));
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[0], "broken exited with 7; it printed last:");
    assert_eq!((lines.len(), lines[1], lines[40]), (41, "line 10", "line 49"));
    assert_eq!(processes_with(&mark), 0);
}

#[tokio::test]
async fn a_crash_later_is_reported_too() {
    let mut crashing = service("crashing", "die", "3", &[]);
    crashing.probe = Probe::None;
    let mut local = start(vec![crashing]).await.unwrap();
    let error = local.wait_until_cancelled().await.unwrap_err();
    assert!(error.to_string().starts_with("crashing exited with 3;"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let mut missing = service("missing", "say", "x", &[]);
    missing.argv[0] = "/app/absent".to_owned();
    let error = start(vec![missing]).await.err().unwrap().to_string();
    assert!(error.contains("missing did not start") && error.contains("cannot run /app/absent"), "{error}");
}

#[tokio::test]
async fn readiness_is_what_the_health_service_says() {
    let grpc = |after: &str| {
        let mut service = service("model", "grpc", after, &[]);
        service.ports = Ports { grpc: Some(8443), ..Ports::default() };
        service
    };
    let started = Instant::now();
    start(vec![grpc("400")]).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400));

    let mut short = options();
    short.timeout = Duration::from_millis(300);
    let none = Local::start(vec![grpc("none")], short.clone(), Arc::new(Messages::default()), &Cancel::default()).await;
    assert!(none.err().unwrap().to_string().contains("has no health service"));

    let mut http = service("web", "http", "503 Busy", &[]);
    http.probe = Probe::Http { path: "/healthz".to_owned() };
    let busy = Local::start(vec![http.clone()], short, Arc::new(Messages::default()), &Cancel::default()).await;
    assert!(busy.err().unwrap().to_string().contains("GET /healthz: status 503"));
    http.argv[3] = "204 Fine".to_owned();
    start(vec![http]).await.unwrap();
}

#[tokio::test]
async fn state_outlives_the_service_where_a_folder_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = async |folder: Option<std::path::PathBuf>| {
        let mut ledger = service("ledger", "count", "/var/lib/ledger/count", &[]);
        ledger.probe = Probe::None;
        ledger.state = Some(LocalState { path: "/var/lib/ledger".to_owned(), folder });
        let local = start(vec![ledger]).await.unwrap();
        // Without a probe, the service may not listen yet.
        let mut said = String::new();
        while said.is_empty() {
            said = ask(&local, "ledger").await;
        }
        local.shutdown().await.unwrap();
        said
    };
    assert_eq!(run(None).await, "1");
    assert_eq!(run(Some(folder.path().to_owned())).await, "1");
    assert_eq!(run(Some(folder.path().to_owned())).await, "2");
}

#[tokio::test]
async fn logs_are_reported_with_the_name_of_the_service() {
    let messages = Arc::new(Messages::default());
    let services = vec![service("a", "say", "x", &[])];
    let reporter: Arc<Messages> = Arc::clone(&messages);
    let local = Local::start(services, options(), reporter, &Cancel::default()).await.unwrap();
    local.shutdown().await.unwrap();
    let messages = messages.0.lock().unwrap();
    assert!(messages.contains(&"log: a | say starts".to_owned()), "{messages:?}");
    assert!(messages.iter().any(|message| message.starts_with("local: a is ready after ")), "{messages:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_published_elsewhere() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut a = service("a", "say", "x", &[]);
    a.ports.http = Some(port);
    a.argv[2] = port.to_string();
    let (local, messages) = start_with(options(), vec![a.clone()]).await;
    let first = address(&local, "a");
    assert_ne!(first.port(), port);
    let holder = format!("port {port} of a (http) is taken by `");
    assert!(messages.say(&holder) && messages.say(&format!("(process {})", std::process::id())), "{:?}", messages.0);
    assert_eq!(ask(&local, "a").await, "x");
    local.shutdown().await.unwrap();
    // It is the same the next time.
    let local = start(vec![a]).await.unwrap();
    assert_eq!(address(&local, "a"), first);
    local.shutdown().await.unwrap();
}
