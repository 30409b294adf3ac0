//! `s3dav restart`.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::running::{self, Meant};
use super::{CommandError, predecessor, stop};
use crate::cli::RestartArgs;
use crate::control::{ControlError, Reply, Request, Status, Who, ask, ask_of};
use crate::parent;
use crate::service::{Service, System};

pub(super) async fn run(args: RestartArgs) -> Result<(), CommandError> {
    let named = args.gateway.state_dir.as_deref();
    let status = match running::only_one(named).await? {
        Meant::Running(status) if status.ending => return Err(has_ended(&status.state_dir, named).await),
        Meant::Waiting(waiting) if waiting.parent.ending => {
            return Err(has_ended(&waiting.state_dir, named).await);
        }
        Meant::Running(status) => anew(&status, args.wait.0).await?,
        // It does not start, and is tried again only in a while.
        Meant::Waiting(waiting) => start_now(&waiting.state_dir).await?,
    };
    say!("{} is served at {} by s3dav {}", status.source, status.urls.join(" "), status.program_version);
    Ok(())
}

/// What there is to say when a gateway that was ending has ended.
async fn has_ended(state_dir: &Path, named: Option<&Path>) -> CommandError {
    match predecessor::wait_out_aloud(state_dir).await {
        Ok(_) => running::none_runs(named),
        Err(failure) => failure,
    }
}

/// Lets the program that is installed now take the place of a gateway; connections wait meanwhile. Gives its status.
pub(super) async fn anew(status: &Status, patience: Duration) -> Result<Status, CommandError> {
    if status.parent.is_none() && !status.is_service {
        return Err(CommandError::hinted(
            anyhow::anyhow!("the port of this gateway would close during a restart"),
            "run `s3dav stop`, and start it again; a gateway that `s3dav mount` starts can be restarted",
        ));
    }
    let (service, limit) = (service_of(status).await, patience + stop::LIMIT);
    let request = Request::Restart { patience: patience.as_secs() };
    match ask(&status.state_dir, request, running::PATIENCE).await? {
        Reply::Done => {}
        _ => return Err(running::unexpected()),
    }
    if let Some(service) = service {
        // Its manager makes a pause before it starts it anew, unless it is told to.
        stop::gone(status, Instant::now() + limit).await;
        service.hasten().await?;
    }
    answers(&status.state_dir, limit + START_LIMIT, |now| now.pid != status.pid).await
}

/// The service of this user, if it is that gateway.
async fn service_of(status: &Status) -> Option<Service<'static>> {
    let service = Service::new(&System).ok().filter(|_| status.is_service)?;
    service.runs(status.pid).await.then_some(service)
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
    let (until, mut alone_since) = (Instant::now() + limit, None);
    while Instant::now() < until {
        match ask(state_dir, Request::Status, running::PATIENCE).await {
            Ok(Reply::Status(status)) if is_it(&status) => return Ok(*status),
            Err(ControlError::NotRunning { .. }) => {
                let waiting = running::waiting(state_dir).await;
                if let Some(failure) = waiting.as_ref().and_then(running::Waiting::failure) {
                    return Err(failure);
                }
                // One that is a service's has no parent, and is away for a moment.
                let alone = *alone_since.get_or_insert_with(Instant::now);
                if waiting.is_some() {
                    alone_since = None;
                } else if alone.elapsed() > LONGEST_ABSENCE {
                    return Err(ended(state_dir));
                }
            }
            _ => alone_since = None,
        }
        sleep(PAUSE).await;
    }
    Err(CommandError::hinted(
        anyhow::anyhow!("no new gateway is serving after {limit:?}"),
        "`s3dav status` shows its state",
    ))
}

/// Why there is neither a gateway nor anybody who starts one.
fn ended(state_dir: &Path) -> CommandError {
    let (reason, hint) = parent::failure(state_dir).unzip();
    CommandError {
        error: anyhow::anyhow!(reason.unwrap_or_else(|| "the gateway has ended".to_owned())),
        hint: hint.filter(|hint| !hint.is_empty()),
        exit_code: 1,
    }
}

/// It waits 10 s for an S3 that is away.
pub(super) const START_LIMIT: Duration = Duration::from_secs(60);
/// A manager of services starts one anew after 10 s.
const LONGEST_ABSENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);
