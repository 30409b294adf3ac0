//! The gateways that run on this machine, as far as this user may know.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CommandError;
use crate::control::{ControlError, Reply, Request, Status, ask};
use crate::state::{base_directory, is_state_directory};

/// The state directories that a command is about: the one that was named, else all in the usual place.
pub(super) fn state_dirs(named: Option<&Path>) -> Vec<PathBuf> {
    if let Some(directory) = named {
        return vec![std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned())];
    }
    let entries = base_directory().and_then(|base| fs::read_dir(base).ok());
    let mut found: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|d| is_state_directory(d))
        .collect();
    found.sort();
    found
}

/// How those gateways are that run.
pub(super) async fn statuses(named: Option<&Path>) -> Result<Vec<Status>, CommandError> {
    let mut running = Vec::new();
    for directory in state_dirs(named) {
        match ask(&directory, Request::Status, PATIENCE).await {
            Ok(Reply::Status(status)) => running.push(*status),
            Ok(_) => return Err(unexpected()),
            Err(ControlError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(running)
}

/// The state directory of the one gateway that runs.
pub(super) async fn only_one(named: Option<&Path>) -> Result<PathBuf, CommandError> {
    let running = statuses(named).await?;
    match running.as_slice() {
        [] => Err(none_runs(named)),
        [only] => Ok(only.state_dir.clone()),
        several => Err(ambiguous(several.iter().map(|status| (&*status.state_dir, &*status.source)))),
    }
}

pub(super) fn none_runs(named: Option<&Path>) -> CommandError {
    let error = match named {
        Some(directory) => anyhow::anyhow!("no gateway runs with the state in {}", directory.display()),
        None => anyhow::anyhow!("no gateway is running"),
    };
    CommandError::hinted(
        error,
        "start one with `s3dav serve`; one with a state of its own is named by --state-dir",
    )
}

/// Several could be meant.
pub(super) fn ambiguous<'a>(candidates: impl Iterator<Item = (&'a Path, &'a str)>) -> CommandError {
    let lines: Vec<String> = candidates
        .map(|(directory, source)| format!("--state-dir {:?} ({source})", directory.display().to_string()))
        .collect();
    CommandError::hinted(
        anyhow::anyhow!("several gateways could be meant"),
        format!("say which: {}", lines.join(", ")),
    )
}

pub(super) fn unexpected() -> CommandError {
    anyhow::anyhow!("the gateway answered something else").into()
}

/// A gateway answers from memory.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
