//! Listings of a broken server that never end, but for us.

use std::time::Duration;

use s3dav::embedded::{Action, Rule, Tokens};

use crate::harness::{TestGateway, buckets};

/// A page of the folder, and no question whether there is anything.
const LISTED: &str = "max-keys=1000&prefix=d%2F";

fn lists(gateway: &TestGateway) -> usize {
    gateway.hooks().transcript().iter().filter(|(_, target)| target.contains(LISTED)).count()
}

/// One whose store lists `/d/` again and again from now on.
async fn gateway(tokens: Tokens) -> TestGateway {
    let gateway = TestGateway::start_with(|config| {
        buckets(config).cache.times.metadata = Duration::ZERO;
        // What is transient is asked for once.
        config.service.request_budget = Some(Duration::from_millis(1));
    })
    .await;
    let bucket = gateway.bucket().await;
    for name in ["a", "b", "c"] {
        bucket.put(&format!("d/{name}"), "content").await;
    }
    let (target, action) = (Some(LISTED.to_owned()), Action::ListAgain(tokens));
    gateway.hooks().add(Rule { operation: None, target, times: usize::MAX, action });
    gateway.hooks().reset();
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_begins_anew_is_an_error_and_not_the_whole() {
    for tokens in [Tokens::Same, Tokens::New] {
        let gateway = gateway(tokens).await;
        let answer = gateway.propfind("/d/", "1", "").await;
        let is_told = answer.status() == 503 || answer.text().await.is_err();
        assert!(is_told, "{tokens:?}: it is no complete listing");
        assert_eq!(lists(&gateway), 2, "{tokens:?} PROPFIND");
        for method in ["DELETE", "COPY", "MOVE"] {
            gateway.hooks().reset();
            let status = match method {
                "DELETE" => gateway.status("DELETE", "/d/").await,
                _ => gateway.transfer(method, "/d/", "/e/").await,
            };
            assert_eq!(status, 503, "{tokens:?} {method}");
            assert_eq!(lists(&gateway), 2, "{tokens:?} {method}");
        }
        gateway.hooks().heal();
        assert_eq!(gateway.bucket().await.keys().await, ["d/a", "d/b", "d/c"], "{tokens:?}");
        assert_eq!(gateway.hrefs("/d/", "1").await.len(), 4, "{tokens:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_empty_pages_ends() {
    let gateway = gateway(Tokens::NewAndEmpty).await;
    let answer = tokio::time::timeout(Duration::from_secs(30), async {
        let answer = gateway.propfind("/d/", "1", "").await;
        answer.status() == 503 || answer.text().await.is_err()
    });
    assert!(answer.await.expect("it ends"));
    assert_eq!(lists(&gateway), 1001);
}
