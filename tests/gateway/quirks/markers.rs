//! How other tools say that there is a folder.

use s3dav::embedded::{Action, Rule};
use s3dav::object::{Attributes, Condition, Key};
use s3dav::store::{Payload, PutObject};

use crate::harness::{Bucket, TestGateway};

async fn put(bucket: &Bucket, key: &Key, body: Payload, attributes: &Attributes) {
    let condition = &Condition::None;
    bucket.store().put(PutObject { key, body, attributes, condition }).await.unwrap();
}

/// An empty object that stands for a folder.
async fn mark(bucket: &Bucket, key: &str, content_type: &str) {
    let attributes = Attributes { content_type: Some(content_type.to_owned()), ..Attributes::default() };
    let key = Key::new(key).unwrap();
    put(bucket, &key, Payload::default(), &attributes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_object_with_the_type_of_a_directory_goes_with_its_folder() {
    for content_type in
        ["application/x-directory", "httpd/unix-directory", "Application/X-Directory; charset=UTF-8"]
    {
        for is_warm in [false, true] {
            let gateway = TestGateway::start().await;
            let bucket = gateway.bucket().await;
            for key in ["x/a", "x/deep/b", "z/a"] {
                bucket.put(key, "content").await;
            }
            for key in ["x", "x/deep", "z"] {
                mark(&bucket, key, content_type).await;
            }
            if is_warm {
                gateway.hrefs("/", "1").await;
            }
            assert_eq!(gateway.transfer("MOVE", "/x/", "/y/").await, 201, "{content_type}");
            assert_eq!(bucket.keys().await, ["y", "y/a", "y/deep", "y/deep/b", "z", "z/a"]);
            assert_eq!(gateway.hrefs("/", "1").await, ["/", "/y/", "/z/"]);
            assert_eq!(gateway.put("/file", "content").await, 201);
            assert_eq!(gateway.transfer("MOVE", "/file", "/y").await, 204, "it is replaced, too");
            assert_eq!(bucket.keys().await, ["y", "z", "z/a"]);
            assert_eq!(gateway.status("DELETE", "/z/").await, 204, "{content_type}");
            assert_eq!(bucket.keys().await, ["y"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_beside_its_folder_that_is_no_marker_stays() {
    for (body, content_type) in [("", "text/plain"), ("content", "application/x-directory")] {
        let gateway = TestGateway::start().await;
        let bucket = gateway.bucket().await;
        let attributes = Attributes { content_type: Some(content_type.to_owned()), ..Attributes::default() };
        for key in ["x", "t/x"] {
            let key = Key::new(key).unwrap();
            put(&bucket, &key, body.into(), &attributes).await;
        }
        for key in ["x/a", "t/x/a"] {
            bucket.put(key, "content").await;
        }
        assert_eq!(gateway.transfer("MOVE", "/x/", "/y/").await, 409, "{content_type}");
        assert_eq!(gateway.status("DELETE", "/x/").await, 409, "{content_type}");
        assert_eq!(gateway.status("DELETE", "/t/").await, 409, "{content_type}");
        assert_eq!(bucket.keys().await, ["t/x", "t/x/a", "x", "x/a"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_marker_of_hadoop_goes_with_its_folder() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for key in ["x/a", "x/deep/b", "full/a"] {
        bucket.put(key, "content").await;
    }
    for key in ["x_$folder$", "x/deep_$folder$"] {
        bucket.put(key, "").await;
    }
    bucket.put("full_$folder$", "it is somebody's file").await;
    gateway.hrefs("/", "1").await;
    assert_eq!(gateway.transfer("MOVE", "/x/", "/y/").await, 201);
    let others = ["full/a", "full_$folder$"];
    assert_eq!(
        bucket.keys().await,
        [&others[..], &["y/a", "y/deep/b", "y/deep_$folder$", "y_$folder$"]].concat()
    );
    gateway.hrefs("/", "1").await;
    assert_eq!(gateway.status("DELETE", "/y/").await, 204);
    assert_eq!(gateway.status("DELETE", "/full/").await, 204);
    assert_eq!(bucket.keys().await, ["full_$folder$"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_with_a_content_is_not_deleted_unseen() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for key in ["x/", "x/a", "t/x/", "t/a"] {
        bucket.put(key, "content").await;
    }
    for (path, key) in [("/x/", "\"x/\""), ("/t/", "\"t/x/\"")] {
        let refusal = gateway.request("DELETE", path).send().await.unwrap();
        assert_eq!(refusal.status(), 409, "{path}");
        let text = refusal.text().await.unwrap();
        assert!(text.contains(key) && text.contains("--delete-hidden"), "{text}");
    }
    assert_eq!(gateway.transfer("COPY", "/t/a", "/x").await, 409, "nor replaced");
    assert_eq!(gateway.transfer("MOVE", "/x/", "/y/").await, 201);
    assert_eq!(bucket.keys().await, ["t/a", "t/x/", "y/", "y/a"]);
    assert_eq!(bucket.get("y/").await.unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_midway_names_the_object() {
    let gateway = TestGateway::start().await;
    for key in ["d/a", "d/b", "d/denied"] {
        gateway.bucket().await.put(key, "content").await;
    }
    let deny = Action::Fail { status: 403, code: "AccessDenied", message: "not this one" };
    let (operation, target) = (Some("CopyObject".to_owned()), Some("e/denied".to_owned()));
    gateway.hooks().add(Rule { operation, target, times: usize::MAX, action: deny });
    for method in ["COPY", "MOVE"] {
        let destination = format!("{}/e/", gateway.url);
        let answer = gateway.request(method, "/d/").header("Destination", destination).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{method}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("of 3 objects were copied") && text.contains("\"d/denied\""), "{text}");
    }
}
