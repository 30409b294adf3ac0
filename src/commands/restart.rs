//! `s3dav restart`.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::running::{self, Found};
use super::{CommandError, stop};
use crate::cli::RestartArgs;
use crate::control::{Reply, Request, Status, Who, ask, ask_of};
use crate::service::{Service, System};

pub(super) async fn run(args: RestartArgs) -> Result<(), CommandError> {
    let named = args.gateway.state_dir.as_deref();
    let Found { running, waiting, .. } = running::find(named).await?;
    let status = match (running.as_slice(), waiting.as_slice()) {
        // It does not start, and is tried again only in a while.
        ([], [only]) => start_now(&only.state_dir).await?,
        _ => anew(&running::only_one(named).await?, args.wait).await?,
    };
    say!("{} is served at {} by s3dav {}", status.source, status.urls.join(" "), status.program_version);
    Ok(())
}

/// Lets the program that is installed now take the place of a gateway; connections wait meanwhile. Gives its status.
pub(super) async fn anew(status: &Status, patience: Duration) -> Result<Status, CommandError> {
    if status.parent.is_none() && !status.is_service {
        return Err(CommandError::hinted(
            anyhow::anyhow!("nobody holds the port of this gateway while it is started anew"),
            "end it with `s3dav stop`, and start it again; one that `s3dav mount` has started has somebody",
        ));
    }
    let request = Request::Restart { patience: patience.as_secs() };
    match ask(&status.state_dir, request, running::PATIENCE).await? {
        Reply::Done => {}
        _ => return Err(running::unexpected()),
    }
    if status.is_service {
        hasten(status, patience + stop::LIMIT).await;
    }
    let limit = patience + stop::LIMIT + START_LIMIT;
    answers(&status.state_dir, limit, |now| now.pid != status.pid).await
}

/// systemd and launchd pause before they start it anew, unless they are told to start it.
async fn hasten(status: &Status, limit: Duration) {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        match ask(&status.state_dir, Request::Status, running::PATIENCE).await {
            Ok(Reply::Status(now)) if now.pid == status.pid => sleep(PAUSE).await,
            _ => break,
        }
    }
    let started = match Service::new(&System) {
        Ok(service) => service.start().await,
        Err(error) => Err(error),
    };
    if let Err(error) = started {
        // It may be another's definition; that starts it, too, a little later.
        tracing::debug!(%error, "the service is started by its manager, in a while");
    }
}

/// Lets the process that holds the port of a gateway start it now. Gives its status.
pub(super) async fn start_now(state_dir: &Path) -> Result<Status, CommandError> {
    ask_of(Who::Parent, state_dir, Request::Restart { patience: 0 }, running::PATIENCE).await?;
    answers(state_dir, START_LIMIT, |_| true).await
}

/// Waits until the right gateway answers.
async fn answers(
    state_dir: &Path,
    limit: Duration,
    is_it: impl Fn(&Status) -> bool,
) -> Result<Status, CommandError> {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        match ask(state_dir, Request::Status, running::PATIENCE).await {
            Ok(Reply::Status(status)) if is_it(&status) => return Ok(*status),
            _ => {}
        }
        if let Some(failure) = running::waiting(state_dir).await.and_then(|waiting| waiting.failure()) {
            return Err(failure);
        }
        sleep(PAUSE).await;
    }
    Err(CommandError::hinted(
        anyhow::anyhow!("no new gateway serves after {limit:?}"),
        "`s3dav status` shows how it is",
    ))
}

/// It waits 10 s for an S3 that is away.
const START_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
