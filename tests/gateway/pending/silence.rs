//! What counts as an outage, and what is S3 at work.

use std::time::{Duration, Instant};

use s3dav::embedded::{Action, Gate, Rule};

use super::Away;
use crate::harness::{buckets, eventually};

/// Patience, a fifth of which is the time for a question: enough on a machine that has much else to do.
const LONG: Duration = Duration::from_secs(2);

/// In front of an S3 that takes its time.
async fn busy() -> Away {
    Away::start_with(|config| buckets(config).file_system.store_patience = LONG).await
}

const BUSY: Action = Action::Fail { status: 503, code: "SlowDown", message: "" };

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_takes_long_is_waited_for() {
    let away = busy().await;
    away.bucket.put("doc", "content").await;
    assert_eq!(away.mac.get("/doc").await.0, 200);
    let gate = Gate::default();
    away.s3.hooks().next(1, "CopyObject", Action::Hold(gate.clone()));
    let request =
        away.mac.request("MOVE", "/doc").header("Destination", format!("{}/moved", away.gateway.url));
    let moving = tokio::spawn(request.send());
    gate.reached().await;
    tokio::time::sleep(LONG * 3 / 2).await;
    assert!(!moving.is_finished(), "S3 answers other questions");
    gate.open();
    assert_eq!(moving.await.unwrap().unwrap().status(), 201);
    assert_eq!(away.bucket.keys().await, ["moved"]);
    assert_eq!(away.s3.hooks().count("CopyObject"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_put_together_slowly_are_waited_for() {
    let away = busy().await;
    assert_eq!(away.mac.status("PUT", "/large").await, 201);
    let (gate, token) = (Gate::default(), away.mac.lock("/large").await);
    away.s3.hooks().next(1, "CompleteMultipartUpload", Action::Hold(gate.clone()));
    let request = away.mac.request("PUT", "/large").header("If", format!("(<{token}>)"));
    let saving = tokio::spawn(request.body(vec![7_u8; 20 << 20]).send());
    gate.reached().await;
    tokio::time::sleep(LONG * 3 / 2).await;
    assert!(!saving.is_finished());
    gate.open();
    assert!(saving.await.unwrap().unwrap().status().is_success());
    assert_eq!(away.s3.hooks().count("CompleteMultipartUpload"), 1);
    assert_eq!(away.bucket.get("large").await.unwrap().len(), 20 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_answers_and_takes_nothing_is_away_for_what_is_saved() {
    let away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.0, 200);
    away.s3.hooks().next(usize::MAX, "PutObject", BUSY);
    assert_eq!(away.save("/doc", "newer").await, 204);
    assert_eq!(away.bodies().len(), 1, "it is accepted");
    assert_eq!(away.gateway.get("/doc").await, (200, "newer".into()));
    away.s3.hooks().heal();
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newer");
    assert_eq!(away.bucket.keys().await, ["doc"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_silent_is_away() {
    let away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.0, 200);
    let gate = Gate::default();
    away.s3.hooks().always(Action::HoldFirst(gate.clone()));
    let begun = Instant::now();
    assert_eq!(away.save("/doc", "newer").await, 204);
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(away.bodies().len(), 1);
    gate.open();
    away.s3.hooks().heal();
    away.drained().await;
    eventually("it is stored", || async { away.bucket.get("doc").await.unwrap() == "newer" }).await;
    assert_eq!(away.bucket.keys().await, ["doc"], "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_file_that_is_pending_there_is_nothing_and_that_is_told_at_once() {
    let mut away = Away::start().await;
    away.mac.list("/").await;
    away.door.shut().await;
    away.mac.create("/file", "content").await;
    let begun = Instant::now();
    assert_eq!(away.gateway.put("/file/below", "content").await, 409);
    assert_eq!(away.gateway.get("/file/below").await.0, 404);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beside_when_s3_goes_away_is_not_put_beside_again() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.bucket.put("doc", "theirs").await;
    let (gate, target) = (Gate::default(), Some("conflict".to_owned()));
    let (operation, action) = (Some("PutObject".to_owned()), Action::Hold(gate.clone()));
    away.s3.hooks().add(Rule { operation, target, times: 1, action });
    let saving = tokio::spawn(away.mac.request("PUT", "/doc").body("mine").send());
    gate.reached().await;
    away.door.shut().await;
    assert_eq!(saving.await.unwrap().unwrap().status(), 204);
    gate.open();
    away.door.open().await;
    away.drained().await;
    let keys = away.bucket.keys().await;
    let [doc, copy] = &keys[..] else { panic!("{keys:?}") };
    assert_eq!(
        (away.bucket.get(doc).await.unwrap(), away.bucket.get(copy).await.unwrap()),
        ("theirs".into(), "mine".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_given_up_is_not_made_later() {
    let away = Away::start().await;
    for name in ["doc", "copy"] {
        away.bucket.put(name, "old").await;
        assert_eq!(away.mac.get(&format!("/{name}")).await.0, 200);
    }
    away.s3.hooks().next(usize::MAX, "PutObject", BUSY);
    assert_eq!(away.save("/doc", "newer").await, 204);
    let to = format!("{}/copy", away.gateway.url);
    let copied = away.mac.request("COPY", "/doc").header("Destination", to).send().await.unwrap();
    assert_eq!(copied.status(), 503);
    away.s3.hooks().heal();
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newer");
    // What waits for the save is told of it by then.
    assert_eq!(away.mac.get("/doc").await.1, "newer");
    tokio::time::sleep(super::PATIENCE * 2).await;
    assert_eq!(away.bucket.get("copy").await.unwrap(), "old");
    assert_eq!(away.s3.hooks().count("CopyObject"), 0);
}
