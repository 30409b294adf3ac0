//! Answers that AWS would give otherwise.

use std::sync::Arc;
use std::time::Duration;

use s3dav::embedded::Quirks;

use crate::harness::{TestGateway, buckets, embedded};

/// Bytes of a file that goes up in parts.
const LARGE: usize = 17 << 20;

/// A gateway that does not wait long, on a server that does things otherwise. `trusts`: the conditions of its
/// writes are believed in without being tried.
async fn on(trusts: bool, change: impl FnOnce(&mut Quirks)) -> TestGateway {
    let s3 = embedded().await;
    s3.hooks().change_quirks(change);
    TestGateway::start_on(s3, Arc::new(tempfile::tempdir().unwrap()), |config| {
        config.service.request_budget = Some(Duration::from_secs(1));
        buckets(config).trusts_conditions = trusts;
    })
    .await
}

fn owned(operations: &[&str]) -> Vec<String> {
    operations.iter().map(|name| (*name).to_owned()).collect()
}

/// Files are stored, replaced and moved; each once, and there is nothing beside them.
async fn writes(gateway: &TestGateway) {
    assert_eq!(gateway.put("/small", "first").await, 201);
    assert_eq!(gateway.put("/small", "second").await, 204);
    assert_eq!(gateway.put("/large", vec![1; LARGE]).await, 201);
    assert_eq!(gateway.put("/large", vec![2; LARGE]).await, 204);
    assert_eq!(gateway.hooks().count("CompleteMultipartUpload"), 2);
    for name in ["small", "large"] {
        assert_eq!(gateway.transfer("MOVE", &format!("/{name}"), &format!("/{name}2")).await, 201);
    }
    assert_eq!(gateway.hooks().count("CopyObject"), 2);
    let contents = gateway.bucket().await.contents().await;
    assert_eq!(contents.keys().collect::<Vec<_>>(), ["large2", "small2"]);
    assert!(contents["small2"] == "second" && contents["large2"] == vec![2; LARGE]);
    // The client has this version now.
    assert_eq!(gateway.put("/small2", "third").await, 204);
    assert_eq!(gateway.bucket().await.keys().await, ["large2", "small2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_known_where_its_etag_is_not_told() {
    for opaque in [false, true] {
        let gateway = on(true, |quirks| {
            quirks.without_etag = owned(&["PutObject", "CompleteMultipartUpload", "CopyObject"]);
            quirks.opaque_etags = opaque;
        });
        writes(&gateway.await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_known_where_the_xml_is_another() {
    for opaque in [false, true] {
        let gateway = on(true, |quirks| {
            quirks.other_roots = owned(&["CompleteMultipartUpload", "CopyObject"]);
            quirks.opaque_etags = opaque;
        });
        writes(&gateway.await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_no_etags_can_be_asked_for_its_conditions() {
    let all = ["PutObject", "CompleteMultipartUpload", "CopyObject"];
    let gateway = on(false, |quirks| quirks.without_etag = owned(&all)).await;
    assert_eq!(gateway.put("/file", "content").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 201);
    assert_eq!(gateway.bucket().await.keys().await, ["moved"]);
}
