//! What a Mac was told is stored is there after the gateway was killed in the middle, again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::StatusCode;

use super::client::{Finder, LOCK};
use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket};

/// Contents that were acknowledged, by path.
type Acknowledged = Arc<Mutex<BTreeMap<String, Bytes>>>;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_nothing() {
    let (data, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let s3 = Process::embedded_s3(&data).await;
    let acknowledged = Acknowledged::default();
    for round in 0..KILLS {
        let mut gateway = Process::gateway(&s3.url, &state, &[]).await;
        check(&Finder::at(&gateway.url), &acknowledged, round).await;
        let writers: Vec<_> = (0..3)
            .map(|writer| tokio::spawn(write(gateway.url.clone(), Arc::clone(&acknowledged), round, writer)))
            .collect();
        // Somewhere else in their work each time.
        tokio::time::sleep(Duration::from_millis(20 + (round * 37) % 180)).await;
        gateway.child.kill().await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let gateway = Process::gateway(&s3.url, &state, &[]).await;
    check(&Finder::at(&gateway.url), &acknowledged, 0).await;
    let all = acknowledged.lock().len();
    assert!(all > KILLS as usize, "{all} files: hardly anything was tried");
    let keys = Bucket::of(&s3.url, BUCKET).await.keys().await;
    assert!(!keys.iter().any(|key| key.contains("conflict") || key.contains("._")), "{keys:?}");
}

/// Makes files as Finder does until the gateway dies; notes each answer that came.
async fn write(url: String, acknowledged: Acknowledged, round: u64, writer: u64) {
    let mac = Finder::at(&url);
    let note = |path: &str, content: &str| {
        acknowledged.lock().insert(path.to_owned(), content.to_owned().into());
    };
    for number in 0.. {
        let (path, beside) =
            (format!("/f{round}-{writer}-{number}"), format!("/._f{round}-{writer}-{number}"));
        let made = mac.request("PUT", &path).send().await;
        if !is_done(made.map(|answer| answer.status())) {
            return;
        }
        note(&path, "");
        if !is_done(mac.request("PUT", &beside).body("attributes").send().await.map(|a| a.status())) {
            return;
        }
        note(&beside, "attributes");
        let lock = mac.request("LOCK", &path).header("Timeout", "Second-600").body(LOCK).send().await;
        let Ok(token) = lock.map(|answer| answer.headers().get("lock-token").cloned()) else { return };
        // Whether an unanswered write was carried out is open.
        acknowledged.lock().remove(&path);
        let written =
            mac.request("PUT", &path).header("If", format!("({})", token.unwrap().to_str().unwrap()));
        if !is_done(written.body(path.clone()).send().await.map(|answer| answer.status())) {
            return;
        }
        note(&path, &path);
        // Every other one stays locked when the gateway dies.
        if number % 2 == 0 {
            let _ = mac.request("UNLOCK", &path).header("Lock-Token", "<urn:forgotten>").send().await;
        }
    }
}

fn is_done(answer: reqwest::Result<StatusCode>) -> bool {
    answer.inspect(|status| assert!(status.is_success(), "{status}")).is_ok()
}

/// Everything is there, and the Mac can go on with it.
async fn check(mac: &Finder, acknowledged: &Acknowledged, round: u64) {
    let all: Vec<_> = acknowledged.lock().clone().into_iter().collect();
    for (path, content) in &all {
        assert_eq!(mac.get(path).await, (200, content.clone()), "{path}");
    }
    // A file whose lock the Mac still believes in is written once more.
    let Some((path, _)) = all.iter().rfind(|(path, content)| !content.is_empty() && !path.starts_with("/._"))
    else {
        return;
    };
    let again = format!("again {round}");
    let status = mac.put(path, "urn:uuid:00000000-0000-4000-8000-000000000000", again.clone()).await;
    assert_eq!(status, 204, "{path}");
    acknowledged.lock().insert(path.clone(), again.into());
}

const KILLS: u64 = 50;
