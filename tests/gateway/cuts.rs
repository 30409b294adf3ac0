//! Clients that go away, and a gateway that is killed: the old state or the new one, never another.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::process::Process;
use crate::harness::{Bucket, TestGateway, eventually, open_uploads};

const SIZE: usize = 40 << 20;

fn content() -> Bytes {
    (0..SIZE).map(|n| (n / 4096 % 251) as u8).collect::<Vec<_>>().into()
}

/// Sends a PUT up to `cut` bytes of its body and breaks off; with `wait`, after a pause for the
/// answer.
async fn cut_put(address: &str, chunked: bool, body: &[u8], cut: usize, wait: Duration) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let framing = if chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {}", body.len())
    };
    let head = format!("PUT /file HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for chunk in body[..cut].chunks(1 << 20) {
        let sent = if chunked {
            stream.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).await
        } else {
            stream.write_all(chunk).await
        };
        if sent.is_err() {
            return;
        }
    }
    tokio::time::sleep(wait).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_off_put_leaves_the_old_object_or_the_new_one() {
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    let new = content();
    let mut cuts: Vec<usize> = (0..17).map(|n| SIZE / 17 * n + n).collect();
    cuts.extend([SIZE - 1, SIZE, SIZE]);
    for (n, cut) in cuts.into_iter().enumerate() {
        bucket.put("file", "old").await;
        // The last ones break off while, and after, the object is put together.
        let wait = Duration::from_millis(if cut == SIZE { n as u64 % 3 * 30 } else { 0 });
        cut_put(&gateway.address(), n % 2 == 1, &new, cut, wait).await;
        eventually("the gateway is done with it", || async {
            open_uploads(gateway.s3()).await.is_empty() && idle(&gateway).await
        })
        .await;
        let found = bucket.get("file").await.unwrap();
        assert!(found == "old" || found == new, "cut at {cut}: {} bytes", found.len());
        if cut < SIZE {
            assert_eq!(found, "old", "cut at {cut}");
        }
        assert_eq!(bucket.keys().await, ["file"]);
    }
}

