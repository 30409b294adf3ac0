//! The process that holds a gateway's sockets: the gateway dies, is replaced and restarted under its clients, and
//! nobody is refused.

use std::fs;
use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use s3dav::embedded::{Action, Gate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::finder::mac::{Closed, Mac};
use crate::harness::held::{Held, children, is_gone};
use crate::harness::process::{Process, by, command, outcome, program_in, send_signal, serve};
use crate::harness::users::{SOMEBODY_ELSE, others_have, python};
use crate::harness::{BUCKET, Bucket, client, clients, embedded, eventually};

const KILLS: usize = 20;

/// Asks for a file, each time on a connection of its own, until told to stop. That no connection is refused is
/// what it is about; one that was accepted may be cut.
async fn hammer(address: String, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(&address).await.unwrap_or_else(|error| panic!("{error}"));
        let mut answer = String::new();
        let asked =
            stream.write_all(b"GET /file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        match asked {
            Ok(()) => _ = stream.read_to_string(&mut answer).await,
            Err(error) => assert_ne!(error.kind(), ErrorKind::ConnectionRefused),
        }
        if !answer.is_empty() {
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("content"), "{answer}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A Mac that makes files and closes them until told to stop; each is stored when it is closed.
async fn save(address: String, number: u64, stop: Arc<AtomicBool>, closed: Arc<AtomicU64>) -> u64 {
    let mac = Mac::at(&address);
    mac.mount().await.unwrap();
    for count in 0.. {
        if stop.load(Ordering::Relaxed) {
            return count;
        }
        let path = format!("/mac{number}-{count}");
        let saved = mac.save(&path, path.clone()).await;
        assert_eq!(saved, Ok(Closed::Stored), "{path}");
        assert!(!mac.is_down(), "a connection was refused, or lost twice");
        closed.fetch_add(1, Ordering::Relaxed);
    }
    unreachable!("it counts for ever")
}

/// Tries to have a port, as another user, until its input ends; says how often it could.
const TAKER: &str = r#"
import select, socket, sys
port, got, tried = int(sys.argv[1]), 0, 0
print('begun', flush=True)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, option, 1)
        tried += 1
        try:
            s.bind(('127.0.0.1', port))
            got += 1
        except OSError:
            pass
        s.close()
print(got, tried)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_again_and_again_refuses_nobody_and_loses_nothing() {
    if !others_have(&["python3"]) {
        return;
    }
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    bucket.put("file", "content").await;
    let held = Held::start(&s3.endpoint_url(), &state, &[]).await;
    let port = held.address().rsplit(':').next().unwrap().to_owned();
    let Some(mut taker) = python(SOMEBODY_ELSE, TAKER, &[&port]) else { return };
    let mut taker = taker.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let hammers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(hammer(held.address().to_owned(), Arc::clone(&stop), Arc::clone(&answered))))
        .collect();
    let closed: Vec<_> = (0..3).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let macs: Vec<_> = (0..3)
        .map(|number: u64| {
            let (stop, closed) = (Arc::clone(&stop), Arc::clone(&closed[number as usize]));
            tokio::spawn(save(held.address().to_owned(), number, stop, closed))
        })
        .collect();
    let counts = || closed.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    for _ in 0..KILLS {
        // All have got something done with this gateway.
        let (before, answers) = (counts(), answered.load(Ordering::Relaxed));
        eventually("work is done", || async {
            assert!(!macs.iter().any(tokio::task::JoinHandle::is_finished), "a Mac lost a file");
            counts().iter().zip(&before).all(|(now, before)| *now > before + 1)
                && answered.load(Ordering::Relaxed) > answers
        })
        .await;
        held.kill_gateway().await;
    }
    stop.store(true, Ordering::Relaxed);
    for hammer in hammers {
        hammer.await.unwrap();
    }
    let mut files = 0;
    for (number, mac) in macs.into_iter().enumerate() {
        let count = mac.await.unwrap();
        for file in 0..count {
            let path = format!("mac{number}-{file}");
            assert_eq!(bucket.get(&path).await, Some(Bytes::from(format!("/{path}"))));
        }
        files += count;
    }
    assert!(!bucket.keys().await.iter().any(|key| key.contains("conflict")));
    assert_eq!(held.status().await["held_by"]["deaths"], KILLS);
    drop(taker.stdin.take());
    let mut said = String::new();
    taker.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    let said = said.trim_start_matches("begun").trim().to_owned();
    eprintln!("{files} files closed over {KILLS} kills; the port: {said} (had, tried)");
    assert!(said.starts_with("0 ") && said != "0 0", "another user had the port: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_lets_uploads_end_and_refuses_nobody() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    bucket.put("file", "content").await;
    let held = Held::start(&s3.endpoint_url(), &state, &[]).await;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let hammer = tokio::spawn(hammer(held.address().to_owned(), Arc::clone(&stop), Arc::clone(&answered)));
    let gate = Gate::default();
    s3.hooks().next(1, "PutObject", Action::Hold(gate.clone()));
    let upload = client().put(format!("{}/upload", held.url())).body("content");
    let upload = tokio::spawn(async move { upload.send().await.unwrap().status().as_u16() });
    eventually("an upload under way", || async { s3.hooks().count("PutObject") == 1 }).await;
    let before = held.gateway().await;
    let (arguments, patience) = (["--wait", "60s"], Duration::from_secs(60));
    let begun = Instant::now();
    let restart = held.run("restart", &arguments);
    let opened = async {
        // It goes on serving while it waits.
        let seen = answered.load(Ordering::Relaxed);
        eventually("answers", || async { answered.load(Ordering::Relaxed) > seen + 10 }).await;
        assert_eq!(held.gateway().await, before);
        gate.open();
    };
    let ((code, said, error), ()) = tokio::join!(restart, opened);
    assert_eq!((code, said.contains(held.url())), (0, true), "{error}");
    assert!(begun.elapsed() < patience, "it goes on as soon as the upload has ended");
    assert_eq!(upload.await.unwrap(), 201);
    assert_ne!(held.gateway().await, before);
    let seen = answered.load(Ordering::Relaxed);
    eventually("answers of the new one", || async { answered.load(Ordering::Relaxed) > seen }).await;
    stop.store(true, Ordering::Relaxed);
    hammer.await.unwrap();
    let status = held.status().await;
    assert_eq!((&status["held_by"]["deaths"], &status["held_by"]["last_end"]), (&0.into(), &().into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_starts_the_program_that_is_there_now() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let Some(_tools) = clients::needs(&["cp"]) else { return };
    let program = program_in(state.path());
    let model = serve(&s3.endpoint_url(), &state, &["--detached"]);
    let own = by(&program, &model);
    let held = Held::starting(own, state.path().join("state")).await;
    // As a package manager does it: another file of that name.
    fs::remove_file(&program).unwrap();
    program_in(state.path());
    let (code, _, error) = held.run("restart", &[]).await;
    assert_eq!(code, 0, "{error}");
    let runs = |id: &str| fs::read_link(format!("/proc/{id}/exe")).unwrap();
    assert_eq!(runs(&held.gateway().await), program);
    assert!(runs(&held.id()).to_string_lossy().ends_with(" (deleted)"), "the parent is the old one");
    assert!(held.answers().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_goes_through_the_parent() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    for signal in ["TERM", "INT", "both"] {
        let mut held = Held::start(&s3.endpoint_url(), &state, &[]).await;
        let gateway = held.gateway().await;
        if signal == "both" {
            // As where a whole session ends: that is no second wish.
            send_signal("TERM", &gateway);
        }
        held.parent.signal(if signal == "both" { "TERM" } else { signal }).await;
        assert_eq!(held.parent.child.wait().await.unwrap().code(), Some(0), "{signal}");
        assert!(is_gone(&gateway) && TcpStream::connect(held.address()).await.is_err());
        assert!(held.parent.said.lock().contains("stopped\n"), "in order");
    }
    let mut held = Held::start(&s3.endpoint_url(), &state, &[]).await;
    let (code, _, error) = held.run("stop", &[]).await;
    assert_eq!(code, 0, "{error}");
    assert!(
        TcpStream::connect(held.address()).await.is_err(),
        "the port is closed when the command has ended"
    );
    assert_eq!(held.parent.child.wait().await.unwrap().code(), Some(0));
    // One that cannot serve in the first place ends with its words, and its code.
    let mut wrong = serve(&s3.endpoint_url(), &state, &["--detached"]);
    wrong.env("AWS_SECRET_ACCESS_KEY", "wrong");
    let (code, _, error) = outcome(wrong).await;
    assert_eq!((code, error.contains("secret key does not match the access key")), (1, true), "{error}");
    let (code, _, error) = outcome(serve(&s3.endpoint_url(), &state, &["--detached", "--no-such"])).await;
    assert_eq!(code, 2, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_its_parent_serves_on() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let mut held = Held::start(&s3.endpoint_url(), &state, &[]).await;
    let gateway = held.gateway().await;
    held.parent.child.kill().await.unwrap();
    assert!(held.answers().await);
    let status = held.status().await;
    assert_eq!((status["pid"].to_string(), &status["parent"]), (gateway.clone(), &().into()));
    assert!(status["problems"][0]["hint"].as_str().unwrap().contains("s3dav stop"), "{status}");
    let (code, _, error) = held.run("restart", &[]).await;
    assert_eq!(
        (code, error.contains("the port of this gateway would close"), error.contains("hint: ")),
        (1, true, true)
    );
    assert_eq!(held.run("stop", &[]).await.0, 0);
    // What it held is free; the system takes its process away a moment later.
    Held::start(&s3.endpoint_url(), &state, &[]).await;
    eventually("an end", || async { is_gone(&gateway) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_start_again_keeps_its_port_and_says_why() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let mut command = serve(&s3.endpoint_url(), &state, &["--detached"]);
    let secret = state.path().join("password");
    fs::write(&secret, "a password\n").unwrap();
    command.args(["--auth", "basic", "--user", "me", "--password-file"]).arg(&secret);
    let held = Held::starting(command, state.path().join("state")).await;
    // It is read at each start.
    fs::remove_file(&secret).unwrap();
    held.kill_gateway().await;
    eventually("five failed starts", || async {
        assert!(TcpStream::connect(held.address()).await.is_ok());
        held.parent.said.lock().contains("the gateway does not start; its port stays open")
    })
    .await;
    let (_, said, error) = held.run("status", &[]).await;
    assert!(said.contains("starting   the gateway at http://127.0.0.1:"), "{said}");
    assert!(error.contains("the gateway does not start: the password file"), "{error}");
    assert!(error.contains("s3dav restart"), "{error}");
    assert_eq!(held.status().await["held_by"]["is_running"], false);
    let (code, _, error) = held.run("restart", &[]).await;
    assert_eq!((code, error.contains("the gateway does not start")), (1, true), "{error}");
    // What was wrong is mended: whoever waits in the queue is answered.
    fs::write(&secret, "a password\n").unwrap();
    let waiting = tokio::spawn({
        let url = held.url().to_owned();
        async move { client().get(format!("{url}/.s3dav/health")).send().await.unwrap().status() }
    });
    let (code, _, error) = held.run("restart", &[]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(waiting.await.unwrap(), 200);
    // And it can be given up instead.
    fs::remove_file(&secret).unwrap();
    held.kill_gateway().await;
    eventually("a failed start", || async { held.run("status", &[]).await.2.contains("does not start") })
        .await;
    assert_eq!(held.run("stop", &[]).await.0, 0);
    assert!(TcpStream::connect(held.address()).await.is_err());
}

/// Nobody reads any more what it says, or whoever reads it has stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_depends_on_nobody_who_reads_its_words() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    for is_gone_reader in [true, false] {
        let (reader, writer) = std::io::pipe().unwrap();
        if !is_gone_reader {
            fill(&writer);
        }
        let log = state.path().join("log");
        let options = ["--detached", "--log-file", log.to_str().unwrap()];
        let mut command = serve(&s3.endpoint_url(), &state, &options);
        command.stdout(Stdio::null()).stderr(writer);
        let mut parent = command.spawn().unwrap();
        drop(command);
        let _reader = if is_gone_reader { None } else { Some(reader) };
        let state_dir = state.path().join("state");
        let status = async || {
            let mut command = crate::harness::process::command(&["status", "--json", "--state-dir"]);
            command.arg(&state_dir);
            let (_, text, _) = outcome(command).await;
            serde_json::from_str::<serde_json::Value>(&text)
                .map_or(serde_json::Value::Null, |all| all[0].clone())
        };
        eventually("a gateway", || async { status().await["pid"].is_number() }).await;
        for _ in 0..3 {
            let before = status().await["pid"].clone();
            send_signal("KILL", &before.to_string());
            eventually("another gateway", || async {
                let now = status().await["pid"].clone();
                now.is_number() && now != before
            })
            .await;
        }
        send_signal("TERM", &parent.id().unwrap().to_string());
        assert_eq!(parent.wait().await.unwrap().code(), Some(0));
    }
}

/// Until whoever writes there waits.
fn fill(mut pipe: &std::io::PipeWriter) {
    rustix::io::ioctl_fionbio(pipe, true).unwrap();
    while std::io::Write::write(&mut pipe, &[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(pipe, false).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_has_one_parent() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let held = Held::start(&s3.endpoint_url(), &state, &[]).await;
    let (code, _, error) = outcome(serve(&s3.endpoint_url(), &state, &["--detached"])).await;
    assert_eq!((code, error.contains("another gateway serves this source")), (1, true), "{error}");
    assert!(held.answers().await);
}

/// One that serves without a parent, as `serve` starts it, or as a parent that was killed leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_of_its_own_is_left_alone() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let mut plain = Process::gateway(&s3.endpoint_url(), &state, &[]).await;
    let refused = || outcome(serve(&s3.endpoint_url(), &state, &["--detached"]));
    let (code, _, error) = refused().await;
    assert_eq!((code, error.contains("another gateway serves this source")), (1, true), "{error}");
    plain.signal("TERM").await;
    assert!(plain.child.wait().await.unwrap().success());
    let mut held = Held::start(&s3.endpoint_url(), &state, &[]).await;
    let gateway = held.gateway().await;
    held.parent.child.kill().await.unwrap();
    let (code, _, error) = refused().await;
    assert_eq!((code, error.contains("another gateway serves this source")), (1, true), "{error}");
    assert!(held.answers().await && !is_gone(&gateway));
    assert_eq!(held.run("stop", &[]).await.0, 0);
}

/// Whoever wants the end while a gateway makes place for the next one gets it.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_not_lost_in_a_restart() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    for how in ["stop", "TERM", "TERM to a successor that starts"] {
        let mut held = Held::start(&s3.endpoint_url(), &state, &[]).await;
        let gate = Gate::default();
        s3.hooks().next(1, "PutObject", Action::Hold(gate.clone()));
        let upload = tokio::spawn(client().put(format!("{}/upload", held.url())).body("content").send());
        gate.reached().await;
        let restart = tokio::spawn({
            let mut restart = command(&["restart", "--wait", "60s", "--state-dir"]);
            restart.arg(&held.state_dir);
            async move { outcome(restart).await }
        });
        eventually("a restart that waits", || async { held.parent.said.lock().contains("stopping;") }).await;
        let gateway = held.gateway().await;
        match how {
            "stop" => {
                let (stopped, ()) = tokio::join!(held.run("stop", &[]), async {
                    eventually("it stops", || async {
                        held.parent.said.lock().contains("stopping, as a command asked for it")
                    })
                    .await;
                    gate.open();
                });
                assert_eq!(stopped.0, 0, "{}", stopped.2);
            }
            "TERM" => {
                held.parent.signal("TERM").await;
                gate.open();
            }
            _ => {
                // The next one hangs at its first look at the bucket.
                let start = Gate::default();
                s3.hooks().next(1, "ListObjectsV2", Action::Hold(start.clone()));
                gate.open();
                start.reached().await;
                held.parent.signal("TERM").await;
                start.open();
            }
        }
        let ended = tokio::time::timeout(Duration::from_secs(30), held.parent.child.wait()).await;
        assert_eq!(ended.expect("it goes on").unwrap().code(), Some(0), "{how}");
        assert!(is_gone(&gateway) && TcpStream::connect(held.address()).await.is_err(), "{how}");
        assert_eq!(upload.await.unwrap().unwrap().status(), 201, "{how}");
        restart.abort();
        Bucket::of(&s3.endpoint_url(), BUCKET).await.delete("upload").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parent_is_small() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let held = Held::start(&s3.endpoint_url(), &state, &[]).await;
    let memory = |id: &str, line: &str| {
        let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let found = text.lines().find(|text| text.starts_with(line)).unwrap().to_owned();
        found.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    // Its own; that of the program's file is the gateway's, too. A release build has less of both.
    let own = memory(&held.id(), "RssAnon:");
    let all = memory(&held.id(), "VmRSS:");
    eprintln!("the parent has {own} KiB of its own, {all} with what it shares");
    assert!(own < 8 << 10, "{own} KiB");
    // Those that looked at disks at the start end when nothing more is to be looked at.
    eventually("few threads", || async { memory(&held.id(), "Threads:") <= 2 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_process_1_it_reaps_what_others_leave() {
    let Some(tools) = clients::needs(&["nsenter", "sh", "unshare"]) else { return };
    let (directory, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = command(&["serve", "--path", directory.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let mut contained = tools.command("unshare");
    contained.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    contained.arg(model.as_std().get_program()).args(model.as_std().get_args());
    contained.arg("--state-dir").arg(state.path().join("state")).kill_on_drop(true);
    let mut container = Process::serving(contained).await;
    let unshare = container.child.id().unwrap().to_string();
    let first = children(&unshare).pop().unwrap();
    let leave = |count: usize| {
        let script = format!("for i in $(seq {count}); do (sleep 0.05 &); done");
        let mut shell = tools.command("nsenter");
        shell.args(["--target", &first, "--pid", "--mount", "sh", "-c", &script]);
        shell
    };
    assert_eq!(outcome(leave(20)).await.0, 0);
    eventually("nothing is left", || async { children(&first).len() == 1 }).await;
    let gateway = children(&first).pop().unwrap();
    send_signal("KILL", &gateway);
    eventually("another gateway", || async {
        children(&first).iter().any(|id| *id != gateway && !is_gone(id))
    })
    .await;
    assert_eq!(client().get(format!("{}/.s3dav/health", container.url)).send().await.unwrap().status(), 200);
    send_signal("TERM", &first);
    assert_eq!(container.child.wait().await.unwrap().code(), Some(0));
}
