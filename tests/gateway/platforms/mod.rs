//! What platforms are given: manifests for Kubernetes, a compose file, and a configuration of Jupyter. Each is used
//! as a reader would use it.

mod compose;
mod jupyter;
mod manifests;
mod pod;

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// What a command prints that must end well.
async fn printed(command: &mut Command) -> String {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} does not end")).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{error}", output.status);
    out
}

/// Linters take the longest.
const LIMIT: Duration = Duration::from_secs(180);
