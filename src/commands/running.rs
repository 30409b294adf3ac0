//! The gateways that run on this machine, as far as this user may know.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;

use super::CommandError;
use crate::control::{ControlError, ParentStatus, Reply, Request, Status, Who, ask, ask_of};
use crate::http::auth::AuthMode;
use crate::mount::{self, Entry};
use crate::state::{base_directory, directory_hint, directory_of, is_state_directory};

/// The state directories that a command is about: the one that was named, else all in the usual place.
pub(super) fn state_dirs(named: Option<&Path>) -> Result<Vec<PathBuf>, CommandError> {
    if let Some(directory) = named {
        return Ok(vec![state_dir(directory)?]);
    }
    let entries = base_directory().and_then(|base| fs::read_dir(base).ok());
    let mut found: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .flatten()
        // Others' are theirs.
        .filter_map(|entry| directory_of(&entry.path()).ok())
        .filter(|directory| is_state_directory(directory))
        .collect();
    found.sort();
    Ok(found)
}

/// The directory that a gateway uses which was given this one.
pub(super) fn state_dir(named: &Path) -> Result<PathBuf, CommandError> {
    let named = std::path::absolute(named).unwrap_or_else(|_| named.to_owned());
    directory_of(&named).map_err(|error| unfit(&named, error))
}

pub(super) fn unfit(state_dir: &Path, error: io::Error) -> CommandError {
    let hint = directory_hint(&error);
    let message = format!("the state directory {} cannot be used", state_dir.display());
    CommandError::hinted(anyhow::Error::new(error).context(message), hint)
}

/// A gateway that does not run, and the process that holds its port and starts it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) state_dir: PathBuf,
    pub(super) parent: ParentStatus,
}

impl Waiting {
    /// Why it does not start, if that was tried.
    pub(super) fn failure(&self) -> Option<CommandError> {
        if self.parent.failed_starts == 0 || self.parent.is_running {
            return None;
        }
        let how = self.parent.last_end.as_ref().map(|end| end.how.clone()).unwrap_or_default();
        let reason = self.parent.reason.clone().unwrap_or(how);
        let error = anyhow::anyhow!(reason).context("the gateway does not start");
        let hint = self.parent.hint.clone().filter(|hint| !hint.is_empty());
        let hint = hint.unwrap_or_else(|| format!("its logs are in {}", self.state_dir.display()));
        Some(CommandError::hinted(
            error,
            format!("{hint}; its port stays open: `s3dav restart` tries again now, `s3dav stop` gives up"),
        ))
    }
}

/// Gateways, as they answered.
pub(super) struct Found {
    pub(super) running: Vec<Status>,
    /// Those that are about to be started.
    pub(super) waiting: Vec<Waiting>,
    /// Those that run, most likely, but did not answer as they should.
    pub(super) failed: Vec<(PathBuf, ControlError)>,
}

/// Asks the gateways that a command is about how they are, all at once.
pub(super) async fn find(named: Option<&Path>) -> Result<Found, CommandError> {
    let asked = state_dirs(named)?.into_iter().map(|directory| async {
        let answer = ask(&directory, Request::Status, PATIENCE).await;
        (directory, answer)
    });
    let mut found = Found { running: Vec::new(), waiting: Vec::new(), failed: Vec::new() };
    for (directory, answer) in join_all(asked).await {
        match answer {
            Ok(Reply::Status(status)) => found.running.push(*status),
            Ok(_) => found.failed.push((directory, ControlError::Unexpected)),
            Err(ControlError::NotRunning { .. }) => found.waiting.extend(waiting(&directory).await),
            Err(error) => found.failed.push((directory, error)),
        }
    }
    Ok(found)
}

/// The process that holds the port of a gateway that does not run, if there is one.
pub(super) async fn waiting(state_dir: &Path) -> Option<Waiting> {
    match ask_of(Who::Parent, state_dir, Request::Status, PATIENCE).await {
        Ok(Reply::Parent(parent)) => Some(Waiting { state_dir: state_dir.to_owned(), parent: *parent }),
        _ => None,
    }
}

/// Who is let in; `None` where a newer gateway has another mode.
pub(super) fn auth_of(status: &Status) -> Option<AuthMode> {
    status.auth.parse().ok()
}

/// What is mounted of those gateways.
pub(super) async fn mounts(running: &[Status]) -> Vec<(Entry, &Status)> {
    let entries = mount::entries().await.unwrap_or_default();
    let of = |entry: &Entry| running.iter().find(|status| status.urls.iter().any(|url| entry.is_of(url)));
    entries.into_iter().filter_map(|entry| of(&entry).map(|status| (entry, status))).collect()
}

/// What a command is about.
#[derive(Debug)]
pub(super) enum Meant {
    Running(Box<Status>),
    /// It does not run, but somebody starts it.
    Waiting(Waiting),
}

/// The one gateway that can be meant.
pub(super) async fn only_one(named: Option<&Path>) -> Result<Meant, CommandError> {
    let Found { mut running, mut waiting, mut failed } = find(named).await?;
    match (running.len(), waiting.len()) {
        (1, 0) => Ok(Meant::Running(Box::new(running.remove(0)))),
        (0, 0) => match failed.pop() {
            Some((_, error)) => Err(error.into()),
            None => Err(none_runs(named)),
        },
        (0, 1) if failed.is_empty() => Ok(Meant::Waiting(waiting.remove(0))),
        _ => {
            let running = running.iter().map(|status| (&*status.state_dir, &*status.source));
            let waiting = waiting.iter().map(|waiting| (&*waiting.state_dir, "about to be started"));
            let failed = failed.iter().map(|(directory, _)| (&**directory, "does not answer"));
            Err(ambiguous(running.chain(waiting).chain(failed)))
        }
    }
}

pub(super) fn none_runs(named: Option<&Path>) -> CommandError {
    let (error, others) = match named {
        Some(directory) => (
            anyhow::anyhow!("no gateway is running with its state in {}", directory.display()),
            "`s3dav status` alone lists those in the default place",
        ),
        None => (
            anyhow::anyhow!("no gateway is running"),
            "for one with its own state directory, add --state-dir",
        ),
    };
    CommandError::hinted(error, format!("start one with `s3dav mount` or `s3dav serve`; {others}"))
}

/// Several could be meant.
pub(super) fn ambiguous<'a>(candidates: impl Iterator<Item = (&'a Path, &'a str)>) -> CommandError {
    let lines: Vec<String> = candidates
        .map(|(directory, source)| format!("--state-dir {:?} ({source})", directory.display().to_string()))
        .collect();
    CommandError::hinted(anyhow::anyhow!("several gateways match"), format!("name one: {}", lines.join(", ")))
}

pub(super) fn unexpected() -> CommandError {
    ControlError::Unexpected.into()
}

/// A gateway answers from memory.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
