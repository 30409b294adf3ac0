//! An answer that began before a change never fills the caches after it.

use s3dav::embedded::{Action, Gate, Rule};
use tokio::task::JoinHandle;

use crate::harness::TestGateway;

/// A read whose answer, already made by S3, is held back until the gate opens.
struct Held {
    gate: Gate,
    reading: JoinHandle<u16>,
}

impl Held {
    async fn begin(gateway: &TestGateway, operation: &str, target: &str, method: &str, path: &str) -> Self {
        let gate = Gate::default();
        gateway.hooks().reset();
        gateway.hooks().add(Rule {
            operation: Some(operation.to_owned()),
            target: Some(target.to_owned()),
            times: 1,
            action: Action::Hold(gate.clone()),
        });
        let request = gateway.request(method, path).header("Depth", "1").send();
        let reading = tokio::spawn(async move {
            let answer = request.await.unwrap();
            let status = answer.status().as_u16();
            let _ = answer.bytes().await;
            status
        });
        gate.reached().await;
        Self { gate, reading }
    }

    async fn end(self) {
        self.gate.open();
        self.reading.await.unwrap();
    }
}

async fn gateway() -> TestGateway {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for key in ["d/a", "d/b", "e/x", "t/1", "t/2"] {
        bucket.put(key, "old").await;
    }
    gateway
}

/// Everything as it should be, by all ways of looking.
async fn assert_folder(gateway: &TestGateway, path: &str, children: &[&str]) {
    let mut expected = vec![path.to_owned()];
    expected.extend(children.iter().map(|child| format!("{path}{child}")));
    for _ in 0..2 {
        assert_eq!(gateway.hrefs(path, "1").await, expected);
    }
    for child in children {
        assert_eq!(gateway.status("HEAD", &format!("{path}{child}")).await, 200, "{child}");
    }
}

const LIST_OF_D: &str = "prefix=d%2F";

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_over_a_put() {
    let gateway = gateway().await;
    let held = Held::begin(&gateway, "ListObjectsV2", LIST_OF_D, "PROPFIND", "/d/").await;
    assert_eq!(gateway.put("/d/new", "new").await, 201);
    held.end().await;
    assert_folder(&gateway, "/d/", &["a", "b", "new"]).await;
    assert_eq!(gateway.get("/d/new").await.1, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_over_an_overwrite() {
    let gateway = gateway().await;
    let held = Held::begin(&gateway, "ListObjectsV2", LIST_OF_D, "PROPFIND", "/d/").await;
    assert_eq!(gateway.put("/d/a", "longer than before").await, 204);
    held.end().await;
    let listing = gateway.propfind("/d/", "1", "").await.text().await.unwrap();
    assert!(listing.contains("<D:getcontentlength>18</D:getcontentlength>"), "{listing}");
    assert_eq!(gateway.get("/d/a").await.1, "longer than before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_over_a_delete() {
    let gateway = gateway().await;
    let held = Held::begin(&gateway, "ListObjectsV2", LIST_OF_D, "PROPFIND", "/d/").await;
    assert_eq!(gateway.status("DELETE", "/d/a").await, 204);
    held.end().await;
    assert_folder(&gateway, "/d/", &["b"]).await;
    assert_eq!(gateway.get("/d/a").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_over_moves() {
    let gateway = gateway().await;
    let held = Held::begin(&gateway, "ListObjectsV2", LIST_OF_D, "PROPFIND", "/d/").await;
    assert_eq!(gateway.transfer("MOVE", "/d/a", "/e/a").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/e/x", "/d/x").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/t", "/d/t").await, 201);
    held.end().await;
    assert_folder(&gateway, "/d/", &["b", "t/", "x"]).await;
    assert_folder(&gateway, "/e/", &["a"]).await;
    assert_folder(&gateway, "/d/t/", &["1", "2"]).await;
    assert_folder(&gateway, "/", &["d/", "e/"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_the_parent_over_a_tree_that_goes_and_comes() {
    let gateway = gateway().await;
    let held = Held::begin(&gateway, "ListObjectsV2", "delimiter=%2F", "PROPFIND", "/").await;
    assert_eq!(gateway.status("DELETE", "/t").await, 204);
    assert_eq!(gateway.status("MKCOL", "/made").await, 201);
    assert_eq!(gateway.transfer("COPY", "/e", "/f").await, 201);
    held.end().await;
    assert_folder(&gateway, "/", &["d/", "e/", "f/", "made/"]).await;
    assert_eq!(gateway.hrefs("/made/", "1").await, ["/made/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_over_a_put_a_delete_and_a_move() {
    for (method, expected) in
        [("PUT", Some("new")), ("DELETE", None), ("MOVE", None), ("MOVE onto", Some("old x"))]
    {
        let gateway = gateway().await;
        gateway.put("/e/x", "old x").await;
        let held = Held::begin(&gateway, "GetObject", "/d/a", "GET", "/d/a").await;
        let status = match method {
            "PUT" => gateway.put("/d/a", "new").await,
            "DELETE" => gateway.status("DELETE", "/d/a").await,
            "MOVE" => gateway.transfer("MOVE", "/d/a", "/d/z").await,
            _ => gateway.transfer("MOVE", "/e/x", "/d/a").await,
        };
        assert!((200..300).contains(&status), "{method}: {status}");
        held.end().await;
        for _ in 0..2 {
            match expected {
                Some(content) => assert_eq!(gateway.get("/d/a").await, (200, content.into()), "{method}"),
                None => assert_eq!(gateway.get("/d/a").await.0, 404, "{method}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_one_path_over_a_put_and_a_delete() {
    let gateway = gateway().await;
    let held = Held::begin(&gateway, "HeadObject", "/d/new", "HEAD", "/d/new").await;
    assert_eq!(gateway.put("/d/new", "new").await, 201);
    held.end().await;
    assert_eq!(gateway.status("HEAD", "/d/new").await, 200, "the absence was of before");
    let held = Held::begin(&gateway, "HeadObject", "/e/x", "HEAD", "/e/x").await;
    assert_eq!(gateway.status("DELETE", "/e/x").await, 204);
    held.end().await;
    assert_eq!(gateway.status("HEAD", "/e/x").await, 404, "the presence was of before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_outcome_is_not_known_is_asked_for() {
    let gateway = TestGateway::start_with(|config| {
        config.service.request_budget = Some(std::time::Duration::from_millis(300));
    })
    .await;
    let bucket = gateway.bucket().await;
    bucket.put("d/a", "old").await;
    assert_folder(&gateway, "/d/", &["a"]).await;
    // Carried out, and nobody hears of it.
    gateway.hooks().next(usize::MAX, "PutObject", Action::ApplyThenFail);
    gateway.hooks().next(usize::MAX, "DeleteObject", Action::ApplyThenFail);
    assert_eq!(gateway.put("/d/b", "new").await, 503);
    gateway.hooks().heal();
    gateway.hooks().next(usize::MAX, "DeleteObject", Action::ApplyThenFail);
    assert_folder(&gateway, "/d/", &["a", "b"]).await;
    gateway.status("DELETE", "/d/a").await;
    gateway.hooks().heal();
    assert_folder(&gateway, "/d/", &["b"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_whose_making_was_lost_on_the_way_back_is_there() {
    let gateway = TestGateway::start().await;
    gateway.hooks().next(1, "PutObject", Action::ApplyThenFail);
    assert_eq!(gateway.status("MKCOL", "/made").await, 201);
    assert_eq!(gateway.put("/made/file", "x").await, 201);
    assert_folder(&gateway, "/", &["made/"]).await;
}
