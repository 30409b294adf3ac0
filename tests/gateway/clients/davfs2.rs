//! davfs2: a real mount, through the kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{TREE, bash, run};
use crate::harness::TestGateway;
use crate::harness::clients::{MOUNT, Tools, needs};

/// A mount; its folder and what davfs2 needs lie in `directory`.
pub struct Mount {
    directory: TempDir,
    tools: Tools,
    is_mounted: bool,
}

impl Mount {
    pub async fn new(url: &str) -> Option<Self> {
        let tools = needs(&MOUNT_NEEDS.concat())?;
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("cache");
        fs::create_dir(&cache).unwrap();
        fs::create_dir(directory.path().join("mount")).unwrap();
        // davfs2 works as a user of its own.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o775)).unwrap();
        run(tools.command("chgrp").arg("davfs2").arg(&cache)).await.unwrap();
        let secrets = directory.path().join("secrets");
        let config = format!(
            "ask_auth 0\nbuf_size 256\ncache_dir {}\nsecrets {}\ndelay_upload 0\ndir_refresh 1\nfile_refresh 0\n",
            cache.display(),
            secrets.display()
        );
        fs::write(directory.path().join("conf"), config).unwrap();
        fs::write(&secrets, "").unwrap();
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
        let mut mount = Self { directory, tools, is_mounted: false };
        mount.mount(url).await;
        Some(mount)
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mount")
    }

    async fn mount(&mut self, url: &str) {
        let conf = format!("conf={}", self.directory.path().join("conf").display());
        let mut command = self.tools.command("mount");
        command.args(["-t", "davfs", "-o", &conf, &format!("{url}/")]).arg(self.path());
        run(&mut command).await.unwrap_or_else(|problem| panic!("{problem}"));
        self.is_mounted = true;
    }

    /// Returns when everything has been written.
    pub async fn unmount(&mut self) {
        let done = run(self.tools.command("umount").arg(self.path())).await;
        done.unwrap_or_else(|problem| panic!("{problem}"));
        self.is_mounted = false;
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = self.tools.blocking_command("umount").arg("-l").arg(self.path()).status();
        }
    }
}

/// What [`Mount`] takes.
pub const MOUNT_NEEDS: [&[&str]; 2] = [MOUNT, &["chgrp"]];

const SCRIPT_NEEDS: &[&str] =
    &["cat", "cmp", "cp", "dd", "diff", "git", "grep", "head", "mv", "rm", "rsync", "sleep", "sync", "tar"];

#[tokio::test(flavor = "multi_thread")]
async fn davfs2_mounts_it_and_programs_work_there() {
    let names = [&MOUNT_NEEDS.concat(), TREE, SCRIPT_NEEDS].concat();
    let Some(tools) = needs(&names) else { return };
    for gateway in TestGateway::both().await {
        let Some(mut mount) = Mount::new(&gateway.url).await else { return };
        let Some(mut other) = Mount::new(&gateway.url).await else { return };
        let local = tempfile::tempdir().unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let tree = text(&local.path().join("tree"));
        bash(&tools, include_str!("tree.sh"), &[("TREE", &tree)]).await;
        let variables =
            [("MOUNT", text(&mount.path())), ("OTHER", text(&other.path())), ("LOCAL", text(local.path()))];
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        bash(&tools, include_str!("davfs2.sh"), &variables).await;
        mount.unmount().await;
        other.unmount().await;
        mount.mount(&gateway.url).await;
        let script = "for copy in parent/tree rsync inplace tar/tree; do diff -r \"$LOCAL/tree\" \"$MOUNT/$copy\"; done
            cmp \"$LOCAL/large\" \"$MOUNT/large\"";
        bash(&tools, script, &variables).await;
        mount.unmount().await;
        let keys = gateway.bucket().await.keys().await;
        let conflicts: Vec<_> = keys.iter().filter(|key| key.contains("(conflict ")).collect();
        assert!(conflicts.is_empty(), "{conflicts:?}");
    }
}
