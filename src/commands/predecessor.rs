//! The gateway before: whoever is about to take the place of one that is ending waits for that end, and does not fail
//! because it came a moment too early.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{CommandError, running};
use crate::control::{ControlError, Reply, Request, ask};
use crate::state;

/// How a gateway answers when it is asked how it is.
pub(super) type Answer = Result<Reply, ControlError>;

/// Waits until no gateway with that state is ending, nor the process that holds its port, and gives the answer that
/// says so. `tell` hears once what is waited for.
async fn wait_out(state_dir: &Path, tell: impl Fn(&str)) -> Result<Answer, CommandError> {
    let until = Instant::now() + LIMIT;
    let mut is_told = false;
    loop {
        let answer = ask(state_dir, Request::Status, running::PATIENCE).await;
        let Some(what) = on_its_way(state_dir, &answer).await else { return Ok(answer) };
        if Instant::now() > until {
            return Err(CommandError::hinted(
                anyhow::anyhow!("{what}, and has not finished within {LIMIT:?}"),
                "requests or uploads are in progress, or a mount is in use; try again later, or kill that \
                 process by its ID",
            ));
        }
        if !std::mem::replace(&mut is_told, true) {
            tell(&what);
        }
        sleep(PAUSE).await;
    }
}

/// The same for a command of a person.
pub(super) async fn wait_out_aloud(state_dir: &Path) -> Result<Answer, CommandError> {
    wait_out(state_dir, |what| tell!("{what}; waiting")).await
}

/// The same for what logs.
pub(super) async fn wait_out_logging(state_dir: &Path) -> Result<(), CommandError> {
    wait_out(state_dir, |what| tracing::info!("{what}; waiting")).await.map(drop)
}

/// Who is ending, or has the state and does not answer yet, or no more.
async fn on_its_way(state_dir: &Path, answer: &Answer) -> Option<String> {
    let ending = |pid: u32| format!("the gateway that serves this source (process {pid}) is ending");
    match answer {
        Ok(Reply::Status(status)) => status.ending.then(|| ending(status.pid)),
        Err(ControlError::Lost(error)) if is_cut(error.kind()) => {
            Some("the gateway that serves this source is ending".to_owned())
        }
        Err(ControlError::NotRunning { .. }) => match running::waiting(state_dir).await {
            Some(waiting) => waiting.parent.ending.then(|| ending(waiting.parent.pid)),
            None => {
                let holder = state::holder(state_dir)?;
                Some(format!("another gateway ({}) is starting or ending", holder.note))
            }
        },
        _ => None,
    }
}

/// It ended while it was asked.
fn is_cut(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Requests under way get 10 s unless `--shutdown-timeout` says otherwise, and what is mounted is unmounted before.
const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(50);
