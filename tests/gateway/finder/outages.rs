//! A Mac at work while S3 goes away at ten random moments, and the gateway is killed at five: what was stored is in S3, and no document is ever shorter than it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::mac::{Closed, Mac, Mode};
use crate::harness::door::Door;
use crate::harness::process::{Process, command};
use crate::harness::{BUCKET, Bucket, embedded, eventually};

/// Random numbers of a seed that is told (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// The contents that a document may have: that of the last save that was stored, and of each later one whose end
/// is open.
type Documents = Arc<Mutex<BTreeMap<String, Vec<Bytes>>>>;

/// What a Mac does until it is told to stop.
struct Work {
    mac: Arc<Mac>,
    documents: Documents,
    random: Random,
    worker: usize,
    is_over: Arc<AtomicBool>,
}

impl Work {
    async fn go_on(mut self) -> usize {
        let mut round = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            round += 1;
            let document = document(self.worker, self.random.below(DOCUMENTS) as usize);
            let content = content(&format!("worker {} round {round}", self.worker), self.random.below(900));
            let action = self.random.below(6);
            match action {
                0 | 1 => self.save(&document, content, false).await,
                2 => self.save(&document, content, true).await,
                3 | 4 => self.replace(&document, content, action == 3).await,
                _ => self.make_again(&document).await,
            }
            match self.random.below(12) {
                0 => self.mac.a_minute_passes(),
                1 => self.mac.forgets_all(),
                _ => {}
            }
            while self.mac.is_down() && !self.mac.ping().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        round
    }

    /// A program that writes into the document itself.
    async fn save(&self, document: &str, content: Bytes, anew: bool) {
        let opened = if anew {
            self.mac.create(document, false).await
        } else {
            self.mac.open(document, Mode::Truncate).await
        };
        let Ok(mut file) = opened else { return };
        file.write(content.clone());
        self.note(document, content.clone(), false);
        if self.mac.close(file).await == Closed::Stored {
            self.note(document, content, true);
        }
    }

    /// A program that saves beside it, and then moves that over it.
    async fn replace(&self, document: &str, content: Bytes, streams: bool) {
        let beside = format!("{document}.sb");
        let saved = if streams {
            self.mac.copy(&beside, &content, 8 << 10, Duration::from_secs(5)).await
        } else {
            self.mac.save(&beside, content.clone()).await
        };
        // close(2) tells nothing, so it goes on.
        if saved.is_ok() {
            self.note(document, content.clone(), false);
            if self.mac.rename(&beside, document).await.is_ok() && saved == Ok(Closed::Stored) {
                self.note(document, content, true);
            }
        }
        let _ = self.mac.remove(&beside).await;
    }

    /// A program that makes a file only if there is none.
    async fn make_again(&self, document: &str) {
        if let Ok(file) = self.mac.create(document, true).await {
            self.mac.close(file).await;
            panic!("{document} was made anew, and it is there");
        }
    }

    fn note(&self, document: &str, content: Bytes, is_stored: bool) {
        let mut documents = self.documents.lock();
        let may_be = documents.get_mut(document).unwrap();
        if is_stored {
            may_be.clear();
        }
        may_be.push(content);
    }
}

fn document(worker: usize, number: usize) -> String {
    format!("/mac{worker}/document{number}")
}

/// At least [`LEAST`] bytes.
fn content(name: &str, more: u64) -> Bytes {
    let line = format!("{name}\n");
    let lines = LEAST.div_ceil(line.len()) + more as usize;
    line.repeat(lines).into()
}

/// Serves the bucket at an address.
async fn gateway(door: &Door, address: &str, state: &TempDir) -> Process {
    let endpoint = format!("http://{}", door.address);
    let mut serve =
        command(&["serve", "--bucket", BUCKET, "--endpoint-url", &endpoint, "--force-path-style"]);
    serve.args(["--listen", address, "--request-budget", BUDGET, "--metadata-ttl", "1s", "--state-dir"]);
    serve.arg(state.path().join("state"));
    Process::serving(serve).await
}

