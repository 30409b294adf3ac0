//! The first hour with `mount`: what fails leaves nothing behind, what ends is waited for, what is dead is shown.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use s3dav::embedded::{Action, Gate};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use crate::harness::held::{Held, is_gone};
use crate::harness::process::{Process, command, outcome, send_signal, serve};
use crate::harness::{BUCKET, Bucket, client, embedded, embedded_with, eventually};
use crate::mounting::{Home, is_mounted};

const OTHER: &str = "archive";

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_point_is_looked_at_before_anything_is_started() {
    let Some(mut home) = Home::new().await else { return };
    home.s3 = embedded_with(&[BUCKET, OTHER]).await;
    let (point, endpoint) = (home.point(), home.s3.endpoint_url());
    fs::create_dir(&point).unwrap();
    fs::write(point.join("mine"), "").unwrap();
    let (code, _, error) = outcome(home.with_bucket("mount", &[point.to_str().unwrap()])).await;
    assert_eq!((code, error.contains("not empty"), error.contains("hint: ")), (1, true, true), "{error}");
    assert_eq!(home.s3.hooks().total(), 0, "no gateway was started");
    fs::remove_file(point.join("mine")).unwrap();
    home.mounted().await;
    home.s3.hooks().reset();
    let other = |place: &std::path::Path| {
        let mut mount = home.command(&["mount", "--bucket", OTHER, "--force-path-style"]);
        mount.args(["--endpoint-url", &endpoint]).arg(place);
        mount
    };
    let (code, _, error) = outcome(other(&point)).await;
    assert_eq!(code, 1, "{error}");
    let expected = format!("{BUCKET} is already mounted at {}", point.display());
    let hint = format!("`s3dav unmount {}`", point.display());
    assert!(error.contains(&expected) && error.contains(&hint), "{error}");
    let asked = home.s3.hooks().transcript();
    assert!(!asked.iter().any(|(_, target)| target.contains(OTHER)), "no gateway was started: {asked:?}");
    // What the hint says works.
    let second = home.directory.path().join("second");
    let (code, _, error) = outcome(other(&second)).await;
    assert_eq!(code, 0, "{error}");
    let mut unmount = home.command(&["unmount"]);
    unmount.arg(&second);
    assert_eq!(outcome(unmount).await.0, 0);
    assert_eq!(home.unmount(&[]).await.0, 0);
}

/// A gateway that has been told to end, and cannot: a client reads what S3 holds back.
struct Ending {
    gateway: Process,
    gate: Gate,
    reading: JoinHandle<()>,
}

impl Ending {
    async fn of(s3: &s3dav::embedded::EmbeddedS3, serve: Command) -> Self {
        Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
        let gateway = Process::serving(serve).await;
        let gate = Gate::default();
        s3.hooks().next(1, "GetObject", Action::Hold(gate.clone()));
        let asked = client().get(format!("{}/file", gateway.url)).send();
        let reading = tokio::spawn(async move {
            let _ = asked.await;
        });
        gate.reached().await;
        gateway.signal("TERM").await;
        let address = gateway.url.trim_start_matches("http://").to_owned();
        eventually("a closed port", || async { TcpStream::connect(&address).await.is_err() }).await;
        Self { gateway, gate, reading }
    }

    async fn ends(mut self) {
        self.gate.open();
        assert!(self.gateway.child.wait().await.unwrap().success());
        self.reading.await.unwrap();
    }
}

/// A command under way, and what it says on standard error.
struct Saying {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Saying {
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads on until it says so.
    async fn says(&mut self, expected: &str) {
        let mut said = String::new();
        loop {
            let line = tokio::time::timeout(Duration::from_secs(60), self.lines.next_line()).await;
            let Ok(Ok(Some(line))) = line else { panic!("it never said {expected:?}:\n{said}") };
            said.push_str(&line);
            said.push('\n');
            if line.contains(expected) {
                return;
            }
        }
    }
}

const PATIENT: [&str; 2] = ["--shutdown-timeout", "60s"];

#[tokio::test(flavor = "multi_thread")]
async fn serve_waits_for_a_gateway_that_is_ending() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let endpoint = s3.endpoint_url();
    let ending = Ending::of(&s3, serve(&endpoint, &state, &PATIENT)).await;
    let mut next = Saying::of(serve(&endpoint, &state, &[]));
    next.says("is ending").await;
    ending.ends().await;
    next.says("urls=").await;
    drop(next.child);
}

