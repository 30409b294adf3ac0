//! `s3dav serve`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;

use super::gateway::{self, Gateway};
use super::operator::Keeping;
use super::{CommandError, Ended, listeners};
use crate::cli::{Given, ServeArgs};
use crate::config::{Caution, Config, cautions};
use crate::logging::with_causes;
use crate::metrics::Metrics;
use crate::mount::{self, Deputy, Mount, Witness};
use crate::parent::{self, Plan, note_failure};
use crate::process;
use crate::shutdown::{End, Shutdown, Signals};
use crate::sockets::{self, HandedOn, Holder, Inherited};
use crate::state::ParentsPlace;

/// What a process of `serve` is.
#[derive(Debug)]
pub(super) enum Role {
    Gateway(Option<Inherited>),
    /// It holds the sockets of the gateway that it starts.
    Parent,
}

impl Default for Role {
    fn default() -> Self {
        Self::Gateway(None)
    }
}

impl Role {
    pub(super) fn is_parent(&self) -> bool {
        matches!(self, Self::Parent)
    }
}

/// Who is under a mount, or is process 1 of a container, gets a parent, unless there is somebody already who holds
/// its sockets. They are handed over once: this is asked once.
pub(super) fn role(args: &ServeArgs) -> Result<Role, CommandError> {
    let inherited = sockets::inherited().context(listeners::UNFIT)?;
    let needs_one = args.mount.is_some() || args.detached || std::process::id() == 1;
    Ok(if inherited.is_none() && needs_one { Role::Parent } else { Role::Gateway(inherited) })
}

pub(super) async fn run(args: ServeArgs, role: Role, given: &[Given]) -> Result<Ended, CommandError> {
    let inherited = match role {
        Role::Parent => return hold(Config::of_serve(args)?).await,
        Role::Gateway(inherited) => inherited,
    };
    let holder = inherited.as_ref().map_or(Holder::Itself, |inherited| inherited.holder);
    let (interval, password_file) = (args.mount_interval, args.password_file.clone());
    let config = Config::of_serve(args)?;
    let state_dir = config.state_dir.clone();
    let served = serve(config, inherited, interval, password_file.as_deref(), given).await;
    if let (Holder::Parent { .. }, Err(CommandError { error, hint, .. })) = (holder, &served) {
        note_failure(&state_dir, &with_causes(error.as_ref()), hint.as_deref());
    }
    served
}

/// The parent's part.
async fn hold(config: Config) -> Result<Ended, CommandError> {
    if config.detached {
        // The terminal that it was started from may close. It fails where it leads a session already.
        let _ = rustix::process::setsid();
    }
    let directory = config.state_dir.clone();
    let place = tokio::task::spawn_blocking(move || ParentsPlace::take(&directory, "which holds its port"));
    let _place = place.await?.map_err(gateway::taken)?;
    let listeners = listeners::choose(&config).await?;
    let listeners = listeners.into_iter().map(TcpListener::into_std).collect::<Result<Vec<_>, _>>();
    let sockets = HandedOn::new(&listeners.context(listeners::UNFIT)?).context(listeners::UNFIT)?;
    let program = process::own().context("this program's own path is not known")?;
    let arguments = std::env::args_os().skip(1).collect();
    let plan = Plan { program, arguments, sockets, state_dir: config.state_dir };
    let code = parent::run(plan).await.context("the gateway cannot be started")?;
    Ok(Ended::As(code))
}

async fn serve(
    config: Config,
    inherited: Option<Inherited>,
    interval: Duration,
    password_file: Option<&Path>,
    given: &[Given],
) -> Result<Ended, CommandError> {
    let mut signals = Signals::listen()?;
    let (holder, listeners) = match inherited {
        Some(Inherited { holder, listeners }) => (holder, listeners::take(listeners, &config)?),
        None => (Holder::Itself, listeners::choose(&config).await?),
    };
    let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    for Caution { message, hint } in cautions(&config, &addresses, password_file) {
        tracing::warn!(hint, "{message}");
    }
    let shutdown = Shutdown::default();
    let (source, options, login) = (config.source.to_string(), config.mount.clone(), config.login.clone());
    let starting = Gateway::new(config, listeners, shutdown.clone());
    let mut gateway = tokio::select! {
        gateway = starting => gateway?,
        _ = signals.next() => return Ok(Ended::Well),
    };
    gateway.set_options(super::mount::options_of_gateway(given));
    gateway.set_holder(holder);
    tracing::info!(%source, urls = %gateway.urls().join(" "), "serving");
    let kept = options.map(|options| Kept {
        mount: super::mount::of_gateway(options, login, &gateway),
        interval,
        metrics: gateway.metrics().clone(),
        keeping: gateway.keeping(),
        deputy: gateway.deputy(),
    });
    until_stopped(gateway, shutdown, kept, signals, holder).await
}

