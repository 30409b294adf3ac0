//! Empty files that wait for their content: one write instead of two, and nothing lost.

use std::time::Duration;

use s3dav::embedded::{Action, Gate, Rule};

use super::client::{AGENT, Finder};
use crate::harness::clients;
use crate::harness::faults::injected;
use crate::harness::process::{Process, command, outcome};
use crate::harness::{TestGateway, buckets, eventually};

/// A gateway that waits for content for so long.
async fn waiting(time: Duration) -> TestGateway {
    TestGateway::start_with(|config| buckets(config).create_wait = time).await
}

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_is_there_at_once_and_in_the_bucket_when_it_is_closed() {
    let gateway = waiting(LONG).await;
    let bucket = gateway.bucket().await;
    bucket.put("d/b", "x").await;
    let finder = Finder::of(&gateway);
    finder.list("/d/").await;
    let made = finder.request("PUT", "/d/a").send().await.unwrap();
    assert_eq!(made.status(), 201);
    for header in ["etag", "last-modified"] {
        assert!(made.headers().contains_key(header), "{header}");
    }
    let token = finder.lock("/d/a").await;
    assert_eq!(finder.look("/d/a").await, 207);
    assert_eq!(finder.list("/d/").await, ["/d/", "/d/a", "/d/b"]);
    assert!(gateway.hrefs("/d/", "1").await.contains(&"/d/a".to_owned()), "others see it, too");
    assert_eq!(gateway.get("/d/a").await, (200, "".into()));
    assert_eq!(bucket.get("d/a").await, None);
    assert_eq!(finder.unlock("/d/a", &token).await, 204);
    eventually("it is in the bucket", || async { bucket.get("d/a").await.is_some() }).await;
    assert_eq!(finder.list("/d/").await, ["/d/", "/d/a", "/d/b"]);
    let token = finder.lock("/d/a").await;
    assert_eq!(finder.put("/d/a", &token, "later").await, 204);
    assert_eq!(bucket.contents().await.len(), 2, "no conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_content_it_waits_until_nobody_has_it_open() {
    let gateway = waiting(SHORT).await;
    let bucket = gateway.bucket().await;
    let finder = Finder::of(&gateway);
    assert_eq!(finder.status("PUT", "/closed").await, 201);
    // Made and locked in one step.
    let token = finder.lock("/open").await;
    eventually("the closed one is in the bucket", || async { bucket.get("closed").await.is_some() }).await;
    tokio::time::sleep(SHORT * 3).await;
    assert_eq!(bucket.keys().await, ["closed"]);
    assert_eq!(finder.put("/open", &token, "content").await, 204);
    assert_eq!(bucket.get("open").await.unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_before_its_content_came_it_was_never_there() {
    let gateway = waiting(LONG).await;
    let finder = Finder::of(&gateway);
    finder.list("/").await;
    gateway.hooks().reset();
    assert_eq!(finder.status("PUT", "/a").await, 201);
    assert_eq!(finder.status("DELETE", "/a").await, 204);
    assert_eq!(finder.look("/a").await, 404);
    assert_eq!(gateway.hooks().total(), 0);
    finder.status("MKCOL", "/d").await;
    assert_eq!(finder.status("PUT", "/d/a").await, 201);
    assert_eq!(finder.status("DELETE", "/d").await, 204);
    assert_eq!(finder.look("/d/a").await, 404);
    assert!(gateway.bucket().await.is_empty().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_and_copied_it_is_a_file_like_others() {
    let gateway = waiting(LONG).await;
    let bucket = gateway.bucket().await;
    let finder = Finder::of(&gateway);
    assert_eq!(finder.status("PUT", "/a").await, 201);
    assert_eq!(finder.rename("/a", "/b").await, 201);
    assert_eq!(bucket.contents().await.into_iter().collect::<Vec<_>>(), [("b".to_owned(), "".into())]);
    assert_eq!(finder.status("PUT", "/c").await, 201);
    gateway.put("/d", "content").await;
    assert_eq!(finder.rename("/d", "/c").await, 204);
    assert_eq!(bucket.get("c").await.unwrap(), "content");
    finder.status("MKCOL", "/f").await;
    assert_eq!(finder.status("PUT", "/f/e").await, 201);
    assert_eq!(finder.rename("/f", "/g").await, 201);
    assert_eq!(finder.list("/g/").await, ["/g/", "/g/e"]);
    assert_eq!(bucket.keys().await, ["b", "c", "g/", "g/e"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_made_meanwhile_is_kept() {
    let gateway = waiting(LONG).await;
    let bucket = gateway.bucket().await;
    let finder = Finder::of(&gateway);
    assert_eq!(finder.status("PUT", "/a.txt").await, 201);
    let token = finder.lock("/a.txt").await;
    bucket.put("a.txt", "theirs").await;
    assert!(matches!(finder.put("/a.txt", &token, "ours").await, 200..=204));
    assert_eq!(bucket.get("a.txt").await.unwrap(), "theirs");
    let contents = bucket.contents().await;
    let copy = contents.iter().find(|(key, _)| key.starts_with("a (conflict ")).unwrap();
    assert_eq!((contents.len(), copy.1), (2, &"ours".into()));
    // Without a content there is nothing to keep.
    assert_eq!(finder.status("PUT", "/b.txt").await, 201);
    bucket.put("b.txt", "theirs").await;
    let token = finder.lock("/b.txt").await;
    assert_eq!(finder.unlock("/b.txt", &token).await, 204);
    eventually("theirs is seen", || async { finder.get("/b.txt").await.1 == "theirs" }).await;
    assert_eq!(bucket.contents().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_its_content_is_no_conflict() {
    let gateway = waiting(LONG).await;
    let bucket = gateway.bucket().await;
    let finder = Finder::of(&gateway);
    assert_eq!(finder.status("PUT", "/a").await, 201);
    let token = finder.lock("/a").await;
    gateway.hooks().next(1, "PutObject", Action::ApplyThenFail);
    assert_eq!(finder.put("/a", &token, "content").await, 204);
    assert_eq!(bucket.contents().await.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "content".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_content_takes_its_place_like_small() {
    let gateway = waiting(LONG).await;
    let finder = Finder::of(&gateway);
    assert_eq!(finder.status("PUT", "/a").await, 201);
    let token = finder.lock("/a").await;
    let content = vec![5; 20 << 20];
    assert_eq!(finder.put("/a", &token, content.clone()).await, 204);
    assert_eq!(gateway.bucket().await.get("a").await.unwrap(), content);
    assert_eq!(gateway.bucket().await.keys().await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_listing_shows_each_once() {
    let gateway = waiting(LONG).await;
    let bucket = gateway.bucket().await;
    for number in 0..2100 {
        bucket.put(&format!("d/f{number:04}"), "").await;
    }
    let finder = Finder::of(&gateway);
    for name in ["a", "f0500x", "f0999x", "f1500x", "z"] {
        assert_eq!(finder.status("PUT", &format!("/d/{name}")).await, 201);
    }
    for _ in 0..2 {
        let listed = finder.list("/d/").await;
        assert_eq!(listed.len(), 1 + 2100 + 5);
        assert!(listed[1..].is_sorted(), "in order, so that none is there twice");
    }
    assert_eq!(finder.status("DELETE", "/d/").await, 204);
    assert!(bucket.is_empty().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_has_lost_none() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let s3 = Process::embedded_s3(&data).await;
    let client = crate::harness::client();
    let send = |method: &str, url: &str, path: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        client.request(method, format!("{url}{path}")).header("User-Agent", AGENT).send()
    };
    for round in 0..3 {
        let mut gateway = Process::gateway(&s3.url, &state, &[]).await;
        for earlier in 0..round {
            let path = format!("/file{earlier}");
            assert_eq!(send("GET", &gateway.url, &path).await.unwrap().status(), 200, "{path}");
        }
        let path = format!("/file{round}");
        assert_eq!(send("PUT", &gateway.url, &path).await.unwrap().status(), 201);
        gateway.child.kill().await.unwrap();
    }
    // Ending in order puts them into the bucket.
    let gateway = Process::gateway(&s3.url, &state, &[]).await;
    let mut stop = command(&["stop", "--state-dir"]);
    stop.arg(state.path().join("state"));
    assert_eq!(outcome(stop).await.0, 0);
    drop(gateway);
    let bucket = crate::harness::Bucket::of(&s3.url, crate::harness::BUCKET).await;
    assert_eq!(bucket.keys().await, ["file0", "file1", "file2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_its_content_could_not_be_stored_it_is_still_there() {
    let gateway = TestGateway::start_with(|config| {
        buckets(config).create_wait = LONG;
        config.service.request_budget = Some(Duration::from_secs(1));
    })
    .await;
    let finder = Finder::of(&gateway);
    assert_eq!(finder.status("PUT", "/new").await, 201);
    let token = finder.lock("/new").await;
    gateway.hooks().always(Action::Fail { status: 503, code: "SlowDown", message: "" });
    assert_eq!(finder.put("/new", &token, "content").await, 503);
    gateway.hooks().heal();
    assert_eq!(finder.look("/new").await, 207);
    assert_eq!(finder.get("/new").await, (200, "".into()));
    assert_eq!(finder.list("/").await, ["/", "/new"]);
    let again = finder.request("PUT", "/new").header("If", format!("(<{token}>)")).body("content");
    let etag = "\"d41d8cd98f00b204e9800998ecf8427e\"";
    assert_eq!(
        again.header("If-Match", etag).send().await.unwrap().status(),
        204,
        "it is the one that was made"
    );
    assert_eq!(gateway.bucket().await.get("new").await.unwrap(), "content");
    assert_eq!(finder.unlock("/new", &token).await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_for_a_while_is_no_reason_to_fail() {
    if clients::find("strace").is_none() {
        return;
    }
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let s3 = Process::embedded_s3(&data).await;
    let gateway = Process::gateway(&s3.url, &state, &[]).await;
    let bucket = crate::harness::Bucket::of(&s3.url, crate::harness::BUCKET).await;
    let finder = Finder::at(&gateway.url);
    let database = state.path().join("state/state.redb");
    let calls = "pwrite64,fdatasync,fsync:error=ENOSPC";
    let token = finder.lock("/before").await;
    let mut fault = injected(&gateway, &[database.to_str().unwrap()], calls).await;
    assert_eq!(finder.put("/before", &token, "content").await, 204, "S3 has it");
    assert_eq!(finder.rename("/before", "/a").await, 201);
    assert_eq!(finder.status("PUT", "/first").await, 201);
    assert_eq!(finder.status("PUT", "/second").await, 201);
    assert_eq!(bucket.keys().await, ["a", "first", "second"], "not held, since that cannot be noted");
    let large = finder.request("PUT", "/large").body(vec![7; 20 << 20]);
    assert_eq!(large.send().await.unwrap().status(), 201);
    fault.kill().await.unwrap();
    // There is room again.
    assert_eq!(finder.status("PUT", "/third").await, 201);
    assert_eq!(bucket.keys().await, ["a", "first", "large", "second"], "held");
    assert_eq!(finder.get("/third").await, (200, "".into()));
    assert_eq!(finder.status("DELETE", "/third").await, 204);
    drop(gateway);
    let gateway = Process::gateway(&s3.url, &state, &[]).await;
    let finder = Finder::at(&gateway.url);
    for gone in ["/before", "/third"] {
        assert_eq!(finder.look(gone).await, 404, "{gone}");
    }
}

/// It is neither on the listing, which was asked for before, nor held any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_s3_while_its_folder_is_listed_goes_along() {
    for method in ["MOVE", "DELETE"] {
        let gateway = waiting(Duration::from_secs(1)).await;
        let bucket = gateway.bucket().await;
        bucket.put("d/a", "x").await;
        let finder = Finder::of(&gateway);
        assert_eq!(finder.status("PUT", "/d/new").await, 201);
        let gate = Gate::default();
        gateway.hooks().add(Rule {
            operation: Some("ListObjectsV2".to_owned()),
            target: Some("max-keys=1000&prefix=d%2F".to_owned()),
            times: 1,
            action: Action::Hold(gate.clone()),
        });
        let destination = format!("{}/e/", gateway.url);
        let request = gateway.request(method, "/d/").header("Destination", destination);
        let answer = tokio::spawn(request.send());
        gate.reached().await;
        eventually("it is in the bucket", || async { bucket.get("d/new").await.is_some() }).await;
        gate.open();
        let status = answer.await.unwrap().unwrap().status().as_u16();
        assert!([201, 204].contains(&status), "{method}: {status}");
        let left = if method == "MOVE" { vec!["e/a", "e/new"] } else { Vec::new() };
        assert_eq!(bucket.keys().await, left, "{method}");
    }
}
