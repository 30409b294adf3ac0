//! How the system's manager of services is asked: in one place, so that tests can listen.

use std::time::Duration;

use async_trait::async_trait;

use super::ServiceError;
use crate::process::{self, ProcessError};

/// Runs `launchctl` and `systemctl`.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs the system's program of that name; gives what it printed.
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ServiceError>;
}

/// Runs them for real.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[async_trait]
impl Runner for System {
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ServiceError> {
        let shown = format!("{program} {}", arguments.join(" "));
        let mut command = process::system(program);
        command.args(arguments);
        process::run(command, LIMIT).await.map_err(|error| match error {
            ProcessError::NotStarted { program, .. } => ServiceError::NoManager(program),
            ProcessError::TooSlow { .. } => ServiceError::TooSlow(shown),
            ProcessError::Failed { words, .. } => ServiceError::Failed { command: shown, words },
        })
    }
}

/// Stopping waits for the gateway, which has half a minute.
const LIMIT: Duration = Duration::from_secs(90);
