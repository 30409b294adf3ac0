//! Connections that nobody uses shut nobody out, and passwords are not found by trying.

use std::time::{Duration, Instant};

use s3dav::http::auth::{Access, Credentials};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{attack_time, port};
use crate::harness::TestGateway;
use crate::harness::process::outcome;
use crate::harness::raw::{read_answer, status};
use crate::harness::users::{SOMEBODY_ELSE, others_have, python};

const GUESSES: &str = include_str!("guesses.py");
const GET: &[u8] = b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn asking_for_a_password() -> TestGateway {
    let gateway = TestGateway::start_with(|config| {
        config.access = Access::Password(Some(Credentials::new("me", "secret")));
    })
    .await;
    gateway.bucket().await.put("file", "content").await;
    gateway
}

/// The status of a GET with the password, on a connection of its own, and how long it took.
async fn with_password(gateway: &TestGateway, password: &str) -> (u16, Duration) {
    let begun = Instant::now();
    let client = crate::harness::client();
    let answer = client.get(format!("{}/file", gateway.url)).basic_auth("me", Some(password)).send().await;
    (answer.map_or(0, |answer| answer.status().as_u16()), begun.elapsed())
}

/// The middle one of nine tries: one alone may meet a pause of the machine.
async fn usual_time(gateway: &TestGateway) -> Duration {
    let mut times = Vec::new();
    for _ in 0..9 {
        let (status, time) = with_password(gateway, "secret").await;
        assert_eq!(status, 200);
        times.push(time);
    }
    times.sort();
    times[4]
}

async fn connections(gateway: &TestGateway, count: usize, sent: &[u8]) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(sent).await.unwrap();
        connections.push(stream);
    }
    connections
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_do_not_keep_the_password_out() {
    let gateway = asking_for_a_password().await;
    for sent in ["", "GET / HTTP/1.1\r\nHost: local"] {
        let _held = connections(&gateway, 600, sent.as_bytes()).await;
        let time = usual_time(&gateway).await;
        assert!(time < Duration::from_secs(1), "{time:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_has_little_time() {
    let gateway = TestGateway::start_with(|config| {
        config.access = Access::Password(Some(Credentials::new("me", "secret")));
        config.limits.stranger_time = Duration::from_millis(200);
    })
    .await;
    gateway.bucket().await.put("file", "content").await;
    let mut stranger = connections(&gateway, 1, b"GET / HTTP/1.1\r\nHost: local").await.remove(0);
    assert_eq!(stranger.read(&mut [0; 64]).await.unwrap(), 0, "it is closed");
    let known = "GET /file HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic bWU6c2VjcmV0\r\n\r\n";
    let mut known = connections(&gateway, 1, known.as_bytes()).await.remove(0);
    assert_eq!(status(&read_answer(&mut known).await), 200);
    tokio::time::sleep(Duration::from_millis(600)).await;
    known.write_all(GET).await.unwrap();
    assert_eq!(status(&read_answer(&mut known).await), 401, "it is still open, if not logged in");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_not_found_by_trying() {
    if !others_have(&["python3"]) {
        return;
    }
    let gateway = asking_for_a_password().await;
    let seconds = attack_time().as_secs().to_string();
    let Some(guesses) = python(SOMEBODY_ELSE, GUESSES, &[port(&gateway.url), "me", "100", &seconds]) else {
        return;
    };
    let begun = Instant::now();
    let (guesses, slowest) = tokio::join!(outcome(guesses), async {
        let mut slowest = Duration::ZERO;
        while begun.elapsed() < attack_time() {
            slowest = slowest.max(usual_time(&gateway).await);
        }
        slowest
    });
    let took = begun.elapsed().as_secs_f64();
    let answered: f64 = guesses.1.trim().parse().unwrap();
    eprintln!("{answered} answers to guesses in {took:.1} s; the owner waited for {slowest:?}");
    assert!(answered <= 20.0 * (took + 1.0), "{answered} in {took} s");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_costs_the_connection() {
    let gateway = asking_for_a_password().await;
    let wrong = "GET /file HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic bWU6d3Jvbmc=\r\n\r\n";
    let mut wrong = connections(&gateway, 1, wrong.as_bytes()).await.remove(0);
    let mut answer = String::new();
    wrong.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
    let mut unasked = connections(&gateway, 1, GET).await.remove(0);
    for _ in 0..2 {
        assert_eq!(status(&read_answer(&mut unasked).await), 401);
        unasked.write_all(GET).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_ones_own_programs_make_room() {
    for access in [Access::Anyone, Access::Peers(None)] {
        let gateway = TestGateway::start_with(|config| config.access = access).await;
        gateway.bucket().await.put("file", "content").await;
        // Some have asked, most have not; one is in the middle of an upload.
        let mut asked = connections(&gateway, 12, GET).await;
        for stream in &mut asked {
            assert_eq!(status(&read_answer(stream).await), 200);
        }
        let upload = b"PUT /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345";
        let mut upload = connections(&gateway, 1, upload).await.remove(0);
        let _silent = connections(&gateway, 600, b"").await;
        let mut times = Vec::new();
        for _ in 0..9 {
            let begun = Instant::now();
            let mut stream = connections(&gateway, 1, GET).await.remove(0);
            assert_eq!(status(&read_answer(&mut stream).await), 200);
            times.push(begun.elapsed());
        }
        times.sort();
        assert!(times[4] < Duration::from_secs(1), "{times:?}");
        // Whoever was silent went first.
        for stream in &mut asked {
            stream.write_all(GET).await.unwrap();
            assert_eq!(status(&read_answer(stream).await), 200, "it has asked before");
        }
        upload.write_all(b"67890").await.unwrap();
        assert_eq!(status(&read_answer(&mut upload).await), 201, "it was under way");
    }
}
