//! Endpoints that do not keep the conditions of writes: found out, and made up for.

use std::sync::Arc;

use s3dav::embedded::{Action, Gate, Rule};
use s3dav::object::{Condition, Key};

use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket, TestGateway, buckets, embedded, eventually, open_uploads};

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
