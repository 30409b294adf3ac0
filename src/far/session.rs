//! A session of AWS Systems Manager that forwards a port of this machine to a task: by the AWS CLI and its plugin, which
//! are the only way there. It ends after an hour, or by itself; then another one is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::watch;

use super::{authorization, last_line};
use crate::aws_cli::{AwsCli, AwsCliError, session_plugin};
use crate::logging::with_causes;
use crate::process;
use crate::relay::{Far, FarError, Opened};

/// Whither.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// As Systems Manager names it, of a task `ecs:CLUSTER_TASK_RUNTIME`; or `CLUSTER/SERVICE`, for whichever task of it
    /// runs.
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

    async fn aws(&self) -> Result<AwsCli, FarError> {
        AwsCli::find(self.options.profile.clone(), self.options.region.clone()).await.map_err(failed)
    }

    async fn target(&self, aws: &AwsCli) -> Result<String, FarError> {
        match self.options.target.split_once('/') {
            Some((cluster, service)) => aws.session_target(cluster, service).await.map_err(failed),
            None => Ok(self.options.target.clone()),
        }
    }

    async fn password(&self, aws: &AwsCli) -> Result<String, FarError> {
        let name = &self.options.password_parameter;
        let asked =
            ["ssm", "get-parameter", "--with-decryption", "--query", "Parameter.Value", "--name", name];
        match aws.ask(&asked).await.map_err(failed)? {
            Value::String(password) => Ok(password),
            _ => Err(FarError::new(format!("the parameter {name} holds no password"), WHAT_TO_SEE)),
        }
    }

    fn start(&self, aws: &AwsCli, target: &str, port: u16) -> Result<Child, FarError> {
        let ports = json!({
            "portNumber": [self.options.port.to_string()],
            "localPortNumber": [port.to_string()],
        });
        let mut command = aws.command(&[
            "ssm",
            "start-session",
            "--document-name",
            "AWS-StartPortForwardingSession",
            "--target",
            target,
            "--parameters",
            &ports.to_string(),
        ]);
        // The plugin is another process, and ends with it.
        command.as_std_mut().process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().map_err(|error| FarError::new(format!("aws cannot be started: {error}"), WHAT_TO_SEE))
    }
}

#[async_trait]
impl Far for Session {
    async fn check(&self) -> Result<(), FarError> {
        self.aws().await?;
        session_plugin().map(drop).map_err(failed)
    }

    async fn open(&self) -> Result<Opened, FarError> {
        let port = free_port().map_err(|error| {
            FarError::new(format!("there is no port for a session: {error}"), "close programs that have many")
        })?;
        let aws = self.aws().await?;
        let running = Running::new(self.start(&aws, &self.target(&aws).await?, port)?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Meanwhile; a task that was replaced may have another one.
        let authorization = authorization(&self.password(&aws).await?)?;
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
        let group = child.id().and_then(process::pid);
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
        FarError::new(format!("the session with the task has ended: {how}"), WHAT_TO_SEE)
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

fn failed(error: AwsCliError) -> FarError {
    let hint = error.hint().unwrap_or_else(|| WHAT_TO_SEE.to_owned());
    FarError::new(with_causes(&error), hint)
}

const WHAT_TO_SEE: &str = "check that the task is running, and that you may start a session with it";
