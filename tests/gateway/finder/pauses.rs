//! A body is taken without a pause, whatever S3 does: macOS gives an upload up after 30 s.

use std::time::Duration;

use s3dav::embedded::{Action, Gate};
use s3dav::intake::IntakeOptions;

use super::client::Finder;
use super::sender::{PIECES, body, whole};
use crate::harness::{TestGateway, buckets, eventually, open_uploads};

/// A gateway whose memory holds a quarter of the body.
async fn small(spill: u64) -> TestGateway {
    TestGateway::start_with(|config| {
        let uploads = &mut buckets(config).uploads;
        uploads.part_size = 5 << 20;
        uploads.multipart_threshold = 8 << 20;
        uploads.memory = 16 << 20;
        uploads.intake = IntakeOptions { spill: Some(spill), pause: Duration::from_millis(100) };
        config.service.request_budget = Some(Duration::from_secs(60));
    })
    .await
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
    gate.open();
    assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    assert!(gateway.get("/file").await.1 == whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_on_disk_it_pauses_and_goes_on() {
    let gateway = small(2 << 20).await;
    let gate = hold_parts(&gateway);
    let (body, taking) = body(true);
    let sending = tokio::spawn(Finder::of(&gateway).request("PUT", "/file").body(body).send());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(taking.pieces() < PIECES);
    gate.open();
    assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    assert!(gateway.get("/file").await.1 == whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_little_room_on_disk_it_comes_as_s3_takes_it() {
    let gateway = small(2 << 20).await;
    gateway.hooks().set_latency(Duration::from_millis(400));
    let (body, taking) = body(true);
    let begun = tokio::time::Instant::now();
    let answer = Finder::of(&gateway).request("PUT", "/file").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    gateway.hooks().set_latency(Duration::ZERO);
    assert!(gateway.get("/file").await.1 == whole());
    let (longest, all) = (taking.longest_pause(), begun.elapsed());
    assert!(longest < all / 3, "it never waits for the whole backlog: {longest:?} of {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_mac_is_told_before_it_sends() {
    let gateway = small(2 << 20).await;
    let gate = hold_parts(&gateway);
    let (first, taking) = body(true);
    let mac = Finder::of(&gateway);
    let sending = tokio::spawn(mac.request("PUT", "/first").body(first).send());
    let announced = |name: &str| mac.request("PUT", name).header("X-Expected-Entity-Length", "67108864");
    eventually("there is no room", || async {
        let (body, taking) = body(true);
        let answer = announced("/second").body(body).send();
        let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(1), answer).await else { return false };
        assert_eq!(answer.status(), 507, "after {} pieces", taking.pieces());
        answer.text().await.unwrap().contains("--spill-limit")
    })
    .await;
    assert!(taking.pieces() < PIECES);
    // What is small needs no room, and others have the patience.
    let small = mac.request("PUT", "/small").body("content");
    let small = tokio::spawn(small.send());
    let (other, _) = body(true);
    let patient = gateway.request("PUT", "/other").header("X-Expected-Entity-Length", "67108864");
    let patient = tokio::spawn(patient.body(other).send());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!patient.is_finished());
    gate.open();
    assert_eq!(small.await.unwrap().unwrap().status(), 201);
    assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    assert_eq!(patient.await.unwrap().unwrap().status(), 201);
    let (again, _) = body(true);
    assert_eq!(announced("/second").body(again).send().await.unwrap().status(), 201);
    for path in ["/first", "/second", "/other"] {
        assert!(gateway.get(path).await.1 == whole(), "{path}");
    }
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
