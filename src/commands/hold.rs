//! The parent's part of `s3dav serve`: it holds the sockets of the gateway that it starts.

use std::ffi::OsString;
use std::io::{IsTerminal, stderr, stdin};

use anyhow::Context;
use tokio::net::TcpListener;

use super::{CommandError, Ended, gateway, listeners, predecessor, running};
use crate::config::Config;
use crate::control::{Reply, Request, ask};
use crate::descriptors;
use crate::parent::{self, Plan};
use crate::process;
use crate::sockets::HandedOn;
use crate::state::{ParentsPlace, StateError, remove_new};

/// What a gateway is started with.
pub(super) struct Start {
    pub(super) arguments: Vec<OsString>,
    /// Variables of the environment that are not its.
    pub(super) without: Vec<String>,
    /// See [`Plan`].
    pub(super) shares_terminal: bool,
}

/// As this process was started.
pub(super) async fn run(config: Config) -> Result<Ended, CommandError> {
    let start = Start {
        arguments: std::env::args_os().skip(1).collect(),
        without: Vec::new(),
        // Another group could not write there where the terminal is set so (`tostop`).
        shares_terminal: !config.detached && (stdin().is_terminal() || stderr().is_terminal()),
    };
    hold(config, start).await
}

/// Holds what is started so. A new state directory of a start that came to nothing goes with it.
pub(super) async fn hold(config: Config, start: Start) -> Result<Ended, CommandError> {
    let (is_new, state_dir) = (!config.state_dir.exists(), config.state_dir.clone());
    let held = start_and_wait(config, start).await;
    if is_new {
        tokio::task::spawn_blocking(move || remove_new(&state_dir)).await?;
    }
    held
}

async fn start_and_wait(config: Config, start: Start) -> Result<Ended, CommandError> {
    if config.detached {
        // The terminal that it was started from may close. It fails where it leads a session already.
        let _ = rustix::process::setsid();
    }
    predecessor::wait_out_logging(&config.state_dir).await?;
    let directory = config.state_dir.clone();
    let place = tokio::task::spawn_blocking(move || ParentsPlace::take(&directory, "which holds its port"));
    let _place = place.await?.map_err(gateway::taken)?;
    // One without a parent: its port is another one, and must not be forgotten.
    if let Ok(Reply::Status(status)) = ask(&config.state_dir, Request::Status, running::PATIENCE).await {
        let holder = format!("process {}, {}", status.pid, status.urls.join(" "));
        return Err(gateway::taken(StateError::Taken { holder }));
    }
    descriptors::raise();
    let listeners = listeners::choose(&config).await?;
    let urls = gateway::urls(&listeners, &config.service.url_prefix);
    let listeners = listeners.into_iter().map(TcpListener::into_std).collect::<Result<Vec<_>, _>>();
    let plan = Plan {
        program: process::own().context("the path of this program is unknown")?,
        arguments: start.arguments,
        without: start.without,
        sockets: HandedOn::new(&listeners.context(listeners::UNFIT)?).context(listeners::UNFIT)?,
        urls,
        state_dir: config.state_dir,
        detached: config.detached,
        shares_terminal: start.shares_terminal,
    };
    let code = parent::run(plan).await.context("the gateway cannot be started")?;
    Ok(Ended::As(code))
}
