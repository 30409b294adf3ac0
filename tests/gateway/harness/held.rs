//! A gateway whose sockets a parent process holds, as `s3dav mount` starts it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use super::process::{Process, command, outcome, send_signal, serve};
use super::{client, eventually};

/// See the module; both processes end with it.
pub struct Held {
    pub parent: Process,
    pub state_dir: PathBuf,
}

impl Held {
    /// Of the bucket of an endpoint.
    pub async fn start(endpoint: &str, state: &TempDir, more: &[&str]) -> Self {
        let mut command = serve(endpoint, state, more);
        command.arg("--detached");
        Self::starting(command, state.path().join("state")).await
    }

    /// By a command line of `serve`.
    pub async fn starting(command: Command, state_dir: PathBuf) -> Self {
        let parent = Process::serving(command).await;
        Self { parent, state_dir }
    }

    pub fn url(&self) -> &str {
        &self.parent.url
    }

    /// As `host:port`.
    pub fn address(&self) -> &str {
        self.parent.url.trim_start_matches("http://")
    }

    pub fn id(&self) -> String {
        self.parent.child.id().unwrap().to_string()
    }

    pub async fn status(&self) -> serde_json::Value {
        let (_, text, _) = self.run("status", &["--json"]).await;
        serde_json::from_str::<serde_json::Value>(&text).unwrap()[0].clone()
    }

    /// A command about this gateway: exit code, standard output, standard error.
    pub async fn run(&self, name: &str, more: &[&str]) -> (i32, String, String) {
        let mut command = command(&[name, "--state-dir"]);
        command.arg(&self.state_dir).args(more);
        outcome(command).await
    }

    /// The gateway's number, once one serves, whoever's it is.
    pub async fn gateway(&self) -> String {
        let serves = || UnixStream::connect(self.state_dir.join("control.sock")).is_ok();
        eventually("a gateway", || async {
            serves() && !is_gone(&holder(&self.state_dir.join("gateway.lock")))
        })
        .await;
        holder(&self.state_dir.join("gateway.lock"))
    }

    /// Ends the gateway without a word; the next one may not serve yet.
    pub async fn kill_gateway(&self) {
        let id = self.gateway().await;
        send_signal("KILL", &id);
        eventually("an end", || async { is_gone(&id) }).await;
    }

    /// The path of a file is answered.
    pub async fn answers(&self) -> bool {
        let health = client().get(format!("{}/.s3dav/health", self.url()));
        health.timeout(Duration::from_secs(30)).send().await.is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Stopped first, it starts no other one; what it has just started may have no lock yet.
        if let Some(id) = self.parent.child.id().map(|id| id.to_string()) {
            send_signal("STOP", &id);
            children(&id).iter().for_each(|child| send_signal("KILL", child));
        }
        let _ = self.parent.child.start_kill();
        end_holder(&self.state_dir.join("gateway.lock"));
    }
}

/// Ends the process that has a lock, if it is one that serves.
pub fn end_holder(lock: &Path) {
    let id = holder(lock);
    let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    if line.contains("s3dav\0serve\0") {
        send_signal("KILL", &id);
    }
}

/// The number of the process that has, or had, a lock.
fn holder(lock: &Path) -> String {
    let text = fs::read_to_string(lock).unwrap_or_default();
    text.trim_start_matches("process ").split(',').next().unwrap_or_default().to_owned()
}

/// Whether a process has ended; who started it may not have looked yet.
pub fn is_gone(id: &str) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, |text| text.contains(") Z "))
}

/// The processes that a process has started and not reaped.
pub fn children(id: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let parent = |id: &str| {
        let stat = fs::read_to_string(Path::new("/proc").join(id).join("stat")).ok()?;
        stat.rsplit(") ").next()?.split(' ').nth(1).map(str::to_owned)
    };
    ids.filter(|child| parent(child).as_deref() == Some(id)).collect()
}
