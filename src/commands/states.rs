//! `s3dav state`: the states of all sources, whose each is, and the end of those that nobody needs.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::owners::{Owned, owned};
use super::words::{counted, lasted, quoted, size};
use super::{CommandError, asking, running};
use crate::cli::{StateArgs, StateCommand};
use crate::config::BucketSpec;
use crate::control::{Reply, Request, Status, ask};
use crate::mount;
use crate::state::{
    self, Holdings, Removed, SourceNote, StateError, base_directory, holder, is_named_after, last_use,
    parent_holder,
};

pub(super) async fn run(args: StateArgs) -> Result<(), CommandError> {
    match args.command {
        StateCommand::List { json, gateway } => list(json, gateway.state_dir.as_deref()).await,
        StateCommand::Clean { names, older_than, all, yes } => clean(names, older_than.0, all, yes).await,
    }
}

/// A state directory, and what is known of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Known {
    pub(super) state_dir: PathBuf,
    source: String,
    buckets: Vec<String>,
    endpoint: Option<String>,
    path: Option<PathBuf>,
    /// Seconds since 1970.
    last_use: Option<u64>,
    /// Of all files in it.
    bytes: u64,
    pub(super) in_use: bool,
    /// Where it is mounted, whether a gateway runs or not.
    mounted: Vec<PathBuf>,
    /// `None`: it cannot be read.
    pub(super) holds: Option<Holdings>,
}

impl Known {
    /// Looks at one; a gateway that has it tells what it holds.
    async fn of(directory: PathBuf, mounts: &[Owned]) -> Result<Self, CommandError> {
        let running = match ask(&directory, Request::Status, running::PATIENCE).await {
            Ok(Reply::Status(status)) => Some(*status),
            _ => None,
        };
        let own = mounts.iter().filter(|owned| owned.state_dir == directory);
        let mounted = own.map(|owned| owned.entry.point.clone()).collect();
        Ok(tokio::task::spawn_blocking(move || Self::look(directory, running, mounted)).await?)
    }

    fn look(directory: PathBuf, running: Option<Status>, mounted: Vec<PathBuf>) -> Self {
        let note = SourceNote::read(&directory);
        let in_use = running.is_some() || holder(&directory).is_some() || parent_holder(&directory).is_some();
        let name = directory.file_name().unwrap_or(directory.as_os_str()).to_string_lossy().into_owned();
        let holds = match running {
            Some(status) => Some(held_by(&status)),
            None if in_use => None,
            None => Holdings::of(&directory).ok(),
        };
        let source = note.as_ref().map(SourceNote::to_string).unwrap_or(name);
        let note = note.unwrap_or_default();
        Self {
            source,
            buckets: note.buckets,
            endpoint: note.endpoint,
            path: note.path,
            last_use: last_use(&directory).map(seconds),
            bytes: bytes_in(&directory),
            in_use,
            mounted,
            holds,
            state_dir: directory,
        }
    }

    /// The directory's own name.
    fn name(&self) -> String {
        self.state_dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// What is served, and where that lies.
    pub(super) fn place(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{} at {endpoint}", self.source),
            None => self.source.clone(),
        }
    }

    /// Whether a person who names a bucket can mean this one.
    pub(super) fn is_of(&self, buckets: &[String]) -> bool {
        if self.buckets.is_empty() && self.path.is_none() {
            // An earlier version noted nothing.
            return buckets.first().is_some_and(|bucket| is_named_after(&self.state_dir, bucket));
        }
        let spelled = |bucket: &String| {
            BucketSpec::parse(bucket).map_or_else(|_| bucket.clone(), |spec| spec.to_string())
        };
        buckets.iter().map(spelled).all(|bucket| self.buckets.contains(&bucket))
    }

    fn is_called(&self, name: &str) -> bool {
        self.name() == name || self.source == name || self.state_dir == Path::new(name)
    }

    /// Since when it was not used.
    pub(super) fn unused(&self) -> Duration {
        let now = seconds(SystemTime::now());
        Duration::from_secs(now.saturating_sub(self.last_use.unwrap_or(now)))
    }

