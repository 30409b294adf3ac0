//! A command's end of the socket.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Line, Reply, Request, VERSION, Who, place};

/// Why a gateway did not do what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no gateway is running with its state in {state_dir}")]
    NotRunning { state_dir: PathBuf },
    #[error("the gateway cannot be reached")]
    Lost(#[source] io::Error),
    #[error("another user's program (uid {0}) answers in the gateway's place")]
    Foreign(u32),
    #[error("the gateway does not answer")]
    Silent,
    #[error(
        "the gateway is another version of s3dav: it speaks version {0} of the control protocol, not \
         {VERSION}"
    )]
    Version(u32),
    #[error("the gateway's answer cannot be understood")]
    Garbled(#[from] serde_json::Error),
    #[error("the gateway gave an unexpected answer")]
    Unexpected,
    #[error("{0}")]
    Refused(String),
}

impl ControlError {
    /// The next step.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotRunning { .. } => Some("start it with `s3dav serve` or `s3dav mount`"),
            Self::Lost(_) | Self::Silent => Some(
                "try again; if that does not help, kill the process whose ID is in gateway.lock in its state \
                 directory",
            ),
            Self::Version(_) | Self::Garbled(_) | Self::Unexpected => Some(
                "stop that gateway with the s3dav that started it, or end its process, and start it again",
            ),
            Self::Foreign(_) => Some("name a state directory of your own with --state-dir"),
            Self::Refused(_) => None,
        }
    }
}

/// Asks the gateway whose state is in `state_dir`, and waits for its answer for `patience`.
pub async fn ask(state_dir: &Path, request: Request, patience: Duration) -> Result<Reply, ControlError> {
    ask_of(Who::Gateway, state_dir, request, patience).await
}

/// The same of the gateway, or of the process that holds its sockets.
pub async fn ask_of(
    who: Who,
    state_dir: &Path,
    request: Request,
    patience: Duration,
) -> Result<Reply, ControlError> {
    match timeout(patience, exchange(who, state_dir, request)).await {
        Ok(Ok(Reply::Failed { message })) => Err(ControlError::Refused(message)),
        Ok(reply) => reply,
        Err(_) => Err(ControlError::Silent),
    }
}

/// Whether somebody answers there, whatever version it speaks.
pub async fn is_there(who: Who, state_dir: &Path) -> bool {
    connect(who, state_dir).await.is_ok()
}

/// Tells a socket from the one of an earlier life; `None`: there is none.
pub fn mark(who: Who, state_dir: &Path) -> Option<(u64, i64, i64)> {
    let meta = std::fs::symlink_metadata(place::noted(state_dir, who).ok()??).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

async fn connect(who: Who, state_dir: &Path) -> Result<UnixStream, ControlError> {
    let not_running = || ControlError::NotRunning { state_dir: state_dir.to_owned() };
    let place = place::noted(state_dir, who).map_err(ControlError::Lost)?.ok_or_else(not_running)?;
    match UnixStream::connect(place).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Err(not_running())
        }
        stream => stream.map_err(ControlError::Lost),
    }
}

async fn exchange(who: Who, state_dir: &Path, request: Request) -> Result<Reply, ControlError> {
    let mut stream = connect(who, state_dir).await?;
    let uid = stream.peer_cred().map_err(ControlError::Lost)?.uid();
    if uid != rustix::process::geteuid().as_raw() {
        return Err(ControlError::Foreign(uid));
    }
    let mut text = serde_json::to_string(&Line { version: VERSION, content: request })?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await.map_err(ControlError::Lost)?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer).await.map_err(ControlError::Lost)?;
    if answer.is_empty() {
        // It ended before it could answer.
        return Err(ControlError::Lost(io::ErrorKind::UnexpectedEof.into()));
    }
    match serde_json::from_str::<Line<serde_json::Value>>(&answer)?.version {
        VERSION => Ok(serde_json::from_str::<Line<Reply>>(&answer)?.content),
        other => Err(ControlError::Version(other)),
    }
}

/// Bytes of an answer: a status is about 2 KiB.
const MOST_BYTES: u64 = 1 << 20;
