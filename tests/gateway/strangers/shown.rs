//! What a gateway's mount shows to a program that took its port is worth nothing.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use command_fds::{CommandFdExt, FdMapping};
use parking_lot::Mutex;
use s3dav::state::Credential;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::port;
use crate::harness::clients::{self, Tools};
use crate::harness::process::{Process, command, outcome, send_signal, serve};
use crate::harness::users::{Owner, SOMEBODY, SOMEBODY_ELSE, as_user, asked, others_have};
use crate::harness::{embedded, eventually};

/// What a program hears at a port that it has taken.
async fn impostor(port: &str) -> Arc<Mutex<String>> {
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    let heard = Arc::new(Mutex::new(String::new()));
    let told = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = Arc::clone(&told);
            tokio::spawn(async move {
                let mut text = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut text).await {
                    told.lock().push_str(&String::from_utf8_lossy(&text[..read]));
                    let asks = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"s3dav\"\r\nContent-Length: 0\r\n\r\n";
                    let _ = stream.write_all(asks.as_bytes()).await;
                }
            });
        }
    });
    heard
}

/// A place where root mounts a bucket with davfs2.
struct Place {
    tools: Tools,
    directory: TempDir,
    endpoint: String,
}

impl Place {
    /// `None` where root cannot mount with davfs2.
    fn new(endpoint: String) -> Option<Self> {
        let tools = clients::needs_of_users(clients::MOUNT, &["curl"])?;
        Some(Self { tools, directory: tempfile::tempdir().unwrap(), endpoint })
    }

    fn command(&self, name: &str, more: &[&str]) -> Command {
        let mut command = command(&[name]);
        let at = self.directory.path();
        command.env("HOME", at).env("XDG_STATE_HOME", at.join("state")).args(more);
        command
    }

    fn point(&self) -> PathBuf {
        self.directory.path().join("mnt")
    }

    async fn mount(&self) {
        let mut mount =
            self.command("mount", &["--bucket", "bucket", "--force-path-style", "--endpoint-url"]);
        mount.arg(&self.endpoint).arg(self.point());
        let (code, _, error) = outcome(mount).await;
        assert_eq!(code, 0, "{error}");
    }

    async fn status(&self) -> serde_json::Value {
        let (_, text, _) = outcome(self.command("status", &["--json"])).await;
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[0].clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After a failed test.
        let mut umount = self.tools.blocking_command("umount");
        let _ = umount.args(["-i", "-f", "-l"]).arg(self.point()).output();
    }
}

