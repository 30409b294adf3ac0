//! Creates of names that could not be looked up: the kernel takes every error of a look-up for an absence when
//! the name is to be made (webdav_vnop_lookup), and makes it by an empty PUT without `If`.

use std::time::Duration;

use s3dav::embedded::Action;

use super::client::Finder;
use crate::harness::{TestGateway, eventually};

const AWAY: Action = Action::Fail { status: 503, code: "SlowDown", message: "" };
const BUDGET: Duration = Duration::from_millis(200);

/// The content that nobody may empty: as much as the client's own code was seen to destroy.
fn precious() -> String {
    "precious".repeat(1000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_after_an_outage_empties_nothing() {
    let gateway = TestGateway::start_with(|config| config.service.request_budget = Some(BUDGET)).await;
    let bucket = gateway.bucket().await;
    bucket.put("d/file", &precious()).await;
    let mac = Finder::of(&gateway);
    gateway.hooks().always(AWAY);
    // open(O_CREAT | O_EXCL): it looks twice.
    assert_eq!([mac.look("/d/file").await, mac.look("/d/file").await], [503, 503]);
    gateway.hooks().heal();
    let made = mac.request("PUT", "/d/file").body("").send().await.unwrap();
    assert_eq!(made.status(), 423, "busy: the program tries again, and the next look-up finds it");
    assert!(bucket.get("d/file").await.unwrap() == precious(), "it is whole");
    assert_eq!(mac.look("/d/file").await, 207);
    assert_eq!(bucket.keys().await, ["d/file"], "and nothing lies beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_waits_for_the_end_of_an_outage_empties_nothing() {
    let gateway = TestGateway::start_with(|config| {
        config.service.request_budget = Some(Duration::from_secs(30));
    })
    .await;
    let bucket = gateway.bucket().await;
    bucket.put("d/file", &precious()).await;
    gateway.hooks().always(AWAY);
    let mac = Finder::of(&gateway);
    let making = tokio::spawn(mac.request("PUT", "/d/file").body("").send());
    eventually("it has asked in vain", || async { gateway.hooks().total() > 0 }).await;
    gateway.hooks().heal();
    assert_eq!(making.await.unwrap().unwrap().status(), 423);
    assert!(bucket.get("d/file").await.unwrap() == precious(), "it is whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blind_create_empties_nothing_wherever_the_file_lies() {
    for gateway in TestGateway::both().await {
        let bucket = gateway.bucket().await;
        bucket.put("file", &precious()).await;
        let mac = Finder::of(&gateway);
        // What it believes absent it makes; with an outage of a directory it is the same.
        for _ in 0..2 {
            let made = mac.request("PUT", "/file").body("").send().await.unwrap();
            assert_eq!(made.status(), 423, "{}", gateway.is_bucket());
            assert!(bucket.get("file").await.unwrap() == precious(), "it is whole");
        }
        // A lock whose end was lost with a connection says nothing of what the next create knows.
        mac.lock("/file").await;
        let made = mac.request("PUT", "/file").body("").send().await.unwrap();
        assert_eq!(made.status(), 423, "{}", gateway.is_bucket());
        assert!(bucket.get("file").await.unwrap() == precious(), "it is whole");
        // Known to it, the file is opened under a lock, and may be emptied.
        let token = mac.lock("/file").await;
        assert_eq!(mac.put("/file", &token, "").await, 204);
        assert_eq!(mac.unlock("/file", &token).await, 204);
        assert_eq!(bucket.get("file").await.unwrap(), "");
        // Made twice, it is empty either way.
        let made = mac.request("PUT", "/file").body("").send().await.unwrap();
        assert_eq!(made.status(), 204);
        // Who is not macOS knows what it does.
        assert_eq!(gateway.put("/file", precious()).await, 204);
        assert_eq!(gateway.put("/file", "").await, 204);
        assert_eq!(bucket.get("file").await.unwrap(), "");
    }
}
