//! Other hands' WebDAV clients, each doing what its users do, on a bucket and on a directory.
//!
//! A client's run is a script that ends with 0, or an assertion here. A script's path holds nothing but what
//! its test asks for.

mod browser;
mod davfs2;
mod rclone;
mod scripts;
mod soak;

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::harness::clients::Tools;

/// Runs a command to its end; its output, or what went wrong.
async fn run(command: &mut Command) -> Result<String, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = format!("{:?}", command.as_std().get_program());
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.map_err(|_| format!("{name} does not end"))?.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{name}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)))
    }
}

/// The same of a bash script, with variables, which has these tools alone.
async fn bash(tools: &Tools, script: &str, variables: &[(&str, &str)]) -> String {
    run(tools.script(script).envs(variables.iter().copied()))
        .await
        .unwrap_or_else(|problem| panic!("{problem}"))
}

/// What `tree.sh` takes.
const TREE: &[&str] = &["bash", "mkdir", "seq"];

/// For one client's whole run.
const LIMIT: Duration = Duration::from_secs(300);
