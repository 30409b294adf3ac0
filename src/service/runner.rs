//! How the system's manager of services is asked: in one place, so that tests can listen.

use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::Command;
use tokio::time::timeout;

use super::ServiceError;

/// Runs `launchctl` and `systemctl`.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Gives what it printed.
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ServiceError>;
}

/// Runs them for real.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

#[async_trait]
impl Runner for System {
    async fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ServiceError> {
        let shown = format!("{program} {}", arguments.join(" "));
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).env("LC_ALL", "C").kill_on_drop(true);
        let output = match timeout(LIMIT, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(_)) => return Err(ServiceError::NoManager(program.to_owned())),
            Err(_) => return Err(ServiceError::TooSlow(shown)),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => {
                let words = [text(&output.stderr), text(&output.stdout)].join(" ").trim().to_owned();
                Err(ServiceError::Failed { command: shown, words })
            }
        }
    }
}

/// Stopping waits for the gateway, which has half a minute.
const LIMIT: Duration = Duration::from_secs(90);
