//! A day with Finder, and what it costs in S3 requests.

use std::sync::Arc;

use bytes::Bytes;
use s3dav::config::Config;
use s3dav::store::journal::Durability;

use super::client::{Finder, STAT};
use crate::harness::clients::{Moto, needs};
use crate::harness::{Behind, TestGateway, buckets, embedded};

/// A little over what no gateway could do without.
const MOST: u64 = 335;
/// Where changes wait a moment for those that make them needless, until S3 has all of them.
const MOST_WITH_A_JOURNAL: u64 = 240;
/// Where the endpoint must be asked what it can, and ignores some conditions.
const MOST_WITH_LOOKS: u64 = 365;
const LARGE: usize = 64 << 20;

/// Steps and what each cost.
struct Day<'g> {
    gateway: &'g TestGateway,
    told: Vec<(&'static str, u64)>,
    /// Requests so far.
    before: u64,
}

impl Day<'_> {
    /// Ends a step.
    async fn step(&mut self, name: &'static str) {
        let now = self.gateway.s3_requests().await;
        self.told.push((name, now - self.before));
        self.before = now;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_costs_hardly_more_than_it_must() {
    let gateway = TestGateway::start_with(lasting).await;
    a_day(&gateway, MOST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_with_a_journal_costs_less() {
    let gateway = TestGateway::start_with(|config| {
        lasting(config);
        // Nor must it how much goes together.
        buckets(config).journal_delay = std::time::Duration::from_secs(10);
        let options = &mut buckets(config).file_system;
        (options.keeps, options.durability) = (true, Durability::Journal);
    })
    .await;
    a_day(&gateway, MOST_WITH_A_JOURNAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_costs_little_more_where_conditions_are_ignored() {
    let s3 = embedded().await;
    s3.hooks().ignore_conditions_of(&[
        "CompleteMultipartUpload",
        "CopyObject",
        "CopySource",
        "DeleteObjects",
    ]);
    a_day(&asking(Behind::S3(s3)).await, MOST_WITH_LOOKS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_on_moto_costs_little_more() {
    let Some(tools) = needs(&["moto_server"]) else { return };
    let moto = Moto::start(&tools).await;
    a_day(&asking(Behind::Elsewhere(moto.endpoint.clone())).await, MOST_WITH_LOOKS).await;
}

/// What is remembered must not depend on how fast this machine is.
fn lasting(config: &mut Config) {
    let long = std::time::Duration::from_secs(600);
    buckets(config).cache.times.metadata = long;
    buckets(config).look_age = long;
}

async fn asking(behind: Behind) -> TestGateway {
    let state = Arc::new(tempfile::tempdir().unwrap());
    TestGateway::start_behind(behind, state, |config| {
        lasting(config);
        buckets(config).trusts_conditions = false;
    })
    .await
}

async fn a_day(gateway: &TestGateway, most: u64) {
    fill(gateway).await;
    let mac = Finder::of(gateway);
    let mut day = Day { gateway, told: Vec::new(), before: gateway.s3_requests().await };
    look_around(&mac, &mut day).await;
    read(&mac, &mut day).await;
    write(&mac, &mut day).await;
    rename_and_delete(&mac, &mut day).await;
    gateway.drained().await;
    day.step("until S3 has all of it").await;
    let total: u64 = day.told.iter().map(|(_, cost)| cost).sum();
    eprintln!("{:#?}\n{total} in all", day.told);
    assert!(total <= most, "{total}: {:?}", day.told);
    let keys = gateway.bucket().await.keys().await;
    let is_junk =
        |key: &&String| ["._", ".DS_Store", "conflict", ".s3dav"].iter().any(|mark| key.contains(mark));
    assert_eq!(keys.iter().filter(is_junk).count(), 0, "{keys:?}");
}

fn picture(number: usize) -> Bytes {
    format!("picture {number} ").repeat(200).into()
}

async fn fill(gateway: &TestGateway) {
    let bucket = gateway.bucket().await;
    for number in 0..1000 {
        bucket.put_bytes(&format!("pictures/{number:04}.jpg"), picture(number)).await;
    }
    for number in 0..100 {
        bucket.put(&format!("album/{number:03}"), "x").await;
        bucket.put(&format!("old/{number:03}"), "x").await;
        bucket.put(&format!("tree/{}/{number:03}", number % 10), "x").await;
    }
    bucket.put("docs/letter.txt", "old").await;
    bucket.put("docs/plan.txt", "plan").await;
    bucket.put_bytes("film.mov", vec![b'f'; LARGE].into()).await;
}

async fn look_around(mac: &Finder, day: &mut Day<'_>) {
    for agent in ["WebDAVLib/1.3", super::client::AGENT] {
        mac.request("OPTIONS", "/").header("User-Agent", agent).send().await.unwrap();
    }
    assert_eq!(mac.look("/").await, 207);
    day.step("mount").await;
    for probe in [
        "/.hidden",
        "/.DS_Store",
        "/DCIM",
        "/.metadata_never_index_unless_rootfs",
        "/.metadata_never_index",
        "/.metadata_direct_scope_only",
        "/.Spotlight-V100",
        "/._.",
        "/.localized",
        "/.ql_disablethumbnails",
        "/.ql_disablecache",
        "/.VolumeIcon.icns",
        "/.TemporaryItems",
        "/.Trashes",
        "/.fseventsd",
        "/.apdisk",
        "/mach_kernel",
    ] {
        mac.look(probe).await;
    }
    day.step("17 probes of the root").await;
    assert_eq!(mac.list("/").await.len(), 7);
    day.step("open the root").await;
    assert_eq!(mac.list("/pictures/").await.len(), 1001);
    for name in [".DS_Store", ".localized", "._."] {
        mac.look(&format!("/pictures/{name}")).await;
    }
    for number in 0..60 {
        mac.look(&format!("/pictures/._{number:04}.jpg")).await;
    }
    day.step("open a folder of 1,000, with 63 probes").await;
    for number in 0..60 {
        assert_eq!(mac.look(&format!("/pictures/{number:04}.jpg")).await, 207);
    }
    day.step("60 looks").await;
}

async fn read(mac: &Finder, day: &mut Day<'_>) {
    let mut dates = Vec::new();
    for number in 0..40 {
        let answer = mac.send("GET", &format!("/pictures/{number:04}.jpg")).await;
        dates.push(answer.headers()["last-modified"].clone());
        assert_eq!(answer.bytes().await.unwrap(), picture(number));
    }
    day.step("read 40 small ones").await;
    for (number, date) in dates.into_iter().enumerate() {
        let request =
            mac.request("GET", &format!("/pictures/{number:04}.jpg")).header("If-Modified-Since", date);
        assert_eq!(request.send().await.unwrap().status(), 304);
    }
    day.step("the same, revalidated").await;
    for number in 0..40 {
        assert_eq!(mac.get(&format!("/pictures/{number:04}.jpg")).await.1, picture(number));
    }
    day.step("the same, once more").await;
    assert_eq!(mac.get("/film.mov").await.1.len(), LARGE);
    day.step("read 64 MiB").await;
}

async fn write(mac: &Finder, day: &mut Day<'_>) {
    assert_eq!(mac.look("/new").await, 404);
    assert_eq!(mac.status("MKCOL", "/new").await, 201);
    mac.list("/new/").await;
    for number in 0..50 {
        let (path, beside) = (format!("/new/{number:02}.txt"), format!("/new/._{number:02}.txt"));
        assert_eq!(mac.look(&path).await, 404);
        assert_eq!(mac.status("PUT", &path).await, 201);
        assert_eq!(mac.look(&beside).await, 404);
        let token = mac.lock(&path).await;
        mac.create(&beside, vec![0; 4096]).await;
        assert_eq!(mac.put(&path, &token, picture(number)).await, 204);
        assert_eq!(mac.unlock(&path, &token).await, 204);
        assert_eq!(mac.look(&path).await, 207);
    }
    day.step("copy in 50 small files with their attributes").await;
    mac.create("/new/film.mov", vec![b'n'; LARGE]).await;
    day.step("copy in 64 MiB").await;
    assert_eq!(mac.get("/docs/letter.txt").await.1, "old");
    mac.create("/docs/letter.txt.sb-1", "new").await;
    assert_eq!(mac.rename("/docs/letter.txt.sb-1", "/docs/letter.txt").await, 204);
    assert_eq!(mac.get("/docs/letter.txt").await.1, "new");
    day.step("save a document safely").await;
}

async fn rename_and_delete(mac: &Finder, day: &mut Day<'_>) {
    assert_eq!(mac.rename("/docs/plan.txt", "/docs/plans.txt").await, 201);
    day.step("rename a file").await;
    assert_eq!(mac.rename("/album", "/holiday").await, 201);
    day.step("rename a folder of 100").await;
    let names = mac.list("/old/").await;
    for path in &names[1..] {
        assert_eq!(mac.status("DELETE", path).await, 204);
    }
    assert!(mac.is_empty("/old/").await);
    assert_eq!(mac.status("DELETE", "/old/").await, 204);
    day.step("delete a folder of 100, file by file").await;
    assert_eq!(mac.status("DELETE", "/tree/").await, 204);
    day.step("delete a tree of 100 in 10 folders").await;
    let listed = mac.propfind("/", "1", STAT).send().await.unwrap().text().await.unwrap();
    assert!(listed.contains("/holiday/") && !listed.contains("/tree/") && !listed.contains("/old/"));
}
