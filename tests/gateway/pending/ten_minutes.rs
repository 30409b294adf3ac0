//! S3 is away for ten minutes while a Mac works, and the gateway is started anew in the middle: of what the Mac has listed or
//! opened, and of what it makes, no program sees an error, and nobody waits for long; all else is told to be away. Beside it a
//! client works that repeats nothing by itself.
//!
//! All times are shrunk alike; `S3DAV_OUTAGE_SECONDS=600` takes them as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use s3dav::config::Config;
use s3dav::embedded::EmbeddedS3;
use s3dav::store::journal::Durability;
use tempfile::TempDir;

use crate::finder::client::Finder;
use crate::finder::mac::{Closed, Errno, Mac, Mode};
use crate::finder::wire::Sent;
use crate::harness::dice::{self, Dice};
use crate::harness::door::Door;
use crate::harness::drained::drained_within;
use crate::harness::{BUCKET, Behind, Bucket, TestGateway, buckets, client, embedded, eventually};

/// How long S3 is away, and how long everything else is, shrunk alike.
#[derive(Clone, Copy)]
struct Times {
    away: Duration,
    patience: Duration,
    budget: Duration,
    delay: Duration,
}

impl Times {
    fn of_test() -> Self {
        let away = Duration::from_secs(dice::number("S3DAV_OUTAGE_SECONDS").unwrap_or(12));
        let shrunk = |time: Duration| time.mul_f64((away.as_secs_f64() / TEN_MINUTES).min(1.0));
        Self {
            away,
            // On a machine that is busy less than this may pass with nothing at all.
            patience: shrunk(Duration::from_secs(5)).max(Duration::from_secs(1)),
            budget: shrunk(Duration::from_secs(75)).max(Duration::from_secs(3)),
            delay: shrunk(Duration::from_secs(2)),
        }
    }

    fn set(&self, config: &mut Config, durability: Durability) {
        let source = buckets(config);
        source.file_system.keeps = true;
        source.file_system.durability = durability;
        source.file_system.store_patience = self.patience;
        source.file_system.drain_pause = self.patience;
        source.file_system.drain_timeout = self.patience;
        source.journal_delay = self.delay;
        source.lost_wait = self.patience;
        config.service.request_budget = Some(self.budget);
    }

    /// Nobody waits for longer. Whether S3 answers a question is waited for as long as ever, and on a machine that does other
    /// things as well.
    fn most(&self) -> Duration {
        let is_shrunk = self.away.as_secs_f64() < TEN_MINUTES;
        self.patience + Duration::from_secs(if is_shrunk { 3 } else { 1 })
    }
}

/// A gateway whose clients see nothing of a restart but that it takes a moment, as behind launchd's socket.
struct World {
    times: Times,
    durability: Durability,
    s3: Arc<EmbeddedS3>,
    door: Door,
    state: Arc<TempDir>,
    socket: TcpListener,
    gateway: Option<TestGateway>,
}

impl World {
    async fn start(durability: Durability) -> Self {
        let s3 = embedded().await;
        let door = Door::before(&s3.endpoint_url()).await;
        let (state, socket) =
            (Arc::new(tempfile::tempdir().unwrap()), TcpListener::bind("127.0.0.1:0").unwrap());
        socket.set_nonblocking(true).unwrap();
        let times = Times::of_test();
        let mut world = Self { times, durability, s3, door, state, socket, gateway: None };
        world.serve().await;
        world
    }

    async fn serve(&mut self) {
        let (times, durability) = (self.times, self.durability);
        let listener = tokio::net::TcpListener::from_std(self.socket.try_clone().unwrap()).unwrap();
        let behind = Behind::Elsewhere(format!("http://{}", self.door.address));
        let state = Arc::clone(&self.state);
        let change = |config: &mut Config| times.set(config, durability);
        self.gateway = Some(TestGateway::start_at(listener, behind, state, change).await);
    }

