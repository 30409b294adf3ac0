//! What platforms ask: whether it should be left alone, whether it can do its work, and the metrics alone.

use std::time::Duration;

use s3dav::embedded::{Action, EmbeddedS3};
use s3dav::shutdown::End;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::control::on;
use crate::harness::clients;
use crate::harness::faults::{injected, serving_from_afar};
use crate::harness::held::Held;
use crate::harness::process::{Process, command, outcome, send_signal, serve};
use crate::harness::{BUCKET, TestGateway, client, embedded, embedded_options, eventually};

/// Exit code, and the one line that it said.
async fn health(gateway: &TestGateway) -> (i32, String) {
    let (code, out, error) = outcome(on(gateway, &["health"])).await;
    (code, out + &error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_healthy_until_it_ends() {
    for gateway in TestGateway::both().await {
        eventually("a socket", || async { health(&gateway).await.0 == 0 }).await;
        assert_eq!(health(&gateway).await, (0, "healthy\n".to_owned()));
        if gateway.has_hooks() {
            gateway.hooks().always(AWAY);
            assert_eq!(health(&gateway).await.0, 0, "another start would not bring S3 back");
            gateway.hooks().heal();
        }
        gateway.shutdown.request(End::Stop);
        let said = health(&gateway).await;
        assert_eq!(said, (1, "error: the gateway is ending\n".to_owned()));
        assert_eq!(gateway.get("/.s3dav/ready").await, (503, "the gateway is ending\n".into()));
        assert_eq!(gateway.status("GET", "/.s3dav/health").await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_why_in_one_line_where_no_gateway_serves() {
    let state = tempfile::tempdir().unwrap();
    let of = |directory: &std::path::Path| {
        let mut command = command(&["health"]);
        // As a container gives it.
        command.env("S3DAV_STATE_DIR", directory);
        command
    };
    let (code, out, error) = outcome(of(&state.path().join("none"))).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        error.starts_with("error: no gateway is running with its state in ") && error.lines().count() == 1,
        "{error}"
    );

    let s3 = embedded().await;
    let held = Held::start(&s3.endpoint_url(), &state, &[]).await;
    eventually("a gateway", || async { outcome(of(&held.state_dir)).await.0 == 0 }).await;
    // Then the next one cannot start.
    s3.hooks().always(Action::Fail { status: 403, code: "InvalidAccessKeyId", message: "x" });
    std::fs::remove_file(held.state_dir.join("source.toml")).unwrap();
    held.kill_gateway().await;
    let said = || async { outcome(of(&held.state_dir)).await };
    eventually("a reason", || async {
        said().await.2.contains("does not know this access key (InvalidAccessKeyId)")
    })
    .await;
    let (code, _, error) = said().await;
    assert!(code == 1 && error.lines().count() == 1, "{error}");

    // One that is there and says nothing.
    let (s3, other) = (embedded().await, tempfile::tempdir().unwrap());
    let silent = Process::gateway(&s3.endpoint_url(), &other, &[]).await;
    let id = silent.child.id().unwrap().to_string();
    send_signal("STOP", &id);
    let begun = Instant::now();
    let (code, _, error) = outcome(of(&other.path().join("state"))).await;
    send_signal("CONT", &id);
    assert_eq!((code, error.as_str()), (1, "error: the gateway does not answer\n"));
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_does_not_answer_is_a_failure_and_costs_one_thread() {
    if clients::find("strace").is_none() {
        return;
    }
    let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let state_dir = state.path().join("state");
    let mut serve = command(&["serve", "--listen", "127.0.0.1:0", "--path"]);
    serve.arg(root.path()).arg("--state-dir").arg(&state_dir);
    let gateway = serving_from_afar(&serve).await;
    let health = || async {
        let mut command = command(&["health", "--state-dir"]);
        command.arg(&state_dir);
        outcome(command).await
    };
    assert_eq!(health().await.0, 0);
    let path = root.path().to_str().unwrap();
    let mut fault = injected(&gateway, &[path, "."], "openat2,openat:delay_enter=30000000").await;
    let first = health().await;
    assert_eq!((first.0, first.2.as_str()), (1, "error: the directory that it serves does not answer\n"));
    let ready = client().get(format!("{}/.s3dav/ready", gateway.url)).send().await.unwrap();
    assert_eq!(ready.status(), 200, "it was reached");
    fault.kill().await.unwrap();
    eventually("health", || async { health().await.0 == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_s3_was_reached() {
    // A port that nobody listens at yet.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (endpoint, state) = (format!("http://{address}"), tempfile::tempdir().unwrap());
    let mut serve = serve(&endpoint, &state, &["--auth", "basic"]);
    serve.env("AWS_MAX_ATTEMPTS", "1");
    let gateway = Process::serving(serve).await;
    let ready = async |method: &str, host: &str| {
        let url = format!("{}/.s3dav/ready", gateway.url);
        let request = client().request(method.parse().unwrap(), url).header("host", host);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, why) = ready("GET", "localhost").await;
    assert!(status == 503 && why.starts_with("S3 has not been reached yet"), "{status} {why}");
    assert!(!why.contains(BUCKET), "strangers may ask");
    assert_eq!(ready("GET", "evil.example").await.0, 403);
    assert_eq!(ready("PUT", "localhost").await.0, 405);
    assert_eq!(ready("HEAD", "localhost").await, (503, String::new()));

    let listener = TcpListener::bind(address).await.unwrap();
    let s3 = EmbeddedS3::start(listener, embedded_options(&[BUCKET])).await.unwrap();
    // Nobody else asks for anything.
    eventually("ready", || async { ready("GET", "localhost").await == (200, "ready\n".to_owned()) }).await;
    let asked = s3.hooks().total();
    for _ in 0..10 {
        assert_eq!(ready("GET", "localhost").await.0, 200);
    }
    assert_eq!(s3.hooks().total(), asked, "and from then on S3 is not asked");
    s3.hooks().always(AWAY);
    assert_eq!(ready("GET", "localhost").await.0, 200, "what is known is served while S3 is away");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_an_address_of_their_own() {
    let state = tempfile::tempdir().unwrap();
    let s3 = embedded().await;
    let more = ["--auth", "basic", "--metrics-listen", "0.0.0.0:0"];
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &more).await;
    let said = gateway.said.lock().clone();
    let at = said.split("url=\"http://0.0.0.0:").nth(1).unwrap_or_else(|| panic!("{said}"));
    let url = format!("http://127.0.0.1:{}", at.split('/').next().unwrap());
    let ask = async |method: &str, path: &str, host: Option<&str>| {
        let mut request = client().request(method.parse().unwrap(), format!("{url}{path}"));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for path in ["/metrics", "/.s3dav/metrics"] {
        let (status, text) = ask("GET", path, None).await;
        assert!(status == 200 && text.contains("s3dav_s3_requests_total"), "{path}: {status} {text}");
        assert_eq!(ask("HEAD", path, None).await, (200, String::new()));
        assert_eq!(ask("POST", path, None).await.0, 405, "{path}");
    }
    assert_eq!(ask("GET", "/.s3dav/health", None).await, (200, "ok\n".to_owned()));
    assert_eq!(ask("GET", "/.s3dav/ready", None).await, (200, "ready\n".to_owned()));
    for (method, path) in [
        ("GET", "/"),
        ("PROPFIND", "/"),
        ("OPTIONS", "/"),
        ("PUT", "/file"),
        ("DELETE", "/file"),
        ("GET", "/.s3dav/knock/x"),
    ] {
        assert_eq!(ask(method, path, None).await.0, 404, "{method} {path}");
    }
    assert_eq!(ask("GET", "/metrics", Some("s3dav.monitoring.svc:9330")).await.0, 200, "by a Service's name");
    // Little room, and enough: whoever does nothing there makes room.
    let at = url.trim_start_matches("http://");
    let idle = futures_util::future::join_all((0..100).map(|_| tokio::net::TcpStream::connect(at))).await;
    assert_eq!(ask("GET", "/metrics", None).await.0, 200);
    drop(idle);
    let main = client().get(format!("{}/metrics", gateway.url)).send().await.unwrap();
    assert_eq!(main.status(), 401, "at the main address that is a file's name");
    assert_eq!(s3.hooks().count("PutObject"), 0);
}

/// What a server says that cannot do anything now.
const AWAY: Action = Action::Fail { status: 503, code: "ServiceUnavailable", message: "" };
