//! What servers of other ways refuse, and what policies deny.

use s3dav::embedded::Action;

use crate::harness::TestGateway;

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
