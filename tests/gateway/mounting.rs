//! `s3dav mount` and what keeps it: the whole life of a mount, with davfs2 and through the kernel.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use s3dav::embedded::{Action, EmbeddedS3, Gate};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::process::Command;

use crate::harness::clients::{self, Tools};
use crate::harness::held::{end_holder, is_gone};
use crate::harness::process::{
    Process, command, outcome, program_in, send_signal as signal, take_environment,
};
use crate::harness::users::{as_user, others_have};
use crate::harness::{BUCKET, Bucket, embedded, eventually};

/// A user's home with a bucket to mount; what is mounted or runs at the end is ended.
pub struct Home {
    pub directory: TempDir,
    pub s3: Arc<EmbeddedS3>,
    pub tools: Tools,
}

impl Home {
    /// `None` where nothing can be mounted.
    pub async fn new() -> Option<Self> {
        Some(Self::with(clients::needs(clients::MOUNT)?).await)
    }

    async fn with(tools: Tools) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), s3: embedded().await, tools }
    }

    pub fn point(&self) -> PathBuf {
        self.directory.path().join("s3files")
    }

    fn state_dir(&self) -> PathBuf {
        let base = self.directory.path().join("state/s3dav");
        let mut states = fs::read_dir(base).unwrap().map(|entry| entry.unwrap().path());
        states.find(|path| path.join("gateway.lock").exists()).unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("HOME", self.directory.path()).env("XDG_STATE_HOME", self.directory.path().join("state"));
        command
    }

    pub fn with_bucket(&self, name: &str, more: &[&str]) -> Command {
        let endpoint = self.s3.endpoint_url();
        let mut command = self.command(&[name]);
        command.args(["--bucket", BUCKET, "--force-path-style", "--endpoint-url", &endpoint]).args(more);
        command
    }

    async fn mount(&self) -> (i32, String, String) {
        outcome(self.with_bucket("mount", &[self.point().to_str().unwrap()])).await
    }

    pub async fn mounted(&self) -> String {
        let (code, said, error) = self.mount().await;
        assert_eq!(code, 0, "{error}");
        said
    }

    pub async fn unmount(&self, more: &[&str]) -> (i32, String, String) {
        let mut command = self.command(&["unmount"]);
        command.arg(self.point()).args(more);
        outcome(command).await
    }

    pub async fn status(&self) -> serde_json::Value {
        let (_, text, _) = outcome(self.command(&["status", "--json"])).await;
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[0].clone()
    }

    async fn port(&self) -> String {
        let url = self.status().await["urls"][0].as_str().unwrap().to_owned();
        url.trim_end_matches('/').rsplit(':').next().unwrap().to_owned()
    }

    async fn bucket(&self) -> Bucket {
        Bucket::of(&self.s3.endpoint_url(), BUCKET).await
    }

    async fn kill_gateway(&self) {
        let id = self.status().await["pid"].to_string();
        signal("KILL", &id);
        eventually("an end", || async { is_gone(&id) }).await;
    }

    /// The process of the mount.
    fn davfs2(&self) -> Option<String> {
        let point = self.point();
        let is_ours = |id: &str| {
            let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.contains("mount.davfs") && line.contains(point.to_str().unwrap())
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let mut ids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        ids.find(|id| is_ours(id))
    }
}

pub fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().any(|line| line.split(' ').nth(4) == point.to_str())
}

