//! Waiting until nothing is left on a gateway's machine of what it accepted before S3 had it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use s3dav::control::{self, ControlError, PendingAction, Reply, Request};

use super::{TestGateway, eventually_within};

impl TestGateway {
    /// Until S3 has all that was accepted.
    pub async fn drained(&self) {
        drained(&self.state.path().join("state")).await;
    }
}

/// The same of any gateway, by its state directory.
pub async fn drained(state: &Path) {
    drained_within(Duration::from_secs(60), state).await;
}

/// The same of what may take another time.
pub async fn drained_within(limit: Duration, state: &Path) {
    eventually_within(limit, "everything is stored, and nothing is left of it here", || async {
        bodies(state).is_empty() && !is_anything_pending(state).await
    })
    .await;
}

/// The files in which bodies are kept.
pub fn bodies(state: &Path) -> Vec<String> {
    let entries = fs::read_dir(state.join("pending.noindex")).into_iter().flatten().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let names = files.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// Whether anything waits for S3.
pub async fn is_anything_pending(state: &Path) -> bool {
    let request = Request::Pending { path: String::new(), action: PendingAction::List };
    match control::ask(state, request, Duration::from_secs(30)).await {
        Ok(Reply::Pending { changes }) => !changes.is_empty(),
        // It has only just started.
        Err(ControlError::NotRunning { .. }) => true,
        other => panic!("{other:?}"),
    }
}
