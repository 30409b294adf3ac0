//! What a gateway asks the system for, as strace sees it.

use std::fs;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::Child;

use super::clients::Tools;
use super::process::Process;
use super::{client, eventually};

/// strace beside a gateway.
pub struct Trace {
    tracer: Child,
    log: TempDir,
}

impl Trace {
    pub async fn attach(gateway: &Process, tools: &Tools, options: &[&str]) -> Self {
        let log = tempfile::tempdir().unwrap();
        let tracer = tools
            .command("strace")
            .args(options)
            .args(["-f", "-p", &gateway.child.id().unwrap().to_string(), "-o"])
            .arg(log.path().join("log"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let trace = Self { tracer, log };
        eventually("strace is attached", || async {
            client().get(format!("{}/.s3dav/health", gateway.url)).send().await.unwrap();
            trace.text().contains("HTTP/1.1 200")
        })
        .await;
        trace
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.log.path().join("log")).unwrap_or_default()
    }

    pub async fn end(mut self) -> String {
        let id = Pid::from_raw(self.tracer.id().unwrap() as i32).unwrap();
        kill_process(id, Signal::INT).unwrap();
        self.tracer.wait().await.unwrap();
        self.text()
    }
}
