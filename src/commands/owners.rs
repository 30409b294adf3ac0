//! Whose a state directory and a mount are: nobody's files may get into another source.

use std::path::{Path, PathBuf};

use super::CommandError;
use super::running::state_dirs;
use super::words::quoted;
use crate::config::{Config, Source};
use crate::mount::{self, Entry};
use crate::state::{Holdings, SourceNote};

/// Refuses to serve with a state that belongs to another source, if it holds anything: what is pending would be
/// stored in the wrong place.
pub(super) async fn check_state(config: &Config) -> Result<(), CommandError> {
    let (directory, own) = (config.state_dir.clone(), config.source.identity().directory_name());
    let found = tokio::task::spawn_blocking(move || {
        let note = another(&directory, &own)?;
        // What cannot be looked into may hold something.
        let holds_nothing = Holdings::of(&directory).is_ok_and(|holds| holds.is_nothing());
        (!holds_nothing).then_some(note)
    });
    match found.await? {
        Some(note) => Err(of_another(&config.state_dir, &note, &config.source)),
        None => Ok(()),
    }
}

/// Refuses a gateway that runs with that state for another source.
pub(super) async fn check_running(config: &Config, serves: &str) -> Result<(), CommandError> {
    let (directory, own) = (config.state_dir.clone(), config.source.identity().directory_name());
    let note = tokio::task::spawn_blocking(move || another(&directory, &own)).await?;
    match note {
        Some(note) => Err(of_another(&config.state_dir, &note, &config.source)),
        // An earlier version has noted nothing.
        None if serves != config.source.to_string() => {
            let note = SourceNote { buckets: vec![serves.to_owned()], ..SourceNote::default() };
            Err(of_another(&config.state_dir, &note, &config.source))
        }
        None => Ok(()),
    }
}

/// Whose the state is, if it is another source's.
fn another(directory: &Path, own: &str) -> Option<SourceNote> {
    SourceNote::read(directory).filter(|note| note.identity().directory_name() != own)
}

fn of_another(directory: &Path, note: &SourceNote, source: &Source) -> CommandError {
    let shown = directory.display();
    CommandError::hinted(
        anyhow::anyhow!("the state directory {shown} belongs to {note}, not to {source}"),
        "use one state directory per source: leave out --state-dir, or name another directory",
    )
}

/// A mount that is left of another source, and that source.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) entry: Entry,
    pub(super) source: String,
}

impl Left {
    /// Why no gateway may serve where that mount looks for its own.
    pub(super) fn failure(&self) -> CommandError {
        let point = self.entry.point.display().to_string();
        CommandError::hinted(
            anyhow::anyhow!("{point} is mounted from {}, and shows {}", self.entry.source, self.source),
            format!(
                "unmount that first with `s3dav unmount {}`, or choose another port with --listen 127.0.0.1:PORT",
                quoted(&point)
            ),
        )
    }
}

/// The mounts that other sources have left: whoever takes their addresses gets what programs write to them.
pub(super) async fn left_by_others(config: &Config) -> Vec<Left> {
    let entries = mount::entries().await.unwrap_or_default();
    let Ok(mut directories) = state_dirs(None) else { return Vec::new() };
    let (own_directory, own) = (config.state_dir.clone(), config.source.identity().directory_name());
    if !directories.contains(&own_directory) {
        directories.push(own_directory.clone());
    }
    let left = move || {
        let others =
            owned(entries, &directories).into_iter().filter(|owned| owned.state_dir != own_directory);
        let of = |Owned { entry, note, .. }: Owned| {
            let note = note.filter(|note| note.identity().directory_name() != own)?;
            Some(Left { entry, source: note.to_string() })
        };
        others.filter_map(of).collect()
    };
    tokio::task::spawn_blocking(left).await.unwrap_or_default()
}

/// A mount, and the state of the gateway that has made it.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) entry: Entry,
    pub(super) state_dir: PathBuf,
    pub(super) note: Option<SourceNote>,
}

/// Those of the mounts that the gateways with those states have made. Several may have mounted at one place from one
/// address, one after the other: it is the last one's. Blocks for the time of small files.
pub(super) fn owned(entries: Vec<Entry>, directories: &[PathBuf]) -> Vec<Owned> {
    let of = |entry: Entry| {
        let made = |directory: &PathBuf| {
            let made = mount::when_mounted(directory, &entry)?;
            Some((made, SourceNote::read(directory), directory.clone()))
        };
        // An earlier version did not note when.
        let last = |(made, note, _): &(u64, Option<SourceNote>, PathBuf)| {
            (*made, note.as_ref().and_then(SourceNote::last_used))
        };
        let (_, note, state_dir) = directories.iter().filter_map(made).max_by_key(last)?;
        Some(Owned { entry, state_dir, note })
    };
    entries.into_iter().filter_map(of).collect()
}
