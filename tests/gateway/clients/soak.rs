//! A Mac and a Linux mount at once on one bucket while one request in a hundred to S3 goes wrong: no wrong
//! byte, and no more memory or open files at the end than at the beginning. The Mac's five workers are busy
//! all the while, and keep one file open for longer than its lock would last without refreshes.
//!
//! `S3DAV_SOAK_SECONDS` says for how long (CI: 60). In half an hour locks last as long as on a Mac.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use s3dav::embedded::{Action, Hooks, Rule};
use tempfile::tempdir;
use tokio::time::Instant;

use super::davfs2::Mount;
use crate::finder::client::{Finder, LOCK};
use crate::harness::process::Process;
use crate::harness::{client, embedded, hrefs};

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_and_a_mount_for_a_while() {
    let s3 = embedded().await;
    let state = tempdir().unwrap();
    // davfs2 runs as a user of its own, and this one is not told the password.
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &["--auth", "none"]).await;
    let Some(mut mount) = Mount::new(&gateway.url).await else { return };
    let seconds = std::env::var("S3DAV_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (begun, time) = (Instant::now(), Duration::from_secs(seconds));
    let faults = tokio::spawn(faults(s3.hooks().clone()));
    let mut macs = Vec::new();
    for worker in 0..5 {
        let mac = Finder::at(&gateway.url);
        macs.push(tokio::spawn(async move { play_mac(&mac, worker, begun + time).await }));
    }
    let (mac, url) = (Finder::at(&gateway.url), gateway.url.clone());
    macs.push(tokio::spawn(async move { keep_open(&mac, &url, time, begun + time).await }));
    let folder = mount.path();
    let linux = tokio::task::spawn_blocking(move || play_linux(&folder, begun.into_std() + time));
    // What grows at first is caches.
    tokio::time::sleep(time / 3).await;
    let before = Usage::of(&gateway);
    let mut rounds = Vec::new();
    for mac in macs {
        rounds.push(mac.await.unwrap());
    }
    rounds.push(linux.await.unwrap());
    let after = Usage::of(&gateway);
    faults.abort();
    mount.unmount().await;
    eprintln!("rounds: {rounds:?}, faults: {:?}, {before:?} -> {after:?}", s3.hooks().total() / 100);
    assert!(rounds.iter().all(|rounds| *rounds > 0), "{rounds:?}: somebody was stuck");
    assert!(after.files <= before.files + 30, "{before:?} {after:?}");
    assert!(after.memory <= before.memory + (64 << 20), "{before:?} {after:?}");
}

/// Lets one request in a hundred go wrong.
async fn faults(hooks: Hooks) {
    let kinds = [
        Action::Fail { status: 503, code: "SlowDown", message: "" },
        Action::Fail { status: 500, code: "InternalError", message: "" },
        Action::ApplyThenFail,
        Action::CutBody(100),
    ];
    let (mut told, mut ticks) = (0, tokio::time::interval(Duration::from_millis(10)));
    loop {
        ticks.tick().await;
        while hooks.total() / 100 > told {
            let action = kinds[told as usize % kinds.len()].clone();
            hooks.add(Rule { operation: None, target: None, times: 1, action });
            told += 1;
        }
    }
}

/// What a process uses.
#[derive(Debug)]
struct Usage {
    /// Bytes.
    memory: u64,
    files: usize,
}

impl Usage {
    fn of(process: &Process) -> Self {
        let directory = PathBuf::from(format!("/proc/{}", process.child.id().unwrap()));
        let status = fs::read_to_string(directory.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        Self { memory: kib * 1024, files: fs::read_dir(directory.join("fd")).unwrap().count() }
    }
}

/// Content that tells where it belongs, up to 300 KiB.
fn content(worker: usize, round: usize) -> Bytes {
    let line = format!("worker {worker}, round {round}\n");
    line.repeat(1 + (round * 7919 + worker) % 10_000).into()
}

/// Makes, reads, lists, renames and deletes; gives the rounds.
async fn play_mac(mac: &Finder, worker: usize, until: Instant) -> usize {
    let folder = format!("/mac{worker}");
    assert_eq!(mac.status("MKCOL", &folder).await, 201);
    let mut round = 0;
    while Instant::now() < until {
        let (path, renamed) = (format!("{folder}/file{round}"), format!("{folder}/renamed{round}"));
        let expected = content(worker, round);
        mac.create(&path, expected.clone()).await;
        mac.create(&format!("{folder}/._file{round}"), "attributes").await;
        assert!(mac.get(&path).await == (200, expected.clone()), "{path}");
        assert_eq!(mac.rename(&path, &renamed).await, 201, "{path}");
        assert!(mac.list(&format!("{folder}/")).await.contains(&renamed), "{renamed}");
        let again = content(worker, round + 1);
        let token = mac.lock(&renamed).await;
        assert_eq!(mac.put(&renamed, &token, again.clone()).await, 204, "{renamed}");
        assert_eq!(mac.unlock(&renamed, &token).await, 204);
        assert!(mac.get(&renamed).await == (200, again), "{renamed}");
        assert_eq!(mac.get(&format!("{folder}/._renamed{round}")).await.1, "attributes");
        if round % 3 != 0 {
            assert_eq!(mac.status("DELETE", &renamed).await, 204, "{renamed}");
            assert_eq!(mac.look(&renamed).await, 404, "{renamed}");
        }
        round += 1;
    }
    round
}

/// Keeps a file open, refreshing its lock twice before it would end, while somebody else tries to write it;
/// gives the refreshes.
async fn keep_open(mac: &Finder, url: &str, time: Duration, until: Instant) -> usize {
    let timeout = format!("Second-{}", (time / 3).as_secs().max(1));
    assert_eq!(mac.status("PUT", "/open").await, 201);
    let lock = |request: reqwest::RequestBuilder| request.header("Depth", "0").header("Timeout", &timeout);
    let answer = lock(mac.request("LOCK", "/open")).header("Content-Type", "text/xml").body(LOCK);
    let text = answer.send().await.unwrap().text().await.unwrap();
    let token = hrefs(text.split("locktoken>").nth(1).unwrap()).remove(0);
    let mut refreshes = 0;
    while Instant::now() + time / 6 < until {
        tokio::time::sleep(time / 6).await;
        let other = client().put(format!("{url}/open")).body("not mine").send().await.unwrap();
        assert_eq!(other.status(), 423, "after {refreshes} refreshes");
        let refresh = lock(mac.request("LOCK", "/open")).header("If", format!("(<{token}>)"));
        assert_eq!(refresh.send().await.unwrap().status(), 200);
        refreshes += 1;
    }
    assert_eq!(mac.put("/open", &token, "mine").await, 204);
    assert_eq!(mac.unlock("/open", &token).await, 204);
    assert_eq!(mac.get("/open").await, (200, "mine".into()));
    refreshes
}

/// The same with system calls.
fn play_linux(mount: &Path, until: std::time::Instant) -> usize {
    let folder = mount.join("linux");
    fs::create_dir(&folder).unwrap();
    let mut round = 0;
    while std::time::Instant::now() < until {
        let (path, renamed) = (folder.join(format!("file{round}")), folder.join(format!("renamed{round}")));
        let expected = content(9, round);
        fs::write(&path, &expected).unwrap();
        assert!(fs::read(&path).unwrap() == expected, "{path:?}");
        fs::rename(&path, &renamed).unwrap();
        assert!(fs::read(&renamed).unwrap() == expected, "{renamed:?}");
        if round % 3 != 0 {
            fs::remove_file(&renamed).unwrap();
        }
        round += 1;
    }
    round
}
