//! `s3dav health`: for `HEALTHCHECK` and for probes that run a command.
//!
//! What it says of a failure is one line, which platforms show beside the container. Where S3 Files is mounted in this
//! container, the mount and what keeps it alive are asked first.

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
        Err(error) => Err(CommandError { error, hint: None, exit_code: 1 }),
    }
}

async fn ask_all(args: &HealthArgs) -> Result<(), anyhow::Error> {
    let root = &args.system.system_root;
    if container::is_here(root) {
        container::health(root).await.map_err(anyhow::Error::msg)?;
    }
    let asked = timeout(LIMIT, ask_the_only_one(args.gateway.state_dir.as_deref())).await;
    asked.unwrap_or_else(|_| Err(anyhow!("the gateway did not answer within {LIMIT:?}")))
}

async fn ask_the_only_one(named: Option<&Path>) -> Result<(), anyhow::Error> {
    let directories = running::state_dirs(named).map_err(|failure| failure.error)?;
    let asked = directories.iter().map(|directory| ask(directory, Request::Health, LIMIT));
    let answers = join_all(asked).await.into_iter();
    let mut answers: Vec<_> =
        answers.filter(|answer| !matches!(answer, Err(ControlError::NotRunning { .. }))).collect();
    match (answers.pop(), answers.len()) {
        (Some(Ok(Reply::Done)), 0) => Ok(()),
        (Some(Ok(_)), 0) => Err(ControlError::Unexpected.into()),
        (Some(Err(error)), 0) => Err(error.into()),
        (Some(_), _) => Err(anyhow!("several gateways are running; name one with --state-dir")),
        (None, _) => Err(none(&directories, named).await),
    }
}

/// Why none answers.
async fn none(directories: &[std::path::PathBuf], named: Option<&Path>) -> anyhow::Error {
    let waiting = join_all(directories.iter().map(|directory| running::waiting(directory))).await;
    match waiting.into_iter().flatten().next() {
        Some(waiting) if waiting.parent.ending => anyhow!("the gateway has ended"),
        Some(waiting) => match waiting.failure() {
            Some(failure) => failure.error,
            None => anyhow!("the gateway is not serving yet"),
        },
        None => running::none_runs(named).error,
    }
}

/// As long as platforms wait that are told to wait for a while.
const LIMIT: Duration = Duration::from_secs(5);
