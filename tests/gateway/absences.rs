//! A 404 that is not S3's proves nothing.

use std::time::Duration;

use s3dav::embedded::Action;

use crate::harness::{TestGateway, buckets};

/// What an ingress without a way to S3 answers, and a web server; a 404 of S3's own that speaks of something
/// else, and one that no listing gets.
const PAGES: &[Action] = &[
    Action::NotFoundPage { content_type: "text/plain; charset=utf-8", page: "404 page not found\n" },
    Action::NotFoundPage { content_type: "text/html", page: "<html><body>404 Not Found</body></html>" },
    Action::NotFoundPage { content_type: "application/json", page: "" },
    Action::Fail { status: 404, code: "NoSuchRoute", message: "there is no such route" },
];

/// Every operation that these tests ask for.
const ALL: &[&str] =
    &["ListObjectsV2", "HeadObject", "GetObject", "PutObject", "DeleteObject", "DeleteObjects", "CopyObject"];

async fn start(remembers: bool) -> TestGateway {
    TestGateway::start_with(|config| {
        config.service.request_budget = Some(Duration::from_millis(300));
        buckets(config).cache.times.metadata =
            if remembers { Duration::from_secs(3600) } else { Duration::ZERO };
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_of_somebody_else_is_no_absence() {
    let cases = PAGES.iter().flat_map(|page| [(page, false), (page, true)]);
    futures_util::future::join_all(cases.map(|(page, remembers)| no_absence(page, remembers))).await;
}

async fn no_absence(page: &Action, remembers: bool) {
    let gateway = start(remembers).await;
    let bucket = gateway.bucket().await;
    for key in ["file", "d/x", "d/y"] {
        bucket.put(key, "content").await;
    }
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/d/", "/file"]);
    assert_eq!(gateway.hrefs("/d/", "1").await.len(), 3);
    // S3's own answer to HEAD has no code that could be another.
    let is_own = matches!(page, Action::Fail { .. });
    for operation in ALL.iter().filter(|operation| !is_own || **operation != "HeadObject") {
        gateway.hooks().next(usize::MAX, operation, page.clone());
    }
    for (method, path) in [("GET", "/file"), ("PUT", "/d/new"), ("PUT", "/file"), ("DELETE", "/file")] {
        let request = gateway.request(method, path).body(if method == "PUT" { "x" } else { "" });
        assert_eq!(request.send().await.unwrap().status(), 503, "{method} {path}, {page:?}");
    }
    let known = gateway.propfind("/d/", "1", "").await.status().as_u16();
    assert!(matches!(known, 207 | 503), "{known}, {page:?}");
    for path in ["/nothing", "/d/nothing", "/new/nothing/"] {
        let status = gateway.propfind(path, "1", "").await.status().as_u16();
        // Whole listings may prove it that were seen a moment ago.
        assert!(status == 503 || (remembers && status == 404), "{path}: {status}, {page:?}");
    }
    gateway.hooks().heal();
    assert_eq!(bucket.keys().await, ["d/x", "d/y", "file"], "{page:?}");
    assert_eq!(gateway.get("/file").await, (200, "content".into()), "{page:?}");
    for path in ["/nothing", "/d/nothing"] {
        assert_eq!(gateway.status("GET", path).await, 404);
        assert_eq!(gateway.propfind(path, "0", "").await.status(), 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_never_absent() {
    for code in ["NoSuchKey", "NotFound"] {
        let gateway = start(false).await;
        gateway.bucket().await.put("d/x", "content").await;
        let fail = Action::Fail { status: 404, code, message: "" };
        gateway.hooks().next(usize::MAX, "ListObjectsV2", fail);
        for path in ["/", "/d/", "/nothing"] {
            assert_eq!(gateway.propfind(path, "1", "").await.status(), 503, "{path}");
        }
        assert_eq!(gateway.status("DELETE", "/d/").await, 503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_do_not_name_their_answers_are_served() {
    // None of them, or those alone that have no body.
    for unnamed in [ALL, &["HeadObject"]] {
        let gateway = start(false).await;
        gateway.bucket().await.put("d/x", "content").await;
        gateway.hooks().leave_unnamed(unnamed);
        // Before it is seen that this one names any.
        assert_eq!(gateway.propfind("/nothing", "0", "").await.status(), 404);
        assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/x"]);
        for path in ["/nothing", "/d/nothing"] {
            assert_eq!(gateway.propfind(path, "0", "").await.status(), 404, "{path}");
        }
        assert_eq!(gateway.put("/d/new", "new").await, 201);
        assert_eq!(gateway.put("/d/new", "newer").await, 204);
        assert_eq!(gateway.transfer("MOVE", "/d/new", "/e").await, 201);
        assert_eq!(gateway.status("DELETE", "/e").await, 204);
        assert_eq!(gateway.status("DELETE", "/d").await, 204);
        assert!(gateway.bucket().await.is_empty().await);
    }
}
