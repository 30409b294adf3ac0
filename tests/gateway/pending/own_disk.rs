//! This machine's own disk fails: what is answered 2xx all the same is in S3 in the end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use s3dav::config::Config;
use s3dav::spool::Quota;
use s3dav::store::journal::Durability;
use tempfile::TempDir;

use super::Away;
use crate::finder::client::Finder;
use crate::harness::clients::{self, Tools};
use crate::harness::door::Door;
use crate::harness::drained::drained;
use crate::harness::process::{Process, command, outcome};
use crate::harness::{BUCKET, Bucket, buckets, client, embedded};

/// A disk of 8 MiB.
struct SmallDisk {
    place: TempDir,
    tools: Tools,
}

impl SmallDisk {
    /// `None`: nothing may be mounted here.
    fn new() -> Option<Self> {
        let tools = clients::needs(&["root", "mount", "umount"])?;
        let place = tempfile::tempdir().unwrap();
        let mut mount = tools.blocking_command("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "none"]).arg(place.path());
        assert!(mount.status().unwrap().success());
        Some(Self { place, tools })
    }

    fn filler(&self) -> std::path::PathBuf {
        self.place.path().join("filler")
    }

    /// Until not a byte more fits.
    fn fill(&self) {
        fill(&self.filler());
    }

    /// So many bytes.
    fn free(&self, bytes: u64) {
        let filler = fs::File::options().write(true).open(self.filler()).unwrap();
        filler.set_len(filler.metadata().unwrap().len() - bytes).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What a test that failed has open still is let go of when that is closed.
        let _ = self.tools.blocking_command("umount").arg("-l").arg(self.place.path()).status();
    }
}

fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

pub(super) async fn start(state: Arc<TempDir>, durability: Durability) -> Away {
    let s3 = embedded().await;
    let door = Door::before(&s3.endpoint_url()).await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    for name in ["save", "large", "gone", "from"] {
        bucket.put(&format!("d/{name}"), "old").await;
    }
    let away = Away::start_on(s3, door, bucket, state, shrunk(durability)).await;
    let client = Finder::at(&away.gateway.url).called("curl/8.9.1");
    for mind in [&away.mac, &client] {
        mind.list("/d/").await;
        for name in ["save", "large", "gone", "from"] {
            mind.get(&format!("/d/{name}")).await;
        }
    }
    away
}

pub(super) fn shrunk(durability: Durability) -> impl FnOnce(&mut Config) {
    move |config| {
        // A save of macOS would wait for hours.
        config.service.request_budget = Some(Duration::from_secs(4));
        let source = buckets(config);
        source.file_system.durability = durability;
        source.journal_delay = Duration::from_millis(50);
        source.intake.quota = Quota::of(1 << 30);
    }
}

/// What a client changes, and what it was told.
pub(super) async fn change(client: &Finder) -> BTreeMap<&'static str, u16> {
    let put = async |name: &str, content: String| {
        client.request("PUT", &format!("/d/{name}")).body(content).send().await.unwrap().status().as_u16()
    };
    BTreeMap::from([
        ("save", put("save", "new".to_owned()).await),
        ("large", put("large", "n".repeat(300_000)).await),
        ("made", put("made", "new".to_owned()).await),
        ("gone", client.status("DELETE", "/d/gone").await),
        ("to", client.rename("/d/from", "/d/to").await),
    ])
}

