//! What S3 refuses does not hold up what else is to become of its names.

use std::time::Duration;

use s3dav::control::{self, PendingAction, Reply, Request};
use s3dav::embedded::Action;
use serde_json::Value;

use super::Away;
use super::durability::journaling;
use crate::harness::eventually;

const DENIED: Action = Action::Fail { status: 403, code: "AccessDenied", message: "Access Denied" };

impl Away {
    async fn refuse(&self, operation: &str) {
        self.s3.hooks().next(usize::MAX, operation, DENIED);
    }

    /// What `s3dav pending` lists, or does.
    async fn asked(&self, action: PendingAction) -> Value {
        let state = self.gateway.state.path().join("state");
        let request = Request::Pending { path: String::new(), action };
        match control::ask(&state, request, Duration::from_secs(30)).await {
            Ok(Reply::Pending { changes }) => serde_json::to_value(changes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn is_refused(&self) {
        eventually("it is refused", || async {
            let listed = self.asked(PendingAction::List).await;
            listed.as_array().unwrap().iter().any(|change| !change["refused"].is_null())
        })
        .await;
    }

    /// Everything is where it is to be, and nothing beside it.
    async fn ends_as(&self, expected: &[(&str, &str)]) {
        self.drained().await;
        let keys: Vec<_> = self.bucket.keys().await.into_iter().filter(|key| !key.contains("old")).collect();
        assert_eq!(keys, expected.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        for (key, content) in expected {
            assert_eq!(self.bucket.get(key).await.unwrap(), *content, "{key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_move_is_kept_while_nothing_else_is_to_become_of_its_names() {
    let away = journaling(50).await;
    away.refuse("CopyObject").await;
    assert_eq!(away.mac.rename("/d/doc", "/d/moved").await, 201);
    away.is_refused().await;
    assert_eq!(away.mac.get("/d/moved").await, (200, "old".into()), "it is shown");
    away.s3.hooks().heal();
    assert_eq!(away.asked(PendingAction::Retry).await.as_array().unwrap().len(), 1);
    away.ends_as(&[("d/moved", "old")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_move_gives_way_to_what_was_saved_at_both_of_its_names() {
    for is_before in [true, false] {
        let away = journaling(if is_before { 700 } else { 50 }).await;
        away.refuse("CopyObject").await;
        assert_eq!(away.mac.rename("/d/doc", "/d/moved").await, 201);
        if !is_before {
            away.is_refused().await;
        }
        assert_eq!(away.save("/d/moved", "saved").await, 204);
        eventually("the save is in S3", || async {
            away.bucket.get("d/moved").await.is_some_and(|content| content == "saved")
        })
        .await;
        away.ends_as(&[("d/doc", "old"), ("d/moved", "saved")]).await;
        assert_eq!(away.mac.get("/d/doc").await.1, "old", "it stayed where it was, and shows again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_move_holds_up_no_save_that_s3_is_asked_for() {
    let mut away = Away::start().await;
    away.bucket.put("d/doc", "old").await;
    assert_eq!((away.mac.list("/d/").await.len(), away.mac.get("/d/doc").await.0), (2, 200));
    away.door.shut().await;
    assert_eq!(away.mac.rename("/d/doc", "/d/moved").await, 201);
    away.refuse("CopyObject").await;
    away.door.open().await;
    away.is_refused().await;
    assert_eq!(away.gateway.put("/d/moved", "of another client").await, 204);
    away.ends_as(&[("d/doc", "old"), ("d/moved", "of another client")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_may_not_delete_leaves_the_file_at_both_names() {
    let away = journaling(50).await;
    away.refuse("DeleteObject").await;
    assert_eq!(away.mac.rename("/d/doc", "/d/moved").await, 201);
    away.is_refused().await;
    assert_eq!(away.save("/d/moved", "saved").await, 204);
    away.ends_as(&[("d/doc", "old"), ("d/moved", "saved")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_is_sent_to_the_name_that_it_is_given() {
    for is_before in [true, false] {
        let away = journaling(if is_before { 400 } else { 50 }).await;
        away.save_new("/d/new", "content").await;
        away.s3.hooks().next(1, "PutObject", DENIED);
        if is_before {
            // It is being sent when it is moved.
            away.s3.hooks().set_latency(Duration::from_millis(600));
            eventually("it is on its way", || async {
                away.asked(PendingAction::List).await[0]["sending"] == true
            })
            .await;
        } else {
            away.is_refused().await;
        }
        assert_eq!(away.mac.rename("/d/new", "/d/newer").await, 201);
        away.ends_as(&[("d/doc", "old"), ("d/newer", "content")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_version_is_sent_to_the_name_that_the_file_is_given() {
    let away = journaling(50).await;
    away.s3.hooks().next(1, "PutObject", DENIED);
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    away.is_refused().await;
    assert_eq!(away.mac.rename("/d/doc", "/d/moved").await, 201);
    away.save_new("/d/doc", "another").await;
    away.ends_as(&[("d/doc", "another"), ("d/moved", "newer")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_after_a_refusal_is_gone() {
    let away = journaling(50).await;
    away.s3.hooks().next(2, "PutObject", DENIED);
    away.save_new("/d/new", "content").await;
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    eventually("both are refused", || async {
        let listed = away.asked(PendingAction::List).await;
        listed.as_array().unwrap().iter().filter(|change| !change["refused"].is_null()).count() == 2
    })
    .await;
    for name in ["/d/new", "/d/doc"] {
        assert_eq!(away.mac.status("DELETE", name).await, 204);
    }
    away.ends_as(&[]).await;
}
