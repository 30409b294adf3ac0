//! A day with Finder, and what it costs in S3 requests.

use bytes::Bytes;

use super::client::{Finder, STAT};
use crate::harness::TestGateway;

/// A little over what no gateway could do without.
const MOST: u64 = 345;
const LARGE: usize = 64 << 20;

/// Steps and what each cost.
struct Day<'g> {
    gateway: &'g TestGateway,
    told: Vec<(&'static str, u64)>,
}

impl Day<'_> {
    /// Ends a step.
    fn step(&mut self, name: &'static str) {
        self.told.push((name, self.gateway.hooks().total()));
        self.gateway.hooks().reset();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_costs_hardly_more_than_it_must() {
    // What is remembered must not depend on how fast this machine is.
    let gateway = TestGateway::start_with(|config| {
        crate::harness::buckets(config).cache.times.metadata = std::time::Duration::from_secs(600);
    })
    .await;
    fill(&gateway).await;
    gateway.hooks().reset();
    let mac = Finder::of(&gateway);
    let mut day = Day { gateway: &gateway, told: Vec::new() };
    look_around(&mac, &mut day).await;
    read(&mac, &mut day).await;
    write(&mac, &mut day).await;
    rename_and_delete(&mac, &mut day).await;
    let total: u64 = day.told.iter().map(|(_, cost)| cost).sum();
    eprintln!("{:#?}\n{total} in all", day.told);
    assert!(total <= MOST, "{total}: {:?}", day.told);
    let keys = gateway.bucket().await.keys().await;
    let is_junk = |key: &&String| key.contains("._") || key.contains(".DS_Store") || key.contains("conflict");
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
    day.step("mount");
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
    day.step("17 probes of the root");
    assert_eq!(mac.list("/").await.len(), 7);
    day.step("open the root");
    assert_eq!(mac.list("/pictures/").await.len(), 1001);
    for name in [".DS_Store", ".localized", "._."] {
        mac.look(&format!("/pictures/{name}")).await;
    }
    for number in 0..60 {
        mac.look(&format!("/pictures/._{number:04}.jpg")).await;
    }
    day.step("open a folder of 1,000, with 63 probes");
    for number in 0..60 {
        assert_eq!(mac.look(&format!("/pictures/{number:04}.jpg")).await, 207);
    }
    day.step("60 looks");
}

async fn read(mac: &Finder, day: &mut Day<'_>) {
    let mut dates = Vec::new();
    for number in 0..40 {
        let answer = mac.send("GET", &format!("/pictures/{number:04}.jpg")).await;
        dates.push(answer.headers()["last-modified"].clone());
        assert_eq!(answer.bytes().await.unwrap(), picture(number));
    }
    day.step("read 40 small ones");
    for (number, date) in dates.into_iter().enumerate() {
        let request =
            mac.request("GET", &format!("/pictures/{number:04}.jpg")).header("If-Modified-Since", date);
        assert_eq!(request.send().await.unwrap().status(), 304);
    }
    day.step("the same, revalidated");
    for number in 0..40 {
        assert_eq!(mac.get(&format!("/pictures/{number:04}.jpg")).await.1, picture(number));
    }
    day.step("the same, once more");
    assert_eq!(mac.get("/film.mov").await.1.len(), LARGE);
    day.step("read 64 MiB");
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
    day.step("copy in 50 small files with their attributes");
    mac.create("/new/film.mov", vec![b'n'; LARGE]).await;
    day.step("copy in 64 MiB");
    assert_eq!(mac.get("/docs/letter.txt").await.1, "old");
    mac.create("/docs/letter.txt.sb-1", "new").await;
    assert_eq!(mac.rename("/docs/letter.txt.sb-1", "/docs/letter.txt").await, 204);
    assert_eq!(mac.get("/docs/letter.txt").await.1, "new");
    day.step("save a document safely");
}

async fn rename_and_delete(mac: &Finder, day: &mut Day<'_>) {
    assert_eq!(mac.rename("/docs/plan.txt", "/docs/plans.txt").await, 201);
    day.step("rename a file");
    assert_eq!(mac.rename("/album", "/holiday").await, 201);
    day.step("rename a folder of 100");
    let names = mac.list("/old/").await;
    for path in &names[1..] {
        assert_eq!(mac.status("DELETE", path).await, 204);
    }
    assert!(mac.is_empty("/old/").await);
    assert_eq!(mac.status("DELETE", "/old/").await, 204);
    day.step("delete a folder of 100, file by file");
    assert_eq!(mac.status("DELETE", "/tree/").await, 204);
    day.step("delete a tree of 100 in 10 folders");
    let listed = mac.propfind("/", "1", STAT).send().await.unwrap().text().await.unwrap();
    assert!(listed.contains("/holiday/") && !listed.contains("/tree/") && !listed.contains("/old/"));
}
