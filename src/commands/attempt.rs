//! What becomes of a mount that fails: it says what is in the way, and leaves nothing behind.

use std::path::PathBuf;

use super::words::quoted;
use super::{CommandError, running};
use crate::mount::{self, MountError};
use crate::state::remove_bare;

/// Removes the directory of a state that came to nothing.
pub(super) async fn leave_nothing(state_dir: PathBuf) -> Result<(), CommandError> {
    Ok(tokio::task::spawn_blocking(move || remove_bare(&state_dir)).await?)
}

/// Says what is in the way by the name that its user knows, if it is another gateway's.
pub(super) async fn occupant_named(failure: CommandError) -> CommandError {
    let Some(MountError::Occupied { point, source_url }) = failure.error.downcast_ref() else {
        return failure;
    };
    let found = running::find(None).await.map(|found| found.running).unwrap_or_default();
    let entry = mount::entry_at(point).await.ok().flatten();
    let is_of = |url: &String| entry.as_ref().is_some_and(|entry| entry.is_of(url));
    let Some(other) = found.iter().find(|status| status.urls.iter().any(is_of)) else { return failure };
    let shown = point.display().to_string();
    CommandError::hinted(
        anyhow::anyhow!("{} is already mounted at {shown}, from {source_url}", other.source),
        format!(
            "name another mount point, or unmount that one first with `s3dav unmount {}`",
            quoted(&shown)
        ),
    )
}
