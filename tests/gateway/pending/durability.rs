//! `--durability journal`: changes are answered when this machine's disk has them, and S3 gets them after.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use s3dav::config::Config;
use s3dav::embedded::{Action, Gate, Rule};
use s3dav::store::journal::Durability;

use tokio::sync::oneshot;

use super::Away;
use super::changes::objects;
use crate::finder::client::Finder;
use crate::harness::{Bucket, buckets, eventually};

/// Changes wait for `delay`, in milliseconds, for what makes them needless.
pub async fn journaling(delay: u64) -> Away {
    let options = move |config: &mut Config| {
        let source = buckets(config);
        source.file_system.durability = Durability::Journal;
        source.journal_delay = Duration::from_millis(delay);
    };
    let away = Away::start_with(options).await;
    away.bucket.put("d/doc", "old").await;
    for number in 0..5 {
        away.bucket.put(&format!("d/old{number}"), "x").await;
    }
    assert_eq!(away.mac.list("/d/").await.len(), 7);
    away.s3.hooks().reset();
    away
}

impl Away {
    /// What S3 was asked to change so far.
    fn changes(&self) -> Vec<String> {
        let changes = ["PutObject", "CopyObject", "DeleteObject", "DeleteObjects", "CreateMultipartUpload"];
        let requests = self.s3.hooks().transcript().into_iter().map(|(operation, _)| operation);
        requests.filter(|name| changes.contains(&name.as_str())).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_is_answered_at_once_and_sent_once() {
    let away = journaling(2000).await;
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    assert_eq!(away.save("/d/doc", "newest").await, 204);
    away.save_new("/d/new", "content").await;
    assert_eq!(away.gateway.put("/d/other", "of another client").await, 201);
    assert_eq!(away.gateway.get("/d/other").await.1, "of another client");
    assert_eq!(away.mac.get("/d/doc").await.1, "newest");
    assert!(away.changes().is_empty(), "{:?}", away.changes());
    away.drained().await;
    assert_eq!(away.changes(), ["PutObject"; 3]);
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "newest");
    assert_eq!(away.bucket.get("d/other").await.unwrap(), "of another client");
    assert_eq!(away.save("/d/doc", "again").await, 204);
    away.drained().await;
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "again", "it replaces what was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_and_deleted_costs_nothing_and_deletions_go_together() {
    let away = journaling(1000).await;
    away.save_new("/d/new", "content").await;
    assert_eq!(away.mac.status("DELETE", "/d/new").await, 204);
    for number in 0..5 {
        assert_eq!(away.mac.status("DELETE", &format!("/d/old{number}")).await, 204);
    }
    assert_eq!(away.mac.list("/d/").await.len(), 2);
    away.bucket.put("d/old3", "theirs").await;
    away.drained().await;
    assert_eq!(away.changes(), ["PutObject", "DeleteObjects"], "the first is somebody else's");
    assert_eq!(away.bucket.keys().await, ["d/doc", "d/old3"], "what somebody else changed stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_s3_waits_for_what_was_accepted() {
    let away = journaling(60_000).await;
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    away.save_new("/d/new", "content").await;
    assert_eq!(away.mac.status("MKCOL", "/d/folder").await, 201);
    assert!(away.changes().is_empty());
    assert_eq!(away.mac.rename("/d", "/e").await, 201);
    assert_eq!(away.bucket.get("e/doc").await.unwrap(), "newer");
    assert_eq!(away.bucket.get("e/new").await.unwrap(), "content");
    assert!(away.bucket.keys().await.iter().all(|key| key.starts_with("e/")));
    let own = away.gateway.request("PUT", "/e/doc").header("If-None-Match", "*").body("x");
    assert_eq!(own.send().await.unwrap().status(), 412, "S3 is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_sends_what_waits() {
    let away = journaling(60_000).await;
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    assert_eq!(away.mac.rename("/d/old0", "/d/moved").await, 201);
    assert_eq!(away.mac.status("DELETE", "/d/old1").await, 204);
    let bucket = Bucket::of(&away.s3.endpoint_url(), crate::harness::BUCKET).await;
    away.gateway.end().await;
    assert_eq!(bucket.get("d/doc").await.unwrap(), "newer");
    assert_eq!(bucket.keys().await, ["d/doc", "d/moved", "d/old2", "d/old3", "d/old4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_lies_beside() {
    let away = journaling(500).await;
    assert_eq!(away.mac.get("/d/doc").await.1, "old");
    assert_eq!(away.save("/d/doc", "mine").await, 204);
    away.bucket.put("d/doc", "theirs").await;
    away.drained().await;
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "theirs");
    let keys = away.bucket.keys().await;
    let beside = keys.iter().find(|key| key.starts_with("d/doc (")).unwrap_or_else(|| panic!("{keys:?}"));
    assert_eq!(away.bucket.get(beside).await.unwrap(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_while_s3_is_away() {
    let mut away = journaling(100).await;
    away.door.shut().await;
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    assert_eq!(away.gateway.put("/d/new", "of another client").await, 201);
    let (_, left) = away.outcome().await;
    assert!(left.starts_with(&objects(&[("d/doc", "newer"), ("d/new", "of another client")])), "{left:?}");
    eventually("all of it", || async { away.bucket.get("d/new").await.is_some() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_client_deleted_is_made_anew() {
    let away = journaling(2000).await;
    assert_eq!(away.mac.get("/d/doc").await.1, "old");
    let deleted = away.gateway.request("DELETE", "/d/doc").send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    away.save_new("/d/doc", "anew").await;
    assert_eq!(away.mac.get("/d/doc").await, (200, "anew".into()));
    away.drained().await;
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "anew");
    assert!(away.bucket.keys().await.iter().all(|key| !key.contains("conflict")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_goes_with_what_was_deleted_in_it_or_moved_out_of_it() {
    let away = journaling(1500).await;
    away.bucket.put("gone/x", "x").await;
    away.bucket.put("moved/x", "x").await;
    away.bucket.put("moved/y", "y").await;
    for folder in ["/gone/", "/moved/", "/"] {
        away.mac.list(folder).await;
    }
    assert_eq!(away.mac.status("DELETE", "/gone/x").await, 204);
    assert_eq!(away.mac.status("DELETE", "/gone/").await, 204);
    assert_eq!(away.mac.status("DELETE", "/moved/x").await, 204);
    assert_eq!(away.mac.rename("/moved/y", "/d/y").await, 201);
    assert_eq!(away.mac.status("DELETE", "/moved/").await, 204);
    away.drained().await;
    let keys = away.bucket.keys().await;
    assert!(keys.iter().all(|key| key.starts_with("d/")), "{keys:?}");
    assert_eq!(away.bucket.get("d/y").await.unwrap(), "y");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_refuses_gives_way_to_what_is_saved_next() {
    const DENIED: Action = Action::Fail { status: 403, code: "AccessDenied", message: "Access Denied" };
    let away = journaling(50).await;
    away.s3.hooks().next(usize::MAX, "PutObject", DENIED);
    assert_eq!(away.save("/d/doc", "newer").await, 204);
    eventually("it is refused", || async { away.told().await[0]["state"] == "refused" }).await;
    away.s3.hooks().heal();
    assert_eq!(away.save("/d/doc", "newest").await, 204);
    away.drained().await;
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "newest");
    assert!(away.bucket.keys().await.iter().all(|key| !key.contains("conflict")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_takes_the_place_of_a_file_and_a_file_that_of_a_folder() {
    let mut away = journaling(60_000).await;
    assert_eq!(away.mac.status("DELETE", "/d/old0").await, 204);
    assert_eq!(away.mac.status("MKCOL", "/d/old0").await, 201);
    away.save_new("/d/old0/file", "content").await;
    away.bucket.put("e/x", "x").await;
    away.mac.list("/e/").await;
    assert_eq!(away.mac.status("DELETE", "/e/x").await, 204);
    assert_eq!(away.mac.status("DELETE", "/e/").await, 204);
    away.save_new("/e", "a file").await;
    away = away.restarted().await;
    away.drained().await;
    let keys = away.bucket.keys().await;
    assert_eq!(keys.iter().filter(|key| key.starts_with("d/old0")).count(), 2, "{keys:?}");
    assert_eq!(away.bucket.get("d/old0/file").await.unwrap(), "content");
    assert_eq!(away.bucket.get("e").await.unwrap(), "a file");
    assert!(keys.iter().all(|key| !key.contains("conflict")), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_move_that_lost_would_have_replaced_is_there_still() {
    let away = journaling(2000).await;
    away.save_new("/d/new", "saved").await;
    assert_eq!(away.save("/d/doc", "saved, too").await, 204);
    for (from, to) in [("old0", "new"), ("old1", "doc")] {
        away.bucket.put(&format!("d/{from}"), "theirs").await;
        assert_eq!(away.mac.rename(&format!("/d/{from}"), &format!("/d/{to}")).await, 204);
    }
    away.drained().await;
    assert_eq!(away.bucket.get("d/new").await.unwrap(), "saved");
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "saved, too");
    assert_eq!(away.bucket.get("d/old0").await.unwrap(), "theirs");
    assert_eq!(away.mac.get("/d/new").await.1, "saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_request_saves_is_sent_before_the_end() {
    let away = journaling(60_000).await;
    let (begun, has_begun) = oneshot::channel();
    let (more, rest) = oneshot::channel();
    let first = stream::iter([Ok("begun, ")]);
    let last = stream::once(async {
        begun.send(()).unwrap();
        rest.await.map(|()| "ended")
    });
    let request = away.gateway.request("PUT", "/d/late").body(reqwest::Body::wrap_stream(first.chain(last)));
    let saving = tokio::spawn(request.send());
    has_begun.await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let Away { gateway, bucket, .. } = away;
    let ending = tokio::spawn(gateway.end());
    // Nothing is left to be sent at this time.
    tokio::time::sleep(Duration::from_millis(500)).await;
    more.send(()).unwrap();
    assert_eq!(saving.await.unwrap().unwrap().status(), 201);
    ending.await.unwrap();
    assert_eq!(bucket.get("d/late").await.unwrap(), "begun, ended");
}

/// The header tells what a client has in mind, and nobody holds it to that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_longer_than_was_expected_is_saved_whole() {
    let away = journaling(50).await;
    for (path, status) in [("/d/new", 201), ("/d/doc", 204)] {
        let content = reqwest::Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>("content")]));
        let request = away.gateway.request("PUT", path).header("X-Expected-Entity-Length", "0");
        assert_eq!(request.body(content).send().await.unwrap().status(), status);
        assert_eq!(away.gateway.get(path).await.1, "content");
        away.drained().await;
        assert_eq!(away.bucket.get(&path[1..]).await.unwrap(), "content");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_and_never_listed_is_saved_while_s3_is_silent() {
    let away = journaling(50).await;
    away.bucket.put("doc", "old").await;
    let client = Finder::at(&away.gateway.url).called("curl/8.9.1");
    assert_eq!(client.get("/doc").await.1, "old");
    let gate = Gate::default();
    let (operation, target, times) = (None, None, usize::MAX);
    away.s3.hooks().add(Rule { operation, target, times, action: Action::HoldFirst(gate.clone()) });
    let begun = Instant::now();
    let saved = client.request("PUT", "/doc").body("newer").send().await.unwrap();
    assert_eq!(saved.status(), 204);
    // Its budget is 30 seconds.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    gate.open();
    away.s3.hooks().heal();
    away.drained().await;
    assert_eq!(away.bucket.get("doc").await.unwrap(), "newer");
}
