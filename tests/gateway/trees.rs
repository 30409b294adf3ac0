//! Copies, moves and deletes of folders and of large objects.

use std::time::Duration;

use bytes::Bytes;
use s3dav::embedded::{Action, Rule};
use s3dav::object::{Attributes, Key};

use crate::harness::{TestGateway, buckets, eventually, open_uploads};

const SLOW_DOWN: Action =
    Action::Fail { status: 503, code: "SlowDown", message: "Please reduce your request rate" };

async fn with_tree(count: usize) -> TestGateway {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for n in 0..count {
        bucket.put(&format!("t/{n:04}"), &n.to_string()).await;
    }
    gateway.hooks().reset();
    gateway
}

/// An object in the bucket with everything that can be stored beside its content.
async fn put_with_attributes(gateway: &TestGateway, key: &str, size: usize) -> Bytes {
    let body: Bytes = (0..size).map(|n| (n % 239) as u8).collect::<Vec<_>>().into();
    let attributes = Attributes {
        content_type: Some("video/x-test".into()),
        cache_control: Some("max-age=7".into()),
        content_disposition: Some("inline".into()),
        content_language: Some("de".into()),
        storage_class: Some("STANDARD_IA".into()),
        tagging: Some("colour=dark%20red&size=9".into()),
        user: [("mtime".to_owned(), "1700000000".to_owned())].into(),
        ..Attributes::default()
    };
    gateway.bucket().await.upload(key, body.clone(), &attributes).await;
    body
}

