//! `s3dav drain`: sends what waits in a state that no gateway serves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::unsent::{TELL_EVERY, elsewhere, tell_waiting};
use super::words::{counted, quoted};
use super::{CommandError, closing, share};
use crate::cli::{DrainArgs, served_with};
use crate::config::{BucketSource, Config, Source};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::state::{SourceNote, State, holder, is_state_directory};

pub(super) async fn run(args: DrainArgs) -> Result<(), CommandError> {
    let directories = if args.directories.is_empty() {
        elsewhere(&[]).await.into_iter().map(|unsent| unsent.state_dir).collect()
    } else {
        args.directories
    };
    if directories.is_empty() {
        tell!("nothing waits for S3 in a state that no gateway serves");
    }
    let mut remaining = 0;
    for directory in directories {
        remaining += drain(&std::path::absolute(directory)?, args.wait.0).await?;
    }
    if remaining == 0 {
        return Ok(());
    }
    let message = format!("not in S3 yet: {}, kept on this machine", counted(remaining, "change"));
    Err(CommandError::hinted(anyhow::anyhow!(message), "`s3dav pending` lists what remains, and why"))
}

/// Sends what waits in one of them; how many changes remain.
async fn drain(directory: &Path, patience: Duration) -> Result<u64, CommandError> {
    let place = quoted(&directory.display().to_string());
    if !is_state_directory(directory) {
        return Err(CommandError::hinted(
            anyhow::anyhow!("{place} is no state directory of s3dav"),
            "`s3dav state list` shows them",
        ));
    }
    if let Some(holder) = holder(directory) {
        if !holder.sends() {
            let error = anyhow::anyhow!("{place} is in use ({})", holder.note);
            return Err(CommandError::hinted(error, "try again when that has ended"));
        }
        tell!("{place} is in use ({}), and what waits in it is sent by that", holder.note);
        return Ok(0);
    }
    let (source, config) = source(directory)?;
    let state = State::visit(directory, "s3dav drain").await?;
    let before = state.unsent();
    let (metrics, shutdown) = (Metrics::default(), Shutdown::default());
    let (left, limit) = (share::left(&state), source.file_system.drain_timeout + closing::LEAST_DRAIN);
    let is_open = Arc::new(|_: &_| false);
    let served = share::of_buckets(source, config.shelf, is_open, &state, left, &metrics, &shutdown).await;
    if served.is_ok() {
        wait(&state, patience).await;
    }
    shutdown.begin();
    closing::end(&state, &shutdown, limit).await;
    drop(served?);
    let remaining = state.unsent();
    let sent = match before.saturating_sub(remaining) {
        0 => "nothing".to_owned(),
        sent => counted(sent, "change"),
    };
    say!("{}: stored {sent}", SourceNote::read(directory).unwrap_or_default());
    Ok(remaining)
}

/// What it belongs to, as it was last served.
fn source(directory: &Path) -> Result<(BucketSource, Config), CommandError> {
    let place = quoted(&directory.display().to_string());
    let unknown = || {
        CommandError::hinted(
            anyhow::anyhow!("{place} does not tell which bucket it belongs to"),
            "serve the bucket with --state-dir and this directory",
        )
    };
    let note = SourceNote::read(directory).filter(|note| !note.buckets.is_empty()).ok_or_else(unknown)?;
    let state_dir = format!("--state-dir={}", directory.display());
    let (identity, place_of) = (note.identity(), note.endpoint.clone());
    let serve = served_with(note.options.into_iter().chain([state_dir])).ok_or_else(unknown)?;
    let config = Config::of_serve(serve)?;
    if config.source.note(Vec::new()).identity() != identity {
        let hint = match place_of {
            Some(endpoint) => {
                format!("set AWS_ENDPOINT_URL to {endpoint}, as it was when the changes were made")
            }
            None => "unset AWS_ENDPOINT_URL, which was not set when the changes were made".to_owned(),
        };
        let message = format!("{place} belongs to another endpoint than AWS_ENDPOINT_URL names now");
        return Err(CommandError::hinted(anyhow::anyhow!(message), hint));
    }
    match config.source.clone() {
        Source::Buckets(mut source) => {
            // That is what it is for.
            source.file_system.read_only = false;
            Ok((*source, config))
        }
        Source::Path(_) | Source::Far(_) => Err(unknown()),
    }
}

/// Waits until nothing is left that S3 does not refuse, or until the patience ends.
async fn wait(state: &State, patience: Duration) {
    let (until, mut told) = (Instant::now() + patience, Instant::now());
    loop {
        let left = state.unsent();
        let is_over = left == state.refused() || Instant::now() > until;
        if is_over {
            return;
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            tell_waiting(left);
        }
        sleep(PAUSE).await;
    }
}

const PAUSE: Duration = Duration::from_millis(100);
