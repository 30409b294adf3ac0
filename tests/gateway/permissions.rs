//! What AWS must allow: each action of the table is taken away, and what fails then is what the table says.

use std::sync::Arc;
use std::time::Duration;

use s3dav::config::BucketSpec;
use s3dav::embedded::{ACTIONS, Action, EmbeddedS3, Gate, Hooks, Listable, Rule};
use s3dav::iam;
use s3dav::object::{Attributes, Key};
use s3dav::store::journal::Durability;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::process::{Process, command, outcome, serve};
use crate::harness::{BUCKET, Bucket, TestGateway, buckets, embedded, eventually, open_uploads};

/// Bytes of a file that goes up in parts.
const LARGE: usize = 20 << 20;

/// From now on all is denied that the table does not have, and what of it is taken away.
fn deny_all_but_the_table(hooks: &Hooks, taken: &[&str]) {
    let is_granted =
        |action: &&&str| iam::BUCKET.iter().any(|grant| grant.action == **action) && !taken.contains(*action);
    let denied = ACTIONS.iter().filter(|action| !is_granted(action)).map(|action| action.to_string());
    let denied: Vec<String> = denied.collect();
    hooks.change_quirks(|quirks| quirks.denied_actions = denied);
}

/// A gateway whose credentials have all of the table; its bucket has what the tests begin with.
async fn granted() -> TestGateway {
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    for key in ["file", "d/a", "d/e/b"] {
        bucket.put(key, "content").await;
    }
    put_tagged(&bucket, "tagged").await;
    deny_all_but_the_table(s3.hooks(), &[]);
    TestGateway::start_on(s3, Arc::new(tempfile::tempdir().unwrap()), |config| {
        // Beyond that a copy is made in parts.
        buckets(config).uploads.copy_limit = LARGE as u64 - 1;
        buckets(config).uploads.copy_part = 6 << 20;
        buckets(config).cache.file_limit = 0;
    })
    .await
}

/// The same, and then that action is taken away.
async fn without(action: &str) -> TestGateway {
    assert!(iam::BUCKET.iter().any(|grant| grant.action == action), "{action} is not in the table");
    let gateway = granted().await;
    deny_all_but_the_table(gateway.hooks(), &[action]);
    gateway
}

/// The bucket, by somebody who may do everything.
async fn bucket_of(gateway: &TestGateway) -> Bucket {
    gateway.hooks().change_quirks(|quirks| quirks.denied_actions.clear());
    gateway.bucket().await
}

async fn put_tagged(bucket: &Bucket, key: &str) {
    let attributes = Attributes { tagging: Some("colour=red".to_owned()), ..Attributes::default() };
    bucket.upload(key, "content".into(), &attributes).await;
}

async fn tags(bucket: &Bucket, key: &str) -> Option<String> {
    let (store, key) = (bucket.store(), Key::new(key).unwrap());
    let meta = store.head(&key).await.unwrap();
    store.attributes(&key, &meta.etag).await.unwrap().tagging
}

