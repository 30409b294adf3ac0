//! No update is lost: two gateways and a plain S3 program write the same names, around the time for which the
//! gateways believe what they know, and over restarts.
//!
//! What is held against the bucket's history is what SEMANTICS.md promises ("No change is silently overwritten"):
//! see [`rule`].

mod rounds;
mod rule;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use s3dav::embedded::EmbeddedS3;
use tempfile::TempDir;
use tokio::sync::RwLock;

use crate::harness::dice::{self, Dice};
use crate::harness::process::Process;
use crate::harness::{BUCKET, Bucket, embedded};

use rounds::Log;

/// A gateway that is restarted now and then.
struct Slot {
    state: TempDir,
    /// Where it listens now.
    url: RwLock<String>,
    process: tokio::sync::Mutex<Option<Process>>,
    /// When it was killed.
    kills: parking_lot::Mutex<Vec<Instant>>,
    /// When it ended, killed or not.
    ends: parking_lot::Mutex<Vec<Instant>>,
}

/// All that writes to the bucket.
struct Race {
    s3: Arc<EmbeddedS3>,
    bucket: Bucket,
    slots: [Slot; 2],
}

impl Slot {
    async fn start(s3: &EmbeddedS3) -> Self {
        let state = tempfile::tempdir().unwrap();
        let process = Process::gateway(&s3.endpoint_url(), &state, OPTIONS).await;
        let url = RwLock::new(process.url.clone());
        Self {
            state,
            url,
            process: tokio::sync::Mutex::new(Some(process)),
            kills: Default::default(),
            ends: Default::default(),
        }
    }

    async fn restart(&self, s3: &EmbeddedS3, kills: bool) {
        let mut slot = self.process.lock().await;
        let mut process = slot.take().unwrap();
        self.ends.lock().push(Instant::now());
        if kills {
            self.kills.lock().push(Instant::now());
            process.child.kill().await.unwrap();
        } else {
            process.signal("TERM").await;
            process.child.wait().await.unwrap();
        }
        let process = Process::gateway(&s3.endpoint_url(), &self.state, OPTIONS).await;
        *self.url.write().await = process.url.clone();
        *slot = Some(process);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_replaced_by_those_alone_who_saw_it() {
    let (dice, rounds) = (Dice::new(dice::seed()), dice::number("S3DAV_RACE_ROUNDS").unwrap_or(ROUNDS));
    let begun = Instant::now();
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    let slots = [Slot::start(&s3).await, Slot::start(&s3).await];
    let race = Race { s3, bucket, slots };
    race.s3.hooks().keep_writes();
    let race = &race;
    let logs: Vec<Vec<Log>> = stream::iter(0..rounds)
        .map(|round| {
            let dice = dice.part(round);
            async move {
                if round % RESTART_EVERY == RESTART_EVERY - 1 {
                    let number = round / RESTART_EVERY;
                    race.slots[number as usize % 2].restart(&race.s3, number % 4 < 2).await;
                }
                race.round(round, dice).await
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let kills = race.slots.each_ref().map(|slot| slot.kills.lock().clone());
    let ends = race.slots.each_ref().map(|slot| slot.ends.lock().clone());
    let logs: Vec<Log> = logs.into_iter().flatten().collect();
    let verdict = rule::judge(&race.s3.hooks().writes(), &logs, &kills, &ends);
    eprintln!("{rounds} rounds in {:?}: {verdict:?}", begun.elapsed());
    assert!(verdict.faults.is_empty(), "{} faults:\n{}", verdict.faults.len(), verdict.faults.join("\n"));
    assert!(verdict.acknowledged as u64 > rounds, "hardly anything was written: {verdict:?}");
    assert!(verdict.beside as u64 > rounds / 10, "hardly anything raced: {verdict:?}");
    assert!(verdict.refused as u64 <= rounds / 10, "much was refused: {verdict:?}");
}

const ROUNDS: u64 = 100;
const RESTART_EVERY: u64 = 50;
/// Rounds.
const AT_ONCE: usize = 32;
/// How long the gateways believe what they know.
const TTL: Duration = Duration::from_millis(200);
const OPTIONS: &[&str] = &["--auth", "none", "--metadata-ttl", "200ms"];
