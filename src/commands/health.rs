//! `s3dav health`: for `HEALTHCHECK` and for probes that run a command.
//!
//! What it says of a failure is one line, which platforms show beside the container; a person at a terminal gets the
//! hint, too. Where S3 Files is mounted in this
//! container, the mount and what keeps it alive are asked first.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::CommandError;
use super::running;
use crate::cli::HealthArgs;
use crate::container;
use crate::control::{ControlError, Reply, Request, ask};

pub(super) async fn run(args: HealthArgs) -> Result<(), CommandError> {
    match ask_all(&args).await {
        Ok(()) => {
            say!("healthy");
            Ok(())
        }
        Err(failure) => {
            let hint = failure.hint.filter(|_| stderr().is_terminal());
            Err(CommandError { hint, exit_code: 1, ..failure })
        }
    }
}

async fn ask_all(args: &HealthArgs) -> Result<(), CommandError> {
    let root = &args.system.system_root;
    if container::is_here(root) {
        container::health(root).await.map_err(anyhow::Error::msg)?;
    }
    let asked = timeout(LIMIT, ask_the_only_one(args.gateway.state_dir.as_deref())).await;
    asked.unwrap_or_else(|_| Err(anyhow!("the gateway does not answer").into()))
}

async fn ask_the_only_one(named: Option<&Path>) -> Result<(), CommandError> {
    let directories = running::state_dirs(named)?;
    let asked = directories.iter().map(|directory| ask(directory, Request::Health, LIMIT));
    let answers = join_all(asked).await.into_iter();
    let mut answers: Vec<_> =
        answers.filter(|answer| !matches!(answer, Err(ControlError::NotRunning { .. }))).collect();
    match (answers.pop(), answers.len()) {
        (Some(Ok(Reply::Done)), 0) => Ok(()),
        (Some(Ok(_)), 0) => Err(ControlError::Unexpected.into()),
        (Some(Err(error)), 0) => Err(error.into()),
        (Some(_), _) => Err(anyhow!("several gateways are running; name one with --state-dir").into()),
        (None, _) => Err(none(&directories, named).await),
    }
}

/// Why none answers.
async fn none(directories: &[std::path::PathBuf], named: Option<&Path>) -> CommandError {
    let waiting = join_all(directories.iter().map(|directory| running::waiting(directory))).await;
    match waiting.into_iter().flatten().next() {
        Some(waiting) if waiting.parent.ending => anyhow!("the gateway has ended").into(),
        Some(waiting) => match waiting.failure() {
            Some(failure) => failure,
            None => anyhow!("the gateway is not serving yet").into(),
        },
        None => running::none_runs(named),
    }
}

/// As long as platforms wait that are told to wait for a while.
const LIMIT: Duration = Duration::from_secs(5);
