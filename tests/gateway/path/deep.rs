//! Trees that other programs made deeper than any path can name, and deeper than files can be open.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use tempfile::TempDir;

use crate::harness::process::{Process, command};
use crate::harness::{client, clients};

/// A gateway on a directory that may have 256 files open at once.
struct Served {
    gateway: Process,
    root: TempDir,
    _state: TempDir,
}

impl Served {
    async fn start() -> Option<Self> {
        let tools = clients::needs(&["prlimit"])?;
        let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let model = command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut serve = tools.command("prlimit");
        serve.arg("--nofile=256:256").arg(model.as_std().get_program()).args(model.as_std().get_args());
        for (name, value) in model.as_std().get_envs() {
            match value {
                Some(value) => serve.env(name, value),
                None => serve.env_remove(name),
            };
        }
        serve.arg("--path").arg(root.path()).arg("--state-dir").arg(state.path().join("state"));
        fs::write(root.path().join("other"), "x").unwrap();
        let gateway = Process::serving(serve).await;
        Some(Self { gateway, root, _state: state })
    }

    /// The answer to a request, while others are answered.
    async fn request(&self, method: &str, path: &str, destination: &str) -> (u16, String) {
        let request = client().request(method.parse().unwrap(), format!("{}{path}", self.gateway.url));
        let destination = format!("{}{destination}", self.gateway.url);
        let asked = tokio::spawn(async move {
            let answer = request.header("Destination", destination).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        });
        let other = format!("{}/other", self.gateway.url);
        let mut lasts = true;
        while lasts {
            lasts = !asked.is_finished();
            assert_eq!(client().get(&other).send().await.unwrap().status(), 200, "{method} {path}");
        }
        asked.await.unwrap()
    }

    /// What lies in the directory itself.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn open(at: &OwnedFd, name: &str) -> OwnedFd {
    openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

fn write(at: &OwnedFd, name: &[u8]) {
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let file = openat(at, name, flags, Mode::from_raw_mode(0o600)).unwrap();
    rustix::io::write(file, b"x").unwrap();
}

/// A chain of so many folders below `name`, with more in some; returns the last.
fn chain(root: &Path, name: &str, levels: usize) -> OwnedFd {
    fs::create_dir(root.join(name)).unwrap();
    let mut folder: OwnedFd = fs::File::open(root.join(name)).unwrap().into();
    for level in 0..levels {
        let names: &[&str] = if level % 20 == 0 { &["a", "d", "e"] } else { &["d"] };
        for name in names {
            mkdirat(&folder, *name, Mode::from_raw_mode(0o700)).unwrap();
        }
        if level % 20 == 0 {
            write(&folder, b"f");
        }
        folder = open(&folder, "d");
    }
    folder
}

/// How many folders `d` there are, one in another.
fn levels(root: &Path, name: &str) -> usize {
    let mut folder: OwnedFd = fs::File::open(root.join(name)).unwrap().into();
    let mut levels = 0;
    while let Ok(next) = openat(&folder, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        (folder, levels) = (next, levels + 1);
    }
    levels
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_of_any_depth_is_deleted() {
    let Some(served) = Served::start().await else { return };
    // Further down than the system can be given a path for.
    let bottom = chain(served.root.path(), "deep", 2500);
    rustix::fs::symlinkat("../f", &bottom, "link").unwrap();
    assert_eq!(served.request("DELETE", "/deep", "/").await, (204, String::new()));
    assert_eq!(served.names(), ["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_stay_is_found_at_any_depth() {
    let Some(served) = Served::start().await else { return };
    let bottom = chain(served.root.path(), "deep", 2000);
    write(&bottom, b".s3files-lost+found-1");
    let (status, text) = served.request("DELETE", "/deep", "/").await;
    assert!(status == 403 && text.contains("Amazon S3 Files"), "{status} {text}");
    rustix::fs::unlinkat(&bottom, ".s3files-lost+found-1", rustix::fs::AtFlags::empty()).unwrap();
    write(&bottom, b"\xff");
    let (status, text) = served.request("DELETE", "/deep", "/").await;
    assert!(status == 409 && text.contains("--delete-hidden"), "{status} {text}");
    assert_eq!(levels(served.root.path(), "deep"), 2000, "nothing was deleted");
    rustix::fs::unlinkat(&bottom, &b"\xff"[..], rustix::fs::AtFlags::empty()).unwrap();
    assert_eq!(served.request("DELETE", "/deep", "/").await.0, 204);
    assert_eq!(served.names(), ["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_too_deep_is_moved_and_replaced_but_not_copied() {
    let Some(served) = Served::start().await else { return };
    chain(served.root.path(), "deep", 2000);
    let (status, text) = served.request("COPY", "/deep", "/copy").await;
    assert!(status == 409 && text.contains("512 levels"), "{status} {text}");
    assert_eq!(served.request("MOVE", "/deep", "/moved").await.0, 201);
    assert_eq!(levels(served.root.path(), "moved"), 2000);
    // What can be named can be copied, however few files may be open.
    chain(served.root.path(), "small", 500);
    assert_eq!(served.request("COPY", "/small", "/copy").await.0, 201);
    assert_eq!(levels(served.root.path(), "copy"), 500);
    assert_eq!(served.request("MOVE", "/small", "/moved").await.0, 204);
    assert_eq!(levels(served.root.path(), "moved"), 500);
    for path in ["/moved", "/copy"] {
        assert_eq!(served.request("DELETE", path, "/").await.0, 204);
    }
    assert_eq!(served.names(), ["other"]);
}
