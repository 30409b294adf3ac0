//! Keeps something mounted for as long as the gateway runs.

use std::time::Duration;

use tokio::time::sleep;

use super::{Attached, Health, Mount, MountError, detach, entry_at, health, point};

/// What a supervisor tells of its mount.
pub trait Witness: Send + Sync {
    /// Whether it is to be mounted at the moment.
    fn is_wanted(&self) -> bool;
    /// It is mounted and answers.
    fn well(&self);
    /// It is not; what is wrong, and what to do.
    fn trouble(&self, message: String, hint: String);
}

/// Mounts it, and again whenever it was lost; does not return. What fails is told once, and tried again.
pub async fn supervise(mount: &Mount, interval: Duration, witness: &dyn Witness) {
    let shown = mount.options.point.display();
    let mut told = None;
    loop {
        if !witness.is_wanted() {
            witness.well();
            sleep(interval).await;
            continue;
        }
        match keep(mount).await {
            Ok(attached) => {
                if attached == Attached::Now {
                    tracing::info!(point = %shown, "mounted");
                }
                told = None;
                witness.well();
            }
            Err(trouble) => {
                if told.as_ref() != Some(&trouble.message) {
                    tracing::warn!(point = %shown, hint = trouble.hint, "{}", trouble.message);
                    told = Some(trouble.message.clone());
                }
                witness.trouble(trouble.message, trouble.hint);
            }
        }
        sleep(interval).await;
    }
}

struct Trouble {
    message: String,
    hint: String,
}

async fn keep(mount: &Mount) -> Result<Attached, Trouble> {
    let at = point::resolved(&mount.options.point).await;
    if entry_at(&at).await.ok().flatten().is_some_and(|entry| entry.is_of(&mount.url))
        && health(&at).await == Health::Dead
    {
        // Where it cannot be cleaned up, mounting says why.
        let _ = detach(&at, true).await;
    }
    mount
        .attach()
        .await
        .map_err(|error| Trouble { hint: error.hint().unwrap_or_default(), message: in_words(&error) })
}

fn in_words(error: &MountError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