/// Whatever was told to be done is done, and whatever was not is as it was, or done.
pub(super) fn held(
    statuses: &BTreeMap<&str, u16>,
    contents: &BTreeMap<String, bytes::Bytes>,
) -> Result<(), String> {
    for (name, status) in statuses {
        let is_told = matches!(status, 200..=299);
        let now = |name: &str| contents.get(&format!("d/{name}")).map(|content| content.len());
        let (is_done, is_as_before) = match *name {
            "save" => (contents["d/save"] == "new", contents["d/save"] == "old"),
            "large" => (now("large") == Some(300_000), now("large") == Some(3)),
            "made" => (now("made") == Some(3), now("made").is_none()),
            "gone" => (now("gone").is_none(), now("gone").is_some()),
            _ => (now("from").is_none() && now("to").is_some(), now("from").is_some()),
        };
        if !is_done && (is_told || !is_as_before) {
            return Err(format!("{name} was answered {status}"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_promised_that_does_not_come_true() {
    for (durability, is_away, is_mac) in [
        (Durability::Journal, false, false),
        (Durability::Journal, true, false),
        (Durability::Store, true, true),
        (Durability::Store, false, true),
    ] {
        let Some(disk) = SmallDisk::new() else { return };
        let why = format!("{durability:?}, away: {is_away}");
        let mut away = start(Arc::new(tempfile::tempdir_in(disk.place.path()).unwrap()), durability).await;
        disk.fill();
        if is_away {
            away.door.shut().await;
        }
        let client = Finder::at(&away.gateway.url).called("curl/8.9.1");
        let statuses = change(if is_mac { &away.mac } else { &client }).await;
        disk.empty();
        if is_away {
            away.door.open().await;
        }
        away.drained().await;
        println!("{why}: {statuses:?}");
        assert_eq!(held(&statuses, &away.bucket.contents().await), Ok(()), "{why}");
        if durability == Durability::Store && !is_away {
            assert!(statuses.values().all(|status| matches!(status, 200..=299)), "S3 has room");
        }
        // All is well again.
        assert_eq!(client.status("PUT", "/d/after").await, 201);
        assert_eq!(client.get("/d/after").await.0, 200);
        away.drained().await;
        assert!(away.bucket.get("d/after").await.is_some());
        let _ = away.gateway.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_on_a_nearly_full_disk_is_listed_served_and_sent_after_a_crash() {
    let Some(disk) = SmallDisk::new() else { return };
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    let state = tempfile::tempdir_in(disk.place.path()).unwrap();
    let directory = state.path().join("state").display().to_string();
    // It is full, so nothing is accepted there; what was is not sent before its time.
    let options = ["--durability=journal", "--on-outage=keep", "--journal-size=1MiB", "--journal-delay=1h"];
    let url = s3.endpoint_url();
    let start = || Process::gateway(&url, &state, &options);
    let get = async |gateway: &Process, name: &str| Finder::at(&gateway.url).get(&format!("/{name}")).await;
    let mut gateway = start().await;
    for name in ["one", "two"] {
        let put = client().put(format!("{}/{name}", gateway.url)).body("content").send().await.unwrap();
        assert_eq!(put.status(), 201);
    }
    gateway.signal("KILL").await;
    gateway.child.wait().await.unwrap();
    disk.fill();
    let list = || outcome(command(&["pending", "--state-dir", &directory]));
    let (code, _, error) = list().await;
    assert!(code != 0 && error.contains("hint: free some space on its disk"), "{error}");
    disk.free(256 << 10);
    let (code, said, error) = list().await;
    assert!(code == 0 && said.contains("/one (7 bytes") && said.contains("/two (7 bytes"), "{said}{error}");
    let mut gateway = start().await;
    assert_eq!(get(&gateway, "two").await.1, "content");
    gateway.signal("KILL").await;
    gateway.child.wait().await.unwrap();
    assert_eq!(bucket.get("one").await, None);
    let (code, said, error) = outcome(command(&["drain", &directory])).await;
    assert!(code == 0 && said.contains("stored 2 changes"), "{said}{error}");
    for name in ["one", "two"] {
        assert_eq!(bucket.get(name).await.unwrap(), "content");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_state_directory_is_removed_what_is_saved_after_that_is_not_lost() {
    for is_away in [false, true] {
        let mut away = start(Arc::new(tempfile::tempdir().unwrap()), Durability::Journal).await;
        fs::remove_dir_all(away.gateway.state.path().join("state")).unwrap();
        if is_away {
            away.door.shut().await;
        }
        let client = Finder::at(&away.gateway.url).called("curl/8.9.1");
        let statuses = change(&client).await;
        if is_away {
            away.door.open().await;
        }
        println!("away: {is_away}: {statuses:?}");
        if !is_away {
            assert!(statuses.values().all(|status| matches!(status, 200..=299)), "S3 takes it at once");
        }
        // Nobody can be asked what is pending: the socket was in it, too.
        let mut is_held = Err(String::new());
        for _ in 0..200 {
            is_held = held(&statuses, &away.bucket.contents().await);
            if is_held.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(is_held, Ok(()));
        let _ = away.gateway.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_was_removed_is_told_once() {
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    let state = tempfile::tempdir().unwrap();
    let mut gateway =
        Process::gateway(&s3.endpoint_url(), &state, &["--durability=journal", "--on-outage=keep"]).await;
    let put = async |name: &str| {
        client().put(format!("{}/{name}", gateway.url)).body("content").send().await.unwrap().status()
    };
    assert_eq!(put("before").await, 201);
    drained(&state.path().join("state")).await;
    fs::remove_dir_all(state.path().join("state")).unwrap();
    for name in ["one", "two"] {
        assert_eq!(put(name).await, 201);
        assert_eq!(bucket.get(name).await.unwrap(), "content", "it is in S3 before it is answered");
    }
    // What Finder keeps of a file goes on until the end.
    let mac = Finder::at(&gateway.url);
    mac.create("/._one", vec![7; 4096]).await;
    assert_eq!(mac.get("/._one").await.1, vec![7; 4096]);
    gateway.signal("TERM").await;
    gateway.child.wait().await.unwrap();
    let said = gateway.said.lock().clone();
    assert_eq!(said.matches("state.redb is not there any more").count(), 1, "{said}");
    assert!(said.contains("restart s3dav when nothing waits for S3"), "{said}");
}
