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
    /// A move of which nobody told what became.
    moving: bool,
}

impl Document {
    fn new(number: u64) -> Self {
        Self { path: format!("/document{number}"), may_be: vec!["begin".to_owned()], moving: false }
    }

    /// The other of its two names.
    fn other(&self) -> String {
        self.path.strip_suffix('~').map_or_else(|| format!("{}~", self.path), str::to_owned)
    }

    /// What is found at its name: `None` is nothing. If it may have been moved it is at one of them, or at both.
    fn check(&mut self, here: Option<String>, there: Option<String>) {
        let (path, may_be) = (&self.path, &self.may_be);
        for content in here.iter().chain(&there) {
            assert!(may_be.contains(content), "{path}: {content:.80}");
        }
        match (&here, &there) {
            (Some(_), None) => {}
            (None | Some(_), Some(_)) if self.moving => self.path = self.other(),
            _ => panic!("{path}, which may have been moved: {}: {here:?} {there:?}", self.moving),
        }
        // One that is left of a move that was cut is nobody's.
        self.moving &= here.is_some() && there.is_some();
    }
}

pub(super) async fn serve(door: &Door, state: &TempDir) -> Process {
    let endpoint = format!("http://{}", door.address);
    let options = ["--on-outage", "keep", "--store-patience", "300ms"];
    Process::gateway(&endpoint, state, &options).await
}

pub(super) fn bodies(state: &TempDir) -> usize {
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
        if !document.moving && dice.below(4) == 0 {
            let other = document.other();
            document.moving = true;
            let destination = format!("{url}{other}");
            match mac.request("MOVE", &document.path).header("Destination", destination).send().await {
                Ok(answer) if answer.status().is_success() => document.path = other,
                Ok(_) => {}
                Err(_) => break,
            }
            document.moving = false;
            continue;
        }
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
        documents.push(Document::new(number));
    }
    for kill in 0..kills {
        let mut gateway = serve(&door, &state).await;
        let mac = Finder::at(&gateway.url);
        mac.list("/").await;
        for document in &mut documents {
            let found = [mac.get(&document.path).await, mac.get(&document.other()).await];
            let [here, there] = found.map(|(status, content)| match status {
                200 => Some(String::from_utf8(content.to_vec()).unwrap()),
                404 => None,
                other => panic!("{other}"),
            });
            document.check(here, there);
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
    eventually("nothing is pending", || async {
        let mut pending = crate::harness::process::command(&["pending"]);
        let places = std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().path());
        pending.arg("--state-dir").arg(places.collect::<Vec<_>>().remove(0));
        crate::harness::process::outcome(pending).await.2 == "nothing is pending\n"
    })
    .await;
    let mut names = Vec::new();
    for document in &mut documents {
        let mut found = Vec::new();
        for path in [document.path.clone(), document.other()] {
            let content = bucket.get(&path[1..]).await;
            names.extend(content.is_some().then(|| path[1..].to_owned()));
            found.push(content.map(|content| String::from_utf8(content.to_vec()).unwrap()));
        }
        let there = found.pop().unwrap();
        document.check(found.pop().unwrap(), there);
    }
    names.sort();
    assert_eq!(bucket.keys().await, names, "and nothing lies beside");
    let s3 = Arc::clone(&s3);
    eventually("no upload is left", || async { open_uploads(&s3).await.is_empty() }).await;
    drop(gateway);
}