    /// What goes on after the end holds the state, in this process, until it has ended as well.
    async fn released(&self) {
        let state = self.state.path().join("state");
        eventually("the state is free", || async { s3dav::state::holder(&state).is_none() }).await;
    }

    async fn restart(&mut self) {
        let begun = Instant::now();
        self.gateway.take().unwrap().end().await;
        eprintln!("ended after {:?}", begun.elapsed());
        self.released().await;
        self.serve().await;
        eprintln!("restarted after {:?}", begun.elapsed());
    }

    fn url(&self) -> String {
        format!("http://{}", self.socket.local_addr().unwrap())
    }

    async fn bucket(&self) -> Bucket {
        Bucket::of(&self.s3.endpoint_url(), BUCKET).await
    }
}

/// What one program does with the files of a folder, one after the other.
struct Work {
    mac: Arc<Mac>,
    folder: String,
    /// What is there now.
    files: BTreeMap<String, Bytes>,
    folders: BTreeSet<String>,
    /// Files of which the gateway needs nothing of S3 to read them.
    opened: BTreeSet<String>,
    dice: Dice,
    made: u64,
    done: usize,
}

impl Work {
    async fn begin(mac: &Arc<Mac>, bucket: &Bucket, number: u64, dice: &Dice) -> Self {
        let mut files = BTreeMap::new();
        for file in 0..10 {
            let (path, content) = (format!("/mac{number}/file{file}"), content(number, file));
            bucket.put_bytes(&path[1..], content.clone()).await;
            files.insert(path, content);
        }
        let opened: BTreeSet<String> = files.keys().take(5).cloned().collect();
        let (mac, folder) = (Arc::clone(mac), format!("/mac{number}"));
        mac.list("/").await.unwrap();
        mac.list(&folder).await.unwrap();
        for path in &opened {
            mac.read(path).await.unwrap();
        }
        let (dice, folders) = (dice.part(number), BTreeSet::from([folder.clone()]));
        Self { mac, folder, files, folders, opened, dice, made: 0, done: 0 }
    }

    /// After a restart only that is known that is pending; that is in no doubt of what was saved or made meanwhile.
    async fn make_all_pending(&mut self) {
        for path in self.files.keys().cloned().collect::<Vec<_>>() {
            self.save(&path).await;
        }
    }

    async fn go_on(mut self, is_over: Arc<AtomicBool>, is_new: bool) -> Self {
        while !is_over.load(Ordering::SeqCst) {
            self.act(is_new).await;
            self.done += 1;
            match self.dice.below(20) {
                0 => self.mac.a_minute_passes(),
                1 => self.mac.forgets_all(),
                _ => {}
            }
            self.dice.pause(Duration::from_millis(20)).await;
        }
        self
    }

    /// `is_new`: the gateway has been started while S3 was away, and knows of no name whether there is nothing.
    async fn act(&mut self, is_new: bool) {
        let Some(path) = self.one_of(|_| true) else { return self.make().await };
        match self.dice.below(if is_new { 4 } else { 10 }) {
            0 => self.save(&path).await,
            1 => self.read().await,
            2 => self.write_on().await,
            3 => self.look(&path).await,
            4 | 5 => self.make().await,
            6 => self.replace(&path).await,
            7 => self.rename(&path).await,
            8 => self.remove(&path).await,
            _ => self.make_folder().await,
        }
    }

    fn one_of(&mut self, is_meant: impl Fn(&String) -> bool) -> Option<String> {
        let meant: Vec<&String> = self.files.keys().filter(|path| is_meant(path)).collect();
        (!meant.is_empty()).then(|| meant[self.dice.below(meant.len() as u64) as usize].clone())
    }

    fn new_name(&mut self) -> String {
        self.made += 1;
        let folders: Vec<&String> = self.folders.iter().collect();
        format!("{}/new{}", self.dice.pick(&folders), self.made)
    }

    fn has(&mut self, path: &str, content: Bytes) {
        self.opened.insert(path.to_owned());
        self.files.insert(path.to_owned(), content);
    }

