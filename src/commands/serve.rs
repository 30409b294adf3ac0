//! `s3dav serve`.

use std::sync::Arc;
use std::time::Duration;

use super::CommandError;
use super::gateway::Gateway;
use super::listeners;
use super::operator::Keeping;
use crate::cli::{Given, ServeArgs};
use crate::config::{Caution, Config, cautions};
use crate::logging::with_causes;
use crate::metrics::Metrics;
use crate::mount::{self, Deputy, Mount, Witness};
use crate::shutdown::{Shutdown, Signals};

pub(super) async fn run(args: ServeArgs, given: &[Given]) -> Result<(), CommandError> {
    let (interval, password_file) = (args.mount_interval, args.password_file.clone());
    let config = Config::of_serve(args)?;
    if config.detached {
        // The terminal that it was started from may close. It fails where it leads a session already.
        let _ = rustix::process::setsid();
    }
    let mut signals = Signals::listen()?;
    let sockets = listeners::open(&config).await?;
    let addresses: Vec<_> =
        sockets.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    for Caution { message, hint } in cautions(&config, &addresses, password_file.as_deref()) {
        tracing::warn!(hint, "{message}");
    }
    let shutdown = Shutdown::default();
    let (source, options, login) = (config.source.to_string(), config.mount.clone(), config.login.clone());
    let starting = Gateway::new(config, sockets.listeners, shutdown.clone());
    let mut gateway = tokio::select! {
        gateway = starting => gateway?,
        () = signals.next() => return Ok(()),
    };
    gateway.set_options(super::mount::options_of_gateway(given));
    if sockets.are_inherited {
        gateway.set_service();
    }
    tracing::info!(%source, urls = %gateway.urls().join(" "), "serving");
    let mounted = options.map(|options| Mounted {
        mount: super::mount::of_gateway(options, login, &gateway),
        interval,
        metrics: gateway.metrics().clone(),
        keeping: gateway.keeping(),
        deputy: gateway.deputy(),
        // launchd ends a program at logout, systemd also to start it anew.
        outlives: sockets.are_inherited && !cfg!(target_os = "macos"),
    });
    until_stopped(gateway, shutdown, mounted, signals).await
}

/// What is kept mounted while a gateway runs.
pub(super) struct Mounted {
    mount: Mount,
    /// A lost mount is seen within this time.
    interval: Duration,
    metrics: Metrics,
    keeping: Arc<Keeping>,
    deputy: Option<Deputy>,
    /// The next life of this program takes over the sockets, and with them the mount.
    outlives: bool,
}

impl Mounted {
    async fn keep(&self) {
        mount::supervise(&self.mount, self.interval, self).await;
    }

    /// While requests are still answered: what programs wrote is sent now.
    async fn end(&self, by: Stop) {
        if self.outlives && by == Stop::Signal {
            return;
        }
        if let Err(error) = self.mount.end().await {
            let hint = error.hint().unwrap_or_default();
            tracing::warn!(
                error = with_causes(&error),
                hint,
                "it stays mounted, and answers again when the gateway runs"
            );
        }
    }
}

impl Witness for Mounted {
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

/// Runs the gateway until a signal or a command; a second signal ends the process at once.
pub(super) async fn until_stopped(
    gateway: Gateway,
    shutdown: Shutdown,
    mounted: Option<Mounted>,
    mut signals: Signals,
) -> Result<(), CommandError> {
    let running = gateway.run();
    tokio::pin!(running);
    let keeping = async {
        match &mounted {
            Some(mounted) => mounted.keep().await,
            None => std::future::pending().await,
        }
    };
    let by = tokio::select! {
        () = &mut running => return Ok(()),
        () = keeping => return Ok(()),
        () = shutdown.requested() => Stop::Command,
        () = signals.next() => Stop::Signal,
    };
    tracing::info!("stopping; once more to stop at once");
    let ending = async {
        if let Some(mounted) = &mounted {
            mounted.end(by).await;
        }
        shutdown.begin();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = &mut running => tracing::info!("stopped"),
        () = ending => {}
        () = signals.next() => {
            tracing::warn!("stopped at once");
            std::process::exit(130);
        }
    }
    Ok(())
}

/// Who ends the program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// A person; or the system, to start it anew or for good.
    Signal,
    Command,
}

/// In the list of problems.
const PLACE: &str = "mount";