/// The user of davfs2's daemon.
fn davfs2_uid() -> u32 {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let line = accounts.lines().find(|line| line.starts_with("davfs2:")).unwrap();
    line.split(':').nth(2).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_mount_shows_no_password_to_whoever_takes_the_port() {
    let s3 = embedded().await;
    let Some(place) = Place::new(s3.endpoint_url()) else { return };
    let davfs2 = davfs2_uid();
    place.mount().await;
    fs::write(place.point().join("file"), "content").unwrap();
    let status = place.status().await;
    let url = status["urls"][0].as_str().unwrap().trim_end_matches('/').to_owned();
    assert_eq!(asked(davfs2, &format!("{url}/file"), &[]).await.unwrap(), "200", "root has mounted it");
    assert_eq!(asked(SOMEBODY, &format!("{url}/file"), &[]).await.unwrap(), "401");
    let known = Credential::read(Path::new(status["state_dir"].as_str().unwrap())).unwrap().unwrap();
    // The port closes only where both are killed.
    for id in ["parent", "pid"] {
        send_signal("KILL", &status[id].to_string());
    }
    let port = port(&url).to_owned();
    eventually("the port is free", || async { TcpListener::bind(format!("127.0.0.1:{port}")).is_ok() }).await;
    let heard = impostor(&port).await;
    let point = place.point();
    // It ends with the mount at the latest.
    let writing = std::thread::spawn(move || drop(fs::write(point.join("new"), "content")));
    eventually("the mount asks", || async { heard.lock().contains("HTTP/1.1") }).await;
    let heard = heard.lock().clone();
    // davfs2 that knows no password answers a question for it with whatever its memory holds.
    for sent in heard.lines().filter_map(|line| line.strip_prefix("Authorization: Basic ")) {
        let sent = String::from_utf8_lossy(&STANDARD.decode(sent).unwrap()).into_owned();
        assert!(!sent.contains(&known.password) && !sent.contains(&known.user), "{sent:?}");
    }
    let mut unmount = place.command("unmount", &["--force"]);
    unmount.arg(place.point());
    assert_eq!(outcome(unmount).await.0, 0);
    writing.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn davfs2s_user_comes_in_only_while_root_mounts_this() {
    let s3 = embedded().await;
    let Some(place) = Place::new(s3.endpoint_url()) else { return };
    let davfs2 = davfs2_uid();
    let state = tempfile::tempdir().unwrap();
    let other = Process::gateway(&s3.endpoint_url(), &state, &[]).await;
    // One that goes on when it is no longer mounted.
    let options = ["--bucket", "bucket", "--force-path-style", "--listen", "127.0.0.1:0", "--endpoint-url"];
    let mut serve = place.command("serve", &options);
    serve.arg(&place.endpoint);
    let gateway = Process::serving(serve).await;
    assert_eq!(asked(davfs2, &gateway.url, &[]).await.unwrap(), "401", "before");
    place.mount().await;
    assert_eq!(asked(davfs2, &gateway.url, &[]).await.unwrap(), "200", "while");
    assert_eq!(asked(davfs2, &other.url, &[]).await.unwrap(), "401", "of another gateway");
    let mut unmount = place.command("unmount", &[]);
    unmount.arg(place.point());
    assert_eq!(outcome(unmount).await.0, 0);
    assert_eq!(asked(davfs2, &gateway.url, &[]).await.unwrap(), "401", "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_valid_for_as_long_as_the_port_stays_open() {
    let (s3, state) = (embedded().await, tempfile::tempdir().unwrap());
    let known = || Credential::read(&state.path().join("state")).unwrap().unwrap();
    let run = async |listener: Option<&TcpListener>| {
        let mut command = serve(&s3.endpoint_url(), &state, &[]);
        if let Some(listener) = listener {
            let parent_fd = listener.try_clone().unwrap().into();
            command.fd_mappings(vec![FdMapping { parent_fd, child_fd: 3 }]).unwrap();
            command.env("LISTEN_FDS", "1");
        }
        let mut gateway = Process::serving(command).await;
        gateway.signal("TERM").await;
        assert!(gateway.child.wait().await.unwrap().success());
        known().password
    };
    let first = run(None).await;
    let second = run(None).await;
    assert_ne!(first, second, "another program may have had the port");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let third = run(Some(&listener)).await;
    assert_ne!(second, third);
    assert_eq!(run(Some(&listener)).await, third, "the port was never closed");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_ne!(run(Some(&listener)).await, third, "it is another socket");
}

/// In a user namespace that has a name for one user only, all others look alike.
#[tokio::test(flavor = "multi_thread")]
async fn users_without_a_name_are_nobody() {
    if !others_have(&["unshare", "curl"]) {
        return;
    }
    let mut probe = as_user(SOMEBODY, "unshare").unwrap();
    probe.args(["-U", "--map-user=65534", "true"]);
    if outcome(probe).await.0 != 0 {
        return clients::skip("a user namespace for ordinary users");
    }
    let owner = Owner::new(SOMEBODY).await;
    let within = ["unshare", "-U", "--map-user=65534"];
    let gateway = Process::serving(owner.serve(&within, &[]).unwrap()).await;
    let url = format!("{}/x", gateway.url);
    for uid in [SOMEBODY_ELSE, SOMEBODY] {
        assert_eq!(asked(uid, &url, &["-T", "/etc/hostname"]).await.unwrap(), "401", "{uid}");
    }
    assert!(gateway.said.lock().contains("cannot tell which user a connection belongs to"), "it says so");
}
