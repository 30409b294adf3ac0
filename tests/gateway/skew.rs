//! A clock that is wrong: one answer that says so corrects it, and nothing is lost.

use std::time::Duration;

use futures_util::future::join_all;
use s3dav::embedded::{Action, Rule};

use crate::control::status;
use crate::finder::client::Finder;
use crate::harness::{TestGateway, buckets};

/// More than is told from a mere difference, and less than S3 tolerates: what is signed by such a clock passes.
const AHEAD: Duration = Duration::from_secs(10 * 60);

fn skewed(times: usize) -> Rule {
    Rule { operation: None, target: None, times, action: Action::Skewed(AHEAD) }
}

async fn gateway(budget: Option<Duration>) -> TestGateway {
    let gateway = TestGateway::start_with(|config| {
        buckets(config).cache.times.metadata = Duration::ZERO;
        config.service.request_budget = budget;
    })
    .await;
    gateway.bucket().await.put("file", "content").await;
    gateway
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_that_the_clock_is_wrong_fails_nothing() {
    let operations = ["HeadObject", "ListObjectsV2", "PutObject", "GetObject", "DeleteObject"];
    let rounds = operations.map(|operation| async move {
        let gateway = gateway(None).await;
        let mac = Finder::of(&gateway);
        let skew = || gateway.hooks().next(1, operation, Action::Skewed(AHEAD));
        skew();
        mac.create("/new", "saved").await;
        skew();
        assert_eq!(gateway.get("/file").await, (200, "content".into()), "{operation}");
        skew();
        assert_eq!(gateway.status("HEAD", "/file").await, 200, "{operation}");
        skew();
        assert_eq!(gateway.propfind("/file", "0", "").await.status(), 207, "{operation}");
        skew();
        assert_eq!(gateway.put("/file", "content 2").await, 204, "{operation}");
        skew();
        assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 201, "{operation}");
        skew();
        assert_eq!(gateway.status("DELETE", "/moved").await, 204, "{operation}");
        gateway.hooks().heal();
        assert_eq!(gateway.bucket().await.get("new").await.unwrap(), "saved", "{operation}");
        assert_eq!(gateway.bucket().await.keys().await, ["new"], "{operation}");
    });
    join_all(rounds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_stays_wrong_is_told() {
    let gateway = gateway(Some(Duration::from_millis(300))).await;
    gateway.hooks().add(skewed(usize::MAX));
    for method in ["HEAD", "GET", "DELETE"] {
        assert_eq!(gateway.status(method, "/file").await, 503, "{method}");
    }
    assert_eq!(gateway.put("/file", "content 2").await, 503);
    let told = status(&gateway).await["problems"][0].clone();
    assert!(told["message"].as_str().unwrap().contains("clock"), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("set this machine's clock"), "{told}");
    gateway.hooks().heal();
    assert_eq!(gateway.get("/file").await, (200, "content".into()));
    assert_eq!(status(&gateway).await["problems"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_right_again_refuses_nothing() {
    let gateway = gateway(None).await;
    let action = Action::Skewed(Duration::from_secs(3600));
    gateway.hooks().add(Rule { operation: None, target: None, times: 1, action });
    assert_eq!(gateway.get("/file").await.0, 200);
    // What was learned of the difference is wrong now, and HEAD's answer has no body to say so.
    assert_eq!(gateway.status("HEAD", "/other").await, 404);
    assert_eq!(gateway.propfind("/file", "0", "").await.status(), 207);
    assert_eq!(gateway.put("/file", "content 2").await, 204);
}
