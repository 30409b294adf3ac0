//! What stands between the gateway and S3 and does not heal by itself: a start by hand ends with its cause, and a
//! service, or a source that was reached before, says it and waits.

use std::net::{TcpListener, ToSocketAddrs};

use command_fds::{CommandFdExt, FdMapping};
use s3dav::config::Config;
use s3dav::embedded::Action;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::harness::clients::needs;
use crate::harness::process::{Process, command, outcome};
use crate::harness::tls::Tls;
use crate::harness::{BUCKET, Bucket, TestGateway, buckets, client, embedded};

fn serve(endpoint: &str, state: &TempDir, more: &[&str]) -> Command {
    let mut serve =
        command(&["serve", "--endpoint-url", endpoint, "--listen", "127.0.0.1:0", "--notify=off"]);
    if !more.contains(&"--bucket") {
        serve.args(["--bucket", BUCKET]);
    }
    serve.arg("--state-dir").arg(state.path().join("state")).args(more);
    serve
}

/// Starts by hand, and ends with these words and this exit code.
async fn ends(endpoint: &str, more: &[&str], exit_code: i32, words: &[&str]) {
    let state = tempfile::tempdir().unwrap();
    // One that goes on would be waited for.
    let serve = Process::ending(serve(endpoint, &state, more));
    let (code, said) = serve.await.unwrap_or_else(|said| panic!("it goes on: {said}"));
    assert_eq!(code, exit_code, "{said}");
    for word in words {
        assert!(said.contains(word), "{endpoint} {more:?}, {word}: {said}");
    }
    assert!(said.contains("hint: "), "{said}");
}

