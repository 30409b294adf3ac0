//! Size: memory is measured on a gateway whose S3 server is another process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use crate::harness::process::Process;
use crate::harness::{BUCKET, TestGateway, buckets, client};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_100_000_lists_completely_in_little_memory() {
    let state = tempfile::tempdir().unwrap();
    let s3 = crate::harness::embedded().await;
    s3.fill(BUCKET, (0..100_000).map(|n| format!("many/picture-{n:06}.jpeg"))).unwrap();
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &[]).await;
    let method = reqwest::Method::from_bytes(b"PROPFIND").unwrap();
    let list = |depth: &str| {
        client()
            .request(method.clone(), format!("{}/many/", gateway.url))
            .header("Depth", depth.to_owned())
            .send()
    };
    assert_eq!(list("0").await.unwrap().status(), 207);
    let before = gateway.peak_memory();
    let mut body = list("1").await.unwrap().bytes_stream();
    let (mut count, mut tail) = (0, Vec::new());
    while let Some(chunk) = body.next().await {
        let text = [tail.as_slice(), &chunk.unwrap()].concat();
        count += text.windows(11).filter(|window| window == b"<D:response").count();
        tail = text[text.len().saturating_sub(10)..].to_vec();
    }
    assert_eq!(count, 100_001);
    let grown = gateway.peak_memory().saturating_sub(before);
    println!("100,000 entries: peak memory grew by {} KiB", grown >> 10);
    assert!(grown < 96 << 20, "{grown}: they are remembered, too");
    a_window_left_open_costs_little(s3).await;
}

/// An hour in the life of an open window, shrunk to 30 seconds.
async fn a_window_left_open_costs_little(s3: Arc<s3dav::embedded::EmbeddedS3>) {
    const SHRUNK: u32 = 120;
    let gateway = TestGateway::start_on(s3, Arc::new(tempfile::tempdir().unwrap()), |config| {
        buckets(config).cache.times.metadata /= SHRUNK;
        buckets(config).cache.times.longest_listing /= SHRUNK;
    })
    .await;
    let begun = Instant::now();
    let mut polls = 0;
    while begun.elapsed() < Duration::from_secs(3600) / SHRUNK {
        let answer = gateway.propfind("/many/", "1", "").await;
        assert_eq!(answer.status(), 207);
        let mut body = answer.bytes_stream();
        while let Some(chunk) = body.next().await {
            chunk.unwrap();
        }
        polls += 1;
    }
    let lists = gateway.hooks().count("ListObjectsV2");
    println!("a window open for an hour: {polls} looks, {lists} LISTs");
    assert!(lists <= 1000, "{lists}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gibibytes_go_up_and_down_in_little_memory() {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: u32 = 2048;
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let s3 = Process::embedded_s3(&data).await;
    let gateway = Process::gateway(&s3.url, &state, &[]).await;
    let chunk = |n: u32| {
        let mut bytes = vec![n as u8; CHUNK];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        Bytes::from(bytes)
    };
    let sent = Arc::new(std::sync::Mutex::new(Sha256::new()));
    let hashed = Arc::clone(&sent);
    let body = futures_util::stream::iter(0..CHUNKS).map(move |n| {
        let bytes = chunk(n);
        hashed.lock().unwrap().update(&bytes);
        Ok::<_, std::io::Error>(bytes)
    });
    let url = format!("{}/big", gateway.url);
    let put = client().put(&url).body(reqwest::Body::wrap_stream(body)).send().await.unwrap();
    assert_eq!(put.status(), 201);
    let up = gateway.peak_memory();
    let answer = client().get(&url).send().await.unwrap();
    assert_eq!(answer.headers()["content-length"], (u64::from(CHUNKS) * CHUNK as u64).to_string().as_str());
    let (mut received, mut body) = (Sha256::new(), answer.bytes_stream());
    while let Some(chunk) = body.next().await {
        received.update(chunk.unwrap());
    }
    let sent = sent.lock().unwrap().clone();
    assert_eq!(received.finalize(), sent.finalize());
    let both = gateway.peak_memory();
    println!("2 GiB: peak memory {} MiB after the upload, {} MiB after the download", up >> 20, both >> 20);
    assert!(both < 300 << 20, "{both}");
}
