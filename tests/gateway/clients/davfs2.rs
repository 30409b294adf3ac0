//! davfs2: a real mount, through the kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use super::{bash, run};
use crate::harness::TestGateway;
use crate::harness::clients;

/// A mount; its folder and what davfs2 needs lie in `directory`.
pub struct Mount {
    directory: TempDir,
    is_mounted: bool,
}

impl Mount {
    pub async fn new(url: &str) -> Option<Self> {
        clients::find("mount.davfs")?;
        if !Path::new("/dev/fuse").exists() || !rustix::process::geteuid().is_root() {
            clients::skip("davfs2 as root, with /dev/fuse,");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("cache");
        fs::create_dir(&cache).unwrap();
        fs::create_dir(directory.path().join("mount")).unwrap();
        // davfs2 works as a user of its own.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o775)).unwrap();
        run(Command::new("chgrp").arg("davfs2").arg(&cache)).await.unwrap();
        let secrets = directory.path().join("secrets");
        let config = format!(
            "ask_auth 0\nbuf_size 256\ncache_dir {}\nsecrets {}\ndelay_upload 0\ndir_refresh 1\nfile_refresh 0\n",
            cache.display(),
            secrets.display()
        );
        fs::write(directory.path().join("conf"), config).unwrap();
        fs::write(&secrets, "").unwrap();
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
        let mut mount = Self { directory, is_mounted: false };
        mount.mount(url).await;
        Some(mount)
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    async fn mount(&mut self, url: &str) {
        let conf = format!("conf={}", self.directory.path().join("conf").display());
        let mut command = Command::new("mount");
        command.args(["-t", "davfs", "-o", &conf, &format!("{url}/")]).arg(self.path());
        run(&mut command).await.unwrap_or_else(|problem| panic!("{problem}"));
        self.is_mounted = true;
    }

    /// Returns when everything has been written.
    pub async fn unmount(&mut self) {
        run(Command::new("umount").arg(self.path())).await.unwrap_or_else(|problem| panic!("{problem}"));
        self.is_mounted = false;
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn davfs2_mounts_it_and_programs_work_there() {
    for gateway in TestGateway::both().await {
        let Some(mut mount) = Mount::new(&gateway.url).await else { return };
        let Some(mut other) = Mount::new(&gateway.url).await else { return };
        let local = tempfile::tempdir().unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let tree = text(&local.path().join("tree"));
        bash(include_str!("tree.sh"), &[("TREE", &tree)]).await;
        let variables =
            [("MOUNT", text(&mount.path())), ("OTHER", text(&other.path())), ("LOCAL", text(local.path()))];
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        bash(include_str!("davfs2.sh"), &variables).await;
        mount.unmount().await;
        other.unmount().await;
        mount.mount(&gateway.url).await;
        let script = "for copy in parent/tree rsync inplace tar/tree; do diff -r \"$LOCAL/tree\" \"$MOUNT/$copy\"; done
            cmp \"$LOCAL/large\" \"$MOUNT/large\"";
        bash(script, &variables).await;
        mount.unmount().await;
        let keys = gateway.bucket().await.keys().await;
        let conflicts: Vec<_> = keys.iter().filter(|key| key.contains("(conflict ")).collect();
        assert!(conflicts.is_empty(), "{conflicts:?}");
    }
}
