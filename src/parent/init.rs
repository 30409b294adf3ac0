//! Process 1 of a container whose work is another process's: it hands on signals, and reaps what others leave.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::gateway;
use crate::process;
use crate::shutdown::Signals;

/// Runs a program to its end, and gives its exit code. All that it leaves ends with this process.
pub async fn run(program: &Path, arguments: &[OsString]) -> io::Result<u8> {
    let mut signals = Signals::listen()?;
    let mut children = signal(SignalKind::child())?;
    // In a group of its own: what a terminal sends to this one would come twice.
    let child = Command::new(program).args(arguments).process_group(0).spawn()?;
    let child = process::pid(child.id());
    let child = child.ok_or_else(|| io::Error::other("a process without a number"))?;
    loop {
        tokio::select! {
            _ = children.recv() => {
                if let Some(exit) = gateway::reap_all(Some(child)) {
                    return Ok(exit.exit_code());
                }
            }
            signal = signals.next() => {
                // It fails where it has ended, which is told soon.
                let _ = kill_process(child, Signal::from(signal));
            }
        }
    }
}
