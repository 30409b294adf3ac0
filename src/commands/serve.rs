//! `s3dav serve`.

use super::CommandError;
use super::gateway::{self, Gateway};
use crate::cli::ServeArgs;
use crate::config::Config;
use crate::shutdown::{self, Shutdown};

pub(super) async fn run(args: ServeArgs) -> Result<(), CommandError> {
    let config = Config::of_serve(args)?;
    let listeners = gateway::bind(&config.listen).await?;
    let shutdown = Shutdown::default();
    let source = config.source.to_string();
    let starting = Gateway::new(config, listeners, shutdown.clone());
    let gateway = tokio::select! {
        gateway = starting => gateway?,
        stopped = shutdown::signal() => return Ok(stopped?),
    };
    tracing::info!(%source, urls = %gateway.urls().join(" "), "serving");
    until_stopped(gateway, shutdown).await
}

/// Runs the gateway until a signal; a second one ends the process at once.
pub(super) async fn until_stopped(gateway: Gateway, shutdown: Shutdown) -> Result<(), CommandError> {
    let running = gateway.run();
    tokio::pin!(running);
    tokio::select! {
        () = &mut running => return Ok(()),
        stopped = shutdown::signal() => stopped?,
    }
    tracing::info!("stopping; once more to stop at once");
    shutdown.begin();
    tokio::select! {
        () = &mut running => tracing::info!("stopped"),
        again = shutdown::signal() => {
            again?;
            tracing::warn!("stopped at once");
            std::process::exit(130);
        }
    }
    Ok(())
}
