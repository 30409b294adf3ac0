//! Saves that were accepted and that S3 refuses, or that this machine lost.

use std::fs;
use std::time::Duration;

use s3dav::control::{self, PendingAction, Request};
use s3dav::embedded::Action;
use s3dav::spool::Quota;

use super::Away;
use crate::harness::eventually;

const DENIED: Action = Action::Fail { status: 403, code: "AccessDenied", message: "Access Denied" };

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_refuses_is_kept_told_and_gives_way_to_what_is_saved_next() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "newer").await, 204);
    assert_eq!(away.told().await[0]["state"], "waiting");
    away.s3.hooks().next(usize::MAX, "PutObject", DENIED);
    away.door.open().await;
    eventually("it is refused", || async { away.told().await[0]["state"] == "failed" }).await;
    assert!(away.told().await[0]["why"].as_str().unwrap().contains("access denied"), "{}", away.told().await);
    assert_eq!(away.mac.get("/doc").await, (200, "newer".into()), "it is shown still");
    assert_eq!((away.bodies().len(), away.bucket.get("doc").await.unwrap()), (1, "old".into()));
    away.s3.hooks().heal();
    assert_eq!(away.save("/doc", "newest").await, 204);
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newest");
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["doc"]);
    assert_eq!(away.told().await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_refuses_at_once_is_kept_for_whoever_cannot_be_told() {
    let away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    assert_eq!(away.mac.look("/new").await, 404);
    away.s3.hooks().next(usize::MAX, "PutObject", DENIED);
    assert_eq!(away.gateway.put("/doc", "of a client that is told").await, 403);
    assert_eq!(away.save("/doc", "newer").await, 204);
    away.mac.create("/new", "content").await;
    eventually("both are refused", || async {
        let told = away.told().await;
        told.as_array().unwrap().iter().filter(|save| save["state"] == "failed").count() == 2
    })
    .await;
    assert_eq!(away.mac.get("/doc").await, (200, "newer".into()), "it is shown");
    assert_eq!(away.mac.get("/new").await, (200, "content".into()));
    assert_eq!((away.bodies().len(), away.bucket.keys().await), (2, vec!["doc".to_owned()]));
    away.s3.hooks().heal();
    let state = away.gateway.state.path().join("state");
    let request = Request::Pending { path: String::new(), action: PendingAction::Retry };
    control::ask(&state, request, Duration::from_secs(30)).await.unwrap();
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newer");
    assert_eq!(away.bucket.get("new").await.unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_tried_again_at_the_next_start() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "newer").await, 204);
    away.s3.hooks().next(usize::MAX, "PutObject", DENIED);
    away.door.open().await;
    eventually("it is refused", || async { away.told().await[0]["state"] == "failed" }).await;
    away.s3.hooks().heal();
    let away = away.restarted().await;
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_damaged_is_told_and_never_stored() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "newer").await, 204);
    let file = away.gateway.state.path().join("state/pending.noindex").join(&away.bodies()[0]);
    fs::write(file, "NEWER").unwrap();
    away.door.open().await;
    eventually("it is told", || async { away.told().await[0]["state"] == "failed" }).await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "old");
    assert_eq!(away.bucket.keys().await, ["doc"]);
    assert_eq!(away.bodies().len(), 1, "it is not thrown away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_that_is_lost_is_never_stored_as_an_empty_file() {
    let mut away = Away::start().await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    assert_eq!(away.save("/doc", "newer").await, 204);
    let file = away.gateway.state.path().join("state/pending.noindex").join(&away.bodies()[0]);
    fs::remove_file(file).unwrap();
    let mut away = away.restarted().await;
    away.door.open().await;
    eventually("it is told", || async { away.told().await[0]["state"] == "failed" }).await;
    let state = away.gateway.state.path().join("state");
    let request = Request::Pending { path: String::new(), action: PendingAction::Retry };
    control::ask(&state, request, Duration::from_secs(30)).await.unwrap();
    eventually("it is told again", || async { away.told().await[0]["state"] == "failed" }).await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "old");
    assert_eq!(away.mac.get("/doc").await.0, 500, "nor is it shown as one");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_save_waits_for_s3() {
    let mut away = Away::start_with(|config| super::buckets(config).intake.quota = Quota::of(64 << 10)).await;
    away.bucket.put("doc", "old").await;
    assert_eq!(away.mac.get("/doc").await.1, "old");
    away.door.shut().await;
    let token = away.mac.lock("/doc").await;
    let content = "x".repeat(100_000);
    let request = away.mac.request("PUT", "/doc").header("If", format!("(<{token}>)"));
    let saving = tokio::spawn(request.body(content.clone()).send());
    tokio::time::sleep(super::PATIENCE * 4).await;
    assert!(!saving.is_finished());
    away.door.open().await;
    assert_eq!(saving.await.unwrap().unwrap().status(), 204);
    assert_eq!(away.bucket.get("doc").await.unwrap(), content);
    away.drained().await;
}
