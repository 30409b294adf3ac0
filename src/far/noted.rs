//! Which container a gateway has started, noted in its state directory: for whoever must end it when the gateway cannot.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::running::remove;
use crate::container::{Engine, EngineKind};
use crate::state::{read_private, write_private};

/// A container, and its engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) engine: String,
    pub(super) id: String,
}

impl Noted {
    pub(super) async fn read(state_dir: &Path) -> Option<Self> {
        let file = state_dir.join(NOTE);
        let text = tokio::task::spawn_blocking(move || read_private(&file)).await.ok()?.ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The container goes on without it, and is found by its label as long as the gateway lives.
    pub(super) async fn write(&self, state_dir: &Path) {
        let file = state_dir.join(NOTE);
        let Ok(text) = serde_json::to_string(self) else { return };
        let written = tokio::task::spawn_blocking(move || write_private(&file, &text)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "cannot record which container was started");
        }
    }

    /// How it is removed by hand.
    pub(super) fn hint(&self) -> String {
        format!("`{} rm --force {}` removes it", self.engine, self.id)
    }
}

/// How the container that a gateway has left running is removed by hand; `None`: there is none.
pub async fn left_behind(state_dir: &Path) -> Option<String> {
    Noted::read(state_dir).await.map(|noted| noted.hint())
}

/// Removes the container that a gateway has left running. Fails with what removes it by hand.
pub async fn remove_left_behind(state_dir: &Path) -> Result<(), String> {
    let Some(noted) = Noted::read(state_dir).await else { return Ok(()) };
    let kind = noted.engine.parse::<EngineKind>().ok();
    let engine = kind.and_then(|kind| Engine::find(&[kind]).ok()).ok_or_else(|| noted.hint())?;
    if !remove(&engine, &noted.id).await {
        return Err(noted.hint());
    }
    forget(state_dir).await;
    Ok(())
}

/// Removes what a gateway's far end left in its state directory.
pub(super) async fn forget(state_dir: &Path) {
    for name in [NOTE, PASSWORD] {
        // It may not be there.
        let _ = tokio::fs::remove_file(state_dir.join(name)).await;
    }
}

/// In the state directory, while there is a container.
const NOTE: &str = "far-container";
/// In the state directory, while there is a container.
pub(super) const PASSWORD: &str = "far-password";
