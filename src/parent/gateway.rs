//! The gateway as a child process.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait, waitpid};
use tokio::time::{Instant, sleep};

use super::ends::Exit;
use super::{FIRST_WORDS, Plan, failure};
use crate::control::{self, Who};
use crate::process;
use crate::shutdown::EndSignal;

/// One that was started and not reaped yet.
#[derive(Debug)]
pub(super) struct Gateway {
    pid: Pid,
    /// The control socket of the one before, if it left it.
    before: Option<(u64, i64, i64)>,
}

impl Gateway {
    /// Whether it has come so far that it serves, also if nobody has seen it: the socket is not one that was
    /// there before, which may be another gateway's.
    pub(super) fn has_served(&self, state_dir: &Path) -> bool {
        let now = control::mark(Who::Gateway, state_dir);
        now.is_some() && now != self.before
    }

    /// Waits until it serves; whatever it speaks on its control socket, it opens it then.
    pub(super) async fn serves(&self, state_dir: &Path) {
        let until = Instant::now() + LONGEST_START;
        while Instant::now() < until {
            if self.has_served(state_dir) && control::is_there(Who::Gateway, state_dir).await {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    pub(super) fn send(&self, signal: Signal) {
        // It fails where it has ended, which is told soon.
        let _ = kill_process(self.pid, signal);
    }
}

impl From<EndSignal> for Signal {
    fn from(signal: EndSignal) -> Self {
        match signal {
            EndSignal::Terminate => Self::TERM,
            EndSignal::Interrupt => Self::INT,
            EndSignal::Hangup => Self::HUP,
        }
    }
}

/// Starts one, which needs no fork: nothing runs between this program and that one.
pub(super) fn start(plan: &Plan) -> io::Result<Gateway> {
    failure::forget(&plan.state_dir);
    shorten(&plan.state_dir.join(FIRST_WORDS));
    let mut command = Command::new(&plan.program);
    command.args(&plan.arguments);
    for name in &plan.without {
        command.env_remove(name);
    }
    plan.sockets.tell(&mut command);
    if !plan.shares_terminal {
        // A signal to the group of this process, which hands it on, would come twice.
        command.process_group(0);
    }
    let before = control::mark(Who::Gateway, &plan.state_dir);
    let child = command.spawn()?;
    let pid = process::pid(child.id());
    Ok(Gateway { pid: pid.ok_or_else(|| io::Error::other("a process without a number"))?, before })
}

/// Takes note of children that have ended, and says how the gateway did if it is one of them. Those that others have
/// left to this process are process 1's alone; another one's are its own, and it waits for them itself.
pub(super) fn reap(gateway: Option<&Gateway>) -> Option<Exit> {
    if std::process::id() == 1 {
        return reap_all(gateway.map(|gateway| gateway.pid));
    }
    let (_, status) = waitpid(Some(gateway?.pid), WaitOptions::NOHANG).ok()??;
    Some(end_of(status))
}

/// Takes note of all children that have ended, and says how that one did.
pub(super) fn reap_all(one: Option<Pid>) -> Option<Exit> {
    let mut end = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if one == Some(pid) {
            end = Some(end_of(status));
        }
    }
    end
}

fn end_of(status: WaitStatus) -> Exit {
    let small = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match status.terminating_signal() {
        Some(signal) => Exit::Signal(small(signal)),
        None => Exit::Code(small(status.exit_status().unwrap_or_default())),
    }
}

/// A gateway that fails each minute would write it full. It is opened for appending.
fn shorten(words: &Path) {
    if std::fs::metadata(words).is_ok_and(|meta| meta.len() > MOST_WORDS) {
        let emptied = std::fs::OpenOptions::new().write(true).open(words).and_then(|file| file.set_len(0));
        if let Err(error) = emptied {
            tracing::debug!(%error, "the first words of gateways cannot be cut off");
        }
    }
}

/// One that has no control socket counts as ready then.
const LONGEST_START: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes; a failed start says 200.
const MOST_WORDS: u64 = 64 << 10;
