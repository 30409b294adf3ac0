//! What a gateway says while it runs: to whoever sits at a terminal, in its log, and to what reads its log.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use reqwest::Method;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::harness::process::{Process, command, outcome, send_signal, serve};
use crate::harness::{client, embedded, eventually};

/// A terminal: the end that shows what is written, and the end that programs have.
fn terminal() -> (File, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    (terminal.into(), File::options().read(true).write(true).open(name).unwrap())
}

/// Runs a gateway on a terminal until it has said how to stop it, and stops it: its last three lines by then, and what
/// came before and after.
async fn on_a_terminal(mut serve: tokio::process::Command) -> ([String; 3], String) {
    let (terminal, other_end) = terminal();
    let mut child = serve.env("TERM", "dumb").stdout(Stdio::null()).stderr(other_end).spawn().unwrap();
    drop(serve);
    let id = child.id().unwrap().to_string();
    let reading = tokio::task::spawn_blocking(move || {
        let mut said = BufReader::new(terminal).lines();
        let mut before = Vec::new();
        while !before.last().is_some_and(|line: &String| line.starts_with("to stop it")) {
            before.push(said.next().unwrap().unwrap());
        }
        send_signal("INT", &id);
        let greeting = before.split_off(before.len().saturating_sub(3));
        // Linux ends a terminal that nobody holds any more with an error.
        before.extend(said.map_while(Result::ok));
        (greeting.try_into().unwrap(), before.join("\n"))
    });
    let said = reading.await.unwrap();
    assert!(child.wait().await.unwrap().success());
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_serve_says_what_to_do_next() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let serve = serve(&s3.endpoint_url(), &state, &["--read-only"]);
    let ([what, opening, stopping], rest) = on_a_terminal(serve).await;
    assert!(
        what.starts_with("serving bucket at http://127.0.0.1:") && what.ends_with("/, read-only"),
        "{what}"
    );
    assert!(
        opening.contains("; to mount it, stop this, then run `s3dav mount --bucket=bucket "),
        "{opening}"
    );
    assert!(opening.contains("--state-dir=") && opening.contains("that URL"), "{opening}");
    assert!(stopping.contains("Ctrl-C") && stopping.contains("10 s"), "{stopping}");
    assert!(!rest.contains("serving"), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_serve_says_who_refuses() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let state = tempfile::tempdir().unwrap();
    let (_, rest) = on_a_terminal(serve(&format!("http://{free}"), &state, &[])).await;
    let expected = format!("{free} refuses connections; s3dav keeps trying");
    let line = rest.lines().find(|line| line.starts_with("S3 cannot be used yet: ")).unwrap_or_default();
    assert!(line.trim_end().ends_with(&expected) && !rest.contains("dispatch failure"), "{rest}");
}

/// What a command that ends by itself says at a terminal.
async fn said_at_a_terminal(mut command: tokio::process::Command) -> String {
    let (terminal, other_end) = terminal();
    let mut child = command.stdout(Stdio::null()).stderr(other_end).spawn().unwrap();
    drop(command);
    let reading = tokio::task::spawn_blocking(move || {
        let said = BufReader::new(terminal).lines();
        said.map_while(Result::ok).collect::<Vec<_>>().join("\n")
    });
    child.wait().await.unwrap();
    reading.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_has_a_hint_for_a_person_and_one_line_for_a_probe() {
    let home = tempfile::tempdir().unwrap();
    let health = || {
        let mut health = command(&["health"]);
        health.env("HOME", home.path()).env("XDG_STATE_HOME", home.path());
        health
    };
    let said = said_at_a_terminal(health()).await;
    assert!(said.contains("no gateway is running") && said.contains("start one with"), "{said}");
    let (code, _, error) = outcome(health()).await;
    assert_eq!((code, error.lines().count()), (1, 1), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_errors_are_coloured_alike_and_none_where_nobody_wants_it() {
    for (variables, is_coloured) in [
        (&[("TERM", "xterm")][..], true),
        (&[("TERM", "dumb")], false),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
    ] {
        // The first is clap's, the second the program's own.
        for arguments in [&["frob"][..], &["serve"]] {
            let mut command = command(arguments);
            for name in ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
                command.env_remove(name);
            }
            let said = said_at_a_terminal({
                command.envs(variables.iter().copied());
                command
            })
            .await;
            let begins = if is_coloured { "\x1b[1m\x1b[31merror:\x1b[0m " } else { "error: " };
            assert!(said.starts_with(begins), "{variables:?} {arguments:?}: {said:?}");
            assert_eq!(said.contains('\x1b'), is_coloured, "{variables:?} {arguments:?}: {said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_serve_says_where_it_is_in_the_log() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &[]).await;
    let said = gateway.said.lock().clone();
    assert!(said.contains("INFO serving source=bucket urls=http://127.0.0.1:"), "{said}");
    assert!(!said.contains("to open it") && !said.contains('\x1b'), "{said}");
    // 2026-11-26T14:15:25.373Z
    let time = said.lines().last().unwrap().split_whitespace().next().unwrap();
    assert_eq!((time.len(), time.as_bytes()[19], time.ends_with('Z')), (24, b'.', true), "{time}");
}

/// The lines of a log in JSON.
fn lines(gateway: &Process) -> Vec<Value> {
    gateway.said.lock().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The requests that a log tells of so far.
fn answered(gateway: &Process) -> Vec<Value> {
    // Whether it serves is asked until it does, maybe once too often.
    let is_one =
        |line: &Value| line["fields"]["message"] == "answered" && line["fields"]["path"] != "/.s3dav/health";
    lines(gateway).into_iter().filter(is_one).map(|line| line["fields"].clone()).collect()
}

/// Some requests of a client, and the lines for them.
async fn asked(gateway: &Process) -> Vec<Value> {
    let before = answered(gateway).len();
    let (client, url) = (client(), &gateway.url);
    let put = client.put(format!("{url}/a%20b.txt?token=s3cret")).header("user-agent", "davfs2/1.6.1 neon");
    assert_eq!(put.body("hello").send().await.unwrap().status(), 201);
    let get = client.get(format!("{url}/a%20b.txt")).header("authorization", "Bearer s3cret");
    assert_eq!(get.send().await.unwrap().text().await.unwrap(), "hello");
    assert_eq!(client.get(format!("{url}/none")).send().await.unwrap().status(), 404);
    let to = format!("{url}/c.txt");
    let to_move = client.request(Method::from_bytes(b"MOVE").unwrap(), format!("{url}/a%20b.txt"));
    assert_eq!(to_move.header("destination", to).send().await.unwrap().status(), 201);
    let orphan = client.put(format!("{url}/no/such/file")).body("hello");
    assert_eq!(orphan.send().await.unwrap().status(), 409);
    eventually("a line for each request", || async { answered(gateway).len() >= before + 5 }).await;
    answered(gateway).split_off(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn verbose_logs_a_line_for_each_request_with_what_it_cost() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &["-v", "--log-format=json"]).await;
    let lines = asked(&gateway).await;
    let [put, get, none, moved, orphan] = lines.as_slice() else { panic!("{lines:#?}") };
    assert_eq!(
        (&put["method"], &put["path"], &put["status"]),
        (&"PUT".into(), &"/a b.txt".into(), &201.into())
    );
    assert_eq!(
        (&put["bytes_in"], &put["bytes_out"], &put["client"]),
        (&5.into(), &0.into(), &"davfs2".into())
    );
    assert_eq!((&get["bytes_in"], &get["bytes_out"], &get["status"]), (&0.into(), &5.into(), &200.into()));
    assert_eq!((&none["path"], &none["status"]), (&"/none".into(), &404.into()));
    assert_eq!((&moved["path"], &moved["destination"]), (&"/a b.txt".into(), &"/c.txt".into()));
    assert_eq!(orphan["reason"], "the parent folder does not exist", "{orphan}");
    for line in &lines {
        assert!(line["elapsed_ms"].as_f64().unwrap() > 0.0 && line["s3_requests"].is_u64(), "{line}");
    }
    // A PUT, and a look at what is there; a copy and a delete.
    assert!(put["s3_requests"].as_u64() >= Some(2) && moved["s3_requests"].as_u64() >= Some(2), "{lines:#?}");
    // Without its name there is whose it is, or where.
    let nameless = none["client"].as_str().unwrap();
    assert!(nameless.starts_with("uid ") || nameless == "127.0.0.1", "{nameless}");
    let said = gateway.said.lock().clone();
    assert!(!said.contains("nothing at this path") && !said.contains("s3cret"), "{said}");
    assert!(!said.contains("S3 answered"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_counts_all_requests_to_s3_of_parallel_parts() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let parts = ["-vv", "--log-format=json", "--multipart-threshold=5MiB", "--part-size=5MiB"];
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &parts).await;
    let url = format!("{}/large", gateway.url);
    let content = vec![7_u8; 21 << 20];
    assert_eq!(client().put(&url).body(content.clone()).send().await.unwrap().status(), 201);
    assert!(client().get(&url).send().await.unwrap().bytes().await.unwrap() == content);
    eventually("a line for each request", || async {
        answered(&gateway).iter().filter(|line| line["path"] == "/large").count() >= 2
    })
    .await;
    let answered = answered(&gateway);
    for (method, operation) in [("PUT", "UploadPart"), ("GET", "GetObject")] {
        let line = answered.iter().find(|line| line["method"] == method && line["path"] == "/large").unwrap();
        let of_it = |attempt: &&Value| attempt["request"] == line["request"];
        let attempts: Vec<_> = lines(&gateway).into_iter().map(|line| line["fields"].clone()).collect();
        let attempts = attempts.iter().filter(|line| line["message"] == "S3 answered").filter(of_it);
        let attempts: Vec<_> = attempts.collect();
        assert_eq!(line["s3_requests"].as_u64().unwrap(), attempts.len() as u64, "{line}\n{attempts:#?}");
        let parts = attempts.iter().filter(|line| line["operation"] == operation && line["key"] == "large");
        let parts: Vec<_> = parts.collect();
        assert!(parts.len() >= 3, "{method}: {attempts:#?}");
        for part in parts {
            assert!(part["status"].is_u64() && part["elapsed_ms"].is_f64(), "{part}");
            assert_eq!(part["bucket"], "bucket");
        }
    }
    let said = gateway.said.lock().clone();
    assert!(!said.to_lowercase().contains("signature") && !said.contains("uploadId"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_text_can_be_read() {
    let s3 = embedded().await;
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &["-vv"]).await;
    client().put(format!("{}/a%20b", gateway.url)).body("hello").send().await.unwrap();
    let is_told = |line: &&str| line.contains("path=\"/a b\"") && line.contains("elapsed_ms=");
    eventually("its line", || async { gateway.said.lock().lines().any(|line| is_told(&line)) }).await;
    let said = gateway.said.lock().clone();
    let line = said.lines().find(is_told).unwrap();
    for part in ["DEBUG", "method=\"PUT\"", "status=201", "bytes_in=5", "s3_requests=", "elapsed_ms="] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let is_it = |line: &&str| line.contains("operation=\"PutObject\"") && line.contains("key=\"a b\"");
    let attempt = said.lines().find(is_it).unwrap();
    assert!(attempt.contains("status=200") && attempt.contains("TRACE"), "{attempt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_logs_warnings_and_twice_errors_only() {
    let s3 = embedded().await;
    let open = ["--auth=none"];
    for (quiet, warns) in [("-q", true), ("-qq", false)] {
        let state = tempfile::tempdir().unwrap();
        let mut serve = serve(&s3.endpoint_url(), &state, &[&open[..], &[quiet]].concat());
        let listens = state.path().join("state/control.sock");
        let child = serve.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the gateway", || async { listens.exists() }).await;
        send_signal("INT", &child.id().unwrap().to_string());
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("INFO"), "{quiet}: {said}");
        assert_eq!(said.contains("WARN"), warns, "{quiet}: {said}");
    }
}

#[tokio::test]
async fn a_start_that_fails_says_so_in_json_where_the_log_is_json() {
    for (arguments, code, error, hint) in [
        (&["serve", "--log-format", "json"][..], 2, "", "s3dav serve my-photos"),
        (
            &["serve", "--log-format=json", "--lsten", "x"],
            2,
            "unexpected argument '--lsten' found",
            "--listen",
        ),
        (&["stop", "--log-format=json", "--state-dir=/nonexistent"], 1, "", ""),
    ] {
        let (ended, out, said) = outcome(command(arguments)).await;
        let line: Value = serde_json::from_str(said.trim_end()).unwrap_or_else(|_| panic!("{said}"));
        let fields = &line["fields"];
        assert_eq!((ended, fields["exit_code"].as_i64()), (code, Some(code.into())), "{said}");
        assert!(fields["error"].as_str().unwrap().contains(error), "{said}");
        assert!(hint.is_empty() || fields["hint"].as_str().unwrap().contains(hint), "{said}");
        assert!(line["level"] == "ERROR" && line["timestamp"].is_string() && out.is_empty(), "{said}");
    }
    let mut by_variable = command(&["frob"]);
    by_variable.env("S3DAV_LOG_FORMAT", "json");
    let (code, _, said) = outcome(by_variable).await;
    assert!(code == 2 && serde_json::from_str::<Value>(&said).is_ok(), "{said}");
    let (code, help, _) = outcome(command(&["serve", "-h", "--log-format=json"])).await;
    assert!(code == 0 && help.contains("Usage:"), "{help}");
}
