//! The image that serves a bucket without any rights.

use std::sync::Arc;

use s3dav::embedded::EmbeddedS3;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::conformance::litmus;
use crate::harness::clients::needs;
use crate::harness::docker::{Container, Docker};
use crate::harness::process::outcome;
use crate::harness::{BUCKET, Bucket, KEYS, client, embedded, eventually};

/// What takes every right from a container.
const NO_RIGHTS: [&str; 7] =
    ["--network", "host", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

/// Runs the image with the bucket of a server, and with more options of `docker run`.
async fn run(docker: &Arc<Docker>, s3: &EmbeddedS3, more: &[&str]) -> Container {
    let (image, endpoint) = (docker.image().await, s3.endpoint_url());
    let variables = [format!("AWS_ACCESS_KEY_ID={}", KEYS.0), format!("AWS_SECRET_ACCESS_KEY={}", KEYS.1)];
    let variables = variables.iter().map(String::as_str).chain(["AWS_REGION=us-east-1"]);
    let variables = variables.flat_map(|variable| ["-e", variable]);
    let mut arguments: Vec<&str> =
        NO_RIGHTS.into_iter().chain(variables).chain(more.iter().copied()).collect();
    arguments.extend([image, "serve", "--bucket", BUCKET, "--endpoint-url", &endpoint, "--force-path-style"]);
    arguments.extend(["--listen", "127.0.0.1:0"]);
    docker.container(&arguments).await
}

/// Where it serves, once it does.
pub async fn url(container: &Container) -> String {
    let found = |logs: &str| {
        let at = logs.find("urls=")? + "urls=".len();
        Some(
            logs[at..]
                .split(['/', '"', ' ', '\n'])
                .filter(|part| !part.is_empty())
                .take(2)
                .collect::<Vec<_>>()
                .join("//"),
        )
    };
    eventually("the gateway serves", || async {
        let is_running = container.inspect("{{.State.Running}}").await == "true";
        let logs = container.logs().await;
        assert!(is_running, "{logs}");
        found(&logs).is_some()
    })
    .await;
    found(&container.logs().await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_serves_without_any_rights() {
    let Some(tools) = needs(&["litmus"]) else { return };
    let Some(docker) = Docker::shared().await else { return };
    let s3 = embedded().await;
    let more = ["--tmpfs", "/state:uid=65532,mode=0700", "--health-interval", "1s"];
    let container = run(&docker, &s3, &more).await;
    let url = url(&container).await;
    let ready = || client().get(format!("{url}/.s3dav/ready")).send();
    eventually("ready", || async { ready().await.is_ok_and(|answer| answer.status() == 200) }).await;
    let said = container.exec(&["sh", "-c", "cat /proc/1/status"]).await.out;
    for line in ["Uid:\t65532\t65532\t65532\t65532", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    litmus(&tools, &url).await;
    eventually("healthy", || async { container.inspect("{{.State.Health.Status}}").await == "healthy" })
        .await;

    // What others leave is not left.
    for _ in 0..3 {
        assert_eq!(container.exec(&["sh", "-c", "(sleep 0.1 &)"]).await.code, 0);
    }
    let processes = || async { container.exec(&["sh", "-c", "cat /proc/[0-9]*/stat"]).await.out };
    eventually("none is left", || async { !processes().await.contains("(sleep)") }).await;

    // A PUT that is under way when the end is wanted.
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let head = "PUT /late HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    stream.write_all(b"cont").await.unwrap();
    container.signal("TERM").await;
    eventually("it is told", || async { container.logs().await.contains("stopping") }).await;
    stream.write_all(b"ents").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("HTTP/1.1 201"), "{answer}");
    assert_eq!(container.ended().await, 0, "{}", container.logs().await);
    let stored = Bucket::of(&s3.endpoint_url(), BUCKET).await.get("late").await;
    assert_eq!(stored.as_deref(), Some(&b"contents"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_the_image_or_of_root_holds_the_state() {
    let Some(docker) = Docker::shared().await else { return };
    let s3 = embedded().await;
    let others = ["--tmpfs", "/state", "--user", "1234:1234"];
    for more in [&[][..], &["--tmpfs", "/state"], &["-v", "made-for-it:/state"], &others] {
        let container = run(&docker, &s3, more).await;
        url(&container).await;
        eventually("healthy", || async { container.exec(&["s3dav", "health"]).await.code == 0 }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_its_state_it_says_what_to_give() {
    let Some(docker) = Docker::shared().await else { return };
    let s3 = embedded().await;
    for (more, says) in [
        (["--tmpfs", "/state:ro,uid=65532,mode=0700"], "Read-only file system"),
        (["-e", "S3DAV_STATE_DIR=/srv/state"], "Read-only file system"),
        (["-e", "S3DAV_STATE_DIR=/root/state"], "Permission denied"),
    ] {
        let container = run(&docker, &s3, &more).await;
        let code = container.ended().await;
        let logs = container.logs().await;
        assert!(code == 1 || code == 2, "{code}: {logs}");
        assert!(logs.contains(says), "{logs}");
        for advice in ["--tmpfs /state:uid=65532", "-v NAME:/state", "--state-dir"] {
            assert!(logs.contains(advice), "{advice}: {logs}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_is_said_before() {
    let Some(docker) = Docker::shared().await else { return };
    let image = docker.image().await;
    let (code, out, error) = outcome(docker.build(OWN, &["--base", image, "--tag", "again:1"])).await;
    assert_eq!(code, 0, "{error}");
    let id = docker.wants(&["inspect", "--format", "{{.Id}}", "again:1"]).await;
    assert_eq!(out.trim(), id);
    assert!(error.contains("docker run -d") && error.contains("again:1 serve"), "{error}");

    let (code, _, error) = outcome(docker.build(OWN, &["--base", "never-made:1", "--tag", "again:2"])).await;
    assert!(code == 1 && error.contains("the image cannot be built"), "{error}");
    let mut no_engine = docker.build(OWN, &["--base", image]);
    no_engine.env("PATH", "/nonexistent");
    let (code, _, error) = outcome(no_engine).await;
    assert!(
        code == 1 && error.contains("no docker and no podman") && error.contains("hint: install "),
        "{error}"
    );
    let mut no_daemon = docker.build(OWN, &["--engine", "docker"]);
    no_daemon.env("DOCKER_HOST", "unix:///nonexistent/socket");
    let (code, _, error) = outcome(no_daemon).await;
    assert!(
        code == 1 && error.contains("docker does not answer") && error.contains("hint: start it"),
        "{error}"
    );
    let place = tempfile::tempdir().unwrap();
    let mut program = std::fs::read(OWN).unwrap()[..64].to_vec();
    // The other machine that it may be for.
    program[18] = if program[18] == 62 { 183 } else { 62 };
    for (content, says) in [(&program[..], "docker has "), (b"#!/bin/sh\n", "is not a Linux program")] {
        let file = place.path().join("s3dav");
        std::fs::write(&file, content).unwrap();
        let (code, _, error) = outcome(docker.build(file.to_str().unwrap(), &[])).await;
        assert!(code != 0 && error.contains(says), "{error}");
    }
}

/// This program.
const OWN: &str = env!("CARGO_BIN_EXE_s3dav");
