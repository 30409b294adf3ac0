//! Keeps something mounted for as long as the gateway runs.

use std::time::Duration;

use tokio::time::sleep;

use super::{Attached, Mount};
use crate::logging::with_causes;

/// What a supervisor tells of its mount.
pub trait Witness: Send + Sync {
    /// Whether it is to be mounted at the moment.
    fn is_wanted(&self) -> bool;
    /// It is about to be looked at, and mounted if need be.
    fn begins(&self);
    /// That has been done.
    fn ends(&self);
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
        witness.begins();
        let attached = mount.attach().await;
        witness.ends();
        match attached {
            Ok(attached) => {
                if attached == Attached::Now {
                    tracing::info!(point = %shown, "mounted");
                }
                told = None;
                witness.well();
            }
            Err(error) => {
                let (message, hint) = (with_causes(&error), error.hint());
                if told.as_ref() != Some(&message) {
                    tracing::warn!(point = %shown, hint, "{message}");
                    told = Some(message.clone());
                }
                witness.trouble(message, hint.unwrap_or_default());
            }
        }
        sleep(interval).await;
    }
}

/// A look asks the kernel alone, and nobody wants to wait longer for a lost volume to be back.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