    fn content(&mut self) -> Bytes {
        self.made += 1;
        content(self.made, self.dice.below(4000))
    }

    async fn save(&mut self, path: &str) {
        let content = self.content();
        let mut open =
            self.mac.open(path, Mode::Truncate).await.unwrap_or_else(|error| self.fail(path, error));
        open.write(content.clone());
        self.stored(path, Ok(self.mac.close(open).await));
        self.has(path, content);
    }

    async fn read(&mut self) {
        let opened = self.opened.clone();
        let Some(path) = self.one_of(|path| opened.contains(path)) else { return };
        let content = self.mac.read(&path).await.unwrap_or_else(|error| self.fail(&path, error));
        assert!(content == self.files[&path], "{path}: another content");
    }

    /// A program that changes a part of a document.
    async fn write_on(&mut self) {
        let opened = self.opened.clone();
        let Some(path) = self.one_of(|path| opened.contains(path)) else { return };
        let mut open =
            self.mac.open(&path, Mode::Write).await.unwrap_or_else(|error| self.fail(&path, error));
        assert!(open.content == self.files[&path], "{path}: another content");
        let content = Bytes::from([&open.content[..], b"and more"].concat());
        open.write(content.clone());
        self.stored(&path, Ok(self.mac.close(open).await));
        self.has(&path, content);
    }

    async fn look(&mut self, path: &str) {
        let size = self.mac.stat(path).await.unwrap_or_else(|error| self.fail(path, error));
        assert_eq!(size, self.files[path].len() as u64, "{path}");
    }

    fn stored(&self, path: &str, saved: Result<Closed, Errno>) {
        if saved != Ok(Closed::Stored) {
            self.fail(path, saved);
        }
    }

    async fn make(&mut self) {
        let (path, content) = (self.new_name(), self.content());
        let saved = if self.dice.comes(50) {
            self.mac.save(&path, content.clone()).await
        } else {
            self.mac.copy(&path, &content, 8 << 10, Duration::from_secs(5)).await
        };
        self.stored(&path, saved);
        self.has(&path, content);
    }

    /// A program that saves beside a document, and moves that over it.
    async fn replace(&mut self, path: &str) {
        let (beside, content) = (format!("{path}.sb"), self.content());
        self.stored(&beside, self.mac.save(&beside, content.clone()).await);
        self.mac.rename(&beside, path).await.unwrap_or_else(|error| self.fail(path, error));
        self.has(path, content);
    }

    async fn rename(&mut self, path: &str) {
        let to = self.new_name();
        let moved = self.mac.rename(path, &to).await;
        moved.unwrap_or_else(|error| self.fail(&format!("{path} to {to}"), error));
        let content = self.files.remove(path).unwrap();
        self.files.insert(to.clone(), content);
        if self.opened.remove(path) {
            self.opened.insert(to);
        }
    }

    async fn remove(&mut self, path: &str) {
        self.mac.remove(path).await.unwrap_or_else(|error| self.fail(path, error));
        self.files.remove(path);
        self.opened.remove(path);
    }

    async fn make_folder(&mut self) {
        self.made += 1;
        let folder = format!("{}/folder{}", self.folder, self.made);
        self.mac.make_folder(&folder).await.unwrap_or_else(|error| self.fail(&folder, error));
        self.folders.insert(folder.clone());
        self.list(&folder).await;
        self.make().await;
        self.list(&self.folder.clone()).await;
    }

    fn fail(&self, path: &str, error: impl Debug) -> ! {
        panic!("{path}: {error:?}: {:#?}", sent_of(&self.mac, path));
    }

    async fn list(&self, folder: &str) {
        let mut told = self.mac.list(folder).await.unwrap_or_else(|error| self.fail(folder, error));
        told.sort();
        let paths = self.files.keys().chain(&self.folders);
        let inside = paths.filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
        let mut there: Vec<&str> = inside.filter(|name| !name.contains('/')).collect();
        there.sort();
        let differs = |name: &String| !there.contains(&name.as_str());
        if let Some(more) = told.iter().find(|name| differs(name)) {
            self.fail(&format!("{folder}/{more}"), "it is listed, and was deleted or moved");
        }
        assert_eq!(told, there, "{folder}");
    }
}

