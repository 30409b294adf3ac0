//! The processes of a mount: found, and ended.
//!
//! Nothing tells a proxy of this mount from that of another one, so none may run before this one is made: see
//! [`refuse_others`]. Those of other containers, which the root of a host sees, are in other namespaces of processes,
//! and never counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::failures::{Failure, Kind};
use super::system::System;
use crate::process::pid;

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
    tracing::warn!("an efs-proxy does not exit");
}

/// Refuses to begin beside another mount: its processes would be taken for this one's, and ended with it.
pub(super) async fn refuse_others(system: &System) -> Result<(), Failure> {
    for name in [PROXY, WATCHDOG] {
        if let Some(other) = running(system, name).await.first() {
            let words = format!("{name} is process {}", other.as_raw_nonzero());
            return Err(Failure::new(Kind::NotAlone, words));
        }
    }
    Ok(())
}

/// The proxies of a system, whoever has started them.
pub(super) async fn proxies(system: &System) -> Vec<Pid> {
    running(system, PROXY).await
}

async fn running(system: &System, name: &'static str) -> Vec<Pid> {
    let system = system.clone();
    tokio::task::spawn_blocking(move || all_running(&system, name)).await.unwrap_or_default()
}

fn all_running(system: &System, name: &str) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let own = namespace("self");
    let is_meant = |id: &u32| {
        // The first word may be that of an interpreter.
        let is_named = command_line(*id).split('\0').take(2).any(|word| {
            let path = Path::new(word);
            path.file_name().is_some_and(|file| file == name) && system.has(path)
        });
        is_named && namespace(&id.to_string()) == own
    };
    ids.filter(is_meant).filter_map(pid).collect()
}

/// That of a process's number. `None`: it cannot be told, of oneself neither.
fn namespace(process: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/pid")).ok()
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

const PROXY: &str = "efs-proxy";
pub(super) const WATCHDOG: &str = "amazon-efs-mount-watchdog";
/// They have nothing to write.
const TO_END: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
