//! A container that runs, by the client of its engine: told, listened to, ended.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::last_line;
use crate::container::Engine;
use crate::logging::with_causes;
use crate::process::{ProcessError, last_words, told};
use crate::relay::FarError;
use crate::sockets::DEFAULT_PORT;

/// Until it takes it: it has just been started. It is removed if it does not, so its own words come into the error.
pub(super) async fn tell_until_taken(
    engine: &Engine,
    id: &str,
    what: &str,
    text: &str,
) -> Result<(), FarError> {
    let until = Instant::now() + TAKES;
    loop {
        let command = engine.command(&["exec", "--interactive", id, "/usr/bin/s3dav", "container", what]);
        let error = match told(command, Some(text), TAKES).await {
            Ok(_) => return Ok(()),
            Err(error) => words(error),
        };
        if let Some(why) = why_ended(engine, id).await {
            return Err(why);
        }
        if Instant::now() > until {
            let (said, _) = reason(&said(engine, id).await.unwrap_or_default());
            let message = format!("the container does not accept its {what}: {error}; it said: {said}");
            return Err(FarError::new(message, "check that the image is of this version of s3dav"));
        }
        sleep(PAUSE).await;
    }
}

/// Where its port is published.
pub(super) async fn address(engine: &Engine, id: &str) -> Result<SocketAddr, FarError> {
    let said = engine.run(&["port", id, &format!("{DEFAULT_PORT}/tcp")]).await;
    let said = match said {
        Ok(said) => said,
        Err(error) => {
            return Err(match why_ended(engine, id).await {
                Some(reason) => reason,
                None => of_client(engine, "tell the container's port", error),
            });
        }
    };
    let address = said.lines().find_map(|line| line.trim().parse().ok());
    address.ok_or_else(|| {
        let hint = format!("see `{} logs {id}`", engine.kind);
        FarError::new(format!("{} has not published the container's port", engine.kind), hint)
    })
}

pub(super) async fn is_running(engine: &Engine, id: &str) -> bool {
    let said = engine.run(&["inspect", "--format", "{{.State.Running}}", id]).await;
    said.is_ok_and(|said| said == "true")
}

/// Until it has ended; gives its own reason.
pub(super) async fn wait(engine: &Engine, id: &str) -> FarError {
    loop {
        let waited = crate::process::run(engine.command(&["wait", id]), LONG).await;
        match waited {
            Err(ProcessError::TooSlow { .. }) => {}
            _ => return why_ended(engine, id).await.unwrap_or_else(gone),
        }
    }
}

fn gone() -> FarError {
    FarError::new("the container is gone", "see the container engine's log")
}

/// What it said last, if it has ended.
async fn why_ended(engine: &Engine, id: &str) -> Option<FarError> {
    if is_running(engine, id).await {
        return None;
    }
    let (message, hint) = reason(&said(engine, id).await?);
    Some(FarError::new(
        format!("the container has exited: {message}"),
        hint.unwrap_or_else(|| format!("see `{} events --since 5m`", engine.kind)),
    ))
}

/// What was wrong, and what to do, in what it said.
fn reason(said: &str) -> (String, Option<String>) {
    let (error, hint) = last_words(said);
    (error.unwrap_or_else(|| last_line(said)), hint)
}

/// The end of what it said, on both of its outputs.
async fn said(engine: &Engine, id: &str) -> Option<String> {
    let command = engine.command(&["logs", "--tail", "50", id]);
    let output = tokio::time::timeout(TAKES, { command }.kill_on_drop(true).output()).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout))
}

/// Ends it in order, and removes it, with volumes that have no name; whether it is gone.
pub(super) async fn remove(engine: &Engine, id: &str) -> bool {
    let stopped = crate::process::run(engine.command(&["stop", "--time", "40", id]), STOP).await;
    let removed = crate::process::run(engine.command(&["rm", "--force", "--volumes", id]), STOP).await;
    if let Err(error) = stopped {
        tracing::debug!(%error, id, "the container does not stop gracefully");
    }
    match removed {
        Ok(_) => true,
        Err(error) if error.says("no such container") || error.says("no container with") => true,
        Err(error) => {
            let hint = format!("`{} rm --force {id}` removes it", engine.kind);
            tracing::warn!(hint, "the container could not be removed: {error}");
            false
        }
    }
}

pub(super) fn of_client(engine: &Engine, what: &str, error: ProcessError) -> FarError {
    let name = engine.kind;
    let hint = match &error {
        ProcessError::Failed { .. } => {
            format!("fix that; `{name} ps --all` lists the containers")
        }
        _ => format!("check that `{name} info` works"),
    };
    FarError::new(format!("{} does not {what}: {}", engine.kind, words(error)), hint)
}

/// The program's own.
pub(super) fn words(error: ProcessError) -> String {
    match error {
        ProcessError::Failed { words, .. } if !words.is_empty() => words,
        other => with_causes(&other),
    }
}

/// From a container's start until it takes what it is told.
pub(super) const TAKES: Duration = Duration::from_secs(10);
/// The container's own time, and some.
const STOP: Duration = Duration::from_secs(60);
/// Of one `docker wait`.
const LONG: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_millis(100);
