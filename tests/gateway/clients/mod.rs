//! Other hands' WebDAV clients, each doing what its users do, on a bucket and on a directory.
//!
//! A client's run is a script that ends with 0, or an assertion here. Where the client is missing
//! the test says that it was skipped.

mod browser;
mod davfs2;
mod rclone;
mod scripts;
mod soak;

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Runs a command to its end; its output, or what went wrong.
async fn run(command: &mut Command) -> Result<String, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let name = format!("{:?}", command.as_std().get_program());
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.map_err(|_| format!("{name} does not end"))?.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{name}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))),
    }
}

/// The same of a bash script, with variables.
async fn bash(script: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).envs(variables.iter().copied());
    run(&mut command).await.unwrap_or_else(|problem| panic!("{problem}"))
}

/// For one client's whole run.
const LIMIT: Duration = Duration::from_secs(300);