/// What the gateway was asked for of a file or folder, and of what was moved there.
fn sent_of(mac: &Mac, path: &str) -> Vec<String> {
    let is_about = |request: &Sent| {
        let ends = request.headers.iter().filter(|(name, _)| *name == "Destination").map(|(_, to)| to);
        ends.chain([&request.target]).any(|target| target.contains(path))
    };
    let told = |request: Sent| {
        let to = request.headers.iter().find(|(name, _)| *name == "Destination").map_or("", |(_, to)| to);
        let Sent { method, target, body, status, took, .. } = &request;
        format!("{method} {target} {to} {} bytes: {status} after {took:?}", body.len())
    };
    mac.wire.sent().into_iter().filter(is_about).map(told).collect()
}

/// Content that tells what it is, of up to 100 KB.
fn content(number: u64, lines: u64) -> Bytes {
    format!("content {number}, {lines}\n").repeat(1 + lines as usize).into()
}

/// What nobody has looked at before: all of it is told to be away, and soon.
async fn look_elsewhere(url: String, most: Duration, is_over: Arc<AtomicBool>) -> usize {
    let mac = Finder::at(&url);
    let mut rounds = 0;
    while !is_over.load(Ordering::SeqCst) {
        for (method, path, to) in [
            ("GET", "/known/listed", ""),
            ("PROPFIND", "/unseen/", ""),
            ("PROPFIND", "/unseen/file", ""),
            ("GET", "/unseen/file", ""),
            ("PUT", "/unseen/file", ""),
            ("MKCOL", "/unseen/folder", ""),
            ("DELETE", "/unseen/file", ""),
            ("MOVE", "/unseen/file", "/known/moved"),
            ("MOVE", "/known/listed", "/unseen/moved"),
            ("MOVE", "/known/", "/renamed/"),
            ("DELETE", "/known/", ""),
        ] {
            let request = mac
                .request(method, path)
                .header("Depth", if method == "PROPFIND" { "1" } else { "infinity" });
            let request = request.header("Destination", format!("{url}{to}"));
            let begun = Instant::now();
            let status = request.send().await.unwrap().status();
            let took = begun.elapsed();
            assert!(status == 503 && took <= most, "{method} {path} {to}: {status} after {took:?}");
        }
        rounds += 1;
    }
    rounds
}

/// A client that repeats nothing by itself: what it could not store, and what it did.
#[derive(Default)]
struct Beside {
    stored: BTreeMap<String, String>,
    failed: BTreeMap<String, String>,
}

impl Beside {
    async fn go_on(mut self, url: String, longest: Duration, is_over: Arc<AtomicBool>) -> Self {
        for round in 0.. {
            if is_over.load(Ordering::SeqCst) {
                break;
            }
            let (path, content) = (format!("/beside/file{}", round % 3), format!("round {round}"));
            let begun = Instant::now();
            let status = Self::put(&url, &path, &content).await;
            assert!(begun.elapsed() < longest, "{path}: {:?}", begun.elapsed());
            match status {
                200..=204 => {
                    self.failed.remove(&path);
                    self.stored.insert(path, content);
                }
                503 => drop(self.failed.insert(path, content)),
                other => panic!("{path}: {other}"),
            }
        }
        self
    }

    async fn put(url: &str, path: &str, content: &str) -> u16 {
        let request = client().put(format!("{url}{path}")).header("User-Agent", "davfs2/1.7.0 neon/0.33.0");
        request.body(content.to_owned()).send().await.unwrap().status().as_u16()
    }
}

