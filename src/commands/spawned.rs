//! The gateway that `mount` starts, which goes on when the command has ended.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{CommandError, running};
use crate::cli::{LogArgs, ServeArgs, variables_of};
use crate::control::{ControlError, Reply, Request, Status, ask};
use crate::far;
use crate::parent::FIRST_WORDS;
use crate::process;
use crate::state::{create_private, open_private, prepare, read_private};

/// Starts it, leaves it in `own`, and waits until it is ready.
pub(super) async fn start(
    state_dir: &Path,
    options: Vec<String>,
    log: &LogArgs,
    limit: Duration,
    own: &mut Option<Child>,
) -> Result<Status, CommandError> {
    let unfit = |error| running::unfit(state_dir, error);
    prepare(state_dir).map_err(unfit)?;
    let words = state_dir.join(FIRST_WORDS);
    create_private(&words).map_err(unfit)?;
    // Whoever shortens it moves all who write.
    let file = open_private(&words, OpenOptions::new().append(true)).map_err(unfit)?;
    let log_file = match &log.log_file {
        Some(file) => file.clone(),
        None => own_log(state_dir).map_err(unfit)?,
    };
    let arguments = [log.arguments(&std::path::absolute(&log_file)?), options].concat();
    let child = spawn(state_dir, &arguments, file).context("the gateway cannot be started")?;
    let child = own.insert(child);
    let mut until = Instant::now() + limit;
    let mut has_ended = false;
    loop {
        match ask(state_dir, Request::Status, running::PATIENCE).await {
            Ok(Reply::Status(status)) => return Ok(*status),
            Ok(_) => return Err(running::unexpected()),
            Err(ControlError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if !has_ended && child.try_wait()?.is_some() {
            has_ended = true;
            // Another command may be starting one at this moment.
            until = Instant::now() + OTHERS_LIMIT;
        }
        if Instant::now() > until {
            if has_ended {
                return Err(last_words(&read_private(&words).unwrap_or_default()));
            }
            end(child, END_LIMIT).await;
            if let Err(hint) = far::remove_left_behind(state_dir).await {
                tell!("warning: the gateway's container was not removed\nhint: {hint}");
            }
            return Err(CommandError::hinted(
                anyhow::anyhow!("the gateway did not start within {limit:?}"),
                format!("{} may say why", log_file.display()),
            ));
        }
        sleep(PAUSE).await;
    }
}

/// Ends what takes too long to start: a parent, which takes its gateway along.
pub(super) async fn end(child: &mut Child, limit: Duration) {
    if let Some(pid) = child.id().and_then(process::pid) {
        // It fails where it has ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if timeout(limit, child.wait()).await.is_err()
        && let Err(error) = child.start_kill()
    {
        tracing::warn!(%error, "it cannot be stopped");
    }
}

/// Where a gateway logs that was told nothing of it.
fn own_log(state_dir: &Path) -> std::io::Result<PathBuf> {
    let path = state_dir.join("gateway.log");
    open_private(&path, OpenOptions::new().append(true).create(true))?;
    Ok(path)
}

fn spawn(state_dir: &Path, arguments: &[String], words: File) -> std::io::Result<Child> {
    let mut command = Command::new(process::own()?);
    // All that counts is on its command line, so that nothing is read twice.
    command.args(["serve", "--detached", "--config=/dev/null"]);
    command.arg("--state-dir").arg(state_dir).args(arguments);
    for variable in variables_of::<ServeArgs>().into_iter().chain(variables_of::<LogArgs>()) {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(words);
    command.spawn()
}

/// What a gateway that ended at once said of it.
fn last_words(words: &str) -> CommandError {
    let (error, hint) = process::last_words(words);
    let error = error.unwrap_or_else(|| "the gateway exited right after its start".to_owned());
    CommandError { error: anyhow::anyhow!(error), hint, exit_code: 1 }
}

/// A gateway that only starts has little to end.
const END_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// Between taking the state and answering, in a gateway that another command has started.
const OTHERS_LIMIT: Duration = Duration::from_secs(2);
