//! The end of a socket that answers.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Line, Operated, Reply, Request, VERSION, Who, place};
use crate::sync::Budget;

/// A socket that waits for commands; gone when it is dropped.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

/// Makes the socket of the gateway that holds `state_dir`, or of its parent. Nobody but this user can open it.
pub fn open(state_dir: &Path, who: Who) -> io::Result<Door> {
    let path = place::choose(state_dir, who)?;
    let listener = UnixListener::bind(&path)?;
    // The directory lets nobody else in, either.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(Door { listener, path })
}

impl Door {
    /// Answers commands for as long as `work` goes on; those under way then are answered, too.
    pub async fn answer_during<T>(&self, operated: Arc<dyn Operated>, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let places = Budget::of_places(MOST_COMMANDS);
        let mut commands = JoinSet::new();
        let done = loop {
            let next = async {
                let place = places.place().await;
                (self.listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                next = next => next,
                Some(_) = commands.join_next() => continue,
                done = &mut work => break done,
            };
            match accepted {
                Ok((stream, _)) => {
                    let operated = Arc::clone(&operated);
                    commands.spawn(async move {
                        if let Err(error) = answer(stream, &*operated).await {
                            tracing::debug!(%error, "a command was not answered");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a command could not be let in");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        let under_way = async { while commands.join_next().await.is_some() {} };
        // Whoever has not sent a whole command by then sends none.
        let _ = timeout(LAST_WORDS, under_way).await;
        done
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // One that stays is cleared by the next gateway.
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(mut stream: UnixStream, operated: &dyn Operated) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(MOST_BYTES));
    timeout(PATIENCE, reader.read_line(&mut line))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let reply = match serde_json::from_str::<Line<serde_json::Value>>(&line) {
        Ok(Line { version, .. }) if version != VERSION => Reply::OtherVersion,
        _ => match serde_json::from_str::<Line<Request>>(&line) {
            Ok(Line { content, .. }) => operated.carry_out(content).await,
            Err(error) => Reply::Failed { message: format!("the command was not understood: {error}") },
        },
    };
    let mut text = serde_json::to_string(&Line { version: VERSION, content: reply })?;
    text.push('\n');
    writer.write_all(text.as_bytes()).await?;
    writer.shutdown().await
}

/// Commands at once.
const MOST_COMMANDS: usize = 16;
/// Bytes of a request: a path and a little more.
const MOST_BYTES: u64 = 64 << 10;
/// Until a request has come whole.
const PATIENCE: Duration = Duration::from_secs(10);
/// For commands that came at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
