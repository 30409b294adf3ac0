//! Mounts without a gateway: they show what they remember, and store nothing.

use std::path::Path;

use super::CommandError;
use super::owners::{Owned, owned};
use super::running::{self, Found};
use super::words::quoted;
use crate::mount;
use crate::state::{SourceNote, base_directory};

/// A mount that nobody serves.
#[derive(Debug)]
pub(super) struct Orphan(Owned);

/// Those of the gateways that a command is about.
pub(super) async fn find(named: Option<&Path>, found: &Found) -> Result<Vec<Orphan>, CommandError> {
    let entries = mount::entries().await.unwrap_or_default();
    let urls = found.running.iter().flat_map(|status| &status.urls);
    let urls: Vec<&String> =
        urls.chain(found.waiting.iter().flat_map(|waiting| &waiting.parent.urls)).collect();
    let others = entries.into_iter().filter(|entry| !urls.iter().any(|url| entry.is_of(url)));
    let (others, mut directories) = (others.collect::<Vec<_>>(), running::state_dirs(named)?);
    // One that does not answer may serve it.
    directories.retain(|directory| !found.failed.iter().any(|(failed, _)| failed == directory));
    let owned = tokio::task::spawn_blocking(move || owned(others, &directories)).await?;
    Ok(owned.into_iter().map(Orphan).collect())
}

impl Orphan {
    pub(super) fn point(&self) -> &Path {
        &self.0.entry.point
    }

    pub(super) fn state_dir(&self) -> &Path {
        &self.0.state_dir
    }

    pub(super) fn source(&self) -> String {
        self.0.note.as_ref().map_or_else(|| self.0.entry.source.clone(), SourceNote::to_string)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        format!(
            "gone       the gateway of {}; nothing that is saved to its mounts is stored\nmounted    \
             {}\nstate      {}\n",
            self.source(),
            self.point().display(),
            self.state_dir().display()
        )
    }

    /// What is wrong, and the two ways out of it.
    pub(super) fn failure(&self) -> CommandError {
        let point = quoted(&self.point().display().to_string());
        let error = anyhow::anyhow!(
            "{} is mounted at {}, and no gateway serves it",
            self.source(),
            self.point().display()
        );
        let again = match self.command() {
            Some(command) => format!("run `{command}` to bring it back"),
            None => "run `s3dav mount` with the previous options to bring it back".to_owned(),
        };
        CommandError::hinted(error, format!("{again}, or `s3dav unmount {point}` to remove it"))
    }

    /// The command line that serves it again.
    fn command(&self) -> Option<String> {
        let options = &self.0.note.as_ref()?.options;
        let is_usual = self.state_dir().parent() == base_directory().as_deref();
        let state_dir = (!is_usual).then(|| format!("--state-dir={}", self.state_dir().display()));
        let words = options.iter().cloned().chain(state_dir).chain([self.point().display().to_string()]);
        let words: Vec<String> = words.map(|word| quoted(&word)).collect();
        Some(format!("s3dav mount {}", words.join(" ")))
    }
}
