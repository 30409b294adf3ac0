//! A body is taken without a pause, whatever S3 does: macOS gives an upload up after 30 s.

use std::time::Duration;

use s3dav::config::Config;
use s3dav::embedded::{Action, Gate};
use s3dav::spool::{IntakeOptions, Quota};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::client::{AGENT, Finder};
use super::sender::{PIECES, Taking, body, whole};
use crate::control::status;
use crate::harness::raw::read_answer;
use crate::harness::{TestGateway, buckets, eventually, open_uploads};

/// A gateway whose memory holds a quarter of the body.
async fn small(room: u64) -> TestGateway {
    TestGateway::start_with(|config| shrink(config, room)).await
}

fn shrink(config: &mut Config, room: u64) {
    let source = buckets(config);
    // A part that is held may be held for long on a machine that has much else to do.
    source.s3.attempt_timeout = Duration::from_secs(600);
    source.uploads.part_size = 5 << 20;
    source.uploads.multipart_threshold = 8 << 20;
    source.uploads.memory = 16 << 20;
    source.intake = IntakeOptions { quota: Quota::of(room), pause: Duration::from_millis(10) };
    config.service.request_budget = Some(Duration::from_secs(60));
}

/// Lets no part through before the gate opens.
fn hold_parts(gateway: &TestGateway) -> Gate {
    let gate = Gate::default();
    gateway.hooks().next(usize::MAX, "UploadPart", Action::Hold(gate.clone()));
    gate
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_does_not_take_waits_on_disk() {
    let gateway = small(1 << 30).await;
    let gate = hold_parts(&gateway);
    let (body, taking) = body(true);
    let sending = Finder::of(&gateway).request("PUT", "/file").body(body).send();
    let sending = tokio::spawn(sending);
    eventually("the whole body is taken", || async { taking.pieces() == PIECES }).await;
    assert!(!sending.is_finished(), "and not acknowledged: it is not stored");
    assert_eq!(gateway.get("/file").await.0, 404);
    // Some of it is in sockets still.
    let most = 40 << 20;
    eventually("it waits on disk", || async { status(&gateway).await["spilled"].as_u64().unwrap() > most })
        .await;
    gate.open();
    assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    assert!(gateway.get("/file").await.1 == whole());
    assert_eq!(status(&gateway).await["spilled"], 0);
}

/// Waits until all the room is used, and the sender pauses.
async fn paused(gateway: &TestGateway, room: u64, taking: &Taking) {
    eventually("all the room is used", || async { status(gateway).await["spilled"] == room }).await;
    let mut before = 0;
    while taking.pieces() > before {
        before = taking.pieces();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(before < PIECES, "{before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_on_disk_it_comes_as_s3_takes_it() {
    let room = 8 << 20;
    let gateway = small(room).await;
    let (first, others) = (Gate::default(), Gate::default());
    gateway.hooks().next(1, "UploadPart", Action::Hold(first.clone()));
    gateway.hooks().next(usize::MAX, "UploadPart", Action::Hold(others.clone()));
    let (body, taking) = body(true);
    let sending = tokio::spawn(Finder::of(&gateway).request("PUT", "/file").body(body).send());
    paused(&gateway, room, &taking).await;
    let before = taking.pieces();
    first.open();
    // One part of 5 MiB, while the last of what waits on disk cannot be stored yet.
    let enough = before + (3 << 20) / (64 << 10);
    eventually("it goes on", || async { taking.pieces() >= enough }).await;
    assert!(taking.pieces() < PIECES && !sending.is_finished());
    others.open();
    assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    assert!(gateway.get("/file").await.1 == whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_what_a_mac_copies_is_refused() {
    let room = 2 << 20;
    let gateway = small(room).await;
    let gate = hold_parts(&gateway);
    let (first, taking) = body(true);
    let sending = tokio::spawn(Finder::of(&gateway).request("PUT", "/first").body(first).send());
    paused(&gateway, room, &taking).await;
    // On one connection, as a whole mount goes down with one.
    let mut copy = TcpStream::connect(gateway.address()).await.unwrap();
    for _ in 0..2 {
        let head = format!(
            "PUT /second HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {AGENT}\r\nTransfer-Encoding: chunked\r\n\
             X-Expected-Entity-Length: 83886080\r\n\r\n"
        );
        copy.write_all(head.as_bytes()).await.unwrap();
        let chunk = [b"100000\r\n".as_slice(), &vec![1; 1 << 20], b"\r\n"].concat();
        for _ in 0..80 {
            copy.write_all(&chunk).await.unwrap();
        }
        copy.write_all(b"0\r\n\r\n").await.unwrap();
        let answer = read_answer(&mut copy).await;
        assert!(answer.starts_with("HTTP/1.1 507") && answer.contains("--journal-size"), "{answer}");
    }
    // A document that is saved waits, and so does whoever has the patience.
    let mac = Finder::of(&gateway);
    let saving = tokio::spawn(mac.request("PUT", "/saved").body(vec![1; 5 << 20]).send());
    let (other, _) = body(true);
    let patient = gateway.request("PUT", "/other").header("X-Expected-Entity-Length", "67108864");
    let patient = tokio::spawn(patient.body(other).send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!saving.is_finished() && !patient.is_finished());
    gate.open();
    for sending in [sending, saving, patient] {
        assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    }
    let (again, _) = body(true);
    let announced = mac.request("PUT", "/second").header("X-Expected-Entity-Length", "67108864");
    assert_eq!(announced.body(again).send().await.unwrap().status(), 201);
    for path in ["/first", "/second", "/other"] {
        assert!(gateway.get(path).await.1 == whole(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_room_bounds_what_waits_what_may_be_needed_again_and_what_is_kept() {
    let gateway = TestGateway::start_with(|config| {
        // Pieces are rounded up to a KiB, and what waits takes whole MiB.
        shrink(config, (32 << 20) + (512 << 10));
        buckets(config).file_system.keeps = true;
    })
    .await;
    let gate = hold_parts(&gateway);
    let denied = Action::Fail { status: 403, code: "AccessDenied", message: "Access Denied" };
    gateway.hooks().next(usize::MAX, "PutObject", denied);
    // Its client can be told; a copy of it is there in case somebody else is faster.
    let needed = tokio::spawn(gateway.request("PUT", "/needed").body(vec![1; 10 << 20]).send());
    eventually("both its parts are sent", || async { gateway.hooks().count("UploadPart") == 2 }).await;
    // Its client cannot be told that S3 refuses it.
    let mac = Finder::of(&gateway);
    assert_eq!(mac.request("PUT", "/kept").body(vec![2; 4 << 20]).send().await.unwrap().status(), 201);
    let (waiting, taking) = body(true);
    let announced = mac.request("PUT", "/waiting").header("X-Expected-Entity-Length", "67108864");
    let waiting = tokio::spawn(announced.body(waiting).send());
    // A part of it is under way, and may be needed again.
    paused(&gateway, (32 - 10 - 4 - 5) << 20, &taking).await;
    let refused = mac.request("PUT", "/refused").header("X-Expected-Entity-Length", "67108864");
    assert_eq!(refused.body(body(true).0).send().await.unwrap().status(), 507);
    gate.open();
    for sending in [needed, waiting] {
        assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    }
    assert_eq!(gateway.bucket().await.keys().await, ["needed", "waiting"]);
    assert_eq!(gateway.get("/kept").await.1.len(), 4 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_nothing() {
    let gateway = small(1 << 30).await;
    let gate = hold_parts(&gateway);
    let (body, taking) = body(false);
    let sending = tokio::spawn(Finder::of(&gateway).request("PUT", "/file").body(body).send());
    eventually("the whole body is taken", || async { taking.pieces() == PIECES }).await;
    sending.abort();
    gate.open();
    eventually("no upload is left", || async { open_uploads(gateway.s3()).await.is_empty() }).await;
    assert!(gateway.bucket().await.is_empty().await);
}
