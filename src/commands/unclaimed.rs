//! Contents on this machine's disk of which no state tells any more, as after a damage.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::words::counted;
use crate::spool::unclaimed;

/// Those of one state.
#[derive(Debug, Serialize)]
pub(super) struct Unclaimed {
    directory: PathBuf,
    /// Files.
    count: u64,
}

impl Unclaimed {
    /// `None`: there are none.
    pub(super) async fn of(state_dir: &Path) -> Option<Self> {
        let state_dir = state_dir.to_owned();
        let found = tokio::task::spawn_blocking(move || unclaimed(&state_dir)).await;
        found.ok().flatten().map(|(directory, count)| Self { directory, count })
    }

    /// What is said of them.
    pub(super) fn text(&self) -> String {
        format!(
            "unclaimed  {} in {}: files that were saved, of which nothing else is known\n\
             hint       look through them, then delete them; nothing else does\n",
            counted(self.count, "content"),
            self.directory.display()
        )
    }
}
