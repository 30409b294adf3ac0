//! An orderly end while S3 does not answer: it is not waited for, and what it has not is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use s3dav::config::Config;
use s3dav::embedded::{Action, Gate};
use s3dav::store::journal::Durability;

use super::Away;
use crate::harness::{buckets, client, eventually, open_uploads};

const PART: u64 = 5 << 20;

fn patient(durability: Durability) -> impl FnOnce(&mut Config) {
    move |config: &mut Config| {
        let source = buckets(config);
        source.file_system.durability = durability;
        source.file_system.drain_timeout = Duration::from_secs(30);
        source.journal_delay = Duration::ZERO;
        (source.uploads.part_size, source.uploads.multipart_threshold) = (PART, PART);
    }
}

/// Ends it, and starts it once more when S3 answers again.
async fn end_within(away: Away, gate: Gate, most: Duration) -> Away {
    let begun = Instant::now();
    let (s3, elapsed) = (Arc::clone(&away.s3), Arc::new(parking_lot::Mutex::new(Duration::ZERO)));
    let noted = Arc::clone(&elapsed);
    let between = async move {
        *noted.lock() = begun.elapsed();
        s3.hooks().heal();
        gate.open();
    };
    let away = away.restarted_after(between, patient(Durability::Journal)).await;
    let elapsed = *elapsed.lock();
    println!("it ended after {elapsed:?}");
    assert!(elapsed < most, "{elapsed:?}");
    away
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_sent_when_s3_falls_silent_is_kept_and_holds_no_end_up() {
    let away = Away::start_with(patient(Durability::Journal)).await;
    let gate = Gate::default();
    away.s3.hooks().next(usize::MAX, "UploadPart", Action::HoldFirst(gate.clone()));
    let content = vec![b'x'; 3 * PART as usize];
    assert_eq!(away.gateway.put("/large", content.clone()).await, 201);
    gate.reached().await;
    away.s3.hooks().always(Action::HoldFirst(gate.clone()));
    let away = end_within(away, gate, Duration::from_secs(15)).await;
    away.drained().await;
    assert!(away.bucket.get("large").await.unwrap() == content);
    eventually("no upload is left", || async { open_uploads(&away.s3).await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_an_upload_that_its_client_gave_up() {
    let away = Away::start_with(patient(Durability::Store)).await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    let gate = Gate::default();
    let body = stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; PART as usize]))));
    let body = reqwest::Body::wrap_stream(body.chain(stream::pending()));
    let sending = client().put(format!("{}/large", away.gateway.url)).body(body).send();
    let sending = tokio::spawn(sending);
    eventually("it is sent", || async { away.s3.hooks().count("UploadPart") > 0 }).await;
    away.s3.hooks().always(Action::HoldFirst(gate.clone()));
    assert_eq!(away.save("/doc", "saved").await, 204);
    sending.abort();
    let away = end_within(away, gate, Duration::from_secs(15)).await;
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["doc"]);
    assert_eq!(away.bucket.get("doc").await.unwrap(), "saved");
    eventually("the next start aborts it", || async { open_uploads(&away.s3).await.is_empty() }).await;
}