async fn assert_attributes(gateway: &TestGateway, key: &str) {
    let store = gateway.bucket().await.store().clone();
    let key = Key::new(key).unwrap();
    let meta = store.head(&key).await.unwrap();
    assert_eq!(meta.storage_class.as_deref(), Some("STANDARD_IA"), "the class is kept");
    let attributes = store.attributes(&key, &meta.etag).await.unwrap();
    assert_eq!(attributes.content_type.as_deref(), Some("video/x-test"));
    assert_eq!(attributes.cache_control.as_deref(), Some("max-age=7"));
    assert_eq!(attributes.content_disposition.as_deref(), Some("inline"));
    assert_eq!(attributes.content_language.as_deref(), Some("de"));
    assert_eq!(attributes.tagging.as_deref(), Some("colour=dark%20red&size=9"));
    assert_eq!(attributes.user["mtime"], "1700000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_request_cannot_copy_is_copied_in_parts_with_all_that_belongs_to_it() {
    let gateway = TestGateway::start_with(|config| {
        buckets(config).uploads.copy_limit = 20 << 20;
        buckets(config).uploads.copy_part = 6 << 20;
    })
    .await;
    let body = put_with_attributes(&gateway, "large", 25 << 20).await;
    let small = put_with_attributes(&gateway, "small", 1 << 20).await;
    gateway.hooks().reset();
    assert_eq!(gateway.transfer("COPY", "/large", "/copied").await, 201);
    assert_eq!(gateway.hooks().count("UploadPartCopy"), 5);
    assert_eq!(gateway.hooks().count("CopyObject"), 0);
    assert_eq!(gateway.transfer("MOVE", "/large", "/moved").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/small", "/small2").await, 201);
    let bucket = gateway.bucket().await;
    assert_eq!(bucket.keys().await, ["copied", "moved", "small2"]);
    for key in ["copied", "moved", "small2"] {
        assert_attributes(&gateway, key).await;
    }
    assert!(bucket.get("moved").await.unwrap() == body && bucket.get("small2").await.unwrap() == small);
    assert!(gateway.get("/moved").await.1 == body);
    // Overtaken while the parts are copied: nobody's work is lost, and no upload stays.
    let gate = s3dav::embedded::Gate::default();
    gateway.hooks().next(1, "UploadPartCopy", Action::Hold(gate.clone()));
    let request = gateway.request("MOVE", "/moved").header("Destination", format!("{}/copied", gateway.url));
    let moving = tokio::spawn(request.send());
    eventually("it is being copied", || async { gateway.hooks().count("UploadPartCopy") >= 11 }).await;
    bucket.put("copied", "theirs").await;
    gate.open();
    assert_eq!(moving.await.unwrap().unwrap().status(), 204);
    assert_eq!(bucket.get("copied").await.unwrap(), "theirs");
    let keys = bucket.keys().await;
    let conflict = keys.iter().find(|key| key.starts_with("copied (conflict")).unwrap();
    assert!(bucket.get(conflict).await.unwrap() == body);
    eventually("no upload stays", || async { open_uploads(gateway.s3()).await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_bucket_is_moved_slower_but_whole() {
    let gateway = with_tree(200).await;
    gateway.hooks().next(60, "CopyObject", SLOW_DOWN);
    gateway.hooks().next(1, "DeleteObjects", SLOW_DOWN);
    assert_eq!(gateway.transfer("MOVE", "/t", "/u").await, 201);
    let contents = gateway.bucket().await.contents().await;
    assert_eq!(contents.len(), 200);
    assert!(contents.iter().all(|(key, body)| {
        key.strip_prefix("u/").unwrap().parse::<usize>().unwrap().to_string() == *body
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_a_200_is_an_error() {
    let gateway = with_tree(3).await;
    let hidden = Action::Fail { status: 200, code: "InternalError", message: "after white space" };
    gateway.hooks().next(1, "CopyObject", hidden.clone());
    assert_eq!(gateway.transfer("MOVE", "/t/0000", "/t/moved").await, 201);
    let gateway = {
        let (s3, state) = gateway.stop().await;
        let budget = Some(Duration::from_millis(300));
        TestGateway::start_on(s3, state, |config| config.service.request_budget = budget).await
    };
    gateway.hooks().next(usize::MAX, "CopyObject", hidden);
    assert_eq!(gateway.transfer("MOVE", "/t/0001", "/t/lost").await, 503);
    assert_eq!(gateway.bucket().await.keys().await, ["t/0001", "t/0002", "t/moved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_bulk_deletes_is_asked_one_by_one() {
    let gateway = with_tree(40).await;
    let missing = Action::Fail { status: 501, code: "NotImplemented", message: "no such operation" };
    gateway.hooks().next(usize::MAX, "DeleteObjects", missing);
    assert_eq!(gateway.status("DELETE", "/t").await, 204);
    assert_eq!(gateway.hooks().count("DeleteObject"), 40);
    assert!(gateway.bucket().await.is_empty().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_fails_midway_says_how_far_it_came_and_keeps_the_source() {
    let gateway = with_tree(30).await;
    gateway.hooks().add(Rule {
        operation: Some("CopyObject".into()),
        target: Some("u/0029".into()),
        times: usize::MAX,
        action: Action::Fail { status: 403, code: "AccessDenied", message: "not this one" },
    });
    let request = gateway.request("MOVE", "/t").header("Destination", format!("{}/u", gateway.url));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let text = answer.text().await.unwrap();
    assert!(text.contains(" of 30 objects were copied; no source was deleted"), "{text}");
    let keys = gateway.bucket().await.keys().await;
    assert_eq!(keys.iter().filter(|key| key.starts_with("t/")).count(), 30);
    // What a later try needs is there: it goes on and ends.
    gateway.hooks().heal();
    assert_eq!(gateway.transfer("MOVE", "/t", "/u").await, 204);
    assert_eq!(gateway.bucket().await.keys().await.len(), 30);
    // Deletes that are refused for some keys are told with their number.
    gateway.hooks().reset();
    let bucket = gateway.bucket().await;
    let gate = s3dav::embedded::Gate::default();
    gateway.hooks().next(1, "ListObjectsV2", Action::Hold(gate.clone()));
    let deleting = tokio::spawn(gateway.request("DELETE", "/u").send());
    gate.reached().await;
    bucket.put("u/0007", "theirs").await;
    gate.open();
    let answer = deleting.await.unwrap().unwrap();
    assert_eq!(answer.status(), 412);
    let text = answer.text().await.unwrap();
    assert!(text.contains("1 are left") && text.contains("u/0007"), "{text}");
    assert_eq!(bucket.keys().await, ["u/0007"]);
}
