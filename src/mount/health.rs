//! Whether a mount answers. Asking a hung one takes for ever and cannot be ended, so a child asks.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

/// How a mount is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    Well,
    /// Its program has ended: it will never answer again.
    Dead,
    /// It does not answer, or says that its server is away: both may pass.
    Hung,
}

/// Asks the file system at `point`, for [`LIMIT`] at the most.
pub async fn health(point: &Path) -> Health {
    let Ok(program) = own_program() else { return Health::Well };
    let mut command = Command::new(program);
    command.arg("check-mount").arg(point);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // One that hangs in the kernel ends when the mount does; nobody waits for it.
    let Ok(mut child) = command.kill_on_drop(true).spawn() else { return Health::Well };
    match timeout(LIMIT, child.wait()).await {
        Ok(Ok(status)) if status.success() => Health::Well,
        Ok(Ok(status)) if status.code() == Some(i32::from(DEAD)) => Health::Dead,
        _ => Health::Hung,
    }
}

/// The child's part; may never return. Gives its exit code.
pub fn ask(point: &Path) -> u8 {
    let asked = rustix::fs::statvfs(point).and_then(|_| rustix::fs::stat(point));
    match asked {
        Ok(_) => 0,
        // macOS says ETIMEDOUT at once while a server is away, and goes on when it is back.
        Err(Errno::NOTCONN | Errno::NXIO) => DEAD,
        Err(_) => AWAY,
    }
}

/// The file may have been replaced since this program was started.
fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

const DEAD: u8 = 3;
const AWAY: u8 = 4;

/// A healthy mount answers from memory.
const LIMIT: Duration = Duration::from_secs(10);
