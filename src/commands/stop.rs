//! `s3dav stop`.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{CommandError, running};
use crate::cli::StopArgs;
use crate::control::{ControlError, Reply, Request, ask};

pub(super) async fn run(args: StopArgs) -> Result<(), CommandError> {
    end(&running::only_one(args.gateway.state_dir.as_deref()).await?, args.wait).await
}

/// Ends the gateway with that state in order, and waits until it has ended.
pub(super) async fn end(state_dir: &Path, limit: Duration) -> Result<(), CommandError> {
    match ask(state_dir, Request::Stop, running::PATIENCE).await? {
        Reply::Done => {}
        _ => return Err(running::unexpected()),
    }
    let until = Instant::now() + limit;
    while Instant::now() < until {
        match ask(state_dir, Request::Status, running::PATIENCE).await {
            Err(ControlError::NotRunning { .. }) => return Ok(()),
            _ => sleep(PAUSE).await,
        }
    }
    Err(CommandError::hinted(
        anyhow::anyhow!("the gateway has not ended within {limit:?}"),
        "requests or uploads are still under way; --wait gives them longer",
    ))
}

const PAUSE: Duration = Duration::from_millis(100);
