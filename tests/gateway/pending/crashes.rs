//! The gateway is killed while S3 is away: what was acknowledged is stored afterwards, once, and nothing is left over.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::finder::client::Finder;
use crate::harness::dice::{self, Dice};
use crate::harness::door::Door;
use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket, embedded, eventually, open_uploads};

/// A document, and what it may hold: what was acknowledged last, and what was sent since.
struct Document {
    path: String,
    may_be: Vec<String>,
}

async fn serve(door: &Door, state: &TempDir) -> Process {
    let endpoint = format!("http://{}", door.address);
    let options = ["--on-outage", "keep", "--store-patience", "300ms"];
    Process::gateway(&endpoint, state, &options).await
}

fn bodies(state: &TempDir) -> usize {
    let mut places = vec![state.path().to_owned()];
    let mut found = 0;
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
            let is_pending = entry.path().to_string_lossy().contains("pending.noindex");
            if entry.file_type().unwrap().is_dir() {
                places.push(entry.path());
            } else if is_pending && !entry.file_name().to_string_lossy().starts_with('.') {
                found += 1;
            }
        }
    }
    found
}

/// Saves until it is killed; notes what was acknowledged.
async fn work(url: String, mut documents: Vec<Document>, mut dice: Dice) -> Vec<Document> {
    let mac = Finder::at(&url);
    for round in 0_u64.. {
        let at = dice.below(documents.len() as u64) as usize;
        let document = &mut documents[at];
        let token = mac.request("LOCK", &document.path).header("Depth", "0").header("Timeout", "Second-600");
        let token = token.header("Content-Type", "text/xml").body(crate::finder::client::LOCK).send().await;
        let Ok(answer) = token else { break };
        let Ok(text) = answer.text().await else { break };
        let Some(token) =
            text.split("locktoken>").nth(1).and_then(|rest| crate::harness::hrefs(rest).into_iter().next())
        else {
            continue;
        };
        let content = format!("{} {round} {}", document.path, dice.below(u64::MAX));
        let content = content.repeat(1 + dice.below(3000) as usize);
        document.may_be.push(content.clone());
        let request = mac.request("PUT", &document.path).header("If", format!("(<{token}>)"));
        match request.body(content.clone()).send().await {
            Ok(answer) if answer.status().is_success() => document.may_be = vec![content],
            Ok(_) => {}
            Err(_) => break,
        }
        let unlock = mac.request("UNLOCK", &document.path).header("Lock-Token", format!("<{token}>"));
        if unlock.send().await.is_err() {
            break;
        }
    }
    documents
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_outlives_kills() {
    let (mut dice, kills) = (Dice::new(dice::seed()), dice::number("S3DAV_KILLS").unwrap_or(12));
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let (bucket, mut door) =
        (Bucket::of(&s3.endpoint_url(), BUCKET).await, Door::before(&s3.endpoint_url()).await);
    let mut documents: Vec<Document> = Vec::new();
    for number in 0..3 {
        bucket.put(&format!("document{number}"), "begin").await;
        documents.push(Document { path: format!("/document{number}"), may_be: vec!["begin".to_owned()] });
    }
    for kill in 0..kills {
        let mut gateway = serve(&door, &state).await;
        let mac = Finder::at(&gateway.url);
        mac.list("/").await;
        for document in &documents {
            let (status, content) = mac.get(&document.path).await;
            let content = String::from_utf8(content.to_vec()).unwrap();
            assert!(status == 200 && document.may_be.contains(&content), "{}: {content:.80}", document.path);
        }
        // Away from the begin, or in the middle.
        if dice.below(2) == 0 {
            door.shut().await;
        }
        let working = tokio::spawn(work(gateway.url.clone(), documents, dice.part(kill)));
        tokio::time::sleep(Duration::from_millis(200 + dice.below(1500))).await;
        door.shut().await;
        tokio::time::sleep(Duration::from_millis(dice.below(1500))).await;
        let pid = Pid::from_raw(gateway.child.id().unwrap() as i32).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        gateway.child.wait().await.unwrap();
        documents = working.await.unwrap();
        door.open().await;
    }
    let gateway = serve(&door, &state).await;
    let end = std::time::Instant::now() + Duration::from_secs(40);
    while bodies(&state) > 0 {
        if std::time::Instant::now() > end {
            let mut pending = crate::harness::process::command(&["pending"]);
            let places = std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().path());
            pending.arg("--state-dir").arg(places.collect::<Vec<_>>().remove(0));
            panic!("a body is left: {:?}", crate::harness::process::outcome(pending).await);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for document in &documents {
        let content = String::from_utf8(bucket.get(&document.path[1..]).await.unwrap().to_vec()).unwrap();
        assert!(document.may_be.contains(&content), "{}: {content:.80}", document.path);
    }
    assert_eq!(bucket.keys().await, ["document0", "document1", "document2"], "and nothing lies beside");
    let s3 = Arc::clone(&s3);
    eventually("no upload is left", || async { open_uploads(&s3).await.is_empty() }).await;
    drop(gateway);
}