/// Sends a part of a large file and goes away; the gateway has tried to abort that upload then.
async fn break_off(gateway: &TestGateway) {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let head = format!("PUT /broken HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 2 * LARGE);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![7; LARGE]).await.unwrap();
    eventually("a part is sent", || async { gateway.hooks().count("UploadPart") > 0 }).await;
    drop(stream);
    eventually("it is aborted", || async { gateway.hooks().count("AbortMultipartUpload") > 0 }).await;
}

/// A gateway that has begun an upload whose id never came back, and has looked for it; and the next one over its state.
async fn after_a_lost_begin(gateway: TestGateway) -> TestGateway {
    let before = gateway.hooks().count("CreateMultipartUpload");
    gateway.hooks().next(1, "CreateMultipartUpload", Action::ApplyThenFail);
    assert_eq!(gateway.put("/lost", vec![7; LARGE]).await, 201);
    assert_eq!(gateway.hooks().count("CreateMultipartUpload"), before + 2);
    eventually("it is looked for", || looks_for_uploads(&gateway)).await;
    let (s3, state) = gateway.stop().await;
    TestGateway::start_on(s3, state, |_| {}).await
}

/// Whether the gateway has asked for uploads since it began.
async fn looks_for_uploads(gateway: &TestGateway) -> bool {
    let told = String::from_utf8(gateway.get("/.s3dav/metrics").await.1.into()).unwrap();
    told.contains("ListMultipartUploads")
}

async fn is_clean(s3: &EmbeddedS3) -> bool {
    s3.hooks().change_quirks(|quirks| quirks.denied_actions.clear());
    open_uploads(s3).await.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_table_and_nothing_else_everything_works() {
    let gateway = granted().await;
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/a", "/d/e/"]);
    assert_eq!(gateway.get("/file").await, (200, "content".into()));
    for method in ["PROPFIND", "HEAD", "GET", "DELETE"] {
        assert_eq!(gateway.status(method, "/d/none").await, 404, "{method}");
    }
    assert_eq!(gateway.put("/new", "content").await, 201);
    assert_eq!(gateway.put("/new", "changed").await, 204);
    assert_eq!(gateway.put("/large", vec![7; LARGE]).await, 201);
    assert_eq!(gateway.put("/large", vec![8; LARGE]).await, 204);
    assert!(gateway.get("/large").await.1.iter().all(|byte| *byte == 8));
    assert_eq!(gateway.status("MKCOL", "/made/").await, 201);
    for (method, from, to) in [
        ("COPY", "/file", "/made/copy"),
        ("MOVE", "/file", "/moved"),
        ("COPY", "/large", "/large2"),
        ("COPY", "/tagged", "/tagged2"),
        ("COPY", "/d/", "/d2/"),
        ("MOVE", "/d/", "/d3/"),
    ] {
        assert_eq!(gateway.transfer(method, from, to).await, 201, "{method} {from}");
    }
    assert_eq!(gateway.hooks().count("UploadPartCopy"), 4);
    for path in ["/moved", "/made/", "/d2/"] {
        assert_eq!(gateway.status("DELETE", path).await, 204, "{path}");
    }
    break_off(&gateway).await;
    let s3 = Arc::clone(gateway.s3());
    let gateway = after_a_lost_begin(gateway).await;
    eventually("nothing is left", || async { is_clean(&s3).await }).await;
    let bucket = bucket_of(&gateway).await;
    assert_eq!(
        bucket.keys().await,
        ["d3/a", "d3/e/b", "large", "large2", "lost", "new", "tagged", "tagged2"]
    );
    assert_eq!(tags(&bucket, "tagged2").await.as_deref(), Some("colour=red"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_list_bucket_no_gateway_starts_no_folder_is_shown_and_what_is_missing_is_forbidden() {
    let gateway = without("s3:ListBucket").await;
    assert_eq!(gateway.status("PROPFIND", "/d/").await, 403);
    assert_eq!(gateway.status("GET", "/d/none").await, 403);
    assert_eq!(gateway.get("/file").await, (200, "content".into()));
    let state = tempfile::tempdir().unwrap();
    let (code, said) = Process::ending(serve(&gateway.s3().endpoint_url(), &state, &[])).await.unwrap();
    assert!(code == 1 && said.contains("s3:ListBucket"), "{code}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_get_object_nothing_is_read_copied_or_replaced() {
    let gateway = without("s3:GetObject").await;
    assert_eq!(gateway.status("GET", "/file").await, 403);
    assert_eq!(gateway.transfer("COPY", "/file", "/copy").await, 403);
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/a", "/d/e/"]);
    assert_eq!(gateway.put("/d/a", "changed").await, 403);
    assert_eq!(gateway.status("DELETE", "/d/a").await, 403);
    let bucket = bucket_of(&gateway).await;
    assert_eq!(bucket.get("d/a").await.unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_put_object_nothing_is_written_copied_moved_or_made() {
    let gateway = without("s3:PutObject").await;
    assert_eq!(gateway.put("/new", "content").await, 403);
    assert_eq!(gateway.put("/large", vec![7; LARGE]).await, 403);
    assert_eq!(gateway.status("MKCOL", "/made/").await, 403);
    assert_eq!(gateway.transfer("COPY", "/file", "/copy").await, 403);
    assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 403);
    assert_eq!(gateway.get("/file").await, (200, "content".into()));
    assert_eq!(gateway.status("DELETE", "/file").await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_delete_object_nothing_is_deleted_or_moved() {
    let gateway = without("s3:DeleteObject").await;
    assert_eq!(gateway.status("DELETE", "/file").await, 403);
    assert!(gateway.status("DELETE", "/d/").await >= 400);
    assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 403);
    assert_eq!(gateway.put("/new", "content").await, 201);
    let bucket = bucket_of(&gateway).await;
    for key in ["file", "d/a", "d/e/b"] {
        assert_eq!(bucket.get(key).await.unwrap(), "content");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_abort_multipart_upload_an_upload_that_breaks_off_leaves_its_parts() {
    let gateway = without("s3:AbortMultipartUpload").await;
    break_off(&gateway).await;
    let (s3, _) = gateway.stop().await;
    assert!(!is_clean(&s3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_list_multipart_upload_parts_all_of_an_upload_that_was_cut_off_is_sent_again() {
    let (s3, state) = without("s3:ListMultipartUploadParts").await.stop().await;
    let start = || async {
        TestGateway::start_on(Arc::clone(&s3), Arc::clone(&state), |config| {
            let source = buckets(config);
            source.file_system.durability = Durability::Journal;
            source.file_system.keeps = true;
            source.file_system.drain_timeout = Duration::from_millis(200);
        })
        .await
    };
    let gateway = start().await;
    let (gate, operation) = (Gate::default(), Some("UploadPart".to_owned()));
    let target = Some("partNumber=2&".to_owned());
    s3.hooks().add(Rule { operation, target, times: 1, action: Action::HoldFirst(gate.clone()) });
    assert_eq!(gateway.put("/large", vec![7; LARGE]).await, 201);
    gate.reached().await;
    gateway.stop().await;
    let place = state.path().join("state");
    eventually("the state is free", || async { s3dav::state::holder(&place).is_none() }).await;
    let gateway = start().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    eventually("it is stored", || async { bucket.keys().await.iter().any(|key| key == "large") }).await;
    // S3's own count begins when the gateway has started, which may have sent something by then.
    assert_eq!(gateway.s3_requests_of("ListParts").await, 1);
    assert_eq!(gateway.s3_requests_of("UploadPart").await, LARGE.div_ceil(8 << 20) as u64);
    assert!(is_clean(&s3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_get_object_tagging_what_has_tags_is_not_copied() {
    let gateway = without("s3:GetObjectTagging").await;
    assert_eq!(gateway.transfer("COPY", "/tagged", "/copy").await, 403);
    assert_eq!(gateway.transfer("MOVE", "/tagged", "/moved").await, 403);
    assert_eq!(gateway.transfer("COPY", "/file", "/copy").await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_put_object_tagging_what_has_tags_is_not_copied() {
    let gateway = without("s3:PutObjectTagging").await;
    assert_eq!(gateway.transfer("COPY", "/tagged", "/copy").await, 403);
    assert_eq!(gateway.transfer("MOVE", "/tagged", "/moved").await, 403);
    assert_eq!(gateway.transfer("COPY", "/file", "/copy").await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_list_bucket_multipart_uploads_an_upload_of_unknown_id_stays() {
    let gateway = after_a_lost_begin(without("s3:ListBucketMultipartUploads").await).await;
    let (s3, _) = gateway.stop().await;
    assert!(!is_clean(&s3).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kms_decrypt_nothing_encrypted_is_read_or_copied_or_written_in_parts() {
    let gateway = without("kms:Decrypt").await;
    assert_eq!(gateway.status("GET", "/file").await, 403);
    assert_eq!(gateway.transfer("COPY", "/file", "/copy").await, 403);
    assert_eq!(gateway.put("/large", vec![7; LARGE]).await, 403);
    assert_eq!(gateway.put("/new", "content").await, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kms_generate_data_key_nothing_encrypted_is_written_copied_or_moved() {
    let gateway = without("kms:GenerateDataKey").await;
    assert_eq!(gateway.put("/new", "content").await, 403);
    assert_eq!(gateway.put("/large", vec![7; LARGE]).await, 403);
    assert_eq!(gateway.transfer("COPY", "/file", "/copy").await, 403);
    assert_eq!(gateway.transfer("MOVE", "/file", "/moved").await, 403);
    assert_eq!(gateway.get("/file").await, (200, "content".into()));
}

#[test]
fn each_action_of_the_table_has_its_test() {
    let tests = include_str!("permissions.rs");
    for grant in iam::BUCKET {
        let mut name = String::new();
        for c in grant.action.chars() {
            match c {
                ':' => {}
                c if c.is_ascii_uppercase() => name.extend(['_', c.to_ascii_lowercase()]),
                c => name.push(c),
            }
        }
        assert!(tests.contains(&format!("async fn without_{name}_")), "{}: {name}", grant.action);
        assert!(ACTIONS.contains(&grant.action), "{}: the server never wants it", grant.action);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_for_a_prefix_is_enough_for_it() {
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    for key in ["p/file", "p/d/a", "other"] {
        bucket.put(key, "content").await;
    }
    let listable = ["p/", "p/*"].map(|prefix| Listable { prefix, delimiter: None });
    s3.hooks().change_quirks(|quirks| {
        quirks.listable = Some(listable.to_vec());
        quirks.objects_below = Some("p/");
    });
    deny_all_but_the_table(s3.hooks(), &[]);
    let served = format!("{BUCKET}/p");
    let (_, policy, _) = outcome(command(&["iam-policy", "--bucket", &served])).await;
    let policy: serde_json::Value = serde_json::from_str(&policy).unwrap();
    // What the server was told above is what the policy says.
    assert_eq!(
        policy["Statement"][0]["Condition"]["StringLike"]["s3:prefix"],
        serde_json::json!(["p/", "p/*"])
    );
    assert_eq!(policy["Statement"][1]["Resource"], format!("arn:aws:s3:::{BUCKET}/p/*"));
    let state = Arc::new(tempfile::tempdir().unwrap());
    let spec = BucketSpec::parse(&served).unwrap();
    let gateway = TestGateway::start_on(s3, state, |config| buckets(config).buckets = vec![spec]).await;
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/d/", "/file"]);
    assert_eq!(gateway.status("GET", "/none").await, 404);
    assert_eq!(gateway.put("/new", "content").await, 201);
    assert_eq!(gateway.put("/large", vec![7; LARGE]).await, 201);
    assert_eq!(gateway.transfer("MOVE", "/d/", "/e/").await, 201);
    assert_eq!(gateway.transfer("COPY", "/file", "/e/copy").await, 201);
    assert_eq!(gateway.status("DELETE", "/file").await, 204);
    assert_eq!(gateway.hrefs("/e/", "1").await, ["/e/", "/e/a", "/e/copy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_nothing_lies_below_yet_is_served_under_its_policy() {
    let s3 = embedded().await;
    s3.hooks().change_quirks(|quirks| {
        quirks.listable = Some(["p/", "p/*"].map(|prefix| Listable { prefix, delimiter: None }).to_vec());
        quirks.objects_below = Some("p/");
    });
    deny_all_but_the_table(s3.hooks(), &[]);
    let spec = BucketSpec::parse(&format!("{BUCKET}/p")).unwrap();
    let state = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::start_on(s3, state, |config| buckets(config).buckets = vec![spec]).await;
    assert_eq!(gateway.put("/new", "content").await, 201);
    assert_eq!(gateway.hrefs("/", "1").await, ["/", "/new"]);
}
