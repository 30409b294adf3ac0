//! `s3dav serve`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::ending::{close, until_stopped};
use super::gateway::Gateway;
use super::greeting::Greeting;
use super::kept_mount::KeptMount;
use super::{CommandError, Ended, hints, hold, listeners, owners, predecessor, unsent};
use crate::cli::{GatewayArgs, LogArgs, ResolvedOption, ServeArgs};
use crate::config::{Caution, Config, Source, cautions};
use crate::logging::with_causes;
use crate::parent::note_failure;
use crate::shutdown::{Shutdown, Signals};
use crate::sockets::{self, Holder, Inherited};
use crate::state::remove_new;

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

    /// Whether another process of this program has started it.
    pub(super) fn is_child(&self) -> bool {
        matches!(self, Self::Gateway(Some(inherited)) if inherited.is_of_parent())
    }
}

/// Who is under a mount, or is process 1 of a container, gets a parent, unless there is somebody already who holds
/// its sockets. They are handed over once: this is asked once.
pub(super) fn role(args: &ServeArgs) -> Result<Role, CommandError> {
    let inherited = sockets::inherited().context(listeners::UNFIT)?;
    let needs_one = args.mounting.mount.is_some() || args.detached || std::process::id() == 1;
    Ok(if inherited.is_none() && needs_one { Role::Parent } else { Role::Gateway(inherited) })
}

pub(super) async fn run(
    args: ServeArgs,
    role: Role,
    given: &[ResolvedOption],
    log: &LogArgs,
) -> Result<Ended, CommandError> {
    let has_parent = role.is_child();
    let inherited = match role {
        Role::Parent => return hold::run(Config::of_serve(args)?).await,
        Role::Gateway(inherited) => inherited,
    };
    let mut place = StatePlace { directory: args.state_dir.clone(), is_new: false };
    let served = start(args, inherited, (given, log), &mut place).await;
    if let (true, Err(CommandError { error, hint, .. }), Some(state_dir)) =
        (has_parent, &served, &place.directory)
    {
        note_failure(state_dir, &with_causes(error.as_ref()), hint.as_deref());
    }
    if let (true, Some(state_dir)) = (place.is_new, place.directory) {
        tokio::task::spawn_blocking(move || remove_new(&state_dir)).await?;
    }
    served
}

/// Where the state is, and whether that was made by this start.
struct StatePlace {
    directory: Option<PathBuf>,
    is_new: bool,
}

/// Notes in `place` where its state is.
async fn start(
    args: ServeArgs,
    inherited: Option<Inherited>,
    given: (&[ResolvedOption], &LogArgs),
    place: &mut StatePlace,
) -> Result<Ended, CommandError> {
    let (interval, password_file) = (args.mounting.mount_interval.0, args.password_file.clone());
    let config = Config::of_serve(args)?;
    hints::know(&config);
    *place = StatePlace { is_new: !config.state_dir.exists(), directory: Some(config.state_dir.clone()) };
    serve(config, inherited, interval, password_file.as_deref(), given).await
}

async fn serve(
    mut config: Config,
    inherited: Option<Inherited>,
    interval: Duration,
    password_file: Option<&Path>,
    (given, log): (&[ResolvedOption], &LogArgs),
) -> Result<Ended, CommandError> {
    let mut signals = Signals::listen()?;
    if !inherited.as_ref().is_some_and(Inherited::is_of_parent) {
        // A parent starts the next one only when the one before has ended.
        tokio::select! {
            waited = predecessor::wait_out_logging(&config.state_dir) => waited?,
            _ = signals.next() => return Ok(Ended::Well),
        }
    }
    owners::check_state(&config).await?;
    let (holder, listeners) = match inherited {
        Some(Inherited { holder, listeners }) => (holder, listeners::take(listeners, &config)?),
        None => (Holder::Itself, listeners::choose(&config).await?),
    };
    if let (Holder::System, Source::Buckets(source)) = (holder, &mut config.source) {
        source.is_patient = true;
    }
    let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    for Caution { message, hint } in cautions(&config, &addresses, password_file) {
        tracing::warn!(hint, "{message}");
    }
    let shutdown = Shutdown::default();
    let state_dir = config.state_dir.clone();
    shutdown.background(async move { unsent::warn_of_others(&state_dir).await });
    let own = super::mount::options_of_gateway(given);
    let note = config.source.note(own.clone());
    let state =
        given.iter().filter(|option| option.is_of::<GatewayArgs>()).flat_map(ResolvedOption::arguments);
    let same: Vec<String> = own.iter().cloned().chain(state).collect();
    let greeting = Greeting::of(&config, &same, holder, log);
    let (source, options, login) = (config.source.to_string(), config.mount.clone(), config.login.clone());
    let (far, state_dir) = (config.source.far(&config.state_dir), config.state_dir.clone());
    let starting = Gateway::new(config, listeners, shutdown.clone());
    let mut gateway = tokio::select! {
        gateway = starting => gateway?,
        _ = signals.next() => {
            if let Some(far) = far {
                close(far.close(), &state_dir, &mut signals).await;
            }
            return Ok(Ended::Well);
        }
    };
    gateway.set_options(own);
    gateway.set_note(note);
    gateway.set_holder(holder);
    let urls = gateway.urls().join(" ");
    if greeting.is_none() || log.log_file.is_some() {
        tracing::info!(%source, %urls, "serving");
    }
    if let Some(greeting) = greeting {
        let reservation = greeting.reservation(gateway.metrics());
        reservation.iter().chain(&greeting.lines(&urls)).for_each(|line| tell!("{line}"));
    }
    let kept = options
        .map(|options| KeptMount::of(super::mount::of_gateway(options, login, &gateway), interval, &gateway));
    until_stopped(gateway, shutdown, kept, signals, holder).await
}