/// The process that holds the sockets waits, too; stop and restart wait for the end.
#[tokio::test(flavor = "multi_thread")]
async fn stop_and_restart_wait_for_a_gateway_that_is_ending() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let endpoint = s3.endpoint_url();
    for name in ["stop", "restart", "serve"] {
        let ending = Ending::of(&s3, serve(&endpoint, &state, &PATIENT)).await;
        if name == "serve" {
            let mut next = serve(&endpoint, &state, &["--detached"]);
            let mut next = Saying::of({
                next.kill_on_drop(true);
                next
            });
            next.says("is ending").await;
            ending.ends().await;
            next.says("urls=").await;
            let mut stop = command(&["stop", "--state-dir"]);
            stop.arg(state.path().join("state"));
            assert_eq!(outcome(stop).await.0, 0);
            continue;
        }
        let mut late = command(&[name, "--state-dir"]);
        late.arg(state.path().join("state"));
        let mut late = Saying::of(late);
        late.says("is ending").await;
        ending.ends().await;
        let code = late.child.wait().await.unwrap().code();
        assert_eq!(code, Some(if name == "stop" { 0 } else { 1 }), "{name}");
        if name == "restart" {
            late.says("hint: start one with").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mount_waits_for_a_gateway_that_is_ending() {
    let Some(home) = Home::new().await else { return };
    let options = [&["--listen", "127.0.0.1:0"][..], &PATIENT].concat();
    let ending = Ending::of(&home.s3, home.with_bucket("serve", &options)).await;
    let mut mount = Saying::of(home.with_bucket("mount", &[home.point().to_str().unwrap()]));
    mount.says("is ending").await;
    ending.ends().await;
    assert_eq!(mount.child.wait().await.unwrap().code(), Some(0));
    assert!(is_mounted(&home.point()));
    assert_eq!(home.unmount(&[]).await.0, 0);
}

/// A gateway and the process that would start it anew, both gone without a word.
pub async fn kill_all(home: &Home) {
    let status = home.status().await;
    let (parent, gateway) = (status["parent"].to_string(), status["pid"].to_string());
    send_signal("STOP", &parent);
    for id in [&gateway, &parent] {
        send_signal("KILL", id);
        eventually("an end", || async { is_gone(id) }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_a_mount_without_a_gateway() {
    let Some(home) = Home::new().await else { return };
    let point = home.point();
    let shown = point.display();
    home.mounted().await;
    kill_all(&home).await;
    let (code, text, error) = outcome(home.command(&["status"])).await;
    assert_eq!(code, 1, "{text}{error}");
    assert!(text.contains(BUCKET) && text.contains(&format!("mounted    {shown}")), "{text}");
    assert!(error.contains(&format!("{BUCKET} is mounted at {shown}, and no gateway serves it")), "{error}");
    assert!(error.contains(&format!("`s3dav unmount {shown}`")), "{error}");
    let again = error.split('`').find(|part| part.starts_with("s3dav mount ")).unwrap().to_owned();
    let json = home.status().await;
    assert_eq!((&json["pid"], &json["source"]), (&serde_json::Value::Null, &BUCKET.into()), "{json}");
    assert_eq!(json["mounts"][0]["point"], point.to_str().unwrap(), "{json}");
    // Both commands do what is said of them.
    let words: Vec<&str> = again.split(' ').skip(1).collect();
    let (code, _, error) = outcome(home.command(&words)).await;
    assert_eq!(code, 0, "{again}: {error}");
    fs::write(point.join("file"), "content").unwrap();
    let (code, _, error) = outcome(home.command(&["status"])).await;
    assert_eq!(code, 0, "{error}");
    kill_all(&home).await;
    let (code, _, error) = home.unmount(&[]).await;
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = outcome(home.command(&["status"])).await;
    assert_eq!((code, error.contains("no gateway is running")), (1, true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hint_of_a_mount_that_failed_is_true() {
    let Some(home) = Home::new().await else { return };
    let config = home.directory.path().join("aws-config");
    fs::write(&config, "[profile work]\nregion = us-east-1\n").unwrap();
    let base = home.directory.path().join("state/s3dav");
    home.s3.hooks().always(Action::Fail { status: 403, code: "ExpiredToken", message: "" });
    let point = home.point();
    let options = ["--request-budget", "1s", "--profile", "work", point.to_str().unwrap()];
    let mut mount = home.with_bucket("mount", &options);
    mount.env("AWS_SESSION_TOKEN", "old").env("AWS_CONFIG_FILE", &config);
    let (code, _, error) = outcome(mount).await;
    assert_eq!(code, 1, "{error}");
    let first = error.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(first.starts_with(&format!("error: {BUCKET} cannot be mounted: credentials are ")), "{error}");
    assert!(!first.contains("ended with") && !first.contains("mount.davfs"), "{error}");
    let hint = error.lines().find(|line| line.starts_with("hint: ")).unwrap();
    assert!(hint.contains("aws sso login --profile work") && !hint.contains("NAME"), "{hint}");
    assert!(!hint.contains("by itself") && hint.contains("mount again"), "{hint}");
    assert_eq!(fs::read_dir(&base).map_or(0, Iterator::count), 0, "it never reached its source");
    // While a gateway goes on it is true.
    let state = tempfile::tempdir().unwrap();
    let mut serving = serve(&home.s3.endpoint_url(), &state, &["--profile", "work", "--detached"]);
    serving.env("AWS_SESSION_TOKEN", "old").env("AWS_CONFIG_FILE", &config);
    let held = Held::starting(serving, state.path().join("state")).await;
    let _ = client().get(format!("{}/file", held.url())).send().await;
    eventually("a hint", || async { held.status().await["problems"][0]["hint"].is_string() }).await;
    let hint = held.status().await["problems"][0]["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("--profile work") && hint.contains("continues by itself"), "{hint}");
}
