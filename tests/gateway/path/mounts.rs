//! Other file systems that are mounted in what is served.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::harness::TestGateway;
use crate::harness::clients::{self, Tools};

/// What is mounted somewhere, for as long as this lives.
struct Mounted<'t> {
    tools: &'t Tools,
    point: PathBuf,
}

impl<'t> Mounted<'t> {
    fn new(tools: &'t Tools, arguments: &[&str], point: PathBuf) -> Self {
        fs::create_dir_all(&point).unwrap();
        let mut mount = tools.blocking_command("mount");
        assert!(mount.args(arguments).arg(&point).status().unwrap().success());
        Self { tools, point }
    }

    fn memory(tools: &'t Tools, point: PathBuf) -> Self {
        Self::new(tools, &["-t", "tmpfs", "none"], point)
    }

    /// Another place for what is at `from`.
    fn second(tools: &'t Tools, from: &Path, point: PathBuf) -> Self {
        Self::new(tools, &["--bind", from.to_str().unwrap()], point)
    }

    fn remount(&self, options: &str) {
        let mut mount = self.tools.blocking_command("mount");
        assert!(mount.args(["-o", options]).arg(&self.point).status().unwrap().success());
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = self.tools.blocking_command("umount").arg("-l").arg(&self.point).status();
    }
}

struct Served {
    gateway: TestGateway,
    root: PathBuf,
    outside: TempDir,
}

impl Served {
    async fn start() -> Self {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("file"), "outside").unwrap();
        let path = root.path().to_owned();
        Self { gateway: TestGateway::on_directory(root).await, root: path, outside }
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    fn hidden(&self) -> usize {
        let entries = fs::read_dir(&self.root).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count()
    }
}

/// As `rm --one-file-system` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_which_something_is_mounted_stays() {
    let Some(tools) = clients::needs(&["root", "mount", "umount"]) else { return };
    let served = Served::start().await;
    fs::create_dir_all(served.root.join("folder/deep")).unwrap();
    fs::write(served.root.join("folder/own"), "own").unwrap();
    fs::create_dir(served.root.join("new")).unwrap();
    let point = served.root.join("folder/deep/mounted");
    for is_second in [false, true] {
        let _mounted = if is_second {
            Mounted::second(&tools, served.outside.path(), point.clone())
        } else {
            let memory = Mounted::memory(&tools, point.clone());
            fs::write(point.join("file"), "in memory").unwrap();
            memory
        };
        let content = served.read("folder/deep/mounted/file");
        assert!(content.is_some());
        for path in ["/folder/", "/folder/deep/mounted/"] {
            let answer = served.gateway.request("DELETE", path).send().await.unwrap();
            assert_eq!(answer.status(), 409, "{path}");
            let told = answer.text().await.unwrap();
            assert!(told.contains("mounted at") && told.contains("folder/deep/mounted"), "{told}");
        }
        for method in ["COPY", "MOVE"] {
            assert_eq!(served.gateway.transfer(method, "/new/", "/folder/").await, 409, "{method}");
        }
        assert_eq!(served.read("folder/deep/mounted/file"), content, "second place: {is_second}");
        assert_eq!(served.read("folder/own").unwrap(), "own");
        assert_eq!(served.hidden(), 0);
    }
    assert_eq!(fs::read_to_string(served.outside.path().join("file")).unwrap(), "outside");
    assert_eq!(served.gateway.status("DELETE", "/folder/").await, 204, "nothing is mounted there any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_not_moved_onto_itself_by_another_place_of_its_folder() {
    let Some(tools) = clients::needs(&["root", "mount", "umount"]) else { return };
    let served = Served::start().await;
    fs::create_dir(served.root.join("one")).unwrap();
    fs::write(served.root.join("one/file"), "own").unwrap();
    let _mounted = Mounted::second(&tools, &served.root.join("one"), served.root.join("two"));
    for method in ["COPY", "MOVE"] {
        assert_eq!(served.gateway.transfer(method, "/one/file", "/two/file").await, 403, "{method}");
    }
    assert_eq!(served.read("one/file").unwrap(), "own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_not_moved_into_itself_by_another_place_of_it() {
    let Some(tools) = clients::needs(&["root", "mount", "umount"]) else { return };
    let served = Served::start().await;
    fs::create_dir_all(served.root.join("one/deep")).unwrap();
    fs::write(served.root.join("one/deep/file"), "own").unwrap();
    std::os::unix::fs::symlink("two/deep", served.root.join("link")).unwrap();
    let _mounted = Mounted::second(&tools, &served.root.join("one"), served.root.join("two"));
    let pairs = [
        ("/one/", "/two/new/"),
        ("/one/", "/two/deep/"),
        ("/one/", "/two/deep/new/"),
        ("/one/deep/", "/two/deep/new/"),
        ("/two/deep/", "/one/deep/new/"),
        ("/one/deep/", "/link/new/"),
        ("/two/deep/file", "/one/deep/"),
    ];
    for (from, to) in pairs {
        for method in ["COPY", "MOVE"] {
            let status = served.gateway.transfer(method, from, to).await;
            assert_eq!(status, 403, "{method} {from} {to}");
            assert_eq!(served.read("one/deep/file").as_deref(), Some("own"), "{method} {from} {to}");
        }
    }
    assert_eq!(
        served.gateway.transfer("MOVE", "/two/deep/file", "/one/file").await,
        201,
        "beside it is not in it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_leave_its_file_system_replaces_nothing_elsewhere() {
    let Some(tools) = clients::needs(&["root", "mount", "umount"]) else { return };
    let served = Served::start().await;
    let mounted = Mounted::memory(&tools, served.root.join("mounted"));
    fs::create_dir(mounted.point.join("folder")).unwrap();
    fs::write(mounted.point.join("folder/file"), "mounted").unwrap();
    fs::write(mounted.point.join("file"), "mounted").unwrap();
    fs::write(served.root.join("old"), "old").unwrap();
    mounted.remount("remount,ro");
    for (from, to) in [("file", "new"), ("file", "old"), ("folder/", "new/"), ("folder/", "old")] {
        let (from, to) = (format!("/mounted/{from}"), format!("/{to}"));
        assert_eq!(served.gateway.transfer("MOVE", &from, &to).await, 403, "{from} {to}");
        assert!(!served.root.join("new").exists(), "{from} {to}");
        assert_eq!(served.read("old").unwrap(), "old", "{from} {to}");
    }
    mounted.remount("remount,rw");
    assert_eq!(served.gateway.transfer("MOVE", "/mounted/file", "/old").await, 204);
    assert_eq!(served.read("old").unwrap(), "mounted");
}