/// Looks at all documents, past the gateway, until it is aborted.
async fn watch(bucket: Bucket, documents: Vec<String>) {
    loop {
        for document in &documents {
            let size = bucket.get(&document[1..]).await.map(|content| content.len());
            assert!(size.is_some_and(|size| size >= LEAST), "{document} has {size:?} bytes");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_outages_and_kills_loses_nothing_untold() {
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("S3DAV_TEST_SEED").map_or(seed, |seed| seed.parse().unwrap());
    eprintln!("S3DAV_TEST_SEED={seed}");
    let mut random = Random(seed);
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    let documents = Documents::default();
    for worker in 0..WORKERS {
        for number in 0..DOCUMENTS as usize {
            let (path, content) = (document(worker, number), content("old", 0));
            bucket.put_bytes(&path[1..], content.clone()).await;
            documents.lock().insert(path, vec![content]);
        }
    }
    let mut door = Door::before(&s3.endpoint_url()).await;
    let mut process = gateway(&door, "127.0.0.1:0", &state).await;
    let address = process.url.trim_start_matches("http://").to_owned();
    let mac = Arc::new(Mac::at(&address));
    mac.mount().await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let work = |worker| Work {
        mac: Arc::clone(&mac),
        documents: Arc::clone(&documents),
        random: Random(seed ^ (worker as u64 + 1)),
        worker,
        is_over: Arc::clone(&is_over),
    };
    let workers: Vec<_> = (0..WORKERS).map(|worker| tokio::spawn(work(worker).go_on())).collect();
    let watcher = tokio::spawn(watch(bucket.clone(), documents.lock().keys().cloned().collect()));
    let (mut outages, mut kills) = (OUTAGES, KILLS);
    while outages + kills > 0 {
        tokio::time::sleep(Duration::from_millis(50 + random.below(200))).await;
        let is_outage = random.below(outages + kills) < outages;
        let away = tokio::time::Instant::now() + Duration::from_millis(random.below(LONGEST_OUTAGE));
        if is_outage {
            outages -= 1;
            door.shut().await;
        }
        // Every other outage sees a gateway that is killed, and knows nothing when it is back.
        if kills > 0 && (!is_outage || random.below(2) == 0) {
            kills -= 1;
            process.child.kill().await.unwrap();
            process = gateway(&door, &address, &state).await;
        }
        if is_outage {
            tokio::time::sleep_until(away).await;
            door.open().await;
        }
    }
    is_over.store(true, Ordering::SeqCst);
    let mut rounds = 0;
    for worker in workers {
        rounds += worker.await.unwrap();
    }
    assert!(rounds > 20, "{rounds} rounds: hardly anything was tried");
    assert!(!watcher.is_finished(), "{:?}", watcher.await);
    watcher.abort();
    check(&bucket, &documents).await;
}

/// Of each document the last version that was stored, or one that was sent later, is in S3: under its name, or
/// beside it as what lost against another.
async fn check(bucket: &Bucket, documents: &Documents) {
    let documents = documents.lock().clone();
    let line = |content: &Bytes| String::from_utf8_lossy(content).lines().next().map(str::to_owned);
    let missing = Mutex::new(Vec::new());
    let settled = eventually("all is in S3", || async {
        let contents: BTreeSet<_> = bucket.contents().await.into_values().collect();
        let is_missing =
            |(_, may_be): &(&String, &Vec<Bytes>)| !may_be.iter().any(|one| contents.contains(one));
        let told = |(path, may_be): (&String, &Vec<Bytes>)| {
            (path.clone(), may_be.iter().map(line).collect::<Vec<_>>())
        };
        *missing.lock() = documents.iter().filter(is_missing).map(told).collect();
        missing.lock().is_empty()
    });
    let settled = tokio::time::timeout(Duration::from_secs(5), settled).await;
    assert!(settled.is_ok(), "lost: {:#?}", missing.lock());
}

/// As many bytes as every version of a document has.
const LEAST: usize = 8000;
const WORKERS: usize = 3;
const DOCUMENTS: u64 = 4;
const OUTAGES: u64 = 10;
const KILLS: u64 = 5;
/// How long S3 is away at most, in milliseconds: a request waits for 75 s, and this is three minutes, shrunk alike.
const LONGEST_OUTAGE: u64 = 1800;
const BUDGET: &str = "750ms";
