//! Who runs: s3dav, rclone with two sets of flags, and programs that use the SDK and nothing else.

// Two benches have this file, and each uses a part of it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use s3dav::control::{self, PendingAction, Reply, Request};
use s3dav::store::journal::Durability;
use tempfile::TempDir;

pub const BUCKET: &str = "bucket";
/// Access key and secret of the S3 server.
pub const KEYS: (&str, &str) = ("s3dav-benches", "not-a-secret");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    S3dav,
    /// Changes on disk first, and in S3 later.
    S3davJournal,
    Rclone,
    RcloneTuned,
    /// With everything on disk first, and uploads later.
    RcloneCached,
    Bare,
}

impl Contender {
    pub const ALL: [Self; 4] = [Self::S3dav, Self::Rclone, Self::RcloneTuned, Self::Bare];

    pub fn name(self) -> &'static str {
        match self {
            Self::S3dav => "s3dav",
            Self::S3davJournal => "s3dav, journal",
            Self::Rclone => "rclone",
            Self::RcloneTuned => "rclone, tuned",
            Self::RcloneCached => "rclone, cached",
            Self::Bare => "bare SDK",
        }
    }
}

/// A program under measurement.
pub struct Running {
    child: Child,
    /// Where it serves WebDAV.
    pub address: SocketAddr,
    state: TempDir,
}

/// What a program used.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub cpu: f64,
    /// Bytes.
    pub peak: u64,
}

impl Running {
    /// Starts a WebDAV server over the S3 server at `s3`, and waits until it answers.
    pub fn serve(contender: Contender, s3: SocketAddr) -> Self {
        // On a disk, where a user has it: in memory no sync takes time, and s3dav keeps nothing there.
        let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let address = free_address();
        let mut command = match contender {
            Contender::S3dav => s3dav(s3, address, &state, Durability::Store),
            Contender::S3davJournal => s3dav(s3, address, &state, Durability::Journal),
            Contender::Rclone => rclone(s3, address, &[]),
            Contender::RcloneTuned => rclone(s3, address, TUNED),
            Contender::RcloneCached => {
                let cache = format!("--cache-dir={}", state.path().display());
                rclone(s3, address, &[TUNED, &["--vfs-cache-mode=full", &cache]].concat())
            }
            Contender::Bare => unreachable!("it serves nothing"),
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{contender:?} does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        // What it asks for at its start is not part of the work.
        std::thread::sleep(Duration::from_millis(500));
        Self { child, address, state }
    }

    /// Waits until S3 has all that s3dav answered.
    pub async fn drained(&self) {
        let list = || Request::Pending { path: String::new(), action: PendingAction::List };
        loop {
            match control::ask(self.state.path(), list(), Duration::from_secs(30)).await {
                Ok(Reply::Pending { changes }) if changes.is_empty() => break,
                Ok(Reply::Pending { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn used(&self) -> Used {
        used(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

const TUNED: &[&str] = &["--use-server-modtime", "--s3-no-head", "--checkers=16", "--transfers=16"];

/// CPU seconds and peak memory of a process so far.
pub fn used(process: u32) -> Used {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Behind the name in parentheses, which may hold anything: user and system time in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap() / 100.0;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024;
    Used { cpu: ticks(11) + ticks(12), peak }
}

fn s3dav(s3: SocketAddr, address: SocketAddr, state: &TempDir, durability: Durability) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3dav"));
    let (key, secret) = KEYS;
    command
        .args(["serve", "--bucket", BUCKET, "--force-path-style", "--endpoint-url", &format!("http://{s3}")])
        .args(["--listen", &address.to_string(), "--state-dir"])
        .arg(state.path())
        .args(["--conditional-writes", "yes", "--region", "us-east-1"])
        .args(["--durability", &durability.to_string()])
        .env("AWS_ACCESS_KEY_ID", key)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn rclone(s3: SocketAddr, address: SocketAddr, flags: &[&str]) -> Command {
    let program = std::env::var("S3DAV_RCLONE").unwrap_or_else(|_| "rclone".to_owned());
    let (key, secret) = KEYS;
    let remote = format!(
        ":s3,provider=Other,list_version=2,endpoint='http://{s3}',access_key_id={key},secret_access_key={secret},\
         region=us-east-1,force_path_style=true:{BUCKET}"
    );
    let mut command = Command::new(program);
    command
        .args(["serve", "webdav", &remote, "--addr", &address.to_string(), "--config", "/dev/null"])
        .args(flags);
    command
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
