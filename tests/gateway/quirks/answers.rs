//! Answers that AWS would give otherwise.

use std::sync::Arc;
use std::time::Duration;

use s3dav::embedded::{Action, EmbeddedOptions, EmbeddedS3, Quirks, Rule};
use s3dav::metrics::Metrics;
use s3dav::store::s3::{S3Options, S3Store};
use s3dav::store::{ListRequest, ObjectStore, StoreError};
use tokio::net::TcpListener;

use crate::finder::client::Finder;
use crate::harness::clients::{Tools, needs};
use crate::harness::process::{outcome, serve};
use crate::harness::tls::Tls;
use crate::harness::{BUCKET, TestGateway, buckets, embedded, embedded_options, s3_options};

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

/// From now on requests for what has this in its name are refused.
fn refuse(gateway: &TestGateway, operation: &str, part: &str, code: &'static str) {
    gateway.hooks().add(Rule {
        operation: Some(operation.to_owned()),
        target: Some(part.to_owned()),
        times: usize::MAX,
        action: Action::Fail { status: 400, code, message: "no" },
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_s3_refuses_is_neither_away_nor_absent() {
    let gateway = TestGateway::forgetful().await;
    gateway.bucket().await.put("secret", "content").await;
    for code in ["KMS.DisabledException", "KMS.NotFoundException", "InvalidRequest", "InvalidObjectState"] {
        refuse(&gateway, "GetObject", "secret", code);
        refuse(&gateway, "CopyObject", "copy", code);
        assert_eq!(gateway.status("GET", "/secret").await, 403, "{code}");
        assert_eq!(Finder::of(&gateway).get("/secret").await.0, 403, "{code}");
        assert_eq!(gateway.transfer("MOVE", "/secret", "/copy").await, 403, "{code}");
        gateway.hooks().heal();
    }
    assert_eq!(gateway.bucket().await.keys().await, ["secret"]);
}

/// Encrypted with a key of its owner's, to which S3 wants it with each request.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_with_a_key_of_its_owners_is_refused_at_once() {
    let gateway = TestGateway::forgetful().await;
    gateway.bucket().await.put("secret", "content").await;
    refuse(&gateway, "GetObject", "secret", "InvalidRequest");
    refuse(&gateway, "HeadObject", "secret", "InvalidRequest");
    let finder = Finder::of(&gateway);
    for method in ["HEAD", "GET"] {
        assert_eq!(gateway.status(method, "/secret").await, 403, "{method}");
        assert_eq!(finder.status(method, "/secret").await, 403, "{method}");
    }
    assert_eq!(gateway.propfind("/secret", "0", "").await.status(), 403);
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/secret"]);
    assert!(gateway.hooks().total() < 20, "{}", gateway.hooks().total());
}

#[tokio::test(flavor = "multi_thread")]
async fn head_that_is_refused_like_all_else_lacks_credentials() {
    let gateway = on(true, |_| {}).await;
    gateway.hooks().always(Action::Fail { status: 400, code: "ExpiredToken", message: "expired" });
    let answer = gateway.request("GET", "/file").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let text = answer.text().await.unwrap();
    assert!(text.contains("credentials"), "{text}");
    assert_eq!(gateway.status("HEAD", "/file").await, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_no_text_is_left_out() {
    for header in [
        ("x-amz-meta-title", b"caf\xe9".as_slice()),
        ("content-type", b"text/plain; title=caf\xe9"),
        ("x-amz-version-id", b"\xff\xfe"),
    ] {
        let gateway = on(true, |quirks| quirks.raw_header = Some(header)).await;
        for name in ["a", "b", "c"] {
            gateway.bucket().await.put(name, "content").await;
        }
        assert_eq!(gateway.get("/a").await, (200, "content".into()), "{header:?}");
        assert_eq!(gateway.propfind("/b", "0", "").await.status(), 207, "{header:?}");
        assert_eq!(gateway.put("/c", "other").await, 204, "{header:?}");
        assert_eq!(gateway.transfer("MOVE", "/a", "/d").await, 201, "{header:?}");
        let keys = gateway.bucket().await.keys().await;
        assert_eq!(keys, ["b", "c", "d"], "{header:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_google_would_decompress_is_read_as_it_is_stored() {
    let gateway = on(true, |quirks| quirks.gunzips = owned(&["page.html", "large.html"])).await;
    gateway.bucket().await.put("page.html", "compressed").await;
    gateway.bucket().await.put_bytes("large.html", vec![7; LARGE].into()).await;
    assert_eq!(gateway.status("HEAD", "/page.html").await, 200);
    assert_eq!(gateway.get("/page.html").await, (200, "compressed".into()));
    let range = gateway.request("GET", "/large.html").header("Range", "bytes=10-19").send().await.unwrap();
    assert_eq!((range.status().as_u16(), range.bytes().await.unwrap()), (206, vec![7; 10].into()));
    assert!(gateway.get("/large.html").await == (200, vec![7; LARGE].into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_on_its_way_is_refused_at_once() {
    let gateway = on(true, |quirks| {
        quirks.gunzips = owned(&["page.html"]);
        quirks.gunzips_always = true;
    })
    .await;
    gateway.bucket().await.put("page.html", "compressed").await;
    assert_eq!(gateway.status("GET", "/page.html").await, 403);
    assert_eq!(gateway.hooks().count("GetObject"), 2);
    gateway.hooks().always(Action::CaptivePortal);
    assert_eq!(Finder::of(&gateway).status("HEAD", "/other").await, 503);
}

/// As Supabase has it.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_may_have_a_path() {
    let options = EmbeddedOptions { below: Some("/storage/v1/s3".to_owned()), ..embedded_options(&[BUCKET]) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let s3 = Arc::new(EmbeddedS3::start(listener, options).await.unwrap());
    for end in ["/", ""] {
        let state = Arc::new(tempfile::tempdir().unwrap());
        let url = format!("{}{end}", s3.endpoint_url());
        let gateway = TestGateway::start_on(Arc::clone(&s3), state, |config| {
            buckets(config).s3.endpoint_url = Some(url);
        });
        let gateway = gateway.await;
        let name = format!("/file{}", end.len());
        assert_eq!(gateway.put(&name, "content").await, 201, "{end:?}");
        assert_eq!(gateway.transfer("MOVE", &name, "/moved%20a").await, 201, "{end:?}");
        assert_eq!(gateway.get("/moved%20a").await, (200, "content".into()), "{end:?}");
        assert_eq!(gateway.status("DELETE", "/moved%20a").await, 204, "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_utf_8_is_hidden_and_protects_its_folder() {
    let gateway = on(true, |quirks| quirks.raw_key = Some("d/e/caf%E9.txt")).await;
    let bucket = gateway.bucket().await;
    bucket.put("d/e/a", "content").await;
    bucket.put("d/b", "content").await;
    for _ in 0..2 {
        assert_eq!(gateway.hrefs("/d/e/", "1").await, ["/d/e/", "/d/e/a"]);
        assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/b", "/d/e/"]);
    }
    let metrics = gateway.request("GET", "/.s3dav/metrics").send().await.unwrap().text().await.unwrap();
    let hidden = metrics.lines().find(|line| line.starts_with("s3dav_hidden_keys_total"));
    assert!(hidden.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    let answer = gateway.request("DELETE", "/d/").send().await.unwrap();
    assert_eq!(answer.status(), 409);
    let text = answer.text().await.unwrap();
    assert!(text.contains("not UTF-8"), "{text}");
    assert_eq!(gateway.status("DELETE", "/d/e/").await, 409);
    for method in ["MOVE", "COPY"] {
        assert_eq!(gateway.transfer(method, "/d/", "/f/").await, 409, "{method}");
    }
    assert_eq!(gateway.status("DELETE", "/d/e/a").await, 204);
    assert_eq!(gateway.hrefs("/d/e/", "1").await, ["/d/e/"], "it holds the other one still");
    gateway.hooks().change_quirks(|quirks| quirks.raw_key = None);
    assert_eq!(bucket.keys().await, ["d/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_head_finds_covers_nothing() {
    let gateway = on(true, |quirks| quirks.heads_folders = true).await;
    let bucket = gateway.bucket().await;
    for key in ["a/b", "c/d", "real", "real/e"] {
        bucket.put(key, "content").await;
    }
    assert_eq!(gateway.transfer("MOVE", "/a/", "/moved/").await, 201);
    assert_eq!(gateway.status("DELETE", "/c/").await, 204);
    assert_eq!(gateway.transfer("MOVE", "/real/", "/other/").await, 409, "this one does");
    assert_eq!(gateway.status("DELETE", "/real/").await, 409, "this one does");
    assert_eq!(bucket.keys().await, ["moved/b", "real", "real/e"]);
}

/// Files that were listed are changed, moved and deleted, and there is nothing beside them.
async fn changes(gateway: &TestGateway) {
    let bucket = gateway.bucket().await;
    for key in ["d/a", "d/b", "d/sub/c", "e/f", "e/g"] {
        bucket.put(key, "content").await;
    }
    bucket.put_bytes("d/large", vec![1; LARGE].into()).await;
    gateway.hrefs("/d/", "1").await;
    assert_eq!(gateway.put("/d/a", "other").await, 204);
    assert_eq!(gateway.put("/d/a", "again").await, 204);
    assert_eq!(gateway.put("/d/large", vec![2; LARGE]).await, 204);
    assert_eq!(gateway.get("/d/b").await, (200, "content".into()));
    assert_eq!(gateway.put("/d/b", "other").await, 204);
    assert!(gateway.get("/d/large").await == (200, vec![2; LARGE].into()));
    gateway.hrefs("/d/sub/", "1").await;
    assert_eq!(gateway.transfer("MOVE", "/d/sub/c", "/d/sub/c2").await, 201);
    gateway.hrefs("/d/", "1").await;
    assert_eq!(gateway.transfer("MOVE", "/d/", "/m/").await, 201);
    assert_eq!(gateway.hrefs("/m/", "1").await, ["/m/", "/m/a", "/m/b", "/m/large", "/m/sub/"]);
    assert_eq!(bucket.keys().await, ["e/f", "e/g", "m/a", "m/b", "m/large", "m/sub/c2"]);
    gateway.hrefs("/e/", "1").await;
    assert_eq!(gateway.status("DELETE", "/e/f").await, 204);
    assert_eq!(gateway.status("DELETE", "/e/").await, 204);
    assert_eq!(gateway.status("DELETE", "/m/").await, 204);
    assert!(bucket.is_empty().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etag_of_a_listing_that_the_object_does_not_have_is_no_conflict() {
    for (trusts, ignored) in [(true, false), (false, false), (false, true)] {
        let gateway = on(trusts, |quirks| {
            quirks.other_listed_etags = true;
            let all = [
                "PutObject",
                "CompleteMultipartUpload",
                "CopyObject",
                "CopySource",
                "DeleteObject",
                "DeleteObjects",
            ];
            quirks.unconditional = if ignored { owned(&all) } else { Vec::new() };
        })
        .await;
        changes(&gateway).await;
        // What somebody else changes is a conflict still.
        let bucket = gateway.bucket().await;
        bucket.put("x/a", "content").await;
        gateway.hrefs("/x/", "1").await;
        bucket.put("x/a", "theirs!").await;
        assert_eq!(gateway.put("/x/a", "mine").await, 204);
        assert_eq!(bucket.get("x/a").await.unwrap(), "theirs!");
        assert_eq!(bucket.keys().await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_storage_class_is_none() {
    changes(&on(true, |quirks| quirks.empty_classes = true).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weak_etags_are_compared_by_what_they_hold() {
    changes(&on(true, |quirks| quirks.weak_etags = true).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_the_whole_is_told_to_aws_alone() {
    changes(&on(true, |quirks| quirks.takes_no_size = true).await).await;
}

/// What the store says of a server whose own certificate is the only one that is trusted.
async fn behind_own_certificate(tools: &Tools, constraints: &str) -> StoreError {
    let tls = Tls::start(tools, constraints).await;
    let options = S3Options { ca_bundle: Some(tls.certificate.clone().into()), ..s3_options(&tls.url) };
    let store = S3Store::new(BUCKET, options, Metrics::default()).await.unwrap();
    store.list(&ListRequest::probe("")).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_certificate_that_signed_itself_lacks_is_said() {
    let Some(tools) = needs(&["openssl"]) else { return };
    let error = behind_own_certificate(&tools, "critical,CA:TRUE").await;
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains("basicConstraints=CA:FALSE"), "{error}: {hint}");
    let error = behind_own_certificate(&tools, "CA:FALSE").await;
    assert!(matches!(error, StoreError::InvalidAnswer(_)), "it is trusted: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_knows_no_second_version_of_listings_is_named() {
    let s3 = embedded().await;
    for (status, code) in [(501, "NotImplemented"), (405, "MethodNotAllowed")] {
        s3.hooks().next(1, "ListObjectsV2", Action::Fail { status, code, message: "no" });
        let state = tempfile::tempdir().unwrap();
        let (code, _, said) = outcome(serve(&s3.endpoint_url(), &state, &[])).await;
        assert!(code == 1 && said.contains("ListObjectsV2") && said.contains("hint: "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_of_the_first_version_are_read_to_their_end() {
    let gateway = TestGateway::start().await;
    gateway.hooks().change_quirks(|quirks| quirks.lists_as_v1 = true);
    let bucket = gateway.bucket().await;
    for n in 0..1_300 {
        let key = if n % 2 == 0 { format!("d/{n:04}") } else { format!("d/{n:04} x/file") };
        bucket.put(&key, "").await;
    }
    gateway.hooks().reset();
    let shown = gateway.hrefs("/d/", "1").await;
    assert_eq!((shown.len(), gateway.hooks().count("ListObjectsV2")), (1_301, 2));
    assert!(shown.is_sorted_by(|one, next| one < next), "each once, in order");
    assert_eq!(gateway.transfer("MOVE", "/d/", "/e/").await, 201);
    assert_eq!(gateway.status("DELETE", "/e/0001%20x/").await, 204);
    let keys = bucket.keys().await;
    assert_eq!((keys.len(), &*keys[0]), (1_299, "e/0000"));
    assert_eq!(gateway.status("DELETE", "/e/").await, 204);
    assert!(bucket.keys().await.is_empty());
}