    pub(super) fn last_used(&self) -> String {
        match self.last_use {
            Some(_) => format!("{} ago", lasted(self.unused().as_secs())),
            None => "unknown".to_owned(),
        }
    }

    fn holding(&self) -> String {
        let Some(holds) = self.holds else {
            return if self.in_use {
                "unknown: it is in use"
            } else {
                "unknown: this version cannot read it"
            }
            .to_owned();
        };
        let mut parts = Vec::new();
        if holds.shelf_files > 0 {
            let (files, bytes) = (counted(holds.shelf_files as u64, "file"), size(holds.shelf_bytes));
            parts.push(format!("{files} of Finder's ({bytes})"));
        }
        if holds.pending > 0 {
            parts.push(counted(holds.pending as u64, "pending operation"));
        }
        if holds.properties > 0 {
            parts.push(format!("properties of {}", counted(holds.properties as u64, "file")));
        }
        if holds.locks > 0 {
            parts.push(format!("{} that clients still hold", counted(holds.locks as u64, "lock")));
        }
        if holds.others > 0 {
            let files = counted(holds.others as u64, "file");
            parts.push(format!("{files} that were set aside, or are not s3dav's"));
        }
        if parts.is_empty() { "nothing worth keeping".to_owned() } else { parts.join(", ") }
    }

    fn text(&self) -> String {
        let mut lines = [
            format!("state      {}", self.name()),
            format!("source     {}", self.place()),
            format!("last used  {}{}", self.last_used(), if self.in_use { ", and in use" } else { "" }),
            format!("size       {}", size(self.bytes)),
            format!("holds      {}", self.holding()),
        ];
        if self.state_dir.parent() != base_directory().as_deref() {
            lines[0] = format!("state      {}", self.state_dir.display());
        }
        lines.join("\n") + "\n"
    }

    /// Whether a gateway or a mount lives by it.
    fn is_needed(&self) -> bool {
        self.in_use || !self.mounted.is_empty()
    }

    /// Why it stays where nobody names it, in a few words.
    fn reason(&self) -> String {
        match self.mounted.first() {
            _ if self.in_use => "in use".to_owned(),
            Some(point) => format!("mounted at {}", point.display()),
            None if self.holds.is_some_and(|holds| holds.is_nothing()) => {
                format!("used {}", self.last_used())
            }
            None => format!("holds {}", self.holding()),
        }
    }

    /// Why it stays, and what can be done about that.
    fn refusal(&self) -> Option<CommandError> {
        let shown = quoted(&self.state_dir.display().to_string());
        if self.in_use {
            return Some(CommandError::hinted(
                anyhow::anyhow!("the state {} is in use", self.name()),
                format!("`s3dav stop --state-dir {shown}` ends its gateway"),
            ));
        }
        if let Some(point) = self.mounted.first() {
            let point = point.display().to_string();
            return Some(CommandError::hinted(
                anyhow::anyhow!("the state {} belongs to the mount at {point}", self.name()),
                format!("unmount that first: `s3dav unmount {}`", quoted(&point)),
            ));
        }
        if self.holds.is_some_and(|holds| holds.is_nothing()) {
            return None;
        }
        let only_locks = |holds: Holdings| Holdings { locks: 0, ..holds }.is_nothing();
        let hint = match self.holds {
            Some(holds) if only_locks(holds) => {
                format!("locks expire by themselves: try again later, or delete {shown} if nobody needs them")
            }
            Some(holds) if holds.pending == 0 && holds.shelf_files == 0 => {
                format!("look at {shown}, and delete it if nobody needs it")
            }
            Some(holds) if holds.pending == 0 => {
                format!("run `s3dav shelf export --state-dir {shown} DIR` to save them, then delete {shown}")
            }
            Some(_) => "serve its source again, which stores what is pending".to_owned(),
            None => {
                format!("start the version of s3dav that wrote it, or delete {shown} if nobody needs it")
            }
        };
        Some(CommandError::hinted(
            anyhow::anyhow!("the state {} holds {}", self.name(), self.holding()),
            hint,
        ))
    }
}