async fn nobody_loses_anything(durability: Durability) {
    let dice = Dice::new(dice::seed());
    let mut world = World::start(durability).await;
    let (url, times, bucket) = (world.url(), world.times, world.bucket().await);
    for key in ["known/listed", "unseen/file", "beside/file0"] {
        bucket.put(key, "there").await;
    }
    let mac = Arc::new(Mac::at(url.trim_start_matches("http://")));
    mac.mount().await.unwrap();
    let mut working = Vec::new();
    for number in 0..WORKERS {
        working.push(Work::begin(&mac, &bucket, number, &dice).await);
    }
    mac.list("/known").await.unwrap();
    client().get(format!("{url}/beside/file0")).send().await.unwrap();
    let mut beside = Beside::default();
    for is_new in [false, true] {
        let (is_over, stops) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let workers = working.drain(..).map(|work| tokio::spawn(work.go_on(Arc::clone(&is_over), is_new)));
        let workers: Vec<_> = workers.collect();
        if !is_new {
            // They are at work when it goes away.
            tokio::time::sleep(times.away / 20).await;
            world.door.shut().await;
        }
        let elsewhere = tokio::spawn(look_elsewhere(url.clone(), times.most(), Arc::clone(&stops)));
        let longest = times.budget + Duration::from_secs(1);
        let other = tokio::spawn(beside.go_on(url.clone(), longest, Arc::clone(&stops)));
        tokio::time::sleep(times.away / 2).await;
        is_over.store(true, Ordering::SeqCst);
        for worker in workers {
            working.push(worker.await.unwrap());
        }
        stops.store(true, Ordering::SeqCst);
        assert!(elsewhere.await.unwrap() > 0, "nothing was looked at");
        beside = other.await.unwrap();
        if !is_new {
            for work in &mut working {
                work.make_all_pending().await;
            }
            world.restart().await;
        }
    }
    world.door.open().await;
    let begun = Instant::now();
    // Of ten minutes' work, on a machine that does other things as well.
    let limit = times.away.max(Duration::from_secs(60));
    drained_within(limit, &world.state.path().join("state")).await;
    eprintln!("all is in S3 after {:?}", begun.elapsed());
    for request in mac.wire.sent() {
        let Sent { target, status, took, .. } = &request;
        let is_well = *status < 500 && *took <= times.most();
        assert!(is_well, "{target}: {status} after {took:?}: {:#?}", sent_of(&mac, target));
    }
    let done: Vec<_> = working.iter().map(|work| work.done).collect();
    assert!(done.iter().all(|done| *done > 10), "{done:?}: hardly anything was tried");
    // It has kept what it was told is not stored.
    for (path, content) in std::mem::take(&mut beside.failed) {
        assert!(matches!(Beside::put(&url, &path, &content).await, 200..=204), "{path}");
        beside.stored.insert(path, content);
    }
    world.gateway.as_ref().unwrap().drained().await;
    check(&bucket, &working, beside).await;
}

/// S3 has what was saved, and nothing else.
async fn check(bucket: &Bucket, working: &[Work], beside: Beside) {
    let (mut left, mut wanted) = (bucket.contents().await, BTreeMap::new());
    left.retain(|key, _| !key.ends_with('/'));
    for work in working {
        wanted.extend(work.files.iter().map(|(path, content)| (path[1..].to_owned(), content.clone())));
    }
    wanted.extend(beside.stored.into_iter().map(|(path, content)| (path[1..].to_owned(), content.into())));
    for key in ["known/listed", "unseen/file"] {
        wanted.insert(key.to_owned(), "there".into());
    }
    wanted.entry("beside/file0".to_owned()).or_insert_with(|| "there".into());
    let keys = |all: &BTreeMap<String, Bytes>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&left), keys(&wanted));
    for (key, content) in wanted {
        assert!(left[&key] == content, "{key}: {:?}", String::from_utf8_lossy(&left[&key]).lines().next());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_works_on() {
    nobody_loses_anything(Durability::Store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_works_on_with_a_journal() {
    nobody_loses_anything(Durability::Journal).await;
}

const TEN_MINUTES: f64 = 600.0;
/// As many as a Mac's own threads, but for one that looks elsewhere.
const WORKERS: u64 = 4;
