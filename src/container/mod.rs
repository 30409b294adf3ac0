//! Amazon S3 Files in a container: what the image runs, from the first check to the last unmount.
//!
//! The mount is made by amazon-efs-utils, which expects a host with an init system. In a container nobody starts its
//! watchdog, without which a proxy that dies hangs the mount for ever; nobody ends its proxies; its third try to mount
//! has no limit; and of the ways to give it credentials that end, only an endpoint on the loopback works for all of
//! its programs. So all of that is done here. Each step either succeeds or is a [`Failure`] with an exit code of its
//! own.

mod children;
mod credentials;
mod endpoint;
mod engine;
mod failures;
mod files;
mod options;
mod steps;
mod system;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::mount;

pub use credentials::{Keeper, KeysError};
pub use endpoint::Endpoint;
pub use engine::{Engine, EngineError, EngineKind};
pub use failures::{Failure, Kind, Row, Step, TABLE};
pub use files::Files;
pub use options::{DEFAULT_DIR, OptionError, Options, Times};
pub use steps::Container;
pub use system::System;

/// What runs here, as the container notes it for whoever asks for its health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    dir: std::path::PathBuf,
    watchdog: u32,
}

/// Whether S3 Files is mounted by a container's process here.
pub fn is_here(root: &Path) -> bool {
    System::at(root).own().join(NOTE).exists()
}

/// Whether the mount answers, and what keeps it alive lives; else the reason.
pub async fn health(root: &Path) -> Result<(), String> {
    let system = System::at(root);
    let note = tokio::fs::read_to_string(system.own().join(NOTE)).await;
    let note: Option<Note> = note.ok().and_then(|text| serde_json::from_str(&text).ok());
    let Some(Note { dir, watchdog }) = note else { return Err("S3 Files is not mounted yet".to_owned()) };
    let shown = dir.display();
    if !mount::entry_at(&dir).await.is_ok_and(|entry| entry.is_some()) {
        return Err(format!("nothing is mounted at {shown}"));
    }
    if !children::is_alive(watchdog) {
        return Err("amazon-efs-mount-watchdog is not running".to_owned());
    }
    if children::proxies(&system).await.is_empty() {
        return Err("efs-proxy is not running".to_owned());
    }
    match timeout(LONGEST_ANSWER, mount::health(&dir)).await {
        Ok(mount::Health::Well) => Ok(()),
        Ok(mount::Health::Dead) => Err(format!("the mount at {shown} is dead")),
        Ok(mount::Health::Hung) | Err(_) => Err(format!("the mount at {shown} does not answer")),
    }
}

/// In the directory of the container's own.
const NOTE: &str = "container.json";
/// A healthy mount answers in milliseconds.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);
