//! Writes that S3 has carried out, of which the answer was lost: the next try meets what the first one wrote,
//! and must know it again. Where KMS encrypts, ETags tell nothing.

use std::sync::Arc;
use std::time::Duration;

use s3dav::embedded::{Action, Gate, Rule};

use crate::finder::client::Finder;
use crate::harness::{TestGateway, buckets, embedded, eventually, open_uploads};

const LARGE: usize = 20 << 20;

/// One whose ETags are MD5s, and one where KMS encrypts.
async fn both_kinds() -> [TestGateway; 2] {
    let gateways = [TestGateway::start().await, TestGateway::start().await];
    gateways[1].hooks().set_opaque_etags(true);
    gateways
}

fn lose_answer(gateway: &TestGateway, operation: &str) {
    gateway.hooks().next(1, operation, Action::ApplyThenFail);
}

/// What lies in the bucket must be this, with nothing beside it.
async fn assert_only(gateway: &TestGateway, key: &str, content: &[u8]) {
    let contents = gateway.bucket().await.contents().await;
    assert_eq!(contents.keys().collect::<Vec<_>>(), [key]);
    assert!(contents[key] == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_no_conflict_with_itself() {
    for gateway in both_kinds().await {
        lose_answer(&gateway, "PutObject");
        assert_eq!(gateway.put("/file", "first").await, 201);
        assert_only(&gateway, "file", b"first").await;
        lose_answer(&gateway, "PutObject");
        assert_eq!(gateway.put("/file", "second").await, 204);
        assert_only(&gateway, "file", b"second").await;
        // The client has this version now.
        assert_eq!(gateway.put("/file", "third").await, 204);
        assert_only(&gateway, "file", b"third").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_no_conflict_with_itself_where_conditions_are_ignored() {
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(&["PutObject", "DeleteObject"]);
    let state = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::start_on(s3, state, |config| {
        buckets(config).trusts_conditions = false;
        // A second attempt would come later.
        buckets(config).look_age = Duration::from_millis(40);
    })
    .await;
    assert_eq!(gateway.put("/before", "content").await, 201);
    assert_eq!(gateway.status("DELETE", "/before").await, 204);
    for (content, status) in [("first", 201), ("second", 204), ("third", 204)] {
        lose_answer(&gateway, "PutObject");
        assert_eq!(gateway.put("/file", content).await, status, "{content}");
        assert_only(&gateway, "file", content.as_bytes()).await;
    }
    lose_answer(&gateway, "DeleteObject");
    assert_eq!(gateway.status("DELETE", "/file").await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_parts_is_no_conflict_with_itself() {
    for gateway in both_kinds().await {
        lose_answer(&gateway, "CompleteMultipartUpload");
        assert_eq!(gateway.put("/file", vec![1; LARGE]).await, 201);
        assert_only(&gateway, "file", &[1; LARGE]).await;
        lose_answer(&gateway, "CompleteMultipartUpload");
        assert_eq!(gateway.put("/file", vec![2; LARGE]).await, 204);
        assert_only(&gateway, "file", &[2; LARGE]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_own_condition_held() {
    for gateway in both_kinds().await {
        lose_answer(&gateway, "PutObject");
        let put = gateway.request("PUT", "/file").header("If-None-Match", "*").body("content");
        assert_eq!(put.send().await.unwrap().status(), 201);
        assert_only(&gateway, "file", b"content").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_made_once() {
    for gateway in both_kinds().await {
        lose_answer(&gateway, "PutObject");
        assert_eq!(gateway.status("MKCOL", "/folder").await, 201);
        assert_only(&gateway, "folder/", b"").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_macos_makes_empty_gets_its_content() {
    for gateway in both_kinds().await {
        let finder = Finder::of(&gateway);
        // The content takes the place of what is held.
        assert_eq!(finder.status("PUT", "/a").await, 201);
        let token = finder.lock("/a").await;
        lose_answer(&gateway, "PutObject");
        assert_eq!(finder.put("/a", &token, "content").await, 204);
        assert_eq!(finder.unlock("/a", &token).await, 204);
        assert_only(&gateway, "a", b"content").await;
        assert_eq!(finder.status("DELETE", "/a").await, 204);
        // What is held goes to S3, since it is copied, and gets its content there.
        assert_eq!(finder.status("PUT", "/b").await, 201);
        lose_answer(&gateway, "PutObject");
        assert_eq!(finder.rename("/b", "/c").await, 201);
        let token = finder.lock("/c").await;
        assert_eq!(finder.put("/c", &token, "content").await, 204);
        assert_eq!(finder.unlock("/c", &token).await, 204);
        assert_only(&gateway, "c", b"content").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_and_put_to_s3_gets_its_content_later() {
    for gateway in both_kinds().await {
        let finder = Finder::of(&gateway);
        assert_eq!(finder.status("PUT", "/a").await, 201);
        let token = finder.lock("/a").await;
        lose_answer(&gateway, "PutObject");
        assert_eq!(finder.unlock("/a", &token).await, 204);
        let bucket = gateway.bucket().await;
        eventually("it was tried again", || async {
            gateway.hooks().count("PutObject") == 2 && bucket.get("a").await.is_some()
        })
        .await;
        let token = finder.lock("/a").await;
        assert_eq!(finder.put("/a", &token, "content").await, 204);
        assert_only(&gateway, "a", b"content").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_file_is_in_one_place() {
    for gateway in both_kinds().await {
        // One request's worth, and one in parts, whose ETag no copy has.
        for size in [100, LARGE] {
            assert_eq!(gateway.put("/file", vec![1; size]).await, 201);
            lose_answer(&gateway, "CopyObject");
            assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 201);
            assert_only(&gateway, "moved", &vec![1; size]).await;
            assert_eq!(gateway.put("/file", vec![2; size]).await, 201);
            lose_answer(&gateway, "CopyObject");
            assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 204, "replaced");
            assert_only(&gateway, "moved", &vec![2; size]).await;
            assert_eq!(gateway.status("DELETE", "/moved").await, 204);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_large_file_is_not_read_to_tell_that_it_was_moved() {
    const VERY_LARGE: usize = 65 << 20;
    let gateway = TestGateway::start().await;
    gateway.hooks().set_opaque_etags(true);
    assert_eq!(gateway.put("/file", vec![1; VERY_LARGE]).await, 201);
    lose_answer(&gateway, "CopyObject");
    assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 201);
    assert_eq!(gateway.hooks().count("GetObject"), 0);
    assert_eq!(gateway.bucket().await.keys().await, ["moved"]);
}

/// The gateway was killed between the copy and the answer; the next one carries out the move when the client, who
/// was told of no such file, asks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_was_cut_and_is_made_again_leaves_one_file() {
    let gateway = TestGateway::start().await;
    assert_eq!(gateway.put("/file", "content").await, 201);
    assert_eq!(gateway.status("GET", "/moved").await, 404);
    gateway.bucket().await.put("moved", "content").await;
    assert!([201, 204].contains(&gateway.transfer("MOVE", "/file", "/moved").await));
    assert_only(&gateway, "moved", b"content").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_folder_has_each_file_once() {
    for gateway in both_kinds().await {
        assert_eq!(gateway.status("MKCOL", "/a").await, 201);
        assert_eq!(gateway.put("/a/large", vec![1; LARGE]).await, 201);
        assert_eq!(gateway.put("/a/small", "content").await, 201);
        gateway.hooks().next(3, "CopyObject", Action::ApplyThenFail);
        lose_answer(&gateway, "DeleteObjects");
        assert_eq!(gateway.transfer("MOVE", "/a", "/b").await, 201);
        assert_eq!(gateway.bucket().await.keys().await, ["b/", "b/large", "b/small"]);
    }
}

/// The next write of `operation` fails without having been carried out, and before the one after it somebody
/// else is faster.
async fn overtaken(
    gateway: &TestGateway,
    operation: &str,
    theirs: (&str, Vec<u8>),
) -> tokio::task::JoinHandle<()> {
    let (gate, hooks) = (Gate::default(), gateway.hooks());
    let failed = Action::Fail { status: 500, code: "InternalError", message: "not carried out" };
    hooks.next(1, operation, failed);
    hooks.next(1, operation, Action::HoldFirst(gate.clone()));
    let (bucket, key, content) = (gateway.bucket().await, theirs.0.to_owned(), theirs.1);
    tokio::spawn(async move {
        gate.reached().await;
        bucket.put_bytes(&key, content.into()).await;
        gate.open();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_of_the_same_size_is_kept() {
    for gateway in both_kinds().await {
        let bucket = gateway.bucket().await;
        let rival = overtaken(&gateway, "PutObject", ("file", b"theirs".to_vec())).await;
        assert_eq!(gateway.put("/file", "mine!!").await, 201);
        rival.await.unwrap();
        let rival = overtaken(&gateway, "CompleteMultipartUpload", ("large", vec![2; LARGE])).await;
        assert_eq!(gateway.put("/large", vec![1; LARGE]).await, 201);
        rival.await.unwrap();
        assert_eq!(gateway.put("/source", "source").await, 201);
        let rival = overtaken(&gateway, "CopyObject", ("moved", b"theirs".to_vec())).await;
        assert_eq!(gateway.transfer("MOVE", "/source", "/moved").await, 201);
        rival.await.unwrap();
        let contents = bucket.contents().await;
        assert_eq!(contents.len(), 6, "{:?}", contents.keys());
        assert!(contents["file"] == "theirs" && contents["moved"] == "theirs");
        assert!(contents["large"] == vec![2; LARGE]);
        let beside = |name: &str| {
            let name = format!("{name} (conflict ");
            contents.iter().find(|(key, _)| key.starts_with(&name)).unwrap().1
        };
        assert!(beside("file") == "mine!!" && beside("moved") == "source");
        assert!(beside("large") == &vec![1; LARGE]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_of_two_is_kept_once() {
    for gateway in both_kinds().await {
        let gate = Gate::default();
        gateway.hooks().add(Rule {
            operation: Some("PutObject".into()),
            target: Some("file".into()),
            times: 1,
            action: Action::HoldFirst(gate.clone()),
        });
        let put = tokio::spawn(gateway.request("PUT", "/file").body("content").send());
        gate.reached().await;
        gateway.bucket().await.put("file", "content").await;
        gate.open();
        assert_eq!(put.await.unwrap().unwrap().status(), 201);
        assert_only(&gateway, "file", b"content").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_begun_twice_leaves_nothing() {
    let gateway = TestGateway::start().await;
    lose_answer(&gateway, "CreateMultipartUpload");
    assert_eq!(gateway.put("/file", vec![1; LARGE]).await, 201);
    assert_eq!(gateway.hooks().count("CreateMultipartUpload"), 2);
    assert_only(&gateway, "file", &[1; LARGE]).await;
    let (s3, state) = gateway.stop().await;
    let gateway = TestGateway::start_on(Arc::clone(&s3), state, |_| {}).await;
    eventually("no upload is left", || async { open_uploads(&s3).await.is_empty() }).await;
    assert_only(&gateway, "file", &[1; LARGE]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_known_again_after_a_long_outage() {
    let gateway = TestGateway::start_with(|config| buckets(config).create_wait = Duration::ZERO).await;
    gateway.hooks().set_opaque_etags(true);
    let finder = Finder::of(&gateway);
    // S3 has it, and no answer comes for as long as one try takes.
    gateway.hooks().next(5, "PutObject", Action::ApplyThenFail);
    assert_eq!(finder.status("PUT", "/a").await, 201);
    eventually("it was tried anew", || async { gateway.hooks().count("PutObject") >= 6 }).await;
    let token = finder.lock("/a").await;
    assert_eq!(finder.put("/a", &token, "content").await, 204);
    assert_only(&gateway, "a", b"content").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_takes_its_content_after_a_long_outage() {
    let gateway = TestGateway::start().await;
    gateway.hooks().set_opaque_etags(true);
    let finder = Finder::of(&gateway);
    assert_eq!(finder.status("PUT", "/a").await, 201);
    let token = finder.lock("/a").await;
    gateway.hooks().next(5, "PutObject", Action::ApplyThenFail);
    assert_eq!(finder.unlock("/a", &token).await, 204);
    eventually("it was tried", || async { gateway.hooks().count("PutObject") >= 4 }).await;
    let token = finder.lock("/a").await;
    // This waits for the end of these tries.
    assert_eq!(finder.put("/a", &token, "content").await, 204);
    assert_only(&gateway, "a", b"content").await;
}
