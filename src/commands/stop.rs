//! `s3dav stop`.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::CommandError;
use super::running::{self, Meant};
use super::unsent::{TELL_EVERY, tell_waiting};
use super::words::{counted, quoted};
use crate::cli::StopArgs;
use crate::control::{ControlError, Reply, Request, Status, Who, ask, ask_of, is_there};
use crate::far;
use crate::mount::{self, MountError};
use crate::state::{self, Holdings};

/// Unmounts what is mounted of a gateway, while it can still take what programs wrote, and ends it.
pub(super) async fn run(args: StopArgs) -> Result<(), CommandError> {
    let status = match running::only_one(args.gateway.state_dir.as_deref()).await? {
        Meant::Running(status) => status,
        Meant::Waiting(waiting) if waiting.parent.ending => {
            closed(&waiting.state_dir, Instant::now() + args.wait.0).await?;
            end_container(&waiting.state_dir).await;
            say!("stopped the gateway at {}", waiting.parent.urls.join(" "));
            return Ok(());
        }
        Meant::Waiting(waiting) => {
            give_up(&waiting.state_dir, args.wait.0).await?;
            say!("stopped the gateway at {}, which had failed to start", waiting.parent.urls.join(" "));
            return Ok(());
        }
    };
    if status.ending {
        tell!("the gateway that serves {} is ending; waiting for that", status.source);
    } else if status.keeps.is_some() {
        ask(&status.state_dir, Request::Keep { mounted: false }, running::PATIENCE).await?;
    }
    for (entry, _) in running::mounts(std::slice::from_ref(&*status)).await {
        let detached = timeout(args.wait.0, mount::detach(&entry.point, args.force)).await;
        match detached.unwrap_or_else(|_| Err(MountError::Hung(entry.point.clone()))) {
            Ok(_) => say!("unmounted {}", entry.point.display()),
            // Somebody else was quicker, or it does so itself.
            Err(MountError::NotMounted(_)) => {}
            Err(MountError::Busy { forced: false, .. }) if status.ending => {}
            Err(error) => return Err(error.into()),
        }
    }
    end(&status, args.wait.0).await?;
    say!("stopped the gateway of {} at {}", status.source, status.urls.join(" "));
    Ok(())
}

/// Ends a gateway in order, and waits until it has ended.
pub(super) async fn end(status: &Status, limit: Duration) -> Result<(), CommandError> {
    match ask(&status.state_dir, Request::Stop, running::PATIENCE).await {
        Ok(Reply::Done) => {}
        Ok(_) => return Err(running::unexpected()),
        // Another command ends it, or has ended it: it hears no more, and may have its state still.
        Err(ControlError::NotRunning { .. } | ControlError::Lost(_)) => {}
        Err(error) if !gone(status, Instant::now() + PAUSE).await => return Err(error.into()),
        Err(_) => {}
    }
    let until = Instant::now() + limit;
    if !gone(status, until).await {
        return Err(too_slow(limit));
    }
    closed(&status.state_dir, until).await?;
    end_container(&status.state_dir).await;
    tell_what_remains(&status.state_dir).await;
    Ok(())
}

/// What it could not store before it ended.
async fn tell_what_remains(state_dir: &Path) {
    let directory = state_dir.to_owned();
    let holdings = tokio::task::spawn_blocking(move || Holdings::of(&directory).ok());
    let unsent = holdings.await.ok().flatten().map_or(0, |holdings| holdings.unsent as u64);
    if unsent > 0 {
        let (changes, place) = (counted(unsent, "change"), quoted(&state_dir.display().to_string()));
        tell!(
            "warning: not in S3 yet: {changes}, kept on this machine and made when this source is served again\n\
             hint: `s3dav pending --state-dir {place}` lists them"
        );
    }
}

/// Waits until it has ended, and not another one that has been started since; says whether it has.
pub(super) async fn gone(status: &Status, until: Instant) -> bool {
    let mut told = Instant::now();
    while Instant::now() < until {
        let is_there = match ask(&status.state_dir, Request::Status, running::PATIENCE).await {
            Ok(Reply::Status(now)) => {
                if told.elapsed() > TELL_EVERY {
                    told = Instant::now();
                    tell_waiting(now.saves.len() as u64 + now.more_saves);
                }
                now.pid == status.pid
            }
            // It may say no more, and have the state still.
            _ => state::holder(&status.state_dir).is_some_and(|holder| holder.pid == status.pid),
        };
        if !is_there {
            return true;
        }
        sleep(PAUSE).await;
    }
    false
}

/// Ends the process that holds the port of a gateway which does not start; it unmounts first what is mounted of it.
pub(super) async fn give_up(state_dir: &Path, limit: Duration) -> Result<(), CommandError> {
    match ask_of(Who::Parent, state_dir, Request::Stop, running::PATIENCE).await {
        // Another command ends it, or has ended it.
        Ok(_) | Err(ControlError::NotRunning { .. } | ControlError::Lost(_)) => {}
        Err(error) => return Err(error.into()),
    }
    closed(state_dir, Instant::now() + limit).await?;
    end_container(state_dir).await;
    Ok(())
}

/// Removes the container of a gateway that could not do so itself.
async fn end_container(state_dir: &Path) {
    if let Err(hint) = far::remove_left_behind(state_dir).await {
        tell!("warning: the gateway's container was not removed\nhint: {hint}");
    }
}

/// Waits until the process that holds the port has followed its gateway.
async fn closed(state_dir: &Path, until: Instant) -> Result<(), CommandError> {
    while is_there(Who::Parent, state_dir).await || state::parent_holder(state_dir).is_some() {
        if Instant::now() > until {
            return Err(CommandError::hinted(
                anyhow::anyhow!("the process that holds the gateway's port is still running"),
                "`s3dav status` shows whether another gateway was started",
            ));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

pub(super) fn too_slow(limit: Duration) -> CommandError {
    CommandError::hinted(
        anyhow::anyhow!("the gateway did not stop within {limit:?}"),
        "requests or uploads are still in progress; allow a longer time with --wait",
    )
}

/// After unmounting, little is under way.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(100);