/// No request under way: the only connection is the one that asks.
async fn idle(gateway: &TestGateway) -> bool {
    let (_, text) = gateway.get("/.s3dav/metrics").await;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| line.starts_with("s3dav_connections ")).unwrap().to_owned();
    line.ends_with(" 1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_off_tree_operation_runs_to_its_end() {
    for method in ["COPY", "MOVE", "DELETE"] {
        for n in 0..20_u64 {
            let gateway = TestGateway::start().await;
            let bucket = gateway.bucket().await;
            for i in 0..50 {
                bucket.put(&format!("tree/{}/{i}", i % 5), &i.to_string()).await;
            }
            gateway.hooks().set_latency(Duration::from_millis(2));
            let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
            let head = format!("{method} /tree HTTP/1.1\r\nHost: localhost\r\nDestination: /copy\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(n * 2)).await;
            drop(stream);
            gateway.hooks().set_latency(Duration::ZERO);
            let client_left = || async { idle(&gateway).await };
            eventually("the connection is gone", client_left).await;
            let before = gateway.s3().hooks().total();
            // What has begun ends; what has not, never begins.
            gateway.shutdown.begin();
            gateway.shutdown.drained().await;
            let keys = bucket.keys().await;
            let (sources, copies) = (count(&keys, "tree/"), count(&keys, "copy/"));
            let right = match method {
                "COPY" => [(50, 0), (50, 50)],
                "MOVE" => [(50, 0), (0, 50)],
                _ => [(50, 0), (0, 0)],
            };
            assert!(
                right.contains(&(sources, copies)),
                "{method} cut after {n}: {sources} {copies} ({before} requests)"
            );
        }
    }
}

fn count(keys: &[String], prefix: &str) -> usize {
    keys.iter().filter(|key| key.starts_with(prefix)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_the_next_start_aborts_our_uploads_and_only_ours() {
    let s3 = crate::harness::embedded().await;
    let endpoint = s3.endpoint_url();
    let bucket = Bucket::of(&endpoint, crate::harness::BUCKET).await;
    let foreign = bucket
        .store()
        .create_upload(&s3dav::object::Key::new("file").unwrap(), &Default::default())
        .await
        .unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut gateway = Process::gateway(&endpoint, &state, &[]).await;
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let body = content();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("PUT /file HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..30 << 20]).await.unwrap();
    eventually("parts are sent", || async { s3.hooks().count("UploadPart") >= 2 }).await;
    assert_eq!(open_uploads(&s3).await.len(), 2);
    gateway.signal("KILL").await;
    // It holds its state until it is gone.
    gateway.child.wait().await.unwrap();

    let again = Process::gateway(&endpoint, &state, &[]).await;
    eventually("ours is aborted", || async { open_uploads(&s3).await.len() == 1 }).await;
    assert_eq!(open_uploads(&s3).await, [foreign.id]);
    assert!(bucket.is_empty().await);
    drop(again);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_begin_was_cut_by_kill_9_is_aborted_and_only_that() {
    let s3 = crate::harness::embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), crate::harness::BUCKET).await;
    let other = s3dav::object::Key::new("file.txt").unwrap();
    let foreign = bucket.store().create_upload(&other, &Default::default()).await.unwrap();
    let state = tempfile::tempdir().unwrap();
    let mut gateway = Process::gateway(&s3.endpoint_url(), &state, &["--conditional-writes", "yes"]).await;
    let gate = s3dav::embedded::Gate::default();
    s3.hooks().next(1, "CreateMultipartUpload", s3dav::embedded::Action::Hold(gate.clone()));
    let request = crate::harness::client().put(format!("{}/file", gateway.url)).body(content());
    let sending = tokio::spawn(request.send());
    gate.reached().await;
    gateway.child.kill().await.unwrap();
    let _ = sending.await;
    gate.open();
    assert_eq!(open_uploads(&s3).await.len(), 2);
    let again = Process::gateway(&s3.endpoint_url(), &state, &[]).await;
    eventually("ours is aborted", || async { open_uploads(&s3).await == [foreign.id.clone()] }).await;
    drop(again);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_requests_finish_and_aborts_uploads() {
    let s3 = crate::harness::embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), crate::harness::BUCKET).await;
    bucket.put("file", "content").await;
    let state = tempfile::tempdir().unwrap();
    let mut gateway = Process::gateway(&s3.endpoint_url(), &state, &["--shutdown-timeout", "2s"]).await;
    let address = gateway.url.trim_start_matches("http://").to_owned();
    // An upload that will not end, and a download that will.
    let mut stuck = TcpStream::connect(&address).await.unwrap();
    let head = format!("PUT /stuck HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n");
    stuck.write_all(head.as_bytes()).await.unwrap();
    stuck.write_all(&content()[..20 << 20]).await.unwrap();
    eventually("a part is sent", || async { s3.hooks().count("UploadPart") >= 1 }).await;
    let gate = s3dav::embedded::Gate::default();
    s3.hooks().next(1, "GetObject", s3dav::embedded::Action::Hold(gate.clone()));
    let client = crate::harness::client();
    let url = format!("{}/file", gateway.url);
    let download = tokio::spawn(async move { client.get(url).send().await.unwrap().text().await.unwrap() });
    gate.reached().await;
    gateway.signal("TERM").await;
    eventually("no new connection is taken", || async { TcpStream::connect(&address).await.is_err() }).await;
    gate.open();
    assert_eq!(download.await.unwrap(), "content");
    let ended = tokio::time::timeout(Duration::from_secs(20), gateway.child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
    assert!(open_uploads(&s3).await.is_empty());
    assert_eq!(bucket.keys().await, ["file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let s3 = crate::harness::embedded().await;
    let state = tempfile::tempdir().unwrap();
    let mut gateway = Process::gateway(&s3.endpoint_url(), &state, &["--shutdown-timeout", "60s"]).await;
    let mut stuck = TcpStream::connect(gateway.url.trim_start_matches("http://")).await.unwrap();
    stuck.write_all(b"PUT /stuck HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n").await.unwrap();
    eventually("the request is seen", || async { s3.hooks().count("HeadObject") >= 1 }).await;
    gateway.signal("INT").await;
    let waited = tokio::time::timeout(Duration::from_millis(500), gateway.child.wait()).await;
    assert!(waited.is_err(), "it waits for the request");
    gateway.signal("INT").await;
    let ended = tokio::time::timeout(Duration::from_secs(5), gateway.child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(130));
}
