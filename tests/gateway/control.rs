//! The control socket, and the commands that use it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use s3dav::embedded::Action;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::harness::process::{Process, command, outcome};
use crate::harness::{TestGateway, eventually};

pub fn on(gateway: &TestGateway, arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command.arg("--state-dir").arg(gateway.state.path().join("state"));
    command
}

pub async fn status(gateway: &TestGateway) -> serde_json::Value {
    let (code, text, error) = outcome(on(gateway, &["status", "--json"])).await;
    assert_eq!(code, 0, "{error}");
    serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_is_served_and_what_it_cost() {
    for gateway in TestGateway::both().await {
        gateway.put("/a", "content").await;
        let told = status(&gateway).await;
        assert_eq!(told["urls"][0], format!("{}/", gateway.url));
        assert_eq!(told["pid"], std::process::id());
        assert_eq!(told["requests"], 1);
        assert_eq!(told["problems"], serde_json::json!([]));
        let (code, text, _) = outcome(on(&gateway, &["status"])).await;
        assert_eq!(code, 0);
        assert!(text.contains(&gateway.url) && text.contains("1 request so far"), "{text}");
    }
    let gateway = TestGateway::start().await;
    gateway.put("/a", "content").await;
    let told = status(&gateway).await;
    assert_eq!(told["s3_requests"]["PutObject"], 1);
    let total: u64 = told["s3_requests"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert!(total >= gateway.hooks().total(), "{total}: the start counts, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_is_wrong_and_what_to_do() {
    let gateway = TestGateway::start_with(|config| {
        config.service.request_budget = Some(std::time::Duration::from_millis(1))
    })
    .await;
    gateway.hooks().always(Action::Fail { status: 403, code: "ExpiredToken", message: "" });
    assert_eq!(gateway.status("GET", "/a").await, 503);
    let problem = status(&gateway).await["problems"][0].clone();
    assert!(problem["message"].as_str().unwrap().contains("bucket"), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("aws sso login"), "{problem}");
    gateway.hooks().heal();
    assert_eq!(gateway.status("GET", "/a").await, 404);
    assert_eq!(status(&gateway).await["problems"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_open_the_socket() {
    let gateway = TestGateway::start().await;
    let state = gateway.state.path().join("state");
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    eventually("a socket", || async { state.join("control.sock").exists() }).await;
    assert_eq!(mode(state.clone()), 0o700, "nobody comes to it");
    eventually("its rights", || async { mode(state.join("control.sock")) == 0o600 }).await;
    let (_s3, _state) = gateway.stop().await;
    assert!(!state.join("control.sock").exists(), "it goes with the gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_with_a_long_path_has_its_socket_elsewhere() {
    let gateway = TestGateway::start_with(|config| config.state_dir.push("n".repeat(100))).await;
    let state = gateway.state.path().join("state").join("n".repeat(100));
    eventually("a socket", || async { state.join("control.path").exists() }).await;
    let elsewhere = std::fs::read_to_string(state.join("control.path")).unwrap();
    eventually("a socket", || async { std::path::Path::new(&elsewhere).exists() }).await;
    let mut asked = command(&["status", "--json", "--state-dir"]);
    asked.arg(&state);
    let (code, text, error) = outcome(asked).await;
    assert_eq!(code, 0, "{error}");
    assert!(text.contains(&gateway.url));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_said_so() {
    let gateway = TestGateway::start().await;
    let path = gateway.state.path().join("state/control.sock");
    // It is there a moment before it listens.
    eventually("a socket", || async { UnixStream::connect(&path).await.is_ok() }).await;
    for (line, expected) in [
        ("{\"version\":1,\"do\":\"status\"}\n", "\"reply\":\"status\""),
        ("{\"version\":2,\"do\":\"something-new\"}\n", "{\"version\":1,\"reply\":\"other-version\"}"),
        ("{\"version\":1,\"do\":\"something-new\"}\n", "was not understood"),
        ("GET / HTTP/1.1\n", "was not understood"),
        ("{\"version\":1,\"do\":\"export-shelf\",\"directory\":\"relative\"}\n", "not an absolute path"),
    ] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(expected), "{line}{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_stopped_in_order() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let s3 = Process::embedded_s3(&data).await;
    let mut gateway = Process::gateway(&s3.url, &state, &[]).await;
    let mut stop = command(&["stop", "--state-dir"]);
    stop.arg(state.path().join("state"));
    let (code, _, error) = outcome(stop).await;
    assert_eq!(code, 0, "{error}");
    assert!(gateway.child.wait().await.unwrap().success());
    for arguments in [["status", "--state-dir"], ["stop", "--state-dir"]] {
        let mut again = command(&arguments);
        again.arg(state.path().join("state"));
        let (code, _, error) = outcome(again).await;
        assert_eq!(code, 1);
        assert!(error.contains("no gateway is running") && error.contains("hint: "), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_all_gateways_are_found() {
    let home = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let s3 = Process::embedded_s3(&data).await;
    let at_home = |arguments: &[&str]| {
        let mut command = command(arguments);
        command.env("XDG_STATE_HOME", home.path());
        command
    };
    let mut gateways = Vec::new();
    for bucket in ["bucket/a", "bucket/b"] {
        let options = ["serve", "--bucket", bucket, "--endpoint-url", &s3.url, "--force-path-style"];
        let mut serve = at_home(&options);
        serve.args(["--listen", "127.0.0.1:0"]);
        gateways.push(Process::serving(serve).await);
    }
    let (code, text, _) = outcome(at_home(&["status"])).await;
    assert_eq!(code, 0);
    assert!(text.contains("bucket/a") && text.contains("bucket/b"), "{text}");
    let (code, _, error) = outcome(at_home(&["stop"])).await;
    assert_eq!(code, 1);
    assert!(error.contains("several gateways") && error.contains("--state-dir"), "{error}");
    gateways[0].signal("TERM").await;
    gateways[0].child.wait().await.unwrap();
    assert_eq!(outcome(at_home(&["stop"])).await.0, 0, "the only one that is left");
    let (code, _, error) = outcome(at_home(&["status"])).await;
    assert_eq!((code, error.contains("no gateway is running")), (1, true), "{error}");
}
