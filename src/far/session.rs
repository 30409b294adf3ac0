//! A session of AWS Systems Manager that forwards a port of this machine to a task: by the AWS CLI and its plugin, which
//! are the only way there. It ends after an hour, or by itself; then another one is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::{authorization, last_line};
use crate::process::{self, ProcessError};
use crate::relay::{Far, FarError, Opened};

/// Whither.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// As Systems Manager names it: of a task `ecs:CLUSTER_TASK_RUNTIME`.
    pub target: String,
    /// Of the gateway there.
    pub port: u16,
    /// A SecureString with the gateway's password.
    pub password_parameter: String,
    pub region: Option<String>,
    pub profile: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    options: SessionOptions,
}

impl Session {
    pub(super) fn new(options: SessionOptions) -> Self {
        Self { options }
    }

    /// A command line of the AWS CLI, with this user's environment, which says who he is.
    fn aws(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(process::of_user("aws").unwrap_or_else(|| "aws".into()));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("S3DAV_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).env("AWS_PAGER", "");
        for (option, value) in [("--region", &self.options.region), ("--profile", &self.options.profile)] {
            if let Some(value) = value {
                command.args([option, value]);
            }
        }
        command
    }

    async fn password(&self) -> Result<String, FarError> {
        let arguments = [
            "ssm",
            "get-parameter",
            "--with-decryption",
            "--query",
            "Parameter.Value",
            "--output",
            "text",
            "--name",
            &self.options.password_parameter,
        ];
        process::run(self.aws(&arguments), ANSWER).await.map_err(failed)
    }

    fn start(&self, port: u16) -> Result<Child, FarError> {
        let ports = json!({
            "portNumber": [self.options.port.to_string()],
            "localPortNumber": [port.to_string()],
        });
        let mut command = self.aws(&[
            "ssm",
            "start-session",
            "--document-name",
            "AWS-StartPortForwardingSession",
            "--target",
            &self.options.target,
            "--parameters",
            &ports.to_string(),
        ]);
        // The plugin is another process, and ends with it.
        command.as_std_mut().process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().map_err(|source| failed(ProcessError::NotStarted { program: "aws".into(), source }))
    }
}

#[async_trait]
impl Far for Session {
    async fn check(&self) -> Result<(), FarError> {
        process::run(self.aws(&["--version"]), ANSWER).await.map(drop).map_err(failed)
    }

    async fn open(&self) -> Result<Opened, FarError> {
        let port = free_port().map_err(|error| {
            FarError::new(format!("there is no port for a session: {error}"), "close programs that have many")
        })?;
        let running = Running::new(self.start(port)?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Meanwhile; a task that was replaced may have another one.
        let authorization = authorization(&self.password().await?)?;
        let (_, trouble) = watch::channel(None);
        Ok(Opened { address, authorization, trouble, ended: Box::pin(running.ended()) })
    }

    async fn close(&self) {
        // The task is not this program's: `stack stop` ends it.
    }
}

/// A session's processes, which end with this.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    fn new(child: Child) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { child, group }
    }

    async fn ended(mut self) -> FarError {
        let (out, error) = (self.child.stdout.take(), self.child.stderr.take());
        let (_, error, status) = tokio::join!(last_of(out), last_of(error), self.child.wait());
        let how = match (error.is_empty(), status) {
            (false, _) => error,
            (true, Ok(status)) => status.to_string(),
            (true, Err(error)) => error.to_string(),
        };
        FarError::new(format!("the session with the task has ended: {how}"), AGAIN)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It fails where all of them have ended.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

/// Reads what a program says, and keeps the end of it.
async fn last_of(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(stream) = stream else { return String::new() };
    let (mut lines, mut last) = (BufReader::new(stream).lines(), String::new());
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::debug!("session: {line}");
        if !line.trim().is_empty() {
            last = last_line(&line);
        }
    }
    last
}

/// It may be another program's in a moment: whoever answers there is looked at.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn failed(error: ProcessError) -> FarError {
    let hint = match &error {
        ProcessError::NotStarted { .. } => INSTALL,
        error if error.says("sessionmanagerplugin") => INSTALL,
        error if error.says("expired") || error.says("credentials") => "sign in again: `aws sso login`",
        _ => AGAIN,
    };
    let message = match &error {
        ProcessError::NotStarted { .. } => "there is no aws in the path".to_owned(),
        error => error.to_string(),
    };
    FarError::new(message, hint)
}

const INSTALL: &str = "install the AWS CLI and its session plugin: brew install awscli; brew install --cask \
                       session-manager-plugin";
const AGAIN: &str =
    "it is tried again; see whether the task runs, and whether you may start a session with it";
/// The AWS CLI takes a second to start.
const ANSWER: Duration = Duration::from_secs(30);