/// What is kept mounted while a gateway runs.
pub(super) struct Kept {
    mount: Mount,
    /// A lost mount is seen within this time.
    interval: Duration,
    metrics: Metrics,
    keeping: Arc<Keeping>,
    deputy: Option<Deputy>,
}

impl Witness for Kept {
    fn is_wanted(&self) -> bool {
        self.keeping.is_wanted()
    }

    fn begins(&self) {
        self.deputy.iter().for_each(Deputy::begin);
    }

    fn ends(&self) {
        self.deputy.iter().for_each(Deputy::end);
    }

    fn well(&self) {
        self.metrics.note_trouble(PLACE, None);
    }

    fn trouble(&self, message: String, hint: String) {
        self.metrics.note_trouble(PLACE, Some((message, hint)));
    }
}

/// Runs the gateway until a signal or a command; Ctrl-C ends the process at once while it is ending.
pub(super) async fn until_stopped(
    gateway: Gateway,
    shutdown: Shutdown,
    kept: Option<Kept>,
    mut signals: Signals,
    holder: Holder,
) -> Result<Ended, CommandError> {
    let (urls, writes) = (gateway.urls(), gateway.writes());
    let running = gateway.run();
    tokio::pin!(running);
    let keeping = async {
        match &kept {
            Some(kept) => mount::supervise(&kept.mount, kept.interval, kept).await,
            None => std::future::pending().await,
        }
    };
    let mut stop = tokio::select! {
        () = &mut running => return Ok(Ended::Well),
        () = keeping => return Ok(Ended::Well),
        end = shutdown.requested() => Stop::Command(end),
        _ = signals.next() => Stop::Signal,
    };
    tracing::info!("stopping; Ctrl-C once more to stop at once");
    if let Stop::Command(End::Restart { patience }) = stop {
        // It still serves: only what comes after that waits for the next one.
        writes.close();
        tokio::select! {
            () = &mut running => return Ok(Ended::ToStartAnew),
            _ = tokio::time::timeout(patience, writes.wait()) => {}
            _ = signals.next() => stop = Stop::Signal,
        }
    }
    let ending = async {
        if !stop.outlives(holder) {
            unmount(&urls).await;
        }
        shutdown.begin();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = &mut running => tracing::info!("stopped"),
        () = ending => {}
        () = signals.interrupt() => {
            tracing::warn!("stopped at once");
            std::process::exit(130);
        }
    }
    Ok(if stop.is_restart() { Ended::ToStartAnew } else { Ended::Well })
}

/// While requests are still answered: what programs wrote is sent now. A mount whose port closes would lose what is
/// saved next.
async fn unmount(urls: &[String]) {
    let entries = mount::entries().await.unwrap_or_default();
    for entry in entries.iter().filter(|entry| urls.iter().any(|url| entry.is_of(url))) {
        if let Err(error) = mount::detach(&entry.point, false).await {
            tracing::warn!(
                error = with_causes(&error),
                hint = error.hint(),
                "it stays mounted, and answers again when the gateway runs"
            );
        }
    }
}

/// Who ends the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// A person; or the system, to start it anew or for good.
    Signal,
    Command(End),
}

impl Stop {
    fn is_restart(self) -> bool {
        matches!(self, Self::Command(End::Restart { .. }))
    }

    /// Whether the next life of the program takes over the sockets, and with them the mounts.
    fn outlives(self, holder: Holder) -> bool {
        // launchd ends a program at logout, systemd also to start it anew.
        let may_be_anew = holder == Holder::System && !cfg!(target_os = "macos");
        self.is_restart() || (self == Self::Signal && may_be_anew)
    }
}

/// In the list of problems.
const PLACE: &str = "mount";
