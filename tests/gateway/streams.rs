//! Large bodies on their way: read ahead in parallel, resumed, never mixed; written in parts.

use bytes::Bytes;
use futures_util::StreamExt;
use s3dav::embedded::{Action, Gate, Rule};

use crate::harness::{TestGateway, buckets, eventually};

const PIECE: usize = 8 << 20;

fn pattern(size: usize, seed: usize) -> Bytes {
    (0..size).map(|n| ((n / 7 + n + seed) % 251) as u8).collect::<Vec<_>>().into()
}

/// A gateway over one object of so many pieces.
async fn with_object(pieces: usize) -> (TestGateway, Bytes) {
    let gateway = TestGateway::start().await;
    let body = pattern(pieces * PIECE, 1);
    gateway.bucket().await.put_bytes("large", body.clone()).await;
    gateway.hooks().reset();
    (gateway, body)
}

fn stall(target: &str, after: u64) -> (Rule, Gate) {
    let gate = Gate::default();
    let action = Action::StallBody(after, gate.clone());
    let rule = Rule { operation: Some("GetObject".into()), target: Some(target.into()), times: 1, action };
    (rule, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte_waits_for_nothing_and_the_rest_is_fetched_ahead() {
    let (gateway, body) = with_object(6).await;
    // The first request's body pauses after a byte: it is there nevertheless, and what follows is
    // being fetched.
    let (rule, gate) = stall("/large", 1);
    gateway.hooks().add(rule);
    let mut stream = gateway.request("GET", "/large").send().await.unwrap().bytes_stream();
    let first = stream.next().await.unwrap().unwrap();
    assert_eq!(first[0], body[0]);
    eventually("the next piece is asked for", || async { gateway.hooks().count("GetObject") == 2 }).await;
    gate.open();
    let mut received = first.to_vec();
    while let Some(chunk) = stream.next().await {
        received.extend_from_slice(&chunk.unwrap());
    }
    assert!(received == body);
    assert_eq!(gateway.hooks().count("GetObject"), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_grows_while_reading_goes_on_and_is_small_where_it_jumps() {
    let (gateway, body) = with_object(10).await;
    // Whoever reads only the beginning costs two requests, not ten.
    let answer = gateway.request("GET", "/large").send().await.unwrap();
    let mut stream = answer.bytes_stream();
    stream.next().await.unwrap().unwrap();
    eventually("one piece ahead", || async { gateway.hooks().count("GetObject") == 2 }).await;
    drop(stream);
    gateway.hooks().reset();
    // A jump into the middle: nothing is fetched ahead before reading has gone on for a piece.
    let part = async |first: usize, length: usize| {
        let range = format!("bytes={first}-{}", first + length - 1);
        let answer = gateway.request("GET", "/large").header("Range", range).send().await.unwrap();
        assert!(answer.bytes().await.unwrap() == body[first..first + length]);
    };
    part(5 * PIECE + 77, 1000).await;
    assert_eq!(gateway.hooks().count("GetObject"), 1);
    part(3 * PIECE + 5, 3 * PIECE).await;
    assert_eq!(gateway.hooks().count("GetObject"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_ranges_are_resumed_and_a_replaced_object_ends_the_body() {
    let (gateway, body) = with_object(5).await;
    for after in [1, 100_000, 5_000_000] {
        gateway.hooks().next(2, "GetObject", Action::CutBody(after));
    }
    assert!(gateway.get("/large").await.1 == body);
    gateway.hooks().heal();
    // Replaced between two pieces: what was sent is of the old one, and there is no end to it.
    let (rule, gate) = stall("/large", 1000);
    gateway.hooks().add(rule);
    let mut stream = gateway.request("GET", "/large").send().await.unwrap().bytes_stream();
    let mut received = stream.next().await.unwrap().unwrap().to_vec();
    gateway.bucket().await.put_bytes("large", pattern(5 * PIECE, 2)).await;
    gate.open();
    let mut ended_well = true;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => received.extend_from_slice(&chunk),
            Err(_) => ended_well = false,
        }
    }
    assert!(!ended_well, "the body breaks off");
    assert!(received.len() < body.len() && received == body[..received.len()], "never a mix");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_share_their_memory_and_all_get_on() {
    let gateway = TestGateway::start_with(|config| {
        buckets(config).read_ahead.window = 16 << 20;
        buckets(config).read_ahead.total = 20 << 20;
    })
    .await;
    let body = pattern(4 * PIECE, 1);
    gateway.bucket().await.put_bytes("large", body.clone()).await;
    // Some stop reading and keep what they have; the others are served all the same.
    let mut paused = Vec::new();
    for _ in 0..6 {
        let mut stream = gateway.request("GET", "/large").send().await.unwrap().bytes_stream();
        stream.next().await.unwrap().unwrap();
        paused.push(stream);
    }
    for _ in 0..4 {
        assert!(gateway.get("/large").await.1 == body);
    }
    for mut stream in paused {
        while let Some(chunk) = stream.next().await {
            chunk.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_equal_where_they_must_be() {
    for threshold in [16 << 20, 6 << 20, 0] {
        let gateway = TestGateway::start_with(|config| {
            buckets(config).uploads.equal_parts = true;
            buckets(config).uploads.part_size = 5 << 20;
            buckets(config).uploads.multipart_threshold = threshold;
            buckets(config).uploads.memory = 10 << 20;
        })
        .await;
        // Of unknown length, in chunks that fit nothing.
        let body = pattern(23_000_000, 3);
        let chunks: Vec<_> =
            body.chunks(777_777).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        assert_eq!(gateway.request("PUT", "/file").body(stream).send().await.unwrap().status(), 201);
        assert_eq!(gateway.hooks().count("UploadPart"), 5, "four of 5 MiB and the rest");
        assert!(gateway.bucket().await.get("file").await.unwrap() == body);
    }
}
