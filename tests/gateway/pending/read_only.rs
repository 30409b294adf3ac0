//! This machine's disk turns read-only, as after an error: what is answered 2xx all the same is in S3 in the end, and what
//! the disk could not forget does no harm in the next life.

use std::fs;
use std::sync::Arc;

use s3dav::store::journal::Durability;
use tempfile::TempDir;

use super::Away;
use super::own_disk::{change, held, shrunk, start};
use crate::finder::client::Finder;
use crate::harness::clients::{self, Tools};
use crate::harness::{drained, eventually};

/// A disk in a file.
struct Disk {
    place: TempDir,
    tools: Tools,
}

impl Disk {
    /// `None`: there is none here.
    fn new() -> Option<Self> {
        let tools = clients::needs(&["root", "mount", "umount", "mkfs.ext4"])?;
        let place = tempfile::tempdir().unwrap();
        fs::File::create(place.path().join("image")).unwrap().set_len(16 << 20).unwrap();
        fs::create_dir(place.path().join("disk")).unwrap();
        let disk = Self { place, tools };
        disk.run("mkfs.ext4", &["-q", "-F", "image"]);
        disk.mount();
        Some(disk)
    }

    fn state(&self) -> Arc<TempDir> {
        Arc::new(tempfile::tempdir_in(self.place.path().join("disk")).unwrap())
    }

    fn mount(&self) {
        self.run("mount", &["-o", "loop", "image", "disk"]);
    }

    /// From now on it takes nothing, and what is open is open still.
    fn turn_read_only(&self) {
        self.run("mount", &["-o", "remount,abort", "disk"]);
        assert!(fs::write(self.place.path().join("disk/file"), "").is_err());
    }

    /// It is well again; nobody uses it.
    fn repair(&self) {
        self.run("umount", &["disk"]);
        self.mount();
    }

    fn run(&self, program: &'static str, arguments: &[&str]) {
        let mut command = self.tools.blocking_command(program);
        let said = command.args(arguments).current_dir(self.place.path()).output().unwrap();
        assert!(said.status.success(), "{program}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What a test that failed has open still is let go of when that is closed.
        let disk = self.place.path().join("disk");
        let _ = self.tools.blocking_command("umount").arg("-l").arg(disk).status();
    }
}

/// Until S3 has all of it; the disk cannot forget it.
async fn sent(away: &Away) {
    let state = away.gateway.state.path().join("state");
    eventually("everything is stored", || async { !drained::is_anything_pending(&state).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_that_turns_read_only_nothing_is_promised_that_does_not_come_true() {
    for (durability, is_away, is_mac) in [
        (Durability::Journal, false, false),
        (Durability::Journal, true, false),
        (Durability::Store, true, true),
        (Durability::Store, false, true),
    ] {
        let Some(disk) = Disk::new() else { return };
        let why = format!("{durability:?}, away: {is_away}");
        let mut away = start(disk.state(), durability).await;
        if is_away {
            // This is accepted while all is well.
            away.door.shut().await;
            assert_eq!(away.save("/d/early", "early").await, 204, "{why}");
        }
        disk.turn_read_only();
        let client = Finder::at(&away.gateway.url).called("curl/8.9.1");
        let statuses = change(if is_mac { &away.mac } else { &client }).await;
        if is_away {
            away.door.open().await;
        }
        sent(&away).await;
        println!("{why}: {statuses:?}");
        let contents = away.bucket.contents().await;
        assert_eq!(held(&statuses, &contents), Ok(()), "{why}");
        if !is_away {
            assert!(statuses.values().all(|status| matches!(status, 200..=299)), "S3 takes it");
        }
        let Away { gateway, door, s3, bucket, .. } = away;
        let (_, state) = gateway.end().await;
        disk.repair();
        // In the next life all is well again, and what was stored already is stored once.
        let away = Away::start_on(s3, door, bucket, state, shrunk(durability)).await;
        away.drained().await;
        assert_eq!(away.bucket.contents().await, contents, "{why}");
        assert_eq!(away.gateway.put("/d/after", "content").await, 201);
        away.drained().await;
        assert!(away.bucket.get("d/after").await.is_some());
        let _ = away.gateway.end().await;
    }
}
