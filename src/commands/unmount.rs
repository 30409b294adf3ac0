//! `s3dav unmount`.

use std::path::{Path, PathBuf};

use super::mount::problems;
use super::running::{self, Waiting};
use super::{CommandError, stop};
use crate::cli::{DEFAULT_MOUNTPOINT, UnmountArgs};
use crate::control::{Request, Status, ask};
use crate::mount::{self, Entry, MountError};

pub(super) async fn run(args: UnmountArgs) -> Result<(), CommandError> {
    let found = running::find(args.gateway.state_dir.as_deref()).await?;
    let mounted = running::mounts(&found.running).await;
    let point = match args.mountpoint {
        Some(point) => mount::resolved(&std::path::absolute(point)?).await,
        None => meant(&mounted).await?,
    };
    let served = mounted.iter().find(|(entry, _)| entry.point == point).map(|(_, status)| *status);
    let waiting = waiting_under(&found.waiting, &point).await;
    if let Some(status) = served.filter(|status| status.keeps.is_some()) {
        // Or it would mount it again.
        ask(&status.state_dir, Request::Keep { mounted: false }, running::PATIENCE).await?;
    }
    match mount::detach(&point, args.force).await {
        // Another command was quicker.
        Err(MountError::NotMounted(_)) if served.is_some() => {}
        detached => detached?,
    }
    say!("unmounted {}", point.display());
    if let Some(status) = served
        && let Some(problem) = problems(&status.state_dir).await.first()
    {
        tell!(
            "warning: {}: the last writes may not be stored; davfs2 keeps them, and sends them when this is \
             mounted at the same place again\nhint: {}",
            problem.message,
            problem.hint
        );
    }
    // Looked at now: others may have unmounted the rest meanwhile.
    let left = mount::entries().await?;
    if let Some(waiting) = waiting.filter(|waiting| !is_any_of(&left, &waiting.parent.urls)) {
        return stop::give_up(&waiting.state_dir, stop::LIMIT).await;
    }
    match served.filter(|status| status.detached && !is_any_of(&left, &status.urls)) {
        Some(status) => stop::end(status, stop::LIMIT).await,
        None => Ok(()),
    }
}

fn is_any_of(entries: &[Entry], urls: &[String]) -> bool {
    entries.iter().any(|entry| urls.iter().any(|url| entry.is_of(url)))
}

/// Who holds the port of what is mounted there, while its gateway does not run; `mount` has started it.
async fn waiting_under<'w>(waiting: &'w [Waiting], point: &Path) -> Option<&'w Waiting> {
    let entries = mount::entries().await.unwrap_or_default();
    let entry = entries.into_iter().find(|entry| entry.point == point)?;
    let is_of = |waiting: &&Waiting| waiting.parent.urls.iter().any(|url| entry.is_of(url));
    waiting.iter().filter(|waiting| waiting.parent.detached).find(is_of)
}

/// The mount point that is meant where none is named.
async fn meant(mounted: &[(Entry, &Status)]) -> Result<PathBuf, CommandError> {
    let usual = mount::resolved(Path::new(DEFAULT_MOUNTPOINT)).await;
    match mounted {
        [] => Ok(usual),
        [(only, _)] => Ok(only.point.clone()),
        several if several.iter().any(|(entry, _)| entry.point == usual) => Ok(usual),
        several => {
            let points: Vec<_> = several.iter().map(|(entry, _)| entry.point.display().to_string()).collect();
            let error = anyhow::anyhow!("several volumes are mounted");
            Err(CommandError::hinted(error, format!("name one: {}", points.join(", "))))
        }
    }
}
