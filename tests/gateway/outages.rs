//! What is shown, and how long it is waited for, while S3 is away.

use std::time::Duration;

use s3dav::embedded::{Action, EmbeddedS3};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use crate::harness::{BUCKET, Behind, TestGateway, buckets, client, config, embedded_options, eventually};

const AWAY: Action = Action::Fail { status: 503, code: "ServiceUnavailable", message: "" };

/// One whose requests wait for so long, and what it serves.
async fn gateway(budget: Duration) -> TestGateway {
    let gateway = TestGateway::start_with(|config| config.service.request_budget = Some(budget)).await;
    let bucket = gateway.bucket().await;
    bucket.put("d/doc", "old").await;
    bucket.put("d/e/other", "x").await;
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/d/"]);
    assert_eq!(gateway.hrefs("/d", "1").await, SHOWN);
    gateway
}

/// All that was known is shown.
async fn is_shown(gateway: &TestGateway) {
    assert_eq!(gateway.hrefs("/d", "1").await, SHOWN);
    assert_eq!(gateway.hrefs("/d/", "0").await, ["/d/"]);
    assert_eq!(gateway.hrefs("/d/doc", "0").await, ["/d/doc"]);
    assert_eq!(gateway.hrefs("/d/e", "0").await, ["/d/e/"]);
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/d/"]);
}

async fn length(gateway: &TestGateway, path: &str) -> String {
    let xml = gateway.propfind(path, "0", "").await.text().await.unwrap();
    xml.split("getcontentlength>").nth(1).unwrap().trim_end_matches("</D:").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_waits_takes_nothing_away() {
    let gateway = gateway(Duration::from_secs(5)).await;
    gateway.hooks().always(AWAY);
    let save = gateway.request("PUT", "/d/doc").body("the new content");
    let save = tokio::spawn(async move { save.send().await.unwrap().status().as_u16() });
    // More than the SDK asks by itself: the save has failed once, and is tried again.
    eventually("the save waits", || async { gateway.hooks().count("PutObject") > 4 }).await;
    is_shown(&gateway).await;
    assert_eq!(length(&gateway, "/d/doc").await, "3");
    gateway.hooks().heal();
    assert_eq!(save.await.unwrap(), 204);
    assert_eq!(length(&gateway, "/d/doc").await, "15");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_failed_take_nothing_away() {
    for (method, path) in [("MKCOL", "/d/new"), ("PUT", "/d/doc"), ("DELETE", "/d/doc"), ("PUT", "/d/new")] {
        let gateway = gateway(Duration::from_millis(300)).await;
        gateway.hooks().always(AWAY);
        assert_eq!(gateway.status(method, path).await, 503, "{method} {path}");
        is_shown(&gateway).await;
        if path == "/d/new" {
            assert_eq!(gateway.status("PROPFIND", path).await, 503, "it may have been made");
        }
    }
    for method in ["COPY", "MOVE"] {
        let gateway = gateway(Duration::from_millis(300)).await;
        gateway.hooks().always(AWAY);
        assert_eq!(gateway.transfer(method, "/d/doc", "/d/new").await, 503, "{method}");
        is_shown(&gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_write_may_have_changed_is_asked_for_when_s3_is_back() {
    let gateway = gateway(Duration::from_millis(300)).await;
    gateway.hooks().next(usize::MAX, "PutObject", Action::ApplyThenFail);
    gateway.hooks().next(usize::MAX, "HeadObject", AWAY);
    gateway.hooks().next(usize::MAX, "ListObjectsV2", AWAY);
    assert_eq!(gateway.put("/d/doc", "the new content").await, 503);
    assert_eq!(gateway.put("/d/new", "").await, 503);
    is_shown(&gateway).await;
    assert_eq!(length(&gateway, "/d/doc").await, "3", "the latest that S3 has told");
    gateway.hooks().heal();
    assert_eq!(length(&gateway, "/d/doc").await, "15");
    assert_eq!(gateway.hrefs("/d", "1").await, ["/d/", "/d/doc", "/d/e/", "/d/new"]);
}

/// A port at which nobody listens yet.
fn closed_port() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    (socket, endpoint)
}

/// One whose S3 is at `endpoint`; while that is out of reach look-ups wait for nothing.
async fn gateway_at(endpoint: &str) -> TestGateway {
    let state = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let directory = Behind::Directory(std::sync::Arc::new(tempfile::tempdir().unwrap()));
    let for_config = std::sync::Arc::clone(&state);
    TestGateway::start_behind(directory, state, |given| {
        *given = config(endpoint, &[BUCKET], &for_config);
        given.service.request_budget = Some(BUDGET);
        buckets(given).lost_wait = Duration::ZERO;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_that_is_out_of_reach_is_not_waited_for_by_each_look() {
    let (closed, endpoint) = closed_port();
    let gateway = gateway_at(&endpoint).await;
    let begun = Instant::now();
    assert_eq!(gateway.status("PROPFIND", "/first").await, 503);
    assert!(begun.elapsed() > BUDGET / 2, "the first waits");
    let begun = Instant::now();
    for (method, path) in
        [("PROPFIND", "/second"), ("GET", "/third"), ("MKCOL", "/fourth"), ("DELETE", "/fifth")]
    {
        assert_eq!(gateway.status(method, path).await, 503, "{method}");
    }
    assert!(begun.elapsed() < BUDGET * 2, "four that do not wait: {:?}", begun.elapsed());
    // A save waits, and so does all that must be known to store it.
    let save = client().put(format!("{}/saved", gateway.url)).body("content");
    let save = tokio::spawn(async move { save.send().await.unwrap().status().as_u16() });
    assert_eq!(gateway.status("PROPFIND", "/another").await, 503);
    let listener = closed.listen(64).unwrap();
    let s3 = EmbeddedS3::start(listener, embedded_options(&[BUCKET])).await.unwrap();
    assert_eq!(save.await.unwrap(), 201);
    // It has answered: now a look is worth a wait again.
    s3.stop().await;
    let begun = Instant::now();
    assert_eq!(gateway.status("PROPFIND", "/sixth").await, 503);
    assert!(begun.elapsed() > BUDGET / 2, "{:?}", begun.elapsed());
}

/// Well beyond what the SDK takes for its own tries at a closed port.
const BUDGET: Duration = Duration::from_secs(3);
const SHOWN: [&str; 3] = ["/d/", "/d/doc", "/d/e/"];
