//! The processes of a mount: found, and ended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::system::System;

/// The process group of a child, which ends with this.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

impl Group {
    /// That of a child which was made the first of one.
    pub(super) fn of(child: &Child) -> Self {
        Self(child.id().and_then(pid))
    }

    /// Its first process has ended, and what it left behind is to live.
    pub(super) fn let_be(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails where all of them have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Asks a child to end, and makes it.
pub(super) async fn end(mut child: Child) {
    if let Some(pid) = child.id().and_then(pid) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(TO_END, child.wait()).await.is_err() {
        let _ = timeout(TO_END, child.kill()).await;
    }
}

/// Ends the proxies of a system: nobody else does once the watchdog has ended.
pub(super) async fn end_proxies(system: &System) {
    for signal in [Signal::TERM, Signal::KILL] {
        let until = Instant::now() + TO_END;
        proxies(system).await.into_iter().for_each(|pid| _ = kill_process(pid, signal));
        while Instant::now() < until {
            if proxies(system).await.is_empty() {
                return;
            }
            sleep(PAUSE).await;
        }
    }
    tracing::warn!("an efs-proxy does not end");
}

/// The proxies of a system, whoever has started them.
pub(super) async fn proxies(system: &System) -> Vec<Pid> {
    let system = system.clone();
    tokio::task::spawn_blocking(move || all_proxies(&system)).await.unwrap_or_default()
}

fn all_proxies(system: &System) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_proxy = |id: &u32| {
        // The first word may be that of an interpreter.
        command_line(*id).split('\0').take(2).any(|word| {
            let path = Path::new(word);
            path.file_name().is_some_and(|name| name == PROXY) && system.has(path)
        })
    };
    ids.filter(is_proxy).filter_map(pid).collect()
}

/// Whether a process runs, and has not ended without anybody's taking note.
pub(super) fn is_alive(id: u32) -> bool {
    !command_line(id).is_empty()
}

/// Empty where there is none any more.
fn command_line(id: u32) -> String {
    let bytes = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}

const PROXY: &str = "efs-proxy";
/// They have nothing to write.
const TO_END: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
