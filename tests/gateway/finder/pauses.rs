//! A body is taken without a pause, whatever S3 does: macOS gives an upload up after 30 s.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use s3dav::embedded::{Action, Gate};

use super::client::Finder;
use crate::harness::{TestGateway, buckets, eventually, open_uploads};

const PIECE: usize = 64 << 10;
const PIECES: usize = 1024;

/// A gateway whose memory holds a quarter of the body.
async fn small(spill: u64) -> TestGateway {
    TestGateway::start_with(|config| {
        let uploads = &mut buckets(config).uploads;
        uploads.part_size = 5 << 20;
        uploads.multipart_threshold = 8 << 20;
        uploads.memory = 16 << 20;
        uploads.spill = Some(spill);
        uploads.pause = Duration::from_millis(100);
        config.service.request_budget = Some(Duration::from_secs(60));
    })
    .await
}

/// 64 MiB that count how many pieces of them were taken, none alike; `ends`: nothing more is to come.
fn counted(ends: bool) -> (reqwest::Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let pieces = stream::iter((0..PIECES).map(move |number| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(piece(number))
    }));
    let more = stream::iter(std::iter::once(())).filter_map(move |()| async move {
        if !ends {
            std::future::pending::<()>().await;
        }
        None
    });
    (reqwest::Body::wrap_stream(pieces.chain(more)), taken)
}

fn piece(number: usize) -> Bytes {
    (0..PIECE).map(|at| (at ^ number ^ (number >> 8)) as u8).collect::<Vec<_>>().into()
}

fn whole() -> Bytes {
    (0..PIECES).map(piece).collect::<Vec<_>>().concat().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_does_not_take_waits_on_disk() {
    let gateway = small(1 << 30).await;
    let gate = Gate::default();
    gateway.hooks().next(usize::MAX, "UploadPart", Action::Hold(gate.clone()));
    let (body, taken) = counted(true);
    let mac = Finder::of(&gateway);
    let sending = mac.request("PUT", "/file").body(body).send();
    let sending = tokio::spawn(sending);
    eventually("the whole body is taken", || async { taken.load(Ordering::Relaxed) == PIECES }).await;
    assert!(!sending.is_finished(), "and not acknowledged: it is not stored");
    assert_eq!(gateway.get("/file").await.0, 404);
    gate.open();
    assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    assert!(gateway.get("/file").await.1 == whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_on_disk_it_pauses_and_goes_on() {
    let gateway = small(1 << 20).await;
    let gate = Gate::default();
    gateway.hooks().next(usize::MAX, "UploadPart", Action::Hold(gate.clone()));
    let (body, taken) = counted(true);
    let sending = tokio::spawn(Finder::of(&gateway).request("PUT", "/file").body(body).send());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(taken.load(Ordering::Relaxed) < PIECES);
    gate.open();
    assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    assert!(gateway.get("/file").await.1 == whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_nothing() {
    let gateway = small(1 << 30).await;
    let gate = Gate::default();
    gateway.hooks().next(usize::MAX, "UploadPart", Action::Hold(gate.clone()));
    let (body, taken) = counted(false);
    let sending = tokio::spawn(Finder::of(&gateway).request("PUT", "/file").body(body).send());
    eventually("the whole body is taken", || async { taken.load(Ordering::Relaxed) == PIECES }).await;
    sending.abort();
    gate.open();
    eventually("no upload is left", || async { open_uploads(gateway.s3()).await.is_empty() }).await;
    assert!(gateway.bucket().await.is_empty().await);
}
