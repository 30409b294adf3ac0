//! A Mac and a Linux mount at once on one bucket while one request in a hundred to S3 goes wrong: no wrong
//! byte, and no more memory or open files at the end than at the beginning. The Mac's five workers are busy
//! all the while, and keep one file open for longer than its lock would last without refreshes.
//!
//! `S3DAV_SOAK_SECONDS` says for how long (CI: 60). In half an hour locks last as long as on a Mac.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use s3dav::embedded::{Action, Hooks, Rule};
use tempfile::tempdir;
use tokio::time::Instant;

use super::davfs2::{MOUNT_NEEDS, Mount};
use crate::finder::busy::{self, content};
use crate::harness::clients::needs;
use crate::harness::embedded;
use crate::harness::process::Process;

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_and_a_mount_for_a_while() {
    let Some(_) = needs(&MOUNT_NEEDS.concat()) else { return };
    let s3 = embedded().await;
    let state = tempdir().unwrap();
    // davfs2 runs as a user of its own, and this one is not told the password.
    let gateway = Process::gateway(&s3.endpoint_url(), &state, &["--auth", "none"]).await;
    let Some(mut mount) = Mount::new(&gateway.url).await else { return };
    let seconds = std::env::var("S3DAV_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (begun, time) = (Instant::now(), Duration::from_secs(seconds));
    let faults = tokio::spawn(faults(s3.hooks().clone()));
    let url = gateway.url.clone();
    let mac = tokio::spawn(async move { busy::work(&url, &url, time).await });
    let folder = mount.path();
    let linux = tokio::task::spawn_blocking(move || play_linux(&folder, begun.into_std() + time));
    // What grows at first is caches.
    tokio::time::sleep(time / 3).await;
    let before = Usage::of(&gateway);
    let mut rounds = mac.await.unwrap();
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

/// Makes, reads, renames and deletes by system calls; gives the rounds.
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
