//! Nothing that was acknowledged is lost, and nothing is left over, when the gateway is killed in the middle of
//! everything, again and again: files made by a Mac, properties, locks, what macOS keeps beside files, folders,
//! moves, deletes, uploads in parts.

mod left;
mod user;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use s3dav::embedded::EmbeddedS3;
use tempfile::TempDir;

use crate::damage::problem;
use crate::harness::dice::{self, Dice};
use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket, embedded, eventually};

use user::User;

/// What is checked at the end beyond contents and folders. `S3DAV_KILLS_CHECK` switches on what is off here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Check {
    /// Properties and files of macOS's own go with what is moved or deleted, also when a crash comes between.
    Followers,
    /// No multipart upload is open.
    Uploads,
    /// What an endpoint was asked with is gone.
    Questions,
}

impl Check {
    fn is_on(self) -> bool {
        let is_kept = match self {
            Self::Followers => FOLLOWERS_SURVIVE_CRASHES,
            Self::Uploads => UPLOADS_ARE_NOTED_BEFORE_THEY_BEGIN,
            Self::Questions => QUESTIONS_ARE_NOTED,
        };
        is_kept || std::env::var("S3DAV_KILLS_CHECK").is_ok_and(|names| names.contains(&format!("{self:?}")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_kills_and_nothing_is_left_over() {
    let (mut dice, kills) = (Dice::new(dice::seed()), dice::number("S3DAV_KILLS").unwrap_or(KILLS));
    let sent = Arc::new(AtomicU64::new(0));
    let (s3, state, begun) = (embedded().await, tempfile::tempdir().unwrap(), Instant::now());
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    let mut users: Vec<User> = (0..USERS).map(|number| User::new(number, dice.part(number), &sent)).collect();

    for user in &users {
        bucket.put(&format!("{}/", user.folder()), "").await;
    }
    for _ in 0..kills {
        let mut gateway = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
        assert_eq!(problem(&state).await, None, "a crash is no damage");
        let url: Arc<str> = gateway.url.as_str().into();
        let running: Vec<_> = users
            .into_iter()
            .map(|mut user| {
                let url = Arc::clone(&url);
                tokio::spawn(async move {
                    user.work(&url).await;
                    user
                })
            })
            .collect();
        // By requests, not by time: it must be much also where the machine is busy.
        let end = sent.load(Ordering::Relaxed) + dice.below(MOST_REQUESTS);
        eventually("work is done", || async { sent.load(Ordering::Relaxed) > end }).await;
        dice.pause(LONGEST_REQUEST).await;
        gateway.child.kill().await.unwrap();
        users = Vec::new();
        for user in running {
            users.push(user.await.unwrap());
        }
    }
    let faults = end(&s3, &bucket, &state, &mut users).await;
    let acknowledged: u64 = users.iter().map(|user| user.acknowledged).sum();
    let cut: u64 = users.iter().map(|user| user.cut).sum();
    eprintln!("{kills} kills in {:?}: {acknowledged} writes acknowledged, {cut} cut", begun.elapsed());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(acknowledged > kills * 5, "{acknowledged} writes: hardly anything was tried");
}

/// One quiet life, in which everybody ends what was cut; says what is wrong then.
async fn end(s3: &Arc<EmbeddedS3>, bucket: &Bucket, state: &TempDir, users: &mut [User]) -> Vec<String> {
    let mut gateway = Process::gateway(&s3.endpoint_url(), state, OPTIONS).await;
    let mut faults = Vec::new();
    for user in users.iter_mut() {
        user.end_what_was_cut(&gateway.url).await;
        user.check(&gateway.url).await;
        faults.append(&mut user.faults);
    }
    faults.extend(left::in_the_bucket(s3, bucket, users).await);
    gateway.signal("TERM").await;
    gateway.child.wait().await.unwrap();
    faults.extend(left::in_the_state(&state.path().join("state"), users));
    faults
}

const FOLLOWERS_SURVIVE_CRASHES: bool = true;
const UPLOADS_ARE_NOTED_BEFORE_THEY_BEGIN: bool = true;
const QUESTIONS_ARE_NOTED: bool = true;
const KILLS: u64 = 20;
const USERS: u64 = 5;
/// In one life.
const MOST_REQUESTS: u64 = 150;
/// Mostly.
const LONGEST_REQUEST: Duration = Duration::from_millis(20);
const OPTIONS: &[&str] = &["--auth", "none", "--multipart-threshold", "64KiB"];