impl Drop for Home {
    fn drop(&mut self) {
        // After a failed test.
        let mut umount = self.tools.blocking_command("umount");
        let _ = umount.args(["-i", "-f", "-l"]).arg(self.point()).output();
        let states = fs::read_dir(self.directory.path().join("state/s3dav")).into_iter().flatten().flatten();
        for state in states {
            for lock in ["parent.lock", "gateway.lock"] {
                end_holder(&state.path().join(lock));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_mounts_and_one_unmounts() {
    let Some(home) = Home::new().await else { return };
    let point = home.point();
    assert!(home.mounted().await.contains("mounted at"));
    fs::write(point.join("hello.txt"), "from a program").unwrap();
    assert_eq!(fs::read_to_string(point.join("hello.txt")).unwrap(), "from a program");
    assert!(home.mounted().await.contains("is already mounted"));
    let status = home.status().await;
    assert_eq!(status["mounts"], serde_json::json!([{ "point": point, "health": "well" }]));
    assert_eq!((&status["detached"], &status["auth"]), (&true.into(), &"peer".into()));
    assert_eq!(fs::metadata(&point).unwrap().permissions().mode() & 0o777, 0o700, "nobody else's");
    let (code, said, error) = home.unmount(&[]).await;
    assert_eq!((code, said.contains("unmounted")), (0, true), "{error}");
    assert!(!is_mounted(&point) && !point.exists(), "it was made for this");
    assert_eq!(home.bucket().await.get("hello.txt").await.unwrap(), "from a program");
    let (code, _, error) = outcome(home.command(&["status"])).await;
    assert_eq!((code, error.contains("no gateway is running")), (1, true), "it ends with its mount");
    let (code, _, error) = home.unmount(&[]).await;
    assert_eq!((code, error.contains("nothing is mounted")), (1, true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_shows_below_a_path_is_mounted_too() {
    let Some(home) = Home::new().await else { return };
    let point = home.point();
    home.bucket().await.put("d/file", "content").await;
    let prefix = ["--url-prefix", "/proxy/1/"];
    let (code, _, error) =
        outcome(home.with_bucket("mount", &[&prefix[..], &[point.to_str().unwrap()]].concat())).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(fs::read_to_string(point.join("d/file")).unwrap(), "content");
    fs::rename(point.join("d/file"), point.join("moved")).unwrap();
    assert_eq!(home.status().await["mounts"], serde_json::json!([{ "point": point, "health": "well" }]));
    let (code, _, error) = home.unmount(&[]).await;
    assert_eq!(code, 0, "{error}");
    assert!(!is_mounted(&point));
    assert_eq!(home.bucket().await.get("moved").await.unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_logs_where_mount_was_told_to() {
    let Some(home) = Home::new().await else { return };
    let (log, point) = (home.directory.path().join("log"), home.point());
    let mut mount = home.with_bucket("mount", &[point.to_str().unwrap(), "--log-format", "json", "-v"]);
    let (code, _, error) = outcome({
        mount.arg("--log-file").arg(&log);
        mount
    })
    .await;
    assert_eq!(code, 0, "{error}");
    let lines: Vec<serde_json::Value> =
        fs::read_to_string(&log).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["level"] == "DEBUG"), "{lines:?}");
    let (code, said, error) = outcome(home.command(&["unmount"])).await;
    assert_eq!((code, said.contains(point.to_str().unwrap())), (0, true), "the only one is meant: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_killed_comes_back_under_its_mount() {
    let Some(home) = Home::new().await else { return };
    home.mounted().await;
    fs::write(home.point().join("before"), "1").unwrap();
    let port = home.port().await;
    home.kill_gateway().await;
    assert!(home.mounted().await.contains("is already mounted"));
    assert_eq!(home.port().await, port, "or the mount would be lost");
    fs::write(home.point().join("after"), "2").unwrap();
    assert_eq!(fs::read_to_string(home.point().join("before")).unwrap(), "1");
    assert_eq!(home.unmount(&[]).await.0, 0);
    assert_eq!(home.bucket().await.keys().await, ["after", "before"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_closed_while_gateways_are_killed_under_a_mount_arrive() {
    const KILLS: usize = 20;
    let Some(home) = Home::new().await else { return };
    home.mounted().await;
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (point, end, count) = (home.point(), Arc::clone(&stop), Arc::clone(&written));
    let writer = tokio::task::spawn_blocking(move || {
        while !end.load(Ordering::Relaxed) {
            let number = count.load(Ordering::Relaxed);
            // A program whose connection was cut is told; it tries again.
            if fs::write(point.join(format!("file{number}")), format!("content {number}")).is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for _ in 0..KILLS {
        let before = written.load(Ordering::Relaxed);
        eventually("files are written", || async { written.load(Ordering::Relaxed) > before + 1 }).await;
        home.kill_gateway().await;
        eventually("another gateway", || async { home.status().await["pid"].is_number() }).await;
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert_eq!(home.status().await["held_by"]["deaths"], KILLS);
    assert!(is_mounted(&home.point()), "it is the same mount");
    let (code, _, error) = home.unmount(&[]).await;
    assert_eq!(code, 0, "{error}");
    let (contents, written) = (home.bucket().await.contents().await, written.load(Ordering::Relaxed));
    eprintln!("{written} files closed over {KILLS} kills");
    for number in 0..written {
        assert_eq!(contents[&format!("file{number}")], format!("content {number}"));
    }
    assert_eq!(contents.len() as u64, written, "{:?}", contents.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_is_unmounted_before_its_port_closes() {
    let Some(home) = Home::new().await else { return };
    home.mounted().await;
    fs::write(home.point().join("file"), "content").unwrap();
    let parent = home.status().await["parent"].to_string();
    signal("TERM", &parent);
    eventually("an end", || async { is_gone(&parent) }).await;
    assert!(!is_mounted(&home.point()));
    assert_eq!(home.bucket().await.get("file").await.unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_leaves_the_mount_and_a_newer_program_asks_for_one() {
    let Some(home) = Home::new().await else { return };
    home.mounted().await;
    let (davfs2, before) = (home.davfs2(), home.status().await);
    let (code, said, error) = outcome(home.command(&["restart"])).await;
    assert_eq!((code, said.contains("is served at")), (0, true), "{error}");
    let after = home.status().await;
    assert_eq!((&after["parent"], &after["urls"]), (&before["parent"], &before["urls"]));
    assert_ne!(after["pid"], before["pid"]);
    assert_eq!(home.davfs2(), davfs2, "it stays mounted");
    fs::write(home.point().join("file"), "content").unwrap();
    assert_eq!(home.unmount(&[]).await.0, 0);
    assert_eq!(home.bucket().await.get("file").await.unwrap(), "content");
    // One of another time answers, until it is told to make place.
    let (state_dir, point) = (home.state_dir(), home.point());
    let mut older = before.clone();
    (older["version"], older["reply"]) = (1.into(), "status".into());
    (older["program_version"], older["pid"]) = ("0.0.9".into(), 1.into());
    let socket = UnixListener::bind(state_dir.join("control.sock")).unwrap();
    let asked = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let answer = match line {
                line if line.contains("restart") => {
                    note.store(true, Ordering::Relaxed);
                    serde_json::json!({ "version": 1, "reply": "failed", "message": "not now" })
                }
                line if line.contains("status") => older.clone(),
                _ => serde_json::json!({ "version": 1, "reply": "no" }),
            };
            stream.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        }
    });
    let (code, _, error) = home.mount().await;
    assert_eq!((code, error.contains("version 0.0.9 keeps running: not now")), (1, true), "{error}");
    assert!(asked.load(Ordering::Relaxed) && !is_mounted(&point));
}

/// What nobody serves any more is not left over a port that closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_mount_whose_gateway_does_not_start_is_given_up_with_it() {
    let Some(home) = Home::new().await else { return };
    for how in ["stop", "unmount", "TERM"] {
        let secret = home.directory.path().join("password");
        fs::write(&secret, "a password\n").unwrap();
        let options = ["--auth", "basic", "--user", "me", "--password-file", secret.to_str().unwrap()];
        let mut mount = home.with_bucket("mount", &options);
        mount.arg(home.point());
        let (code, _, error) = outcome(mount).await;
        assert_eq!(code, 0, "{error}");
        let parent = home.status().await["parent"].to_string();
        fs::remove_file(&secret).unwrap();
        home.kill_gateway().await;
        eventually("a failed start", || async {
            outcome(home.command(&["status"])).await.2.contains("the gateway does not start")
        })
        .await;
        assert!(is_mounted(&home.point()), "it may come back");
        match how {
            "stop" => assert_eq!(outcome(home.command(&["stop"])).await.0, 0),
            "unmount" => assert_eq!(home.unmount(&["--force"]).await.0, 0),
            _ => signal("TERM", &parent),
        }
        eventually("an end", || async { is_gone(&parent) }).await;
        assert!(!is_mounted(&home.point()), "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_mount_is_cleaned_up() {
    let Some(home) = Home::new().await else { return };
    home.mounted().await;
    signal("KILL", &home.davfs2().unwrap());
    eventually("a dead mount", || async { fs::metadata(home.point()).is_err() }).await;
    assert_eq!(home.status().await["mounts"][0]["health"], "dead");
    assert!(home.mounted().await.contains("mounted at"));
    fs::write(home.point().join("file"), "again").unwrap();
    assert_eq!(home.unmount(&[]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_mount_is_noticed_and_given_up() {
    let Some(home) = Home::new().await else { return };
    home.mounted().await;
    let davfs2 = home.davfs2().unwrap();
    signal("STOP", &davfs2);
    let begun = Instant::now();
    assert_eq!(home.status().await["mounts"][0]["health"], "hung");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let (code, _, error) = home.mount().await;
    assert_eq!((code, error.contains("does not answer")), (1, true), "{error}");
    assert!(is_mounted(&home.point()), "it may come back: nothing is given up unasked");
    let (code, _, error) = home.unmount(&["--force"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(!is_mounted(&home.point()));
    signal("KILL", &davfs2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_only_be_read_is_mounted_so() {
    let Some(home) = Home::new().await else { return };
    let (point, second) = (home.point(), home.directory.path().join("second"));
    let (code, _, error) =
        outcome(home.with_bucket("mount", &["--read-only", point.to_str().unwrap()])).await;
    assert_eq!((code, error.as_str()), (0, ""));
    let (code, _, error) = outcome(home.with_bucket("mount", &[second.to_str().unwrap()])).await;
    assert_eq!((code, error.contains("warning: a gateway with other options")), (0, true), "{error}");
    assert!(error.contains("(differing: --read-only)"), "{error}");
    for place in [&point, &second] {
        let error = fs::write(place.join("file"), "x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{place:?}");
    }
    assert_eq!(outcome(home.command(&["stop"])).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_tells_why_it_cannot_be_mounted() {
    let Some(home) = Home::new().await else { return };
    home.s3.hooks().always(Action::Fail { status: 403, code: "ExpiredToken", message: "" });
    let mut mount = home.with_bucket("mount", &["--request-budget", "1s", home.point().to_str().unwrap()]);
    mount.env("AWS_SESSION_TOKEN", "old");
    let (code, _, error) = outcome(mount).await;
    assert_eq!((code, error.contains("credentials"), error.contains("hint: ")), (1, true, true), "{error}");
    assert_eq!(outcome(home.command(&["status"])).await.0, 1, "no gateway is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_were_made_for_a_mount_go_with_it() {
    let Some(home) = Home::new().await else { return };
    let at = |name: &str| home.directory.path().join(name);
    fs::create_dir(at("own")).unwrap();
    let mount = |point: PathBuf| {
        let mut mount = home.with_bucket("mount", &["--request-budget", "1s", point.to_str().unwrap()]);
        mount.env("AWS_SESSION_TOKEN", "old");
        outcome(mount)
    };
    home.s3.hooks().always(Action::Fail { status: 403, code: "ExpiredToken", message: "" });
    for point in ["some/where/deep", "own"] {
        let (code, _, error) = mount(at(point)).await;
        assert_eq!(code, 1, "{error}");
    }
    assert!(!at("some").exists() && at("own").exists(), "a failed mount leaves what it found");
    home.s3.hooks().heal();
    for how in ["unmount", "stop"] {
        for point in ["some/where/deep", "own"] {
            let (code, _, error) = mount(at(point)).await;
            assert_eq!(code, 0, "{error}");
        }
        if how == "unmount" {
            // What somebody has put beside it stays.
            fs::write(at("some/where/file"), "x").unwrap();
            for point in ["some/where/deep", "own"] {
                let mut unmount = home.command(&["unmount"]);
                unmount.arg(at(point));
                let (code, _, error) = outcome(unmount).await;
                assert_eq!(code, 0, "{error}");
            }
            assert!(!at("some/where/deep").exists() && at("some/where/file").exists());
            fs::remove_dir_all(at("some")).unwrap();
        } else {
            let (code, text, error) = outcome(home.command(&["stop"])).await;
            assert_eq!(code, 0, "{error}");
            let said: Vec<&str> = text.lines().collect();
            let unmounted = |point: &str| format!("unmounted {}", at(point).display());
            assert!(
                said.contains(&&*unmounted("own")) && said.contains(&&*unmounted("some/where/deep")),
                "{text}"
            );
            assert!(said.last().unwrap().starts_with("stopped the gateway of bucket at http://"), "{text}");
            assert!(!at("some").exists());
        }
        assert!(at("own").exists(), "{how}: it was there before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_system_has_mounted_is_not_to_be_unmounted() {
    let Some(home) = Home::new().await else { return };
    let (code, _, error) = outcome(home.with_bucket("mount", &["/"])).await;
    assert_eq!((code, error.contains("is already mounted at /")), (1, true), "{error}");
    assert!(error.contains("hint: name another mount point") && !error.contains("unmount that"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_word_of_mount_may_be_what_is_mounted() {
    let Some(home) = Home::new().await else { return };
    home.bucket().await.put("2026/file", "content").await;
    let point = home.point();
    // A directory of that name is nothing to go by.
    fs::create_dir_all(home.directory.path().join("bucket")).unwrap();
    let mount = |words: &[&str], variables: &[(&str, &str)]| {
        let endpoint = home.s3.endpoint_url();
        let mut mount = home.command(&["mount", "--force-path-style", "--endpoint-url", &endpoint]);
        mount.args(words).envs(variables.iter().copied()).current_dir(home.directory.path());
        outcome(mount)
    };
    let at = point.to_str().unwrap();
    for (words, variables, source) in [
        (&["s3://bucket/2026", at][..], &[][..], "bucket/2026"),
        (&["bucket", at], &[], "bucket"),
        (&["bucket"], &[("S3DAV_MOUNT", at)], "bucket"),
        (&["s3://bucket"], &[("S3DAV_MOUNT", at), ("S3DAV_BUCKET", "other")], "bucket"),
        (&["s3files"], &[("S3DAV_BUCKET", "bucket/2026")], "bucket/2026"),
    ] {
        let (code, text, error) = mount(words, variables).await;
        assert_eq!((code, text), (0, format!("{source} mounted at {at}\n")), "{words:?}: {error}");
        assert_eq!(error, "", "{words:?}");
        assert_eq!(home.unmount(&[]).await.0, 0);
    }
    let (code, _, error) = mount(&["s3://bucket/2099", at], &[]).await;
    assert_eq!(code, 0, "{error}");
    let expected = "warning: there is nothing below 2099/ yet; the first file creates it\nhint: did you mean bucket/2026?\n";
    assert_eq!(error, expected);
    assert_eq!(home.unmount(&[]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_mounted_is_left_alone() {
    let Some(home) = Home::new().await else { return };
    let point = home.point();
    fs::create_dir(&point).unwrap();
    let mut tmpfs = home.tools.command("mount");
    tmpfs.args(["-t", "tmpfs", "none"]).arg(&point);
    assert_eq!(outcome(tmpfs).await.0, 0);
    fs::write(point.join("precious"), "").unwrap();
    let (code, _, error) = home.mount().await;
    assert_eq!((code, error.contains("mounted at")), (1, true), "{error}");
    for more in [&[][..], &["--force"]] {
        let (code, _, error) = home.unmount(more).await;
        assert_eq!((code, error.contains("not s3dav's")), (1, true), "{error}");
    }
    let options = ["--listen", "127.0.0.1:0", "--mount", point.to_str().unwrap()];
    let mut gateway = Process::serving(home.with_bucket("serve", &options)).await;
    eventually("trouble", || async { home.status().await["problems"][0]["message"].is_string() }).await;
    gateway.signal("TERM").await;
    assert!(gateway.child.wait().await.unwrap().success());
    assert!(point.join("precious").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_ends_with_the_last_of_its_mounts() {
    let Some(home) = Home::new().await else { return };
    home.mounted().await;
    let second = home.directory.path().join("second place");
    let (code, _, error) = outcome(home.with_bucket("mount", &[second.to_str().unwrap()])).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(home.unmount(&[]).await.0, 0);
    fs::write(second.join("file"), "still there").unwrap();
    // Unmounts what is left, so that the file is in the bucket when it has ended.
    let (code, _, error) = outcome(home.command(&["stop"])).await;
    assert_eq!(code, 0, "{error}");
    assert!(!is_mounted(&second));
    assert_eq!(home.bucket().await.get("file").await.unwrap(), "still there");
}

/// Who comes too late has nothing left to do.
#[tokio::test(flavor = "multi_thread")]
async fn several_who_end_one_mount_at_once_all_end_well() {
    let Some(home) = Home::new().await else { return };
    for words in [&["unmount"][..], &["stop"]] {
        home.mounted().await;
        let end = || outcome(home.command(words));
        let ended = tokio::join!(end(), end(), end());
        for (code, _, error) in [&ended.0, &ended.1, &ended.2] {
            // One may come when nothing is there any more.
            let is_late = error.contains("no gateway is running") || error.contains("nothing is mounted");
            assert!(*code == 0 || is_late, "{words:?}: {ended:?}");
        }
        assert!([ended.0.0, ended.1.0, ended.2.0].contains(&0) && !is_mounted(&home.point()), "{words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_ends_when_all_its_mounts_end_at_once() {
    let Some(home) = Home::new().await else { return };
    let points = ["a", "b", "c"].map(|name| home.directory.path().join(name));
    for point in &points {
        let (code, _, error) = outcome(home.with_bucket("mount", &[point.to_str().unwrap()])).await;
        assert_eq!(code, 0, "{error}");
    }
    let unmount = |point: &Path| {
        let mut command = home.command(&["unmount"]);
        command.arg(point);
        outcome(command)
    };
    let (a, b, c) = tokio::join!(unmount(&points[0]), unmount(&points[1]), unmount(&points[2]));
    assert_eq!([a.0, b.0, c.0], [0; 3], "{a:?} {b:?} {c:?}");
    let (code, _, error) = outcome(home.command(&["status"])).await;
    assert_eq!((code, error.contains("no gateway is running")), (1, true), "{error}");
}

/// Ctrl-C of a mount that waits: what was running before goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_is_interrupted_ends_what_it_started() {
    let Some(home) = Home::new().await else { return };
    let second = home.directory.path().join("second");
    let mount = || {
        let mut mount = home.with_bucket("mount", &[second.to_str().unwrap()]);
        mount.stderr(std::process::Stdio::piped());
        mount.spawn().unwrap()
    };
    let interrupted = async |mount: tokio::process::Child| {
        signal("INT", &mount.id().unwrap().to_string());
        let ended = mount.wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(130), "{ended:?}");
        assert!(!is_mounted(&second));
        outcome(home.command(&["status"])).await.2
    };
    let gate = Gate::default();
    home.s3.hooks().always(Action::HoldFirst(gate.clone()));
    let waiting = mount();
    gate.reached().await;
    let said = interrupted(waiting).await;
    assert!(said.contains("no gateway is running"), "{said}");
    home.s3.hooks().heal();
    gate.open();
    home.mounted().await;
    // Another one mounts, as far as this one can tell.
    let lock = home.state_dir().join("mount.lock");
    let held = fs::File::options().write(true).open(&lock).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let waiting = mount();
    let opened = format!("/proc/{}/fd", waiting.id().unwrap());
    let has_opened = || {
        let files = fs::read_dir(&opened).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|file| file == lock)
    };
    eventually("a mount that waits", || async { has_opened() }).await;
    let said = interrupted(waiting).await;
    assert!(!said.contains("no gateway is running"), "{said}");
    assert!(is_mounted(&home.point()));
    assert_eq!(home.unmount(&[]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_mount_at_once_get_one_gateway() {
    let Some(home) = Home::new().await else { return };
    let second = home.directory.path().join("second");
    let (first, other) =
        tokio::join!(home.mount(), outcome(home.with_bucket("mount", &[second.to_str().unwrap()])));
    assert_eq!((first.0, other.0), (0, 0), "{first:?} {other:?}");
    assert_eq!(home.status().await["mounts"].as_array().unwrap().len(), 2);
    assert_eq!(outcome(home.command(&["stop"])).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_who_mount_at_one_place_at_once_mount_once() {
    let Some(home) = Home::new().await else { return };
    let (a, b, c, d) = tokio::join!(home.mount(), home.mount(), home.mount(), home.mount());
    assert_eq!([a.0, b.0, c.0, d.0], [0; 4], "{a:?} {b:?} {c:?} {d:?}");
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let point = home.point();
    assert_eq!(table.lines().filter(|line| line.split(' ').nth(4) == point.to_str()).count(), 1);
    assert_eq!(outcome(home.command(&["stop"])).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mounts_program_is_the_systems_and_is_told_no_keys() {
    let Some(home) = Home::new().await else { return };
    let (bin, point) = (home.directory.path().join("bin"), home.point());
    fs::create_dir(&bin).unwrap();
    for name in ["mount", "umount", "mount.davfs"] {
        let script =
            format!("#!/bin/sh\necho {name} >> {}\n", home.directory.path().join("called").display());
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let kept = ["--listen", "127.0.0.1:0", "--mount", point.to_str().unwrap()];
    for how in ["mount", "serve"] {
        let gateway = if how == "mount" {
            let mut mount = home.with_bucket(how, &[point.to_str().unwrap()]);
            mount.env("PATH", &path);
            let (code, _, error) = outcome(mount).await;
            assert_eq!(code, 0, "{error}");
            None
        } else {
            let mut serve = home.with_bucket(how, &kept);
            serve.env("PATH", &path);
            Some(Process::serving(serve).await)
        };
        eventually("a mount", || async { is_mounted(&point) }).await;
        eventually("its program", || async { home.davfs2().is_some() }).await;
        let environment = fs::read(format!("/proc/{}/environ", home.davfs2().unwrap())).unwrap();
        let environment = String::from_utf8_lossy(&environment).replace('\0', "\n");
        for part in ["not-a-secret", "AWS_", "S3DAV_", "XDG_STATE_HOME"] {
            assert!(!environment.contains(part), "{how}: {environment}");
        }
        let mut stop = home.command(&["stop"]);
        stop.env("PATH", &path);
        let (code, _, error) = outcome(stop).await;
        assert_eq!(code, 0, "{error}");
        assert!(!is_mounted(&point));
        drop(gateway);
    }
    assert!(!home.directory.path().join("called").exists(), "what is first in the path is not the system's");
}

/// A program that has taken a port, and everything that it was told.
async fn impostor() -> (u16, Arc<parking_lot::Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Arc::<parking_lot::Mutex<String>>::default());
    let ear = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let ear = Arc::clone(&ear);
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut bytes).await {
                    ear.lock().push_str(&String::from_utf8_lossy(&bytes[..length]));
                    let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"s3dav\"\r\n\
                        DAV: 1, 2\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (port, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_means_another_one() {
    let Some(home) = Home::new().await else { return };
    home.mounted().await;
    assert_eq!(home.unmount(&[]).await.0, 0);
    let (taken, heard) = impostor().await;
    fs::write(home.state_dir().join("port"), taken.to_string()).unwrap();
    home.mounted().await;
    let port = home.port().await;
    assert_ne!(port, taken.to_string());
    assert_eq!(fs::read_to_string(home.state_dir().join("port")).unwrap(), port, "for the next time");
    assert_eq!(*heard.lock(), "", "whoever has the port is told nothing");
    assert_eq!(home.unmount(&[]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_gets_neither_the_password_nor_the_mount() {
    let Some(home) = Home::new().await else { return };
    home.mounted().await;
    assert_eq!(home.unmount(&[]).await.0, 0);
    // It sits at the address that the gateway says is its own, and has heard what the gateway has not.
    let (port, heard) = impostor().await;
    let socket = UnixListener::bind(home.state_dir().join("control.sock")).unwrap();
    let mut status = serde_json::json!({
        "version": 1, "reply": "status", "program_version": "", "pid": 1, "source": "bucket",
        "urls": [format!("http://127.0.0.1:{port}/")], "state_dir": home.state_dir(), "auth": "peer",
        "started": 0, "connections": 0, "requests": 0, "s3_requests": {}, "conflicts": 0, "held_creates": 0,
        "cache": { "used": 0, "limit": 0 }, "shelf": { "entries": 0, "bytes": 0, "limit": 0 }, "problems": [],
    });
    tokio::spawn(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let answer = match line {
                line if line.contains("expect") => serde_json::json!({ "version": 1, "reply": "done" }),
                line if line.contains("heard") => serde_json::json!({ "version": 1, "reply": "no" }),
                _ => status.take(),
            };
            stream.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        }
    });
    let (code, _, error) = home.mount().await;
    assert_eq!((code, error.contains("a program other than the gateway answers")), (1, true), "{error}");
    assert!(error.contains("hint: "), "{error}");
    let heard = heard.lock().clone();
    assert!(heard.contains("/.s3dav/knock/") && !heard.to_lowercase().contains("authorization"), "{heard}");
    assert!(!is_mounted(&home.point()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_own_empty_directory_is_mounted_at() {
    let Some(home) = Home::new().await else { return };
    let (point, real) = (home.point(), home.directory.path().join("real"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &point).unwrap();
    let refused = |expected: &'static str| {
        let home = &home;
        async move {
            let (code, _, error) = home.mount().await;
            assert_eq!(
                (code, error.contains(expected), error.contains("hint: ")),
                (1, true, true),
                "{error}"
            );
            assert_eq!(outcome(home.command(&["status"])).await.0, 1, "no gateway is left behind");
        }
    };
    refused("symbolic link").await;
    fs::remove_file(&point).unwrap();
    fs::create_dir(&point).unwrap();
    std::os::unix::fs::chown(&point, Some(65_534), None).unwrap();
    refused("another user").await;
    std::os::unix::fs::chown(&point, Some(0), None).unwrap();
    fs::write(point.join("mine"), "").unwrap();
    refused("not empty").await;
    assert!(point.join("mine").exists() && real.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_gateway_from_starting_is_said() {
    let Some(home) = Home::new().await else { return };
    let mut mount = home.with_bucket("mount", &[home.point().to_str().unwrap()]);
    mount.env("AWS_SECRET_ACCESS_KEY", "wrong");
    let (code, _, error) = outcome(mount).await;
    assert_eq!(code, 1);
    assert!(
        error.contains("secret key does not match the access key") && error.contains("hint: check"),
        "{error}"
    );
    let (code, _, error) = outcome(home.command(&["mount"])).await;
    assert_eq!((code, error.contains("no bucket or directory given")), (2, true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_is_lost_is_mounted_again() {
    let Some(home) = Home::new().await else { return };
    let point = home.point();
    let options =
        ["--listen", "127.0.0.1:0", "--mount-interval", "200ms", "--mount", point.to_str().unwrap()];
    let mut gateway = Process::serving(home.with_bucket("serve", &options)).await;
    eventually("a mount", || async { is_mounted(&point) }).await;
    for how in ["umount", "kill"] {
        let before = home.davfs2();
        match how {
            "umount" => drop(home.tools.command("umount").arg(&point).output().await.unwrap()),
            _ => signal("KILL", before.as_ref().unwrap()),
        }
        eventually("another mount", || async {
            let now = home.davfs2();
            now.is_some() && now != before && is_mounted(&point) && fs::metadata(&point).is_ok()
        })
        .await;
        fs::write(point.join(how), "x").unwrap();
    }
    let (code, _, error) = home.unmount(&[]).await;
    assert_eq!(code, 0, "{error}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!is_mounted(&point), "whoever unmounts it means it");
    assert!(home.mounted().await.contains("mounted at"));
    gateway.signal("TERM").await;
    assert!(gateway.child.wait().await.unwrap().success());
    assert!(!is_mounted(&point), "it is unmounted first");
    assert_eq!(home.bucket().await.keys().await, ["kill", "umount"], "what was written is in the bucket");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_roots_rights_it_says_what_to_do() {
    let Some(tools) = clients::needs_of_users(clients::MOUNT, &[]) else { return };
    let home = Home::with(tools).await;
    fs::set_permissions(home.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Another user cannot reach the program where cargo puts it.
    let program = program_in(home.directory.path());
    let own = home.directory.path().join("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(65_534), Some(65_534)).unwrap();
    let model = home.with_bucket("mount", &[own.join("s3files").to_str().unwrap()]);
    let Some(mut mount) = as_user(65_534, program.to_str().unwrap()) else { return };
    mount.args(model.as_std().get_args());
    take_environment(&mut mount, &model);
    mount.env("HOME", &own).env("XDG_STATE_HOME", own.join("state"));
    let (code, _, error) = outcome(mount).await;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains(" davfs user,noauto,") && error.contains("/etc/fstab"), "{error}");
}

/// `mount` by a user who is not root: how far it comes. The point and the state are in a directory of his.
struct Ordinary {
    directory: TempDir,
    s3: Arc<EmbeddedS3>,
}

impl Ordinary {
    const UID: u32 = 12_001;

    /// `None` where nobody can be another user.
    async fn new() -> Option<Self> {
        if !others_have(&[]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        program_in(directory.path());
        let ordinary = Self { directory, s3: embedded().await };
        ordinary.make("");
        Some(ordinary)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join("own").join(name)
    }

    fn make(&self, name: &str) {
        fs::create_dir(self.at(name)).unwrap();
        std::os::unix::fs::chown(self.at(name), Some(Self::UID), Some(Self::UID)).unwrap();
    }

    async fn mount(&self, point: &str, state: &str) -> (i32, String) {
        let endpoint = self.s3.endpoint_url();
        let model =
            command(&["mount", "--bucket", BUCKET, "--force-path-style", "--endpoint-url", &endpoint]);
        let mut mount = as_user(Self::UID, self.directory.path().join("s3dav").to_str().unwrap()).unwrap();
        mount.args(model.as_std().get_args()).args(["--listen", "127.0.0.1:0"]).arg(self.at(point));
        mount.arg("--state-dir").arg(self.at(state));
        take_environment(&mut mount, &model);
        let (code, _, error) = outcome(mount).await;
        (code, error)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_a_group_can_write_is_no_place_to_mount_in() {
    let Some(ordinary) = Ordinary::new().await else { return };
    ordinary.make("shared");
    // The second is the mode of directories where each user has a group, as this one has not.
    for (mode, expected) in [(0o755, "only root, or a user whom"), (0o775, "other users can replace it")] {
        fs::set_permissions(ordinary.at("shared"), fs::Permissions::from_mode(mode)).unwrap();
        let (code, error) = ordinary.mount("shared/mnt", "state").await;
        assert_eq!((code, error.contains(expected)), (1, true), "{mode:o}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_for_fstab_can_be_read_back() {
    let Some(tools) = clients::needs_of_users(&["findmnt"], &[]) else { return };
    let Some(ordinary) = Ordinary::new().await else { return };
    let (code, error) = ordinary.mount("a point", "a b\\c\td").await;
    assert_eq!(code, 1, "{error}");
    let line = error.lines().find(|line| line.contains(" davfs ")).unwrap();
    assert!(line.contains("/own/a\\040b\\134c\\011d/davfs2-"), "{line}");
    let table = ordinary.directory.path().join("fstab");
    fs::write(&table, format!("{line}\n")).unwrap();
    let mut read = tools.command("findmnt");
    read.args(["--json", "--output", "TARGET,FSTYPE,OPTIONS", "--tab-file"]).arg(&table);
    let (code, text, error) = outcome(read).await;
    assert_eq!(code, 0, "{error}");
    let entry = serde_json::from_str::<serde_json::Value>(&text).unwrap()["filesystems"][0].clone();
    assert_eq!(entry["target"], ordinary.at("a point").to_str().unwrap());
    let config = format!(",conf={}/davfs2-", ordinary.at("a b\\c\td").display());
    assert!(entry["options"].as_str().unwrap().contains(&config), "{entry}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comma_in_the_state_directory_adds_no_options() {
    let Some(tools) = clients::needs_of_users(clients::MOUNT, &[]) else { return };
    let Some(ordinary) = Ordinary::new().await else { return };
    let (code, error) = ordinary.mount("point", "state,suid").await;
    assert_eq!(
        (code, error.contains("contains a comma"), error.contains("hint: ")),
        (1, true, true),
        "{error}"
    );
    assert!(!error.contains(" davfs "), "{error}");
    let home = Home::with(tools).await;
    let state = home.directory.path().join("state,ro,x");
    let mut mount = home.with_bucket("mount", &[home.point().to_str().unwrap()]);
    mount.arg("--state-dir").arg(&state);
    let (code, _, error) = outcome(mount).await;
    assert_eq!(
        (code, error.contains("contains a comma"), error.contains("hint: ")),
        (1, true, true),
        "{error}"
    );
    assert!(!is_mounted(&home.point()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_that_is_closed_while_s3_is_away_arrives() {
    let Some(home) = Home::new().await else { return };
    let point = home.point();
    let mount = home.with_bucket("mount", &["--request-budget", "1s", point.to_str().unwrap()]);
    assert_eq!(outcome(mount).await.0, 0);
    let path = point.join("new");
    let write = move || {
        let mut file = fs::File::create(path).unwrap();
        file.write_all(b"content").unwrap();
        file
    };
    let file = tokio::task::spawn_blocking(write).await.unwrap();
    home.s3.hooks().always(Action::Fail { status: 503, code: "SlowDown", message: "" });
    tokio::task::spawn_blocking(move || drop(file)).await.unwrap();
    // davfs2 has tried, and tries again after half a minute.
    tokio::time::sleep(Duration::from_secs(5)).await;
    home.s3.hooks().heal();
    let bucket = home.bucket().await;
    eventually("the content", || async { bucket.get("new").await.is_some_and(|body| body == "content") })
        .await;
    assert_eq!(bucket.keys().await, ["new"]);
    assert!(fs::read_dir(point.join("lost+found")).unwrap().next().is_none());
    assert_eq!(home.unmount(&[]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_is_mounted_known_and_stopped() {
    let Some(home) = Home::new().await else { return };
    let point = home.point();
    let demo = || {
        let mut demo = home.command(&["demo", "--listen", "127.0.0.1:0", "--mount"]);
        demo.arg(&point);
        Process::demo(demo)
    };
    let states = || fs::read_dir(home.directory.path().join("state/s3dav")).unwrap();
    let is_state = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("demo-");
    for by_signal in [false, true] {
        let mut demo = demo().await;
        assert!(demo.said.lock().contains(&format!("it appears at {}", point.display())));
        eventually("the mount", || async { is_mounted(&point) }).await;
        assert_eq!(fs::read_dir(point.join("A thousand notes")).unwrap().count(), 1000);
        assert!(fs::read_to_string(point.join("Welcome.txt")).unwrap().contains("object in an S3 bucket"));
        fs::write(point.join("mine.txt"), "from a program").unwrap();
        let status = home.status().await;
        assert_eq!((&status["source"], &status["keeps"]), (&"demo".into(), &point.to_str().unwrap().into()));
        assert_eq!(status["mounts"], serde_json::json!([{ "point": point, "health": "well" }]));
        // Another program's place is not taken.
        let mut second = home.command(&["demo", "--listen", "127.0.0.1:0", "--mount"]);
        second.arg(&point);
        let (code, _, error) = outcome(second).await;
        assert_eq!((code, error.contains("mounted at")), (1, true), "{error}");
        if by_signal {
            demo.signal("INT").await;
        } else {
            let (code, said, error) = outcome(home.command(&["stop"])).await;
            assert_eq!((code, said.contains("stopped")), (0, true), "{said}{error}");
        }
        assert!(demo.child.wait().await.unwrap().success());
        assert!(!is_mounted(&point) && !point.exists());
        assert_eq!(states().flatten().filter(is_state).count(), 0, "nothing is left");
    }
}
