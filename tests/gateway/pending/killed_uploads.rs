//! The gateway is killed while it sends a large file that it has accepted: hardly any of it is sent twice, and the memory that
//! it uses does not grow with the file.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use s3dav::embedded::EmbeddedS3;
use s3dav::object::Key;
use s3dav::store::GetObject;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::resuming::{asked, had, sent};
use crate::harness::dice::{self, Dice};
use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket, client, embedded_options, eventually_within, open_uploads};

/// A piece of the file; none is like another.
fn piece(number: u64) -> Bytes {
    let mut dice = Dice::new(number);
    let mut bytes = vec![number as u8; PIECE];
    bytes.chunks_mut(4096).for_each(|page| page[..8].copy_from_slice(&dice.below(u64::MAX).to_le_bytes()));
    bytes.into()
}

async fn serve(s3: &EmbeddedS3, state: &TempDir) -> Process {
    let size = format!("{}MiB", 2 * mebibytes());
    let mut options = vec!["--durability", "journal", "--journal-delay", "0s", "--journal-size", &size];
    // A test's state may lie anywhere.
    options.extend(["--on-outage", "keep"]);
    Process::gateway(&s3.endpoint_url(), state, &options).await
}

fn mebibytes() -> u64 {
    dice::number("S3DAV_RESUMED_MIB").unwrap_or(96)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_has_of_a_large_file_is_not_sent_again() {
    let parts = mebibytes().div_ceil(8);
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options =
        s3dav::embedded::EmbeddedOptions { data: Some(data.path().into()), ..embedded_options(&[BUCKET]) };
    let s3 = Arc::new(EmbeddedS3::start(listener, options).await.unwrap());
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    let mut gateway = serve(&s3, &state).await;
    let body = stream::iter(0..mebibytes()).map(|number| Ok::<_, std::io::Error>(piece(number)));
    let begun = Instant::now();
    let put = client().put(format!("{}/large", gateway.url)).body(reqwest::Body::wrap_stream(body));
    assert_eq!(put.send().await.unwrap().status(), 201);
    println!("accepted after {:?}", begun.elapsed());
    let store = bucket.store();
    let most = || async { had(store, "large").await.len() as u64 >= parts * 3 / 4 };
    eventually_within(LONG, "S3 has three quarters", most).await;
    gateway.child.kill().await.unwrap();
    let at_the_kill = had(store, "large").await;
    let before = sent(&s3).len();
    println!("killed after {:?}: S3 had {} of {parts} parts", begun.elapsed(), at_the_kill.len());
    s3.hooks().reset();

    let begun = Instant::now();
    let gateway = serve(&s3, &state).await;
    let is_stored = || async { store.head(&Key::new("large").unwrap()).await.is_ok() };
    eventually_within(LONG, "it is stored", is_stored).await;
    let after = sent(&s3);
    println!(
        "stored after {:?}, with at most {} MiB of memory",
        begun.elapsed(),
        gateway.peak_memory() >> 20
    );
    let twice = (before + after.len()) as u64 - parts;
    println!("{} parts were sent after the kill; {twice} were begun twice", after.len());
    assert!(after.iter().all(|number| !at_the_kill.contains(number)), "S3 had them");
    assert_eq!(after.iter().collect::<HashSet<_>>().len(), after.len());
    assert!(twice <= 2, "{twice}");
    assert!(gateway.peak_memory() < 300 << 20, "{}", gateway.peak_memory());
    assert!(asked(&s3, "CreateMultipartUpload").is_empty());

    let content = store.get(GetObject::whole(&Key::new("large").unwrap())).await.unwrap();
    let (mut body, mut number, mut rest) = (content.body, 0, Bytes::new());
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.unwrap();
        while !chunk.is_empty() {
            if rest.is_empty() {
                rest = piece(number);
                number += 1;
            }
            let length = rest.len().min(chunk.len());
            assert!(rest.split_to(length) == chunk.split_to(length), "in piece {number}");
        }
    }
    assert!(number == mebibytes() && rest.is_empty());
    assert!(open_uploads(&s3).await.is_empty());
}

/// Bytes.
const PIECE: usize = 1 << 20;
/// Gigabytes, by a debug build.
const LONG: std::time::Duration = std::time::Duration::from_secs(1800);
