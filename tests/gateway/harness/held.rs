//! A gateway whose sockets a parent process holds, as `s3dav mount` starts it.

use std::fs;
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

    /// The gateway's number, once one serves.
    pub async fn gateway(&self) -> String {
        eventually("a gateway", || async { self.status().await["pid"].is_number() }).await;
        self.status().await["pid"].to_string()
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
        // The parent first, or it would start another one.
        let _ = self.parent.child.start_kill();
        end_gateway(&self.state_dir);
    }
}

/// Ends what a parent that was killed has left.
pub fn end_gateway(state_dir: &Path) {
    let holder = fs::read_to_string(state_dir.join("gateway.lock")).unwrap_or_default();
    let id = holder.trim_start_matches("process ").split(',').next().unwrap_or_default().to_owned();
    let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
    if line.contains("s3dav\0serve\0") {
        send_signal("KILL", &id);
    }
}

/// Whether a process has ended; who started it may not have looked yet.
pub fn is_gone(id: &str) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, |text| text.contains(") Z "))
}
