//! What servers of other ways refuse, and what policies deny.

use std::sync::Arc;

use s3dav::config::BucketSpec;
use s3dav::embedded::{Action, Listable};

use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket, TestGateway, buckets, client, embedded, eventually};

/// Folders are deleted and renamed on a gateway whose server was changed in this way.
async fn changes_folders(gateway: &TestGateway) {
    let bucket = gateway.bucket().await;
    for key in ["folder/a", "folder/b/c", "old/a", "old/b/c"] {
        bucket.put(key, "content").await;
    }
    assert_eq!(gateway.status("DELETE", "/folder/").await, 204);
    assert_eq!(gateway.transfer("MOVE", "/old/", "/new/").await, 201);
    assert_eq!(gateway.status("MKCOL", "/empty/").await, 201);
    assert_eq!(gateway.status("DELETE", "/empty/").await, 204);
    assert_eq!(bucket.keys().await, ["new/a", "new/b/c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_deleted_and_renamed_where_content_md5_is_demanded() {
    let gateway = TestGateway::start().await;
    gateway.hooks().change_quirks(|quirks| quirks.demands_md5 = true);
    changes_folders(&gateway).await;
    assert_eq!(gateway.hooks().count("DeleteObject"), 0, "nothing was deleted singly");
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_deleted_and_renamed_where_many_objects_cannot_be_deleted_at_once() {
    let wanted = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
    for (status, code, message, most) in [
        (400, "MissingContentMD5", "not so", 1),
        (400, "InvalidRequest", wanted, 1),
        (501, "NotImplemented", "not so", 1),
        // It may be about these objects.
        (400, "InvalidRequest", "not so", 3),
    ] {
        let gateway = TestGateway::start().await;
        let refuse = Action::Fail { status, code, message };
        gateway.hooks().next(usize::MAX, "DeleteObjects", refuse);
        changes_folders(&gateway).await;
        assert_eq!(gateway.hooks().count("DeleteObjects"), most, "{code} {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_counts_its_objects_only_is_a_whole_one() {
    let gateway = TestGateway::start().await;
    gateway.hooks().change_quirks(|quirks| quirks.counts_objects_only = true);
    let bucket = gateway.bucket().await;
    for key in ["d/a", "d/b/c", "d/e/f"] {
        bucket.put(key, "content").await;
    }
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/a", "/d/b/", "/d/e/"]);
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/d/"]);
}

/// A gateway whose policy lets it list no more than this; the bucket has a file for each of these keys.
async fn allowed(
    listable: &[(&'static str, Option<&'static str>)],
    prefix: &str,
    keys: &[&str],
) -> TestGateway {
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    for key in keys {
        bucket.put(key, "content").await;
    }
    let rule = |(prefix, delimiter): &(&'static str, _)| Listable { prefix, delimiter: *delimiter };
    s3.hooks().change_quirks(|quirks| quirks.listable = Some(listable.iter().map(rule).collect()));
    let spec = BucketSpec::parse(&format!("{BUCKET}{prefix}")).unwrap();
    let state = Arc::new(tempfile::tempdir().unwrap());
    TestGateway::start_on(s3, state, |config| buckets(config).buckets = vec![spec]).await
}

/// What a client does in a folder of its own, which has the file `a`.
async fn works_in(gateway: &TestGateway, folder: &str) {
    let at = |name: &str| format!("{folder}{name}");
    for method in ["PROPFIND", "HEAD", "GET"] {
        assert_eq!(gateway.status(method, &at("none")).await, 404, "{method} of what is not there");
    }
    assert_eq!(gateway.get(&at("a")).await, (200, "content".into()));
    assert_eq!(gateway.put(&at("new"), "content").await, 201);
    assert_eq!(gateway.put(&at("new"), "changed").await, 204);
    assert_eq!(gateway.status("MKCOL", &at("sub/")).await, 201);
    assert_eq!(gateway.status("PROPFIND", &at("sub/none")).await, 404);
    assert_eq!(gateway.transfer("MOVE", &at("a"), &at("sub/a")).await, 201);
    assert_eq!(gateway.transfer("MOVE", &at("sub"), &at("moved")).await, 201);
    let shown = gateway.hrefs(&at("moved/"), "1").await;
    assert_eq!(shown, [at("moved/"), at("moved/a")]);
    assert_eq!(gateway.status("DELETE", &at("moved/")).await, 204);
    assert_eq!(gateway.hrefs(folder, "1").await, [at(""), at("new")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_home_folders_that_aws_documents_is_enough() {
    let listable = [("", Some("/")), ("home/", Some("/")), ("home/alice/*", None)];
    let keys = ["home/alice/a", "home/bob/b", "top"];
    let gateway = allowed(&listable, "", &keys).await;
    assert_eq!(gateway.hrefs("/home", "0").await, ["/home/"]);
    assert_eq!(gateway.hrefs("/home/alice", "0").await, ["/home/alice/"]);
    assert_eq!(gateway.hrefs("/home", "1").await, ["/home/", "/home/alice/", "/home/bob/"]);
    assert_eq!(gateway.get("/home").await.0, 200, "a page of the folder");
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/home/", "/top"]);
    assert_eq!(gateway.hrefs("/home/", "1").await, ["/home/", "/home/alice/", "/home/bob/"]);
    assert_eq!(gateway.status("PROPFIND", "/home/bob/").await, 403);
    works_in(&gateway, "/home/alice/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_absent_is_found_out_where_only_a_prefix_may_be_listed() {
    let gateway = allowed(&[("home/alice/*", None)], "/home/alice", &["home/alice/a"]).await;
    // One more request, and only for what was denied.
    gateway.hooks().reset();
    assert_eq!(gateway.status("HEAD", "/none").await, 404);
    let hooks = gateway.hooks();
    assert_eq!((hooks.count("HeadObject"), hooks.count("ListObjectsV2")), (1, 2));
    works_in(&gateway, "/").await;
}

/// A gateway that asks its endpoint for the conditions that it keeps.
async fn asking() -> TestGateway {
    TestGateway::start_with(|config| buckets(config).trusts_conditions = false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_written_where_a_policy_allows_it_below_a_prefix_only() {
    let gateway = asking().await;
    let bucket = gateway.bucket().await;
    for key in ["uploads/there", "elsewhere"] {
        bucket.put(key, "content").await;
    }
    gateway.hooks().change_quirks(|quirks| quirks.writable = Some(vec!["uploads/"]));
    assert_eq!(gateway.put("/elsewhere", "new").await, 403);
    assert_eq!(gateway.put("/uploads/new", "content").await, 201);
    assert_eq!(gateway.put("/uploads/new", "changed").await, 204);
    assert_eq!(gateway.put("/uploads/large", vec![7; 20 << 20]).await, 201);
    assert_eq!(gateway.transfer("COPY", "/uploads/new", "/uploads/copy").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/uploads/new", "/uploads/moved").await, 201);
    assert_eq!(gateway.status("DELETE", "/uploads/large").await, 204);
    // What others write in between is seen by a look.
    assert_eq!(gateway.get("/uploads/there").await.0, 200);
    bucket.put("uploads/there", "theirs").await;
    assert_eq!(gateway.put("/uploads/there", "mine").await, 204);
    assert_eq!(bucket.get("uploads/there").await.unwrap(), "theirs");
    gateway.status("DELETE", "/uploads/moved").await;
    let keys = bucket.keys().await;
    let is_copy = |key: &&String| key.starts_with("uploads/there (conflict");
    assert_eq!(keys.iter().filter(is_copy).count(), 1, "{keys:?}");
    let others: Vec<_> = keys.iter().filter(|key| !is_copy(key)).collect();
    assert_eq!(others, ["elsewhere", "uploads/copy", "uploads/there"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_question_where_nothing_can_be_deleted() {
    let mut gateway = asking().await;
    let bucket = gateway.bucket().await;
    gateway.hooks().change_quirks(|quirks| quirks.denies_deletes = true);
    for _ in 0..2 {
        gateway.put("/file", "content").await;
        assert_eq!(gateway.put("/file", "changed").await, 204);
        assert!(gateway.put("/large", vec![7; 20 << 20]).await < 300);
        assert!(gateway.transfer("COPY", "/file", "/copy").await < 300);
        assert_eq!(gateway.status("DELETE", "/file").await, 403);
        assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 403);
        assert_eq!(bucket.keys().await, ["copy", "file", "large", "moved"]);
        let (s3, state) = gateway.stop().await;
        gateway = TestGateway::start_on(s3, state, |config| buckets(config).trusts_conditions = false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_demands_checksums_gets_them_by_an_option_that_is_told() {
    let s3 = embedded().await;
    s3.hooks().change_quirks(|quirks| quirks.retains = true);
    for (options, status) in [(&[][..], 403), (&["--checksums", "when-supported"], 201)] {
        let state = tempfile::tempdir().unwrap();
        let gateway = Process::gateway(&s3.endpoint_url(), &state, options).await;
        let put = client().put(format!("{}/file", gateway.url)).body("content").send().await.unwrap();
        assert_eq!(put.status(), status);
        let is_told = || gateway.said.lock().contains("--checksums when-supported");
        if status == 403 {
            eventually("the hint", || async { is_told() }).await;
        } else {
            assert!(!is_told());
        }
    }
}
