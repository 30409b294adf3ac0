//! The system's own programs: run with a time limit, and their words kept.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Why a program did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    #[error("{program} cannot be started")]
    NotStarted { program: String, source: std::io::Error },
    #[error("{program} did not end within {limit:?}")]
    TooSlow { program: String, limit: Duration },
    #[error("{program} ended with {code}{}{words}", if words.is_empty() { "" } else { ": " })]
    Failed { program: String, code: i32, words: String },
}

impl OutsideError {
    /// Whether it said so, in whatever case.
    pub(super) fn says(&self, word: &str) -> bool {
        matches!(self, Self::Failed { words, .. } if words.to_lowercase().contains(word))
    }

    #[cfg_attr(not(target_os = "macos"), allow(dead_code))]
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Self::Failed { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Runs it to its end, without anything to read.
pub(super) async fn run(mut command: Command, limit: Duration) -> Result<(), OutsideError> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    // Languages change words that are looked for.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
    let child = command.kill_on_drop(true).spawn();
    let child = child.map_err(|source| OutsideError::NotStarted { program: program.clone(), source })?;
    let output = match timeout(limit, child.wait_with_output()).await {
        Ok(output) => {
            output.map_err(|source| OutsideError::NotStarted { program: program.clone(), source })?
        }
        Err(_) => return Err(OutsideError::TooSlow { program, limit }),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(OutsideError::Failed { program, code: output.status.code().unwrap_or(-1), words: lines.join("; ") })
}
