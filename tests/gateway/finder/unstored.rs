//! The user is told what became of a save that is not stored: in `s3dav status`, and on the desktop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use s3dav::embedded::{Action, Gate, Rule};
use s3dav::notify::{Notifier, NotifyOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{AGENT, Finder};
use crate::control::{on, status};
use crate::harness::process::{Process, command, outcome};
use crate::harness::{TestGateway, clients, embedded, eventually};

/// What is refused at once.
const DENIED: Action = Action::Fail { status: 403, code: "AccessDenied", message: "" };

/// A program that stands for the desktop.
struct Desktop(TempDir);

impl Desktop {
    /// It notes what it is told, then goes on with `script`. None where there is no shell.
    fn new(script: &str) -> Option<Self> {
        let tools = clients::needs(&["cp", "sh", "sleep"])?;
        let desktop = Self(tempfile::tempdir().unwrap());
        let (said, written) = (desktop.file("said"), desktop.file("written"));
        let note = format!("printf '%s|%s|%s\\n' \"$#\" \"$1\" \"$2\" >> '{}'", said.display());
        fs::write(&written, format!("#!/bin/sh\n{note}\ncd \"$(dirname \"$0\")\" || exit 9\n{script}\n"))
            .unwrap();
        fs::set_permissions(&written, fs::Permissions::from_mode(0o755)).unwrap();
        // What this process starts meanwhile would hold it open for writing.
        let copied = tools.blocking_command("cp").arg(written).arg(desktop.program()).status();
        assert!(copied.unwrap().success());
        Some(desktop)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.file("notifier")
    }

    fn options(&self) -> NotifyOptions {
        NotifyOptions {
            by: Some(Notifier::Given(self.program())),
            slow: Duration::from_secs(3600),
            gather: Duration::from_millis(1),
            pause: Duration::ZERO,
            limit: Duration::from_secs(60),
        }
    }

    /// What was shown so far.
    fn shown(&self) -> Vec<String> {
        fs::read_to_string(self.file("said")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    async fn has_shown(&self, count: usize) -> Vec<String> {
        eventually("a notification", || async { self.shown().len() >= count }).await;
        self.shown()
    }
}

fn deny(gateway: &TestGateway) {
    gateway.hooks().next(usize::MAX, "PutObject", DENIED);
}

/// A save as Finder makes it, whatever comes of it.
async fn save(mac: &Finder, path: &str) -> u16 {
    assert!(matches!(mac.status("PUT", path).await, 201 | 204), "{path}");
    let token = mac.lock(path).await;
    let status = mac.put(path, &token, "content").await;
    assert_eq!(mac.unlock(path, &token).await, 204, "{path}");
    status
}

/// Sends a content once more.
async fn again(mac: &Finder, path: &str) -> u16 {
    let token = mac.lock(path).await;
    let status = mac.put(path, &token, "content").await;
    assert_eq!(mac.unlock(path, &token).await, 204, "{path}");
    status
}

async fn saves(gateway: &TestGateway) -> Value {
    status(gateway).await["saves"].clone()
}

async fn text(gateway: &TestGateway) -> String {
    let (code, text, error) = outcome(on(gateway, &["status"])).await;
    assert_eq!(code, 0, "{error}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_was_refused_is_in_the_status_until_it_is_stored() {
    let gateway = TestGateway::start().await;
    let mac = Finder::of(&gateway);
    assert_eq!(mac.status("PUT", "/empty").await, 201);
    deny(&gateway);
    assert_eq!(save(&mac, "/Report.docx").await, 403);
    let told = saves(&gateway).await;
    assert_eq!(told.as_array().unwrap().len(), 1, "an empty file is none: {told}");
    let told = &told[0];
    assert_eq!(told["path"], "/Report.docx");
    assert_eq!((&told["state"], &told["bytes"]), (&json!("failed"), &json!(7)));
    let why = told["why"].as_str().unwrap();
    assert!(why.contains("denied") && told["since"].as_u64().unwrap() > 1_700_000_000, "{told}");
    let text_now = text(&gateway).await;
    let line = text_now.lines().find(|line| line.starts_with("failed     /Report.docx (7 bytes, ")).unwrap();
    assert!(line.ends_with(&format!(" ago): {why}")), "{line}");
    assert!(
        text_now.contains("hint       save incomplete files again; until then they are not moved"),
        "{line}"
    );
    assert!(text_now.contains("waiting    2 empty files"), "{text_now}");
    gateway.hooks().heal();
    assert!(again(&mac, "/Report.docx").await < 300);
    assert_eq!(saves(&gateway).await, json!([]));
    assert!(!text(&gateway).await.contains("Report"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_waits_is_in_the_status_after_a_while() {
    let at_once = TestGateway::start_with(|config| config.notify.slow = Duration::ZERO).await;
    for (gateway, is_slow) in [(TestGateway::start().await, false), (at_once, true)] {
        let mac = Finder::of(&gateway);
        let gate = Gate::default();
        gateway.hooks().next(1, "PutObject", Action::Hold(gate.clone()));
        assert_eq!(mac.status("PUT", "/large").await, 201);
        let token = mac.lock("/large").await;
        let writing = mac.request("PUT", "/large").header("If", format!("(<{token}>)")).body("content");
        let writing = tokio::spawn(writing.send());
        gate.reached().await;
        let told = status(&gateway).await;
        assert_eq!(told["held_creates"], 1, "the row of the empty file stands for the content");
        if is_slow {
            assert_eq!(told["saves"].as_array().unwrap().len(), 1, "{told}");
            let told = &told["saves"][0];
            assert_eq!((&told["path"], &told["state"]), (&json!("/large"), &json!("waiting")));
            let text = text(&gateway).await;
            assert!(text.contains("waiting    /large (7 bytes, for "), "{text}");
            assert!(text.contains("hint       pending files are stored as soon as possible"), "{text}");
        } else {
            assert_eq!(told["saves"], json!([]));
        }
        gate.open();
        assert!(writing.await.unwrap().unwrap().status().is_success());
        assert_eq!(saves(&gateway).await, json!([]));
    }
}

/// Half of a content, of which the rest does not come.
async fn send_half(url: &str) -> TcpStream {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "PUT /saved HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {AGENT}\r\nTransfer-Encoding: chunked\r\n\
         X-Expected-Entity-Length: 20\r\n\r\na\r\n0123456789\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_is_not_whole_is_in_the_status() {
    for gateway in TestGateway::both().await {
        let mac = Finder::of(&gateway);
        drop(send_half(&gateway.url).await);
        eventually("a loss", || async { saves(&gateway).await[0]["state"] == "failed" }).await;
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, String>("0123456789")]));
        let rest = mac.request("PUT", "/saved").header("X-Expected-Entity-Length", "20").body(body);
        assert!(rest.send().await.unwrap().status().is_success());
        let told = saves(&gateway).await;
        assert_eq!((&told[0]["state"], &told[0]["bytes"]), (&json!("incomplete"), &json!(20)), "{told}");
        let text = text(&gateway).await;
        assert!(
            text.contains("incomplete /saved (20 bytes, ") && text.contains("shorter than announced"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_was_cut_off_by_a_kill_is_in_the_status() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let mut gateway = Process::gateway(&s3.endpoint_url(), &state, &["--auth", "none"]).await;
    let mac = Finder::at(&gateway.url);
    // That it waits for its content is on disk from then on.
    assert_eq!(mac.status("PUT", "/saved").await, 201);
    let sending = send_half(&gateway.url).await;
    eventually("a begin", || async { mac.rename("/saved", "/moved").await == 424 }).await;
    gateway.child.kill().await.unwrap();
    drop(sending);
    let _gateway = Process::gateway(&s3.endpoint_url(), &state, &["--auth", "none"]).await;
    let mut asked = command(&["status", "--json", "--state-dir"]);
    asked.arg(state.path().join("state"));
    let (_, text, _) = outcome(asked).await;
    let told = &serde_json::from_str::<Value>(&text).unwrap()[0]["saves"][0];
    assert_eq!((&told["path"], &told["state"]), (&json!("/saved"), &json!("missing")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_saves_are_named_in_part() {
    let gateway = TestGateway::start().await;
    let mac = Finder::of(&gateway);
    deny(&gateway);
    for number in 0..103 {
        let put = mac.request("PUT", &format!("/file-{number}")).body("content").send();
        assert_eq!(put.await.unwrap().status(), 403);
    }
    let told = status(&gateway).await;
    assert_eq!((told["saves"].as_array().unwrap().len(), &told["more_saves"]), (100, &json!(3)));
    let text = text(&gateway).await;
    assert!(text.contains("and        3 more that are not stored"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_was_refused_is_told_once() {
    let Some(desktop) = Desktop::new("") else { return };
    let gateway = TestGateway::start_with(|config| config.notify = desktop.options()).await;
    let mac = Finder::of(&gateway);
    assert_eq!(mac.status("MKCOL", "/private").await, 201);
    deny(&gateway);
    assert_eq!(save(&mac, "/private/report.txt").await, 403);
    let shown = desktop.has_shown(1).await;
    assert!(shown[0].starts_with("2|s3dav|“report.txt” could not be stored: "), "{shown:?}");
    assert!(shown[0].contains("denied") && !shown[0].contains("private"), "{shown:?}");
    assert_eq!(again(&mac, "/private/report.txt").await, 403);
    assert_eq!(save(&mac, "/other.txt").await, 403);
    let shown = desktop.has_shown(2).await;
    assert!(
        shown[1].starts_with("2|s3dav|“other.txt” could not be stored: "),
        "the same is no news: {shown:?}"
    );
    gateway.hooks().heal();
    assert!(again(&mac, "/private/report.txt").await < 300);
    deny(&gateway);
    assert_eq!(again(&mac, "/private/report.txt").await, 403);
    let shown = desktop.has_shown(3).await;
    assert!(shown[2].starts_with("2|s3dav|“report.txt” could not be stored: "), "another save: {shown:?}");
    assert_eq!(status(&gateway).await["problems"], json!([]));
    // The next life tells nothing of it again.
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(s3, state, |config| config.notify = desktop.options()).await;
    let mac = Finder::of(&gateway);
    assert_eq!(save(&mac, "/third.txt").await, 403);
    let shown = desktop.has_shown(4).await;
    assert!(shown[3].starts_with("2|s3dav|“third.txt” could not be stored: "), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_was_cut_off_by_the_end_is_told_in_the_next_life() {
    let Some(desktop) = Desktop::new("") else { return };
    let options = || NotifyOptions { slow: Duration::from_millis(50), ..desktop.options() };
    let short = Duration::from_millis(100);
    let gateway = TestGateway::start_with(|config| config.shutdown_timeout = short).await;
    let mac = Finder::of(&gateway);
    let _sending = send_half(&gateway.url).await;
    eventually("a begin", || async { mac.rename("/saved", "/moved").await == 424 }).await;
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(s3, state, |config| config.notify = options()).await;
    let shown = desktop.has_shown(1).await;
    assert!(shown[0].starts_with("2|s3dav|“saved” could not be stored: "), "{shown:?}");
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(s3, state, |config| config.notify = options()).await;
    deny(&gateway);
    assert_eq!(save(&Finder::of(&gateway), "/other").await, 403);
    let shown = desktop.has_shown(2).await;
    assert!(shown[1].starts_with("2|s3dav|“other” could not be stored: "), "once: {shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_waits_is_told() {
    let Some(desktop) = Desktop::new("") else { return };
    let options = NotifyOptions { slow: Duration::from_millis(50), ..desktop.options() };
    let gateway = TestGateway::start_with(|config| config.notify = options).await;
    let mac = Finder::of(&gateway);
    let gate = Gate::default();
    gateway.hooks().next(1, "PutObject", Action::Hold(gate.clone()));
    assert_eq!(mac.status("PUT", "/slow.txt").await, 201);
    let token = mac.lock("/slow.txt").await;
    let writing = mac.request("PUT", "/slow.txt").header("If", format!("(<{token}>)")).body("content");
    let writing = tokio::spawn(writing.send());
    let shown = desktop.has_shown(1).await;
    assert_eq!(shown, ["2|s3dav|“slow.txt” is not stored yet. s3dav keeps trying."]);
    gate.open();
    assert!(writing.await.unwrap().unwrap().status().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_saves_are_told_at_once() {
    // The first notification is up until the gate is there.
    let script = "case \"$2\" in *first*) while [ ! -e gate ]; do sleep 0.01; done ;; esac";
    let Some(desktop) = Desktop::new(script) else { return };
    let gateway = TestGateway::start_with(|config| config.notify = desktop.options()).await;
    let mac = Finder::of(&gateway);
    deny(&gateway);
    for path in ["/first", "/a", "/b", "/c"] {
        let put = mac.request("PUT", path).body("content").send();
        assert_eq!(put.await.unwrap().status(), 403);
        desktop.has_shown(1).await;
    }
    fs::write(desktop.file("gate"), "").unwrap();
    let shown = desktop.has_shown(2).await;
    assert_eq!(shown[1], "2|s3dav|3 files could not be stored. `s3dav status` lists them.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_that_fails_is_in_the_status() {
    let Some(failing) = Desktop::new("echo no bus >&2; exit 1") else { return };
    let Some(hanging) = Desktop::new("exec sleep 600") else { return };
    let missing = Desktop::new("").unwrap();
    fs::remove_file(missing.program()).unwrap();
    let short = NotifyOptions { limit: Duration::from_millis(50), ..hanging.options() };
    for (options, words) in [
        (failing.options(), "notifications: notifier ended with 1: no bus"),
        (short, "notifications: notifier did not finish within 50ms"),
        (missing.options(), "notifications: there is no program /"),
    ] {
        let gateway = TestGateway::start_with(|config| config.notify = options).await;
        let mac = Finder::of(&gateway);
        gateway.hooks().next(1, "PutObject", DENIED);
        if !words.contains("no program") {
            assert_eq!(save(&mac, "/file").await, 403);
        }
        eventually(words, || async {
            let told = status(&gateway).await;
            let problems = told["problems"].as_array().unwrap().clone();
            let is_it = |problem: &Value| problem["message"].as_str().unwrap().starts_with(words);
            problems.iter().any(|it| is_it(it) && it["hint"].as_str().unwrap().contains("--notify-command"))
        })
        .await;
        gateway.hooks().heal();
        assert!(save(&mac, "/file").await < 300, "it is never more than that");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notifier_is_named_by_an_option_and_told_no_keys() {
    let Some(desktop) = Desktop::new("env > environment.part; mv environment.part environment") else {
        return;
    };
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let program = desktop.program();
    let options = ["--auth", "none", "--notify-command", program.to_str().unwrap()];
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &options).await;
    s3.hooks().add(Rule {
        operation: Some("PutObject".into()),
        target: Some("/file?".into()),
        times: 1,
        action: DENIED,
    });
    let mac = Finder::at(&gateway.url);
    assert_eq!(save(&mac, "/file").await, 403);
    eventually("an environment", || async { desktop.file("environment").exists() }).await;
    let environment = fs::read_to_string(desktop.file("environment")).unwrap();
    assert!(environment.contains("PATH=") && !environment.contains("not-a-secret"), "{environment}");
    assert!(!environment.contains("AWS_") && !environment.contains("S3DAV_"), "{environment}");
}
