//! Contents on this machine's disk of which no state tells any more, as after a damage.

use std::path::Path;

use super::words::counted;
use crate::spool::unclaimed;

/// What is said of those of one state; empty: there are none.
pub(super) async fn text(state_dir: &Path) -> String {
    let directory = state_dir.to_owned();
    let found = tokio::task::spawn_blocking(move || unclaimed(&directory)).await;
    let Some((place, count)) = found.ok().flatten() else { return String::new() };
    format!(
        "unclaimed  {} in {}: files that were saved, of which nothing else is known\n\
         hint       look through them, then delete them; nothing else does\n",
        counted(count, "content"),
        place.display()
    )
}
