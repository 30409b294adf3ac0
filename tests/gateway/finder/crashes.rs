//! What a client has read right before a crash nobody knows in the next life: what it saves then replaces nothing that it has
//! not seen.

use tempfile::TempDir;

use super::client::Finder;
use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket, embedded};

const OPTIONS: &[&str] = &["--auth", "none", "--shutdown-timeout", "300ms"];

async fn kill(mut gateway: Process) {
    gateway.child.kill().await.unwrap();
}

/// Saves as a program does that has the document open.
async fn save(mac: &Finder, path: &str, content: &'static str) {
    assert_eq!(mac.look(path).await, 207);
    let token = mac.lock(path).await;
    assert_eq!(mac.put(path, &token, content).await, 204);
    assert_eq!(mac.unlock(path, &token).await, 204);
}

/// What lies beside the document.
async fn beside(bucket: &Bucket) -> Vec<String> {
    let contents = bucket.contents().await.into_iter();
    let beside = contents.filter(|(key, _)| key.starts_with("doc ("));
    let mut beside: Vec<_> = beside.map(|(_, text)| String::from_utf8(text.to_vec()).unwrap()).collect();
    beside.sort();
    beside
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_made_is_not_replaced_by_who_read_what_was_before() {
    let (s3, state) = (embedded().await, TempDir::new().unwrap());
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    bucket.put("doc", "old").await;
    let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
    let mac = Finder::at(&gateway.url);
    // All that it knows until here is on disk with this.
    mac.create("/other", "content").await;
    assert_eq!(mac.get("/doc").await.1, "old");
    kill(gateway).await;
    bucket.put("doc", "theirs").await;
    let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
    save(&Finder::at(&gateway.url), "/doc", "mine").await;
    assert_eq!(bucket.get("doc").await.unwrap(), "theirs");
    assert_eq!(beside(&bucket).await, ["mine"]);
    kill(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_is_not_replaced_by_who_got_the_winner_since() {
    let (s3, state) = (embedded().await, TempDir::new().unwrap());
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    bucket.put("doc", "old").await;
    let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
    let mac = Finder::at(&gateway.url);
    assert_eq!(mac.get("/doc").await.1, "old");
    bucket.put("doc", "theirs").await;
    save(&mac, "/doc", "mine").await;
    assert_eq!(beside(&bucket).await, ["mine"]);
    assert_eq!(mac.get("/doc").await.1, "theirs");
    kill(gateway).await;
    let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
    save(&Finder::at(&gateway.url), "/doc", "made of theirs").await;
    let mut kept = beside(&bucket).await;
    assert!(kept.contains(&"mine".to_owned()), "{kept:?}");
    kept.push(String::from_utf8(bucket.get("doc").await.unwrap().to_vec()).unwrap());
    assert!(kept.contains(&"made of theirs".to_owned()), "{kept:?}");
    kill(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_filled_and_deleted_at_once_does_not_come_back_empty() {
    let (s3, state) = (embedded().await, TempDir::new().unwrap());
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    for (file, deleted) in [("/file", "/file"), ("/folder/file", "/folder")] {
        let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
        let client = Finder::at(&gateway.url).called("davfs2/1.7.0 neon/0.33.0");
        if file != deleted {
            assert_eq!(client.status("MKCOL", deleted).await, 201);
        }
        assert_eq!(client.status("PUT", file).await, 201);
        assert_eq!(client.request("PUT", file).body("content").send().await.unwrap().status(), 204);
        assert_eq!(client.status("DELETE", deleted).await, 204);
        kill(gateway).await;
        let gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
        assert_eq!(Finder::at(&gateway.url).look(file).await, 404, "{file}");
        kill(gateway).await;
    }
    assert!(bucket.contents().await.is_empty());
}
