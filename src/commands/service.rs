//! `s3dav service`.

#![allow(clippy::print_stderr)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;

use super::{CommandError, listeners, mount, running, stop};
use crate::cli::{Given, MountArgs, Origin, ServiceArgs, ServiceCommand};
use crate::config::Config;
use crate::service::{Definition, Service, System, log_path};

pub(super) async fn run(args: ServiceArgs, given: &[Given]) -> Result<(), CommandError> {
    let service = Service::new(&System)?;
    match args.command {
        ServiceCommand::Install(args) => install(&service, *args, given).await,
        ServiceCommand::Uninstall => {
            end_gateway().await?;
            service.uninstall().await?;
            say!("the service is removed; the state and the log are left");
            Ok(())
        }
        ServiceCommand::Start => Ok(service.start().await?),
        ServiceCommand::Stop => {
            end_gateway().await?;
            Ok(service.stop().await?)
        }
        ServiceCommand::Status => {
            say!("{}", service.status().await?);
            Ok(())
        }
        ServiceCommand::Logs { lines } => logs(lines),
    }
}

async fn install(service: &Service<'_>, args: MountArgs, given: &[Given]) -> Result<(), CommandError> {
    let config = Config::of_serve(mount::with_mountpoint(args))?;
    end_gateway().await?;
    // Of_serve made options, since a mount point was given.
    let point = config.mount.as_ref().map(|options| options.point.display().to_string()).unwrap_or_default();
    let sockets = free_sockets(&config).await?;
    let mounts = crate::mount::is_allowed(&config.mount, sockets.first());
    let definition = Definition {
        program: std::env::current_exe().context("this program's own path is not known")?,
        arguments: arguments(&config, given, mounts.then_some(&point)),
        environment: environment(),
        sockets,
        mounts,
        log: log_path()?,
    };
    service.install(&definition).await?;
    let url = definition.sockets.first().map(|address| format!("http://{address}/")).unwrap_or_default();
    match mounts {
        true => say!("{} is mounted at {point} now and at every login", config.source),
        false => {
            say!("{} is served at {url} now and at every login; only root may mount it", config.source)
        }
    }
    for path in service.paths() {
        say!("definition  {}", path.display());
    }
    say!("log         {}", definition.log.display());
    Ok(())
}

/// What the configuration file says is read at each start, so that it can be changed there.
fn arguments(config: &Config, given: &[Given], point: Option<&String>) -> Vec<String> {
    let own = ["mount", "listen", "state-dir"];
    let options = given
        .iter()
        .filter(|option| option.origin != Origin::File && !own.contains(&option.name.as_str()))
        .flat_map(Given::arguments);
    let mut arguments = vec!["serve".to_owned(), format!("--state-dir={}", config.state_dir.display())];
    arguments.extend(point.map(|point| format!("--mount={point}")));
    arguments.extend(log_path().ok().map(|path| format!("--log-file={}", path.display())));
    arguments.extend(options);
    arguments
}

/// The path to credential helpers, and how AWS is set up; no secrets, which do not belong into such a file.
fn environment() -> Vec<(String, String)> {
    let is_secret = |name: &str| {
        ["SECRET", "TOKEN", "ACCESS_KEY_ID", "PASSWORD"].iter().any(|part| name.contains(part))
            && !name.ends_with("_FILE")
    };
    let mut variables: Vec<(String, String)> = std::env::vars()
        .filter(|(name, _)| name == "PATH" || name == "HOME" || name.starts_with("AWS_"))
        .collect();
    variables.sort();
    let (secrets, plain): (Vec<_>, Vec<_>) = variables.into_iter().partition(|(name, _)| is_secret(name));
    for (name, _) in secrets {
        eprintln!(
            "warning: {name} is not handed to the service; `aws configure` keeps keys where it finds them"
        );
    }
    plain
}

/// Where the system is to listen: as configured, at another port where the usual one is taken.
async fn free_sockets(config: &Config) -> Result<Vec<SocketAddr>, CommandError> {
    let listeners = listeners::choose(config).await?;
    Ok(listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect())
}

/// Unmounts and ends the service's gateway, if it runs; the system would leave the mount.
async fn end_gateway() -> Result<(), CommandError> {
    for status in running::find(None).await.running.iter().filter(|status| status.is_service) {
        stop::end(&status.state_dir, STOP_LIMIT).await?;
    }
    Ok(())
}

fn logs(lines: usize) -> Result<(), CommandError> {
    let path = log_path()?;
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("there is no log at {}", path.display()));
        CommandError::hinted(error, "`s3dav service install` installs a service that writes one")
    })?;
    let mut last = VecDeque::new();
    for line in text.lines() {
        if last.len() == lines {
            last.pop_front();
        }
        last.push_back(line);
    }
    last.iter().take(lines).for_each(|line| say!("{line}"));
    Ok(())
}

/// Uploads under way, and unmounting before them.
const STOP_LIMIT: Duration = Duration::from_secs(120);
