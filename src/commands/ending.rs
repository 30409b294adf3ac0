//! How a gateway ends: who wants it, and what happens before.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::gateway::Gateway;
use super::kept_mount::KeptMount;
use super::{CommandError, Ended};
use crate::far;
use crate::mount;
use crate::shutdown::{End, EndSignal, Shutdown, Signals};
use crate::sockets::Holder;

/// Runs the gateway until a signal or a command; Ctrl-C ends the process at once while it is ending.
pub(super) async fn until_stopped(
    gateway: Gateway,
    shutdown: Shutdown,
    kept: Option<KeptMount>,
    mut signals: Signals,
    holder: Holder,
) -> Result<Ended, CommandError> {
    let (urls, writes, relay) = (gateway.urls(), gateway.writes(), gateway.relay());
    let state_dir = gateway.state().directory().to_owned();
    let running = gateway.run();
    tokio::pin!(running);
    let keeping = async {
        match &kept {
            Some(kept) => mount::supervise(&kept.mount, kept.interval, kept).await,
            None => std::future::pending().await,
        }
    };
    let wanted = tokio::select! {
        () = &mut running => None,
        () = keeping => None,
        stop = wanted(&shutdown, &mut signals) => Some(stop),
    };
    let Some(mut stop) = wanted else {
        if let Some(relay) = relay {
            close(relay.close(), &state_dir, &mut signals).await;
        }
        return Ok(Ended::Well);
    };
    tracing::info!("stopping; Ctrl-C once more to stop at once");
    if let Stop::Restart { patience } = stop {
        // It still serves: only what comes after that waits for the next one.
        let Some(last) = wait_for(running.as_mut(), &writes(), patience, &shutdown, &mut signals).await
        else {
            return Ok(Ended::ToStartAnew);
        };
        stop = last;
    }
    if matches!(stop, Stop::Signal(_)) {
        // Whoever asks is told that it is ending.
        shutdown.request(End::Stop);
    }
    let ending = async {
        if !stop.outlives(holder) {
            mount::detach_all(&urls, false, stop.unmount_limit()).await;
        }
        shutdown.begin();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = &mut running => tracing::info!("stopped"),
        () = ending => {}
        () = interrupted(&mut signals) => at_once(&state_dir).await,
    }
    // The next one finds it running.
    if let Some(relay) = relay.filter(|_| !stop.is_restart()) {
        close(relay.close(), &state_dir, &mut signals).await;
    }
    // What ends now cannot unmount any more; the next one does, if somebody wanted that meanwhile.
    Ok(if stop.is_restart() { Ended::ToStartAnew } else { Ended::Well })
}

/// Ends the far gateway, unless somebody does not want to wait for that.
pub(super) async fn close(closing: impl Future<Output = ()>, state_dir: &Path, signals: &mut Signals) {
    tokio::select! {
        () = closing => {}
        () = interrupted(signals) => at_once(state_dir).await,
    }
}

async fn at_once(state_dir: &Path) {
    match far::left_behind(state_dir).await {
        Some(hint) => tracing::warn!(hint, "stopped at once; the container of this gateway goes on"),
        None => tracing::warn!("stopped at once"),
    }
    std::process::exit(130);
}

/// Waits for the uploads under way before a restart. Whoever wants the end instead gets it; `None`: it has ended.
async fn wait_for(
    running: Pin<&mut impl Future<Output = ()>>,
    writes: &TaskTracker,
    patience: Duration,
    shutdown: &Shutdown,
    signals: &mut Signals,
) -> Option<Stop> {
    let wants_end = async {
        tokio::select! {
            () = shutdown.stop_requested() => Stop::Command,
            signal = signals.next() => Stop::Signal(signal),
        }
    };
    tokio::select! {
        () = running => None,
        stop = wants_end => Some(stop),
        _ = tokio::time::timeout(patience, writes.wait()) => Some(Stop::Restart { patience }),
    }
}

async fn wanted(shutdown: &Shutdown, signals: &mut Signals) -> Stop {
    tokio::select! {
        end = shutdown.requested() => match end {
            End::Stop => Stop::Command,
            End::Restart { patience } => Stop::Restart { patience },
        },
        signal = signals.next() => Stop::Signal(signal),
    }
}

/// Waits for Ctrl-C. The other signals come twice where a whole session ends: to a program, and through its parent.
async fn interrupted(signals: &mut Signals) {
    while signals.next().await != EndSignal::Interrupt {}
}

/// What the program ends for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// A person wants it; or the system, to start it anew or for good.
    Signal(EndSignal),
    Command,
    /// The next one takes over the sockets.
    Restart {
        patience: Duration,
    },
}

impl Stop {
    fn is_restart(self) -> bool {
        matches!(self, Self::Restart { .. })
    }

    /// Whether the next life of the program takes over the sockets, and with them the mounts.
    fn outlives(self, holder: Holder) -> bool {
        // launchd ends a program at logout, systemd also to start it anew.
        let may_be_anew = holder == Holder::System && !cfg!(target_os = "macos");
        self.is_restart() || (matches!(self, Self::Signal(_)) && may_be_anew)
    }

    /// What programs wrote goes to S3 first. A person can give up waiting; a system that goes down does not wait.
    fn unmount_limit(self) -> Duration {
        match self {
            Self::Signal(EndSignal::Terminate | EndSignal::Hangup) => BY_SYSTEM,
            _ => BY_PERSON,
        }
    }
}

/// launchd gives a program half a minute to end in all.
const BY_SYSTEM: Duration = Duration::from_secs(20);
const BY_PERSON: Duration = Duration::from_secs(600);
