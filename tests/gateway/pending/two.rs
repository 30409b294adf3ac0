//! Two gateways on one bucket, each with outages of its own: no update is lost, and every loser lies beside, once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::join_all;

use super::Away;
use crate::harness::dice::{self, Dice};
use crate::harness::door::Door;
use crate::harness::{BUCKET, Bucket, embedded};

/// One of them, with the Mac that works on it.
struct Side {
    away: Away,
    name: char,
    /// What the Mac has read or saved last of each file.
    seen: BTreeMap<String, String>,
}

/// All that was acknowledged, and what each content was saved over.
#[derive(Default)]
struct History(BTreeMap<String, String>);

impl History {
    /// What nobody saved over.
    fn leaves(&self, folder: &str) -> BTreeSet<String> {
        let within = self.0.iter().filter(|(content, _)| content.starts_with(folder));
        let replaced: BTreeSet<&String> = within.clone().map(|(_, basis)| basis).collect();
        within.map(|(content, _)| content).filter(|content| !replaced.contains(content)).cloned().collect()
    }
}

impl Side {
    async fn read(&mut self, path: &str) {
        if let (200, content) = self.away.mac.get(path).await {
            self.seen.insert(path.to_owned(), String::from_utf8(content.to_vec()).unwrap());
        }
    }

    /// Saves each of some files once or twice; those that were acknowledged, with what they were saved over.
    async fn save(&mut self, round: &str, work: &[(String, u64)]) -> Vec<(String, String)> {
        let (away, name, seen) = (&self.away, self.name, &self.seen);
        let saving = work.iter().map(|(path, times)| async move {
            let mut basis = seen[path].clone();
            let mut saved = Vec::new();
            for time in 0..*times {
                let content = format!("{path} {round} {name}{time}");
                if matches!(away.save(path, content.clone()).await, 200..=204) {
                    saved.push((content.clone(), std::mem::replace(&mut basis, content)));
                }
            }
            (path.clone(), basis, saved)
        });
        let mut all = Vec::new();
        for (path, basis, saved) in join_all(saving).await {
            self.seen.insert(path, basis);
            all.extend(saved);
        }
        all
    }

    /// Some of the files, and how often each is saved.
    fn some(dice: &mut Dice, paths: &[String]) -> Vec<(String, u64)> {
        let chosen = paths.iter().map(|path| (path.clone(), dice.below(4)));
        chosen.filter(|(_, times)| *times > 0).map(|(path, times)| (path, times.min(2))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_between_two_gateways() {
    let (mut dice, rounds) = (Dice::new(dice::seed()), dice::number("S3DAV_TWO_ROUNDS").unwrap_or(100));
    let s3 = embedded().await;
    let bucket = || async { Bucket::of(&s3.endpoint_url(), BUCKET).await };
    let mut sides = Vec::new();
    for name in ['a', 'b'] {
        let state = Arc::new(tempfile::tempdir().unwrap());
        let door = Door::before(&s3.endpoint_url()).await;
        let away = Away::start_on(Arc::clone(&s3), door, bucket().await, state, |_| {}).await;
        sides.push(Side { away, name, seen: BTreeMap::new() });
    }
    let bucket = bucket().await;
    for cycle in 0..rounds.div_ceil(PER_CYCLE) {
        let folder = format!("/c{cycle}/");
        let paths: Vec<String> = (0..FILES).map(|number| format!("{folder}doc{number}")).collect();
        let mut history = History::default();
        for path in &paths {
            let begin = format!("{path} begin");
            bucket.put(&path[1..], &begin).await;
            history.0.insert(begin, String::new());
        }
        for side in &mut sides {
            side.away.mac.list(&folder).await;
            for path in &paths {
                side.read(path).await;
            }
        }
        for outage in 0..OUTAGES {
            for side in &mut sides {
                if dice.below(2) == 0 {
                    side.away.door.shut().await;
                }
            }
            let mut work = Vec::new();
            for _ in &sides {
                work.push(Side::some(&mut dice, &paths));
            }
            let round = outage.to_string();
            let saving = sides.iter_mut().zip(&work).map(|(side, work)| side.save(&round, work));
            join_all(saving).await.into_iter().flatten().for_each(|(content, basis)| {
                history.0.insert(content, basis);
            });
            for side in &mut sides {
                if side.away.door.is_shut() {
                    side.away.door.open().await;
                }
                side.away.drained().await;
            }
            let contents = bucket.contents().await;
            let there = contents.into_iter().filter(|(key, _)| key.starts_with(&folder[1..]));
            let there: Vec<(String, String)> = there
                .map(|(key, content)| (String::from_utf8(content.to_vec()).unwrap(), key))
                .filter(|(content, _)| !content.is_empty())
                .collect();
            let found: BTreeSet<String> = there.iter().map(|(content, _)| content.clone()).collect();
            assert_eq!(found, history.leaves(&folder), "{there:?}");
            assert_eq!(there.len(), history.leaves(&folder).len(), "each once: {there:?}");
            for side in &mut sides {
                for path in &paths {
                    if dice.below(2) == 0 {
                        side.read(path).await;
                    }
                }
            }
        }
    }
}

const FILES: u64 = 4;
const OUTAGES: u64 = 3;
/// A round is an outage and a file.
const PER_CYCLE: u64 = FILES * OUTAGES;
