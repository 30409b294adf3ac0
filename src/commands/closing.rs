//! The end of a gateway, after its last request.

use std::time::Duration;

use crate::config::{Config, Source};
use crate::logging::with_causes;
use crate::shutdown::Shutdown;
use crate::state::State;

/// How long the end may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) requests: Duration,
    /// All that goes on after the last request.
    pub(super) rest: Duration,
}

impl Timeouts {
    pub(super) fn of(config: &Config) -> Self {
        let draining = match &config.source {
            Source::Buckets(source) => source.file_system.drain_timeout,
            Source::Path(_) | Source::Far(_) => Duration::ZERO,
        };
        let requests = config.shutdown_timeout;
        Self { requests, rest: requests.max(draining + LEAST_DRAIN) }
    }
}

/// What comes after the last request.
pub(super) async fn close(state: &State, shutdown: &Shutdown, limit: Duration) {
    end(state, shutdown, limit).await;
    let left = state.accepted().len();
    if left > 0 {
        tracing::warn!(
            left,
            hint = "`s3dav pending` lists them",
            "changes are not in S3 yet; they are kept on this machine, and made at the next start"
        );
    }
}

/// Waits for what goes on, and closes the state.
pub(super) async fn end(state: &State, shutdown: &Shutdown, limit: Duration) {
    let drained = tokio::time::timeout(limit, shutdown.drained()).await;
    if drained.is_err() {
        tracing::warn!("some uploads could not be cleaned up; the next start takes care of them");
    }
    // Where something may be written still, it has not ended in order.
    let ended = if drained.is_ok() { state.close().await } else { state.sync().await };
    if let Err(error) = ended {
        tracing::warn!(error = with_causes(&error), "the state could not be synced");
    }
}

/// Long enough to abort an upload or two.
pub(super) const LEAST_DRAIN: Duration = Duration::from_secs(5);