fn held_by(status: &Status) -> Holdings {
    Holdings {
        shelf_files: status.shelf.entries as usize,
        shelf_bytes: status.shelf.bytes,
        pending: status.saves.len() + status.more_saves as usize + status.held_creates as usize,
        ..Holdings::default()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn bytes_in(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// All that a command is about.
pub(super) async fn known(named: Option<&Path>) -> Result<Vec<Known>, CommandError> {
    looked_at(running::state_dirs(named)?).await
}

/// What is known of each of those.
pub(super) async fn looked_at(directories: Vec<PathBuf>) -> Result<Vec<Known>, CommandError> {
    let (entries, all) = (mount::entries().await.unwrap_or_default(), directories.clone());
    let mounts = tokio::task::spawn_blocking(move || owned(entries, &all)).await?;
    let looks = directories.into_iter().map(|directory| Known::of(directory, &mounts));
    futures_util::future::try_join_all(looks).await
}

async fn list(json: bool, named: Option<&Path>) -> Result<(), CommandError> {
    let known = known(named).await?;
    if json {
        say!("{}", serde_json::to_string_pretty(&known)?);
    } else if known.is_empty() {
        tell!("there is no state");
    } else {
        say!("{}", known.iter().map(Known::text).collect::<Vec<_>>().join("\n").trim_end());
    }
    Ok(())
}

async fn clean(
    names: Vec<String>,
    older_than: Duration,
    whatever: bool,
    yes: bool,
) -> Result<(), CommandError> {
    let all = known(None).await?;
    let meant: Vec<&Known> = if whatever {
        all.iter().filter(|known| !known.is_needed()).collect()
    } else if names.is_empty() {
        let is_old = |known: &&Known| known.refusal().is_none() && known.unused() > older_than;
        all.iter().filter(is_old).collect()
    } else {
        named(&all, &names)?
    };
    if whatever || (names.is_empty() && meant.is_empty()) {
        let kept = all.iter().filter(|known| !meant.iter().any(|other| other.state_dir == known.state_dir));
        kept.for_each(|known| tell!("kept {} ({}): {}", known.name(), known.place(), known.reason()));
    }
    if meant.is_empty() {
        if !whatever && !all.is_empty() {
            tell!("to remove one, name it, or use --older-than or --all");
        }
        say!("there is no state to remove");
        return Ok(());
    }
    if !yes && !is_wanted(&meant).await? {
        return Ok(());
    }
    for known in meant {
        let directory = known.state_dir.clone();
        let remove = if whatever { state::remove_with_all } else { state::remove };
        let removed = tokio::task::spawn_blocking(move || remove(&directory)).await?;
        match removed {
            Ok(Removed::All) => say!("removed {} ({})", known.name(), known.place()),
            Ok(Removed::Not(_)) | Err(StateError::Taken { .. }) => {
                tell!("warning: kept {}: it is in use", known.name());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Those that a person names; each must be one that can go.
fn named<'k>(all: &'k [Known], names: &[String]) -> Result<Vec<&'k Known>, CommandError> {
    let mut meant: Vec<&Known> = Vec::new();
    for name in names {
        let called: Vec<&Known> = all.iter().filter(|known| known.is_called(name)).collect();
        if called.is_empty() {
            let error = anyhow::anyhow!("there is no state {name:?}");
            return Err(CommandError::hinted(error, "`s3dav state list` lists them"));
        }
        for known in called {
            match known.refusal() {
                Some(refusal) => return Err(refusal),
                None if meant.iter().any(|other| other.state_dir == known.state_dir) => {}
                None => meant.push(known),
            }
        }
    }
    Ok(meant)
}

/// Asks at the terminal.
async fn is_wanted(meant: &[&Known]) -> Result<bool, CommandError> {
    let names: Vec<String> = meant
        .iter()
        .map(|known| {
            let (place, used) = (known.place(), known.last_used());
            format!("{} ({place}, used {used}, holds {})", known.name(), known.holding())
        })
        .collect();
    if !asking::is_possible() {
        return Err(CommandError::hinted(
            anyhow::anyhow!("there is no terminal to confirm the removal of {}", names.join(", ")),
            "add --yes to remove without asking",
        ));
    }
    say!("{}", names.join("\n"));
    Ok(asking::ask("Remove?").await? == Some(true))
}
