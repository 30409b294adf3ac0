//! Whether a mount answers. Asking a hung one takes for ever and cannot be ended, so a child asks.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

/// How a mount is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    Well,
    /// It answers with an error: its program has ended.
    Dead,
    /// It does not answer.
    Hung,
}

/// Asks the file system at `point`, for [`LIMIT`] at the most.
pub async fn health(point: &Path) -> Health {
    let Ok(program) = std::env::current_exe() else { return Health::Well };
    let mut command = Command::new(program);
    command.arg("check-mount").arg(point);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // One that hangs in the kernel ends when the mount does; nobody waits for it.
    let Ok(mut child) = command.kill_on_drop(true).spawn() else { return Health::Well };
    match timeout(LIMIT, child.wait()).await {
        Ok(Ok(status)) if status.success() => Health::Well,
        Ok(_) => Health::Dead,
        Err(_) => Health::Hung,
    }
}

/// The child's part; may never return.
pub fn ask(point: &Path) -> io::Result<()> {
    rustix::fs::statvfs(point)?;
    rustix::fs::stat(point)?;
    Ok(())
}

/// A healthy mount answers from memory.
const LIMIT: Duration = Duration::from_secs(10);