/// A server that answers everything so.
async fn answering(answer: &'static [u8]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn https_to_a_plain_port_and_the_other_way_round_are_named() {
    let s3 = embedded().await;
    let https = s3.endpoint_url().replace("http://", "https://");
    ends(&https, &[], 1, &["does not speak https at this port", "write http://"]).await;
    let words = ["speaks https at this port, not http", "write https://"];
    // `mount` starts a gateway, and ends with it.
    let place = tempfile::tempdir().unwrap();
    let (state, point) = (place.path().join("state"), place.path().join("point"));
    let mut mount = command(&["mount", "--bucket", BUCKET, "--endpoint-url", &https, "--notify=off"]);
    mount.arg("--state-dir").arg(state).args(["--listen", "127.0.0.1:0"]).arg(point);
    let (code, _, said) = outcome(mount).await;
    assert!(code == 1 && said.contains("does not speak https") && said.contains("write http://"), "{said}");
    for answer in [
        &b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"[..],
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 67\r\nconnection: close\r\n\r\n<html><h1>The plain HTTP request was sent to HTTPS port</h1></html>",
    ] {
        ends(&answering(answer).await, &[], 1, &words).await;
    }
    let Some(tools) = needs(&["openssl"]) else { return };
    let tls = Tls::start(&tools, "CA:FALSE").await;
    ends(&tls.url.replace("https://", "http://"), &[], 1, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_named() {
    let Some(tools) = needs(&["openssl"]) else { return };
    let tls = Tls::start(&tools, "CA:FALSE").await;
    ends(&tls.url, &[], 1, &["certificate", "an authority that this machine trusts", "--ca-bundle"]).await;
    let other = tls.url.replace("127.0.0.1", "localhost");
    let bundle = ["--ca-bundle", &tls.certificate];
    ends(&other, &bundle, 1, &["certificate", "is not for localhost", "--endpoint-url"]).await;
    let place = tempfile::tempdir().unwrap();
    let broken = place.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n")
        .unwrap();
    let bundle = ["--ca-bundle", broken.to_str().unwrap()];
    ends(&tls.url, &bundle, 1, &["broken.pem holds no usable certificate", "PEM"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_made_of_the_buckets_name_that_nobody_knows_is_named() {
    if (format!("{BUCKET}.localhost"), 80).to_socket_addrs().is_ok() {
        // This machine knows all hosts of that kind.
        return;
    }
    let endpoint = embedded().await.endpoint_url().replace("127.0.0.1", "localhost");
    let words = ["there is no host bucket.localhost", "leave out --force-path-style=false"];
    ends(&endpoint, &["--force-path-style=false"], 1, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_point_in_a_path_and_a_path_in_the_url_are_named() {
    let s3 = embedded().await;
    let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
    let more = ["--bucket", arn, "--force-path-style"];
    ends(&s3.endpoint_url(), &more, 2, &["access point", "leave out --force-path-style"]).await;
    Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    let words = ["there is no bucket \"bucket\"", "below /bucket", "leave the path out of --endpoint-url"];
    ends(&format!("{}/{BUCKET}", s3.endpoint_url()), &[], 1, &words).await;
    // Where the path and the bucket's name lead to an object, its content is no listing.
    Bucket::of(&s3.endpoint_url(), BUCKET).await.put(BUCKET, "content").await;
    let words = ["leave the path out of --endpoint-url"];
    ends(&format!("{}/{BUCKET}/", s3.endpoint_url()), &[], 1, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_classes_that_s3_does_not_take_are_named() {
    let s3 = embedded().await;
    s3.hooks().always(Action::Fail { status: 400, code: "InvalidBucketName", message: "not valid" });
    ends(&s3.endpoint_url(), &["--bucket", "My_Photos"], 1, &["3 to 63 lower-case letters"]).await;
    s3.hooks().heal();
    let aws = "https://s3.us-east-1.amazonaws.com";
    for (class, near) in [("STANDARD_AI", "STANDARD_IA"), ("glacier_ir", "GLACIER_IR")] {
        let words = [&*format!("did you mean {near}?"), "INTELLIGENT_TIERING"];
        ends(aws, &["--storage-class", class], 2, &words).await;
    }
    ends(aws, &["--storage-class", "FOO"], 2, &["\"FOO\"", "INTELLIGENT_TIERING"]).await;
    let state = tempfile::tempdir().unwrap();
    let gateway = Process::serving(serve(&s3.endpoint_url(), &state, &["--storage-class", "FOO"])).await;
    assert!(
        gateway.said.lock().contains("the storage class FOO is not one of AWS's"),
        "{}",
        gateway.said.lock()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_and_a_source_that_was_reached_before_say_it_and_wait() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    let https = s3.endpoint_url().replace("http://", "https://");
    let told = async |gateway: &Process, state: &TempDir| {
        assert!(gateway.said.lock().contains("does not speak https at this port"), "{}", gateway.said.lock());
        let state = state.path().join("state");
        let (code, text, _) = outcome(command(&["status", "--state-dir", state.to_str().unwrap()])).await;
        assert!(code == 0 && text.contains("does not speak https at this port"), "{text}");
    };
    // As a service.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut service = serve(&https, &state, &[]);
    service.fd_mappings(vec![FdMapping { parent_fd: listener.into(), child_fd: 3 }]).unwrap();
    service.env("LISTEN_FDS", "1");
    let gateway = Process::serving(service).await;
    told(&gateway, &state).await;
    // By hand, before and after it was reached.
    let state = tempfile::tempdir().unwrap();
    let first = Process::ending(serve(&https, &state, &[])).await;
    assert!(first.is_ok_and(|(code, _)| code == 1), "it was not reached yet");
    let well = Process::serving(serve(&s3.endpoint_url(), &state, &[])).await;
    well.signal("INT").await;
    let mut child = well.child;
    assert!(child.wait().await.unwrap().success());
    let gateway = Process::serving(serve(&https, &state, &["--request-budget", "1s"])).await;
    told(&gateway, &state).await;
    let file = format!("{}/file", gateway.url);
    assert_eq!(client().get(&file).send().await.unwrap().status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_s3_refuses_is_told_until_a_write_succeeds() {
    for (code, hint) in [
        ("InvalidStorageClass", "--storage-class"),
        ("InvalidEncryptionAlgorithmError", "--sse"),
        ("KMS.NotFoundException", "--sse-kms-key-id"),
        ("KMS.DisabledException", "--sse-kms-key-id"),
    ] {
        let gateway = TestGateway::start_with(new_objects_are_special).await;
        gateway.bucket().await.put("there", "content").await;
        gateway.hooks().next(
            1,
            "PutObject",
            Action::Fail { status: 400, code, message: "S3 does not take it" },
        );
        assert_eq!(gateway.put("/file", "content").await, 403, "{code}");
        let problems = async || crate::control::status(&gateway).await["problems"].clone();
        assert_eq!(gateway.status("GET", "/there").await, 200);
        let told = problems().await;
        let (message, advice) = (told[0]["message"].to_string(), told[0]["hint"].to_string());
        assert!(message.contains(code) && advice.contains(hint), "{told}");
        assert_eq!(gateway.put("/file", "content").await, 201);
        assert_eq!(problems().await, serde_json::json!([]));
    }
}

/// With a storage class and an encryption of their own.
fn new_objects_are_special(config: &mut Config) {
    let s3 = &mut buckets(config).s3;
    (s3.storage_class, s3.sse) = (Some("STANDARD_IA".to_owned()), Some("aws:kms".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_service_that_is_busy_is_waited_for() {
    let gateway = TestGateway::start_with(new_objects_are_special).await;
    for (status, code) in [
        (500, "KMS.KMSInternalException"),
        (503, "KMS.DependencyTimeoutException"),
        (400, "KMS.ThrottlingException"),
        (429, "KMS.LimitExceededException"),
    ] {
        // More often than the SDK itself asks.
        gateway.hooks().next(4, "PutObject", Action::Fail { status, code, message: "later" });
        assert!(gateway.put("/file", code).await < 300, "{code}");
        gateway.hooks().heal();
        assert_eq!(gateway.bucket().await.get("file").await.unwrap(), code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_was_not_given_is_not_blamed() {
    let gateway = TestGateway::start().await;
    for (status, code) in
        [(400, "KMS.DisabledException"), (403, "KMS.AccessDeniedException"), (400, "InvalidStorageClass")]
    {
        gateway.hooks().next(1, "PutObject", Action::Fail { status, code, message: "no" });
        assert_eq!(gateway.put("/file", "content").await, 403, "{code}");
        let told = crate::control::status(&gateway).await["problems"].clone();
        assert_eq!(told, serde_json::json!([]), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_nobody_knows_is_named() {
    let unknown = ("nohost.invalid", 80).to_socket_addrs().unwrap_err().to_string();
    if !unknown.contains("not known") {
        // Without a name service nobody can tell.
        return;
    }
    let words = ["the host nohost.invalid cannot be resolved", "--endpoint-url"];
    ends("http://nohost.invalid:9000", &[], 1, &words).await;
    ends("http://nohost.invalid:9000", &["--force-path-style=false"], 1, &words).await;
    // A proxy may know it.
    let state = tempfile::tempdir().unwrap();
    let mut serve = serve("http://nohost.invalid:9000", &state, &[]);
    serve.env("HTTP_PROXY", "http://nohost.invalid:3128");
    drop(Process::serving(serve).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_point_of_an_endpoint_that_is_not_aws_is_named() {
    let s3 = embedded().await;
    let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
    let words = ["access points", "leave out --endpoint-url"];
    ends(&s3.endpoint_url().replace("127.0.0.1", "localhost"), &["--bucket", arn], 1, &words).await;
    let alias = "ap-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias";
    ends(&s3.endpoint_url(), &["--bucket", alias], 1, &words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoints_scheme_may_have_capitals() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    Bucket::of(&s3.endpoint_url(), BUCKET).await.put("file", "content").await;
    let gateway = Process::serving(serve(&s3.endpoint_url().replace("http:", "HTTP:"), &state, &[])).await;
    let answer = client().get(format!("{}/file", gateway.url)).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "content");
    let https = s3.endpoint_url().replace("http:", "HTTPS:");
    ends(&https, &[], 1, &["does not speak https at this port"]).await;
}

/// A variable that is empty is one that is not set.
#[tokio::test(flavor = "multi_thread")]
async fn empty_variables_say_nothing() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let mut serve = serve(&s3.endpoint_url(), &state, &[]);
    let names = [
        "READ_ONLY",
        "FORCE_PATH_STYLE",
        "NO_SIGN_REQUEST",
        "PATH",
        "SOURCE",
        "METADATA_TTL",
        "AUTH",
        "USER",
        "PROFILE",
        "SSE",
        "MOUNT",
        "CHECKSUMS",
        "UPLOAD_SPOOL",
        "LOG_FORMAT",
        "ALLOWED_HOST",
        "LOG",
    ];
    for name in names {
        serve.env(format!("S3DAV_{name}"), "");
    }
    let gateway = Process::serving(serve).await;
    assert_eq!(client().put(format!("{}/new", gateway.url)).body("new").send().await.unwrap().status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_port_of_localhost_is_told() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let mut command = command(&["serve", "--listen", "localhost:0", "--bucket", BUCKET, "--notify=off"]);
    command.args(["--endpoint-url", &s3.endpoint_url(), "--state-dir"]).arg(state.path().join("state"));
    let gateway = Process::serving(command).await;
    assert!(!gateway.url.ends_with(":0"), "{}", gateway.url);
    assert_eq!(client().get(format!("{}/", gateway.url)).send().await.unwrap().status(), 200);
}
