//! `s3dav stop`.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{CommandError, running};
use crate::cli::StopArgs;
use crate::control::{Reply, Request, Status, ask};
use crate::mount;

/// Unmounts what is mounted of a gateway, while it can still take what programs wrote, and ends it.
pub(super) async fn run(args: StopArgs) -> Result<(), CommandError> {
    let status = running::only_one(args.gateway.state_dir.as_deref()).await?;
    if status.keeps.is_some() {
        ask(&status.state_dir, Request::Keep { mounted: false }, running::PATIENCE).await?;
    }
    for (entry, _) in running::mounts(std::slice::from_ref(&status)).await {
        mount::detach(&entry.point, args.force).await?;
    }
    end(&status, args.wait).await
}

/// Ends a gateway in order, and waits until it has ended.
pub(super) async fn end(status: &Status, limit: Duration) -> Result<(), CommandError> {
    match ask(&status.state_dir, Request::Stop, running::PATIENCE).await? {
        Reply::Done => {}
        _ => return Err(running::unexpected()),
    }
    let until = Instant::now() + limit;
    while Instant::now() < until {
        match ask(&status.state_dir, Request::Status, running::PATIENCE).await {
            // It, and no other that has been started since.
            Ok(Reply::Status(now)) if now.pid == status.pid => sleep(PAUSE).await,
            _ => return Ok(()),
        }
    }
    Err(CommandError::hinted(
        anyhow::anyhow!("the gateway has not ended within {limit:?}"),
        "requests or uploads are still under way; `s3dav stop --wait` gives them longer",
    ))
}

const PAUSE: Duration = Duration::from_millis(100);
