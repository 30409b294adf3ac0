//! States that no gateway serves, and in which changes wait for S3: a bucket that was served under another endpoint, with
//! others, or with a state directory of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::running;
use super::words::{counted, quoted};
use crate::state::{Holdings, SourceNote, holder, is_state_directory, parent_holder};

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Unsent {
    pub(super) state_dir: PathBuf,
    /// What was served with it.
    pub(super) source: String,
    /// Changes.
    pub(super) count: u64,
}

impl Unsent {
    /// Looks into a state, unless a gateway has it. Blocks.
    fn of(state_dir: PathBuf) -> Option<Self> {
        if !is_state_directory(&state_dir)
            || holder(&state_dir).is_some()
            || parent_holder(&state_dir).is_some()
        {
            return None;
        }
        let count = Holdings::of(&state_dir).ok()?.unsent as u64;
        let note = SourceNote::read(&state_dir).filter(|note| !note.buckets.is_empty());
        let source = note.map(|note| note.to_string()).filter(|_| count > 0)?;
        Some(Self { state_dir, source, count })
    }

    /// How to send it.
    pub(super) fn command(&self) -> String {
        format!("s3dav drain {}", quoted(&self.state_dir.display().to_string()))
    }
}

/// Tells whoever waits for them that something goes on.
pub(super) fn tell_waiting(left: u64) {
    if left > 0 {
        tell!("waiting for S3: {} left", counted(left, "change"));
    }
}

/// All but those at `own`.
pub(super) async fn elsewhere(own: &[&Path]) -> Vec<Unsent> {
    let mut directories = running::state_dirs(None).unwrap_or_default();
    directories.retain(|directory| !own.contains(&directory.as_path()));
    let looking = move || directories.into_iter().filter_map(Unsent::of).collect();
    tokio::task::spawn_blocking(looking).await.unwrap_or_default()
}

/// Tells a gateway's log of them at its start.
pub(super) async fn warn_of_others(own: &Path) {
    for unsent in elsewhere(&[own]).await {
        tracing::warn!(
            source = unsent.source,
            changes = unsent.count,
            hint = format!("`{}` sends them", unsent.command()),
            "another state holds changes that are not in S3"
        );
    }
}

/// How often.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(3);
