//! Endpoints that do not keep the conditions of writes: found out, and made up for.

use std::sync::Arc;
use std::time::Duration;

use s3dav::config::Config;
use s3dav::embedded::{Action, Gate, Rule};
use s3dav::metrics::Metrics;
use s3dav::object::{Attributes, Condition, Key};
use s3dav::store::looked::{self, LookTooOld};
use s3dav::store::s3::S3Store;
use s3dav::store::{ObjectStore, PutObject, StoreError};
use tempfile::TempDir;

use crate::harness::clients::{Moto, needs};
use crate::harness::process::{Process, command};
use crate::harness::{
    BUCKET, Behind, Bucket, TestGateway, buckets, embedded, eventually, open_uploads, s3_options,
};

const ALL: [&str; 6] =
    ["PutObject", "CompleteMultipartUpload", "CopyObject", "CopySource", "DeleteObject", "DeleteObjects"];

/// A gateway that asks what its endpoint, which ignores the conditions of `ignored`, can do.
async fn asking(ignored: &[&str]) -> TestGateway {
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(ignored);
    let state = Arc::new(tempfile::tempdir().unwrap());
    TestGateway::start_on(s3, state, |config| buckets(config).trusts_conditions = false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_keeps_them_is_asked_once_for_each_kind_and_cleaned_up() {
    let gateway = asking(&[]).await;
    let bucket = gateway.bucket().await;
    for n in 0..3 {
        assert_eq!(gateway.put(&format!("/f{n}"), "x").await, 201);
    }
    let questions = || {
        let transcript = gateway.hooks().transcript();
        transcript.iter().filter(|(name, target)| name == "PutObject" && target.contains("question")).count()
    };
    assert_eq!(questions(), 4, "one to ask on and three that must fail");
    for n in 0..2 {
        assert_eq!(gateway.transfer("COPY", &format!("/f{n}"), &format!("/c{n}")).await, 201);
        assert_eq!(gateway.transfer("MOVE", &format!("/f{n}"), &format!("/m{n}")).await, 201);
        assert_eq!(gateway.put(&format!("/l{n}"), vec![0; 20 << 20]).await, 201);
    }
    gateway.status("MKCOL", "/d").await;
    gateway.transfer("COPY", "/c0", "/d/c").await;
    assert_eq!(gateway.status("DELETE", "/d").await, 204);
    assert_eq!(bucket.keys().await, ["c0", "c1", "f2", "l0", "l1", "m0", "m1"]);
    assert!(crate::harness::open_uploads(gateway.s3()).await.is_empty());
    gateway.hooks().reset();
    gateway.put("/f2", "y").await;
    gateway.transfer("MOVE", "/f2", "/f3").await;
    gateway.status("DELETE", "/f3").await;
    let transcript = gateway.hooks().transcript();
    assert!(!transcript.iter().any(|(_, target)| target.contains("question")), "asked again: {transcript:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_ignores_them_is_looked_at_before_each_write() {
    let gateway = asking(&ALL).await;
    let bucket = gateway.bucket().await;
    for key in ["put", "multipart", "target", "moved", "deleted"] {
        bucket.put(key, "original").await;
    }
    let overtaken = async |key: &str| {
        assert_eq!(gateway.get(&format!("/{key}")).await.1, "original");
        bucket.put(key, "theirs").await;
    };
    overtaken("put").await;
    assert_eq!(gateway.put("/put", "mine").await, 204);
    overtaken("multipart").await;
    assert_eq!(gateway.put("/multipart", vec![0; 20 << 20]).await, 204);
    overtaken("target").await;
    gateway.put("/source", "mine").await;
    assert_eq!(gateway.transfer("MOVE", "/source", "/target").await, 204);
    for key in ["put", "multipart", "target"] {
        assert_eq!(bucket.get(key).await.unwrap(), "theirs", "{key}");
        let copies =
            bucket.keys().await.iter().filter(|k| k.starts_with(&format!("{key} (conflict"))).count();
        assert_eq!(copies, 1, "{key}");
    }
    overtaken("moved").await;
    assert_eq!(gateway.transfer("MOVE", "/moved", "/moved2").await, 201);
    assert_eq!(bucket.get("moved2").await.unwrap(), "theirs", "moved in its new version");
    overtaken("deleted").await;
    assert_eq!(gateway.status("DELETE", "/deleted").await, 412);
    assert_eq!(bucket.get("deleted").await.unwrap(), "theirs");
    assert_eq!(
        gateway.request("PUT", "/new").header("If-None-Match", "*").send().await.unwrap().status(),
        201
    );
    bucket.store().delete(&Key::new("new").unwrap(), &Condition::None).await.unwrap();
    assert!(bucket.keys().await.iter().all(|key| !key.contains("question")));
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_on_an_endpoint_that_ignores_conditions() {
    let gateway = asking(&ALL).await;
    let bucket = gateway.bucket().await;
    for n in 0..1200 {
        bucket.put(&format!("t/{n:04}"), "x").await;
    }
    gateway.hooks().reset();
    assert_eq!(gateway.status("DELETE", "/t").await, 204);
    assert!(bucket.is_empty().await);
    // Two pages to know what is there, two to look again before each batch; no HEAD per object.
    assert!(gateway.hooks().count("ListObjectsV2") <= 6, "{}", gateway.hooks().count("ListObjectsV2"));
    assert!(gateway.hooks().count("HeadObject") < 10);
}

/// What moto ignores.
const SOME: [&str; 4] = ["CompleteMultipartUpload", "CopyObject", "CopySource", "DeleteObjects"];

/// A gateway over what was there before, which asks what its endpoint can do.
async fn asking_on(behind: &Behind, state: &Arc<TempDir>) -> TestGateway {
    let change = |config: &mut Config| {
        buckets(config).trusts_conditions = false;
        // What is counted must not depend on how long it takes.
        buckets(config).look_age = Duration::from_secs(600);
    };
    TestGateway::start_behind(behind.clone(), Arc::clone(state), change).await
}

/// Renames a folder of 100, and starts a second time.
async fn renames_at_little_cost(behind: Behind) {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let gateway = asking_on(&behind, &state).await;
    let bucket = gateway.bucket().await;
    for n in 0..100 {
        bucket.put(&format!("album/{n:03}"), "x").await;
    }
    // What the endpoint can is asked once.
    assert_eq!(gateway.put("/first", "x").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/first", "/second").await, 201);
    let before = gateway.s3_requests().await;
    assert_eq!(gateway.transfer("MOVE", "/album", "/holiday").await, 201);
    let cost = gateway.s3_requests().await - before;
    assert!(cost <= 106, "{cost}");
    assert_eq!(bucket.keys().await.iter().filter(|key| key.starts_with("holiday/")).count(), 100);
    let before = gateway.s3_requests().await;
    assert_eq!(gateway.transfer("COPY", "/holiday", "/copy").await, 201);
    let cost = gateway.s3_requests().await - before;
    assert!(cost <= 106, "{cost}");
    gateway.end().await;

    let gateway = asking_on(&behind, &state).await;
    let before = gateway.s3_requests().await;
    assert_eq!(gateway.put("/third", "x").await, 201);
    let cost = gateway.s3_requests().await - before;
    assert!(cost <= 4, "two to know what is there, a look, the write: {cost}");
    let before = gateway.s3_requests().await;
    assert_eq!(gateway.transfer("MOVE", "/third", "/fourth").await, 201);
    let cost = gateway.s3_requests().await - before;
    assert!(
        cost <= 7,
        "two to know what is there, a copy, a delete, a look before each and at the source: {cost}"
    );
    assert!(bucket.keys().await.iter().all(|key| !key.starts_with(".s3dav/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_a_folder_costs_little_more_where_conditions_are_ignored() {
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(&SOME);
    renames_at_little_cost(Behind::S3(s3)).await;
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(&ALL);
    renames_at_little_cost(Behind::S3(s3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_a_folder_on_moto_costs_little_more() {
    let Some(tools) = needs(&["moto_server"]) else { return };
    let moto = Moto::start(&tools).await;
    renames_at_little_cost(Behind::Elsewhere(moto.endpoint.clone())).await;
}

fn questions(gateway: &TestGateway) -> usize {
    gateway.hooks().transcript().iter().filter(|(_, target)| target.contains("question")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_at_the_same_endpoint_is_asked_anew() {
    let s3 = embedded().await;
    let (behind, state) = (Behind::S3(Arc::clone(&s3)), Arc::new(tempfile::tempdir().unwrap()));
    for (server, is_asked) in [("one/1", true), ("one/1", false), ("one/2", true), ("one/1", false)] {
        s3.hooks().change_quirks(|quirks| quirks.server = Some(server));
        let gateway = asking_on(&behind, &state).await;
        gateway.put("/file", server).await;
        assert_eq!(questions(&gateway) > 0, is_asked, "{server}");
        gateway.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_endpoint_of_the_same_profile_is_asked_anew() {
    let state = tempfile::tempdir().unwrap();
    let config = state.path().join("config");
    let (one, two) = (embedded().await, embedded().await);
    two.hooks().ignore_conditions_of(&ALL);
    for (s3, is_asked) in [(&one, true), (&one, false), (&two, true), (&two, false)] {
        s3.hooks().reset();
        let mut serve = command(&["serve", "--bucket", BUCKET, "--force-path-style", "--auth", "none"]);
        serve
            .args(["--notify=off", "--listen", "127.0.0.1:0", "--state-dir"])
            .arg(state.path().join("state"));
        std::fs::write(&config, format!("[default]\nendpoint_url = {}\n", s3.endpoint_url())).unwrap();
        serve.env("AWS_CONFIG_FILE", &config);
        let mut gateway = Process::serving(serve).await;
        let put = crate::harness::client().put(format!("{}/file", gateway.url)).body("content");
        assert!(put.send().await.unwrap().status().is_success());
        let questions = s3.hooks().transcript().into_iter().filter(|(_, target)| target.contains("question"));
        assert_eq!(questions.count() > 0, is_asked);
        gateway.signal("INT").await;
        gateway.child.wait().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_seen_to_ignore_them_is_asked_anew() {
    let change = |config: &mut Config| {
        buckets(config).trusts_conditions = false;
        buckets(config).cache.times.metadata = Duration::ZERO;
    };
    let state = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::start_on(embedded().await, state, change).await;
    let bucket = gateway.bucket().await;
    assert_eq!(gateway.put("/file", "original").await, 201);
    gateway.hooks().ignore_conditions_of(&ALL);
    gateway.hooks().reset();
    let overtaken = async || {
        assert_eq!(gateway.get("/file").await.0, 200);
        bucket.put("file", "theirs").await;
        // Another client shows it to the gateway.
        let other = gateway.request("GET", "/file").header("User-Agent", "another").send().await.unwrap();
        assert_eq!(other.text().await.unwrap(), "theirs");
    };
    overtaken().await;
    assert_eq!(questions(&gateway), 0, "it was known to keep them");
    assert_eq!(gateway.put("/file", "mine").await, 204);
    assert_eq!(bucket.get("file").await.unwrap(), "mine", "nobody could know");
    overtaken().await;
    assert_eq!(gateway.put("/file", "mine again").await, 204);
    assert!(questions(&gateway) > 0);
    assert_eq!(bucket.get("file").await.unwrap(), "theirs");
    assert_eq!(bucket.keys().await.len(), 2, "kept beside");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_change_while_a_folder_is_moved_is_kept() {
    let gateway = asking(&ALL).await;
    let (bucket, held) = (gateway.bucket().await, Gate::default());
    for n in 0..40 {
        bucket.put(&format!("album/{n:03}"), "x").await;
    }
    let hold = |target: &str, times, action| {
        let (operation, target) = (Some("CopyObject".to_owned()), Some(target.to_owned()));
        gateway.hooks().add(Rule { operation, target, times, action });
    };
    // Of one the old version has been copied, one is copied in its new version, and all others wait with it.
    let copied = Gate::default();
    hold("holiday/001", 1, Action::Hold(copied.clone()));
    hold("holiday/", 31, Action::HoldFirst(held.clone()));
    let moved = async {
        assert_eq!(gateway.transfer("MOVE", "/album", "/holiday").await, 201);
    };
    let others = async {
        copied.reached().await;
        held.reached().await;
        bucket.put("album/001", "theirs").await;
        bucket.put("album/002", "theirs").await;
        bucket.put("holiday/039", "theirs").await;
        // Until the look at the destination counts no more.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        copied.open();
        held.open();
    };
    tokio::join!(moved, others);
    for kept in ["holiday/001", "holiday/002", "holiday/039"] {
        assert_eq!(bucket.get(kept).await.unwrap(), "theirs", "{kept}");
    }
    let keys = bucket.keys().await;
    assert_eq!(keys.iter().filter(|key| key.starts_with("holiday/039 (conflict")).count(), 1, "{keys:?}");
    assert!(!keys.iter().any(|key| key.starts_with("album/")), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_relies_on_an_old_look_is_not_sent() {
    let s3 = embedded().await;
    let store = S3Store::new(BUCKET, s3_options(&s3.endpoint_url()), Metrics::default()).await.unwrap();
    let (key, now) = (Key::new("key").unwrap(), tokio::time::Instant::now());
    let (attributes, condition) = (&Attributes::default(), &Condition::None);
    let put = || store.put(PutObject { key: &key, body: "x".into(), attributes, condition });
    let late = looked::until(now, put()).await.unwrap_err();
    assert!(matches!(&late, StoreError::Unavailable(cause) if cause.is::<LookTooOld>()), "{late:?}");
    assert_eq!(s3.hooks().total(), 0);
    looked::until(now + Duration::from_secs(60), put()).await.unwrap();
    assert_eq!(s3.hooks().total(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_written_or_deleted_one_by_one_are_looked_at_by_pages() {
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(&ALL);
    let gateway = asking_on(&Behind::S3(s3), &Arc::new(tempfile::tempdir().unwrap())).await;
    let bucket = gateway.bucket().await;
    gateway.put("/first", "x").await;
    gateway.hrefs("/", "1").await;
    for n in 0..50 {
        bucket.put(&format!("d/{n:02}"), "x").await;
    }
    gateway.hrefs("/d/", "1").await;
    gateway.hooks().reset();
    for n in 0..50 {
        assert_eq!(gateway.status("DELETE", &format!("/d/{n:02}")).await, 204);
        assert_eq!(gateway.put(&format!("/d/new {n:02}"), "x").await, 201);
    }
    let looks = gateway.hooks().count("HeadObject") + gateway.hooks().count("ListObjectsV2");
    assert!(looks <= 20, "a page and three looks for each kind of write, and the folder: {looks}");
    assert_eq!(bucket.keys().await.len(), 51);
}

/// Whether a name was kept beside the one that another's work has.
async fn is_kept_beside(bucket: &Bucket, name: &str) -> bool {
    bucket.keys().await.iter().any(|key| key.starts_with(&format!("{name} (conflict")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_was_under_way_tells_nothing_of_what_the_gateway_wrote_meanwhile() {
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(&ALL);
    let gateway = asking_on(&Behind::S3(s3), &Arc::new(tempfile::tempdir().unwrap())).await;
    let (bucket, held) = (gateway.bucket().await, Gate::default());
    bucket.put("d/z", "original").await;
    gateway.hrefs("/d/", "1").await;
    assert_eq!(gateway.get("/d/z").await.1, "original");
    let other = |method| gateway.request(method, "/d/z").header("User-Agent", "another");
    assert_eq!(other("GET").send().await.unwrap().text().await.unwrap(), "original");
    for n in 0..3 {
        assert_eq!(gateway.put(&format!("/d/n{n}"), "x").await, 201);
    }
    hold_page(&gateway, &held);
    let fourth = async { assert_eq!(gateway.put("/d/n3", "x").await, 201) };
    let overtaking = async {
        held.reached().await;
        assert_eq!(other("PUT").body("theirs").send().await.unwrap().status(), 204);
        held.open();
    };
    tokio::join!(fourth, overtaking);
    assert_eq!(gateway.put("/d/z", "mine").await, 204);
    assert_eq!(bucket.get("d/z").await.unwrap(), "theirs");
    assert!(is_kept_beside(&bucket, "d/z").await);
}

/// The answer to the next page that looks at many names is held back.
fn hold_page(gateway: &TestGateway, gate: &Gate) {
    at_pages(gateway, 1, Action::Hold(gate.clone()));
}

fn at_pages(gateway: &TestGateway, times: usize, action: Action) {
    let (operation, target) = (Some("ListObjectsV2".to_owned()), Some("start-after".to_owned()));
    gateway.hooks().add(Rule { operation, target, times, action });
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_that_lag_behind_confirm_nothing() {
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(&ALL);
    let before = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    for n in 0..30 {
        before.put(&format!("album/{n:03}"), "x").await;
        before.put(&format!("old/{n:03}"), "x").await;
    }
    s3.hooks().change_quirks(|quirks| quirks.lists_late = true);
    let gateway = asking_on(&Behind::S3(s3), &Arc::new(tempfile::tempdir().unwrap())).await;
    let bucket = gateway.bucket().await;
    gateway.hrefs("/", "1").await;
    bucket.put("holiday/005", "theirs").await;
    bucket.put("old/003", "theirs").await;
    assert_eq!(gateway.transfer("MOVE", "/album", "/holiday").await, 201);
    assert_eq!(bucket.get("holiday/005").await.unwrap(), "theirs");
    gateway.status("DELETE", "/old").await;
    assert_eq!(bucket.get("old/003").await.unwrap(), "theirs");
    gateway.hooks().change_quirks(|quirks| quirks.lists_late = false);
    assert!(is_kept_beside(&bucket, "holiday/005").await);
    let keys = bucket.keys().await;
    assert_eq!(keys.iter().filter(|key| key.starts_with("holiday/")).count(), 31, "{keys:?}");
    assert!(!keys.iter().any(|key| key.starts_with("album/")), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_denied_costs_no_write() {
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(&ALL);
    let gateway = asking_on(&Behind::S3(s3), &Arc::new(tempfile::tempdir().unwrap())).await;
    let bucket = gateway.bucket().await;
    for n in 0..30 {
        bucket.put(&format!("album/{n:03}"), "x").await;
    }
    bucket.put("d/there", "x").await;
    gateway.hrefs("/", "1").await;
    at_pages(&gateway, usize::MAX, Action::Fail { status: 403, code: "AccessDenied", message: "no" });
    for n in 0..10 {
        assert_eq!(gateway.put(&format!("/d/n{n}"), "x").await, 201);
    }
    assert_eq!(gateway.transfer("COPY", "/album", "/holiday").await, 201);
    assert_eq!(bucket.keys().await.len(), 71);
    let is_page = |(_, target): &&(String, String)| target.contains("start-after");
    let pages = gateway.hooks().transcript().iter().filter(is_page).count();
    assert!(pages <= 5, "one for each run; one for the copies' sources, and one for their places: {pages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_was_long_on_its_way_does_not_count() {
    let gateway = asking(&ALL).await;
    let (bucket, held) = (gateway.bucket().await, Gate::default());
    assert_eq!(gateway.put("/first", "x").await, 201);
    bucket.put("file", "original").await;
    assert_eq!(gateway.get("/file").await.1, "original");
    gateway.hooks().next(1, "HeadObject", Action::Hold(held.clone()));
    let put = async { assert_eq!(gateway.put("/file", "mine").await, 204) };
    let overtaking = async {
        held.reached().await;
        bucket.put("file", "theirs").await;
        // Until the look counts no more.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        held.open();
    };
    tokio::join!(put, overtaking);
    assert_eq!(bucket.get("file").await.unwrap(), "theirs");
    assert!(is_kept_beside(&bucket, "file").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_always_answered_late_can_be_written() {
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(&ALL);
    let state = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::start_on(s3, state, |config| {
        buckets(config).trusts_conditions = false;
        buckets(config).look_age = Duration::from_millis(100);
    })
    .await;
    assert_eq!(gateway.put("/file", "first").await, 201);
    gateway.hooks().set_latency(Duration::from_millis(120));
    assert_eq!(gateway.put("/file", "second").await, 204);
    assert_eq!(gateway.status("MKCOL", "/d").await, 201);
    assert_eq!(gateway.status("DELETE", "/d").await, 204);
    assert_eq!(gateway.status("DELETE", "/file").await, 204);
    gateway.hooks().set_latency(Duration::ZERO);
    assert!(gateway.bucket().await.is_empty().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_relies_on_a_look_is_sent_once() {
    let s3 = embedded().await;
    let store = S3Store::new(BUCKET, s3_options(&s3.endpoint_url()), Metrics::default()).await.unwrap();
    let (key, end) = (Key::new("key").unwrap(), tokio::time::Instant::now() + Duration::from_secs(60));
    let (attributes, condition) = (&Attributes::default(), &Condition::None);
    s3.hooks().always(Action::ApplyThenFail);
    let put = store.put(PutObject { key: &key, body: "x".into(), attributes, condition });
    let lost = looked::until(end, put).await.unwrap_err();
    assert!(lost.may_have_been_applied(), "{lost:?}");
    let lost = looked::until(end, store.delete(&key, condition)).await.unwrap_err();
    assert!(lost.may_have_been_applied(), "{lost:?}");
    assert_eq!((s3.hooks().count("PutObject"), s3.hooks().count("DeleteObject")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_ends_its_upload_by_being_refused_is_refused() {
    let gateway = asking(&[]).await;
    for (status, code) in [(412, "PreconditionFailed"), (404, "NoSuchUpload")] {
        gateway.hooks().add(Rule {
            operation: Some("CompleteMultipartUpload".to_owned()),
            target: Some("question".to_owned()),
            times: 1,
            action: Action::Fail { status, code, message: "no" },
        });
    }
    assert_eq!(gateway.put("/large", vec![0; 20 << 20]).await, 201);
    assert_eq!(gateway.bucket().await.keys().await, ["large"]);
    let asked = gateway.hooks().count("CompleteMultipartUpload");
    assert_eq!(gateway.put("/other", vec![0; 20 << 20]).await, 201);
    assert_eq!((asked, gateway.hooks().count("CompleteMultipartUpload")), (3, 4), "two of them ask");
    let is_look = |(name, target): &(String, String)| name == "HeadObject" && target.contains("other");
    assert!(!gateway.hooks().transcript().iter().any(is_look), "the endpoint keeps conditions");
}

/// A failure says nothing of conditions, nor do the answers of those that relied on what failed.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_while_an_endpoint_is_asked_does_not_mislead() {
    let failure = Action::Fail { status: 500, code: "InternalError", message: "try again" };
    let asked = [("PutObject", 4), ("CopyObject", 3), ("DeleteObjects", 1), ("DeleteObject", 2)];
    for (operation, times) in asked.into_iter().flat_map(|(name, most)| (0..most).map(move |n| (name, n))) {
        for action in [failure.clone(), Action::ApplyThenFail] {
            let (gateway, gate) = (asking(&[]).await, Gate::default());
            let (bucket, what) = (gateway.bucket().await, format!("{operation} {times} {action:?}"));
            let rule = |times, action| {
                let (operation, target) = (Some(operation.to_owned()), Some(".s3dav".to_owned()));
                gateway.hooks().add(Rule { operation, target, times, action });
            };
            // Those before it are answered as ever.
            let open = Gate::default();
            open.open();
            rule(times, Action::Hold(open));
            rule(1, action);
            bucket.put("moved", "mine").await;
            gateway.put("/other", "x").await;
            let (operation, target) = (Some("CopyObject".to_owned()), Some("bucket/there".to_owned()));
            let action = Action::HoldFirst(gate.clone());
            gateway.hooks().add(Rule { operation, target, times: 1, action });
            let moved = async { gateway.transfer("MOVE", "/moved", "/there").await };
            let others = async {
                gate.reached().await;
                bucket.put("there", "theirs").await;
                gate.open();
            };
            assert_eq!(tokio::join!(moved, others).0, 201, "{what}");
            assert_eq!(bucket.get("there").await.unwrap(), "theirs", "{what}");
            let beside = bucket.keys().await.into_iter().filter(|key| key.starts_with("there (conflict"));
            assert_eq!(beside.count(), 1, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_made_to_ask_outlives_a_crash() {
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    for (operation, method) in [
        ("PutObject", "PUT"),
        ("CreateMultipartUpload", "LARGE"),
        ("UploadPart", "LARGE"),
        ("CopyObject", "COPY"),
        ("DeleteObject", "DELETE"),
    ] {
        bucket.put("there", "content").await;
        let state = tempfile::tempdir().unwrap();
        let mut gateway = Process::gateway(&s3.endpoint_url(), &state, &["--auth", "none"]).await;
        let gate = Gate::default();
        s3.hooks().add(Rule {
            operation: Some(operation.to_owned()),
            target: Some("question".to_owned()),
            times: 1,
            action: Action::Hold(gate.clone()),
        });
        let (client, url) = (crate::harness::client(), gateway.url.clone());
        let request = match method {
            "PUT" => client.put(format!("{url}/small")).body("content"),
            "LARGE" => client.put(format!("{url}/large")).body(vec![0; 20 << 20]),
            method => {
                let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
                let request = client.request(method, format!("{url}/there"));
                request.header("Destination", format!("{url}/copy-{operation}"))
            }
        };
        let asking = tokio::spawn(request.send());
        gate.reached().await;
        gateway.child.kill().await.unwrap();
        let _ = asking.await;
        gate.open();
        let left = bucket.keys().await;
        let is_question = |key: &String| key.contains("question");
        assert!(left.iter().any(is_question), "{operation}: {left:?}");
        let mut gateway = Process::gateway(&s3.endpoint_url(), &state, &["--auth", "none"]).await;
        eventually(operation, || async {
            !bucket.keys().await.iter().any(is_question) && open_uploads(&s3).await.is_empty()
        })
        .await;
        gateway.child.kill().await.unwrap();
    }
}
